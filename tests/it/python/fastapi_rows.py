"""A FastAPI model server whose rows have no keys: their names are only in its openapi.json. It knows nothing of weir."""

from typing import NamedTuple

from fastapi import FastAPI

app = FastAPI()


class Customer(NamedTuple):
    age: float
    monthly_charge: float
    plan: str


class Churn(NamedTuple):
    score: float
    reason: str


@app.get("/healthz")
def healthz():
    return {"ok": True}


@app.post("/predict")
def predict(rows: list[Customer]) -> list[Churn]:
    return [Churn(row.age / 100, row.plan) for row in rows]
