"""A FastAPI model server that writes its predictions to Kafka by itself, with aiokafka. It knows nothing of weir."""

import json
import os
import uuid
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaProducer
from fastapi import FastAPI, Request, Response

import model


@asynccontextmanager
async def lifespan(app):
    app.state.producer = AIOKafkaProducer(bootstrap_servers=os.environ["KAFKA_BROKERS"])
    await app.state.producer.start()
    yield
    await app.state.producer.stop()


app = FastAPI(lifespan=lifespan)


@app.get("/healthz")
async def healthz():
    return {"ok": True}


@app.post("/predict")
async def predict(request: Request, response: Response):
    inputs = await request.json()
    outputs = model.predict([inputs])[0]
    row = {
        "id": str(uuid.uuid4()),
        "model_name": os.environ["KAFKA_TOPIC"],
        "model_version": "v1",
        "inputs": inputs,
        "outputs": outputs,
    }
    await app.state.producer.send(os.environ["KAFKA_TOPIC"], json.dumps(row).encode("utf-8"))
    response.headers["x-record-id"] = row["id"]
    return outputs


@app.post("/flush")
async def flush():
    await app.state.producer.flush()
    return {"ok": True}
