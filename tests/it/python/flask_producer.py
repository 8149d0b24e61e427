"""A Flask model server that writes its predictions to Kafka by itself, with kafka-python. It knows nothing of weir."""

import json
import os
import uuid

from flask import Flask, jsonify, request
from kafka import KafkaProducer

import model

app = Flask(__name__)
producer = KafkaProducer(bootstrap_servers=os.environ["KAFKA_BROKERS"])


@app.get("/healthz")
def healthz():
    return jsonify(ok=True)


@app.post("/predict")
def predict():
    inputs = request.get_json()
    outputs = model.predict([inputs])[0]
    row = {
        "id": str(uuid.uuid4()),
        "model_name": os.environ["KAFKA_TOPIC"],
        "model_version": "v1",
        "inputs": inputs,
        "outputs": outputs,
    }
    producer.send(os.environ["KAFKA_TOPIC"], json.dumps(row).encode("utf-8"))
    return jsonify(outputs), 200, {"x-record-id": row["id"]}


@app.post("/flush")
def flush():
    producer.flush()
    return jsonify(ok=True)
