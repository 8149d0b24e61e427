"""A FastAPI model server. It knows nothing of weir."""

from typing import Optional, Union

from fastapi import FastAPI
from pydantic import BaseModel

import model

app = FastAPI()


class Customer(BaseModel):
    age: float
    monthly_charge: float
    tenure_months: int
    plan: str
    has_partner: bool
    note: Optional[str] = None
    region: Optional[str] = None


@app.get("/healthz")
def healthz():
    return {"ok": True}


@app.post("/predict")
def predict(body: Union[Customer, list[Customer]]):
    if isinstance(body, list):
        return model.predict([c.model_dump() for c in body])
    return model.predict([body.model_dump()])[0]
