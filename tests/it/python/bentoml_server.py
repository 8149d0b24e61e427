"""A BentoML service: rows, one object, keyword arguments, a file."""

from pathlib import Path

import bentoml
from pydantic import BaseModel


class Customer(BaseModel):
    age: float
    plan: str


class Answer(BaseModel):
    will_buy: bool
    confidence: float


def answer(customer):
    return Answer(will_buy=customer.age > 40, confidence=round(customer.age / 100, 6))


@bentoml.service(workers=1)
class Churn:
    @bentoml.api
    def batch(self, customers: list[Customer]) -> list[Answer]:
        return [answer(customer) for customer in customers]

    @bentoml.api
    def one(self, customer: Customer) -> Answer:
        return answer(customer)

    @bentoml.api
    def ratio(self, part: float, whole: float = 4.0) -> float:
        return part / whole

    @bentoml.api
    def image(self, picture: Path, title: str = "none") -> dict:
        return {"bytes": len(picture.read_bytes()), "title": title}

    @bentoml.api
    def letters(self, text: str):
        yield from text.split(" ")
