"""KServe's SDK with one model that speaks V1 and V2.

usage: kserve_server.py PORT
"""

import sys

import numpy
from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer


def scores(rows):
    return [round(sum(row) / len(row), 6) for row in rows]


class Churn(Model):
    def __init__(self):
        super().__init__("churn")
        self.ready = True

    async def predict(self, payload, headers=None, response_headers=None):
        if isinstance(payload, InferRequest):
            age = payload.get_input_by_name("age").as_numpy()
            half = payload.get_input_by_name("half").as_numpy()
            plan = [text.decode() if isinstance(text, bytes) else text for text in payload.get_input_by_name("plan").as_numpy()]
            outputs = []
            for name, datatype, values in [
                ("older", "INT64", age + 1),
                ("twice", "FP32", half.astype(numpy.float32) * 2),
                ("upper", "BYTES", numpy.array([text.upper().encode() for text in plan], dtype=object)),
            ]:
                output = InferOutput(name, list(values.shape), datatype)
                output.set_data_from_numpy(values, binary_data=payload.use_binary_outputs)
                outputs.append(output)
            return InferResponse(payload.id, "churn", outputs, use_binary_outputs=payload.use_binary_outputs)
        return {"predictions": scores(payload["instances"])}

    async def explain(self, payload, headers=None):
        return {"explanations": [{"most": max(range(len(row)), key=row.__getitem__)} for row in payload["instances"]]}


ModelServer(http_port=int(sys.argv[1]), enable_grpc=False, workers=1).start([Churn()])
