"""A Flask model server. It knows nothing of weir."""

from flask import Flask, jsonify, request

import model

app = Flask(__name__)


@app.get("/healthz")
def healthz():
    return jsonify(ok=True)


@app.post("/predict")
def predict():
    body = request.get_json()
    if isinstance(body, list):
        return jsonify(model.predict(body))
    return jsonify(model.predict([body])[0])
