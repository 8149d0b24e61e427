"""Asks `mlflow models serve`, directly and through weir, in every form that it reads, and writes down the rows to be (expected.py).

usage: mlflow_client.py SERVER WEIR OUT
"""

import json
import sys

import pandas as pd

from expected import Expected, Http

http = Http(*sys.argv[1:3])
expected = Expected(sys.argv[3], protocol="mlflow")
AT = "/invocations"
CUSTOMERS = [
    {"age": 41.5, "monthly_charge": 19.99, "tenure_months": 3, "plan": "pro", "has_partner": True},
    {"age": 20.0, "monthly_charge": 99.5, "tenure_months": 1, "plan": "basic", "has_partner": False},
    {"age": 63.25, "monthly_charge": 0.1, "tenure_months": 71, "plan": "plus", "has_partner": True},
]
FRAME = pd.DataFrame(CUSTOMERS)


def ask(body, sent=CUSTOMERS, protocol="mlflow", **how):
    """A batch of customers: as many answers, in their order."""
    id, status, answer = http.post(AT, body, **how)
    assert status == 200, answer
    got = json.loads(answer)["predictions"]
    got = [item if isinstance(item, dict) else {"prediction": item} for item in got]
    expected.rows(id, "churn", sent, got, protocol=protocol)
    return got


split = json.loads(FRAME.to_json(orient="split"))
want = ask({"dataframe_split": split})
assert len({json.dumps(row) for row in want}) == len(CUSTOMERS), "answers that tell nothing apart"
# Each form is the same question.
records = FRAME.to_dict("records")
columns = FRAME.to_dict("list")
for body in ({"dataframe_records": records}, {"instances": records}, {"inputs": columns}):
    assert ask(body) == want, body
# Parameters are the call's and go to every row; this one makes the model answer with a list.
params = {"answer": "list"}
confidences = ask({"dataframe_split": split, "params": params}, [{**row, "params": params} for row in CUSTOMERS])
assert confidences == [{"prediction": row["confidence"]} for row in want]
# CSV with a header; a null in JSON.
without = [{key: value for key, value in row.items() if key != "has_partner"} for row in CUSTOMERS]
assert ask(pd.DataFrame(without).to_csv(index=False), without, "sagemaker", content_type="text/csv") == want
unknown = [{**row, "has_partner": None} for row in CUSTOMERS]
assert ask({"dataframe_records": unknown}, unknown) == want
# One customer is a batch of one, which keeps the call's id.
id, status, answer = http.post(AT, {"dataframe_records": records[:1]})
expected.row(id, "churn", CUSTOMERS[0], json.loads(answer)["predictions"][0])
# Refused by the model's signature.
id, status, answer = http.post(AT, {"dataframe_records": [{"age": 1.5}]})
assert status == 400, answer
expected.row(id, "churn", {"age": 1.5}, {}, status_code=400, error=answer.decode())
expected.close()
