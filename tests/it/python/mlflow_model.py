"""A churn model with named columns as MLflow ships it ("models from code"); run as a script it saves itself to a folder.

usage: mlflow_model.py FOLDER
"""

import sys

import mlflow
import pandas as pd
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema

from model import predict

INPUTS = Schema(
    [
        ColSpec("double", "age"),
        ColSpec("double", "monthly_charge"),
        ColSpec("long", "tenure_months"),
        ColSpec("string", "plan"),
        ColSpec("boolean", "has_partner", required=False),
    ]
)
OUTPUTS = Schema([ColSpec("boolean", "will_churn"), ColSpec("double", "confidence")])


class Churn(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        rows = predict(model_input.to_dict("records"))
        if (params or {}).get("answer") == "list":
            return [row["confidence"] for row in rows]
        return pd.DataFrame(rows)


if __name__ == "__main__":
    params = ParamSchema([ParamSpec("answer", "string", "frame")])
    signature = ModelSignature(inputs=INPUTS, outputs=OUTPUTS, params=params)
    mlflow.pyfunc.save_model(sys.argv[1], python_model=__file__, code_paths=["model.py"], signature=signature, pip_requirements=[])
else:
    mlflow.models.set_model(Churn())
