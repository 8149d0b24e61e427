"""Models for MLServer: one of scikit-learn, and two custom runtimes. Run as a script it writes the folder that `mlserver start` takes.

usage: mlserver_models.py FOLDER HTTP_PORT
"""

import json
import os
import sys

import joblib
import pandas as pd
from mlserver import MLModel
from mlserver.codecs import NumpyCodec, PandasCodec
from mlserver.types import InferenceResponse, Parameters, RequestOutput

from model import MODEL, predict


class Churn(MLModel):
    """Takes a frame, answers with a frame: a tensor per column."""

    async def predict(self, payload):
        customers = self.decode_request(payload, default_codec=PandasCodec).to_dict("records")
        answer = PandasCodec.encode_response(self.name, pd.DataFrame(predict(customers)), self.version)
        answer.id = payload.id
        return answer


class Echo(MLModel):
    """Answers with the tensors it got, decoded by their content types and encoded again."""

    async def predict(self, payload):
        outputs = []
        for tensor in payload.inputs:
            kind = tensor.parameters and Parameters(content_type=tensor.parameters.content_type)
            asked = RequestOutput(name=tensor.name, parameters=kind)
            outputs.append(self.encode(self.decode(tensor, NumpyCodec), asked, NumpyCodec))
        return InferenceResponse(model_name=self.name, model_version=self.version, id=payload.id, outputs=outputs)


def main():
    folder, port = sys.argv[1:3]
    settings = {
        # In this process alone, and no port more than one (0: a free one).
        "parallel_workers": 0,
        "host": "127.0.0.1",
        "http_port": int(port),
        "grpc_port": 0,
        "metrics_endpoint": None,
        "debug": False,
    }
    models = {
        "churn": {"implementation": "mlserver_models.Churn", "parameters": {"version": "v3"}},
        "echo": {"implementation": "mlserver_models.Echo"},
        "linear": {"implementation": "mlserver_sklearn.SKLearnModel", "parameters": {"uri": "model.joblib", "version": "v1"}},
    }
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "settings.json"), "w") as out:
        json.dump(settings, out)
    for name, model in models.items():
        os.makedirs(os.path.join(folder, name))
        with open(os.path.join(folder, name, "model-settings.json"), "w") as out:
            json.dump({"name": name, **model}, out)
    joblib.dump(MODEL, os.path.join(folder, "linear", "model.joblib"))


if __name__ == "__main__":
    main()
