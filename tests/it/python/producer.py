"""Fills a topic in the plain form, as model servers do that publish by hand.

usage: producer.py flask|fastapi|poison BROKER TOPIC COUNT ANSWERS
"""

import asyncio
import json
import random
import sys
import uuid


def records(kind, count):
    dice = random.Random(kind)
    for _ in range(count):
        yield {
            "id": str(uuid.UUID(int=dice.getrandbits(128), version=4)),
            "model_name": "my-model",
            "model_version": "v1",
            "inputs": {"age": dice.randrange(18, 80), "previously_insured": dice.random() < 0.5},
            "outputs": {"will_buy_insurance": dice.random() < 0.5, "confidence": dice.random()},
        }


def with_kafka_python(broker, topic, rows):
    """Inside a Flask view, the way kafka-python is used there."""
    from flask import Flask
    from kafka import KafkaProducer

    app = Flask("model")
    producer = KafkaProducer(bootstrap_servers=broker)

    @app.post("/predict")
    def predict():
        from flask import request

        producer.send(topic, json.dumps(request.get_json()).encode("ascii"))
        return {"ok": True}

    client = app.test_client()
    for row in rows:
        assert client.post("/predict", json=row).status_code == 200
    producer.flush()


def with_aiokafka(broker, topic, rows):
    """Inside a FastAPI endpoint, the way aiokafka is used there."""
    import httpx
    from aiokafka import AIOKafkaProducer
    from fastapi import FastAPI, Request

    app = FastAPI()

    async def run():
        producer = AIOKafkaProducer(bootstrap_servers=broker)
        await producer.start()

        @app.post("/predict")
        async def predict(request: Request):
            await producer.send(topic, json.dumps(await request.json()).encode("ascii"))
            return {"ok": True}

        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://model") as client:
            for row in rows:
                assert (await client.post("/predict", json=row)).status_code == 200
        await producer.stop()

    asyncio.run(run())


def main():
    kind, broker, topic, count, path = sys.argv[1:6]
    if kind == "poison":
        from kafka import KafkaProducer

        producer = KafkaProducer(bootstrap_servers=broker)
        producer.send(topic, b'{"id": "torn", "inputs": {"age"')
        producer.flush()
        return
    rows = list(records(kind, int(count)))
    {"flask": with_kafka_python, "fastapi": with_aiokafka}[kind](broker, topic, rows)
    with open(path, "a", encoding="utf-8") as out:
        for row in rows:
            out.write(json.dumps({"id": row["id"], "status": 200, "sent": row["inputs"], "got": row["outputs"]}) + "\n")
    print("ok", len(rows))


main()
