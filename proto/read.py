"""Prints a topic of weir as JSON lines, whichever form each message has: how a consumer reads protobuf records.

    pip install confluent-kafka grpcio-tools
    python -m grpc_tools.protoc -I proto --python_out=. weir/v1/prediction.proto weir/v1/feedback.proto     # makes weir/v1/*_pb2.py
    PYTHONPATH=. python proto/read.py BROKER TOPIC [COUNT]
"""

import json
import sys
import uuid

from confluent_kafka import Consumer
from weir.v1 import feedback_pb2, prediction_pb2


def plain(value):
    """A Value as Python's json would have read it."""
    kind = value.WhichOneof("kind")
    if kind == "null_value":
        return None
    if kind == "object_value":
        return plain_object(value.object_value)
    if kind == "list_value":
        return [plain(item) for item in value.list_value.items]
    if kind in ("ints_value", "doubles_value"):
        return list(getattr(value, kind).items)
    if kind in ("number_value", "json_value"):
        return json.loads(getattr(value, kind))
    return getattr(value, kind)


def plain_object(message):
    return {field.key: plain(field.value) for field in message.fields}


def record(message):
    """The record as a dict, under the names that the JSON form has."""
    if dict(message.headers() or []).get("content-type") != b"application/x-protobuf":
        return json.loads(message.value())
    feedback = feedback_pb2.Feedback.FromString(message.value())
    if feedback.HasField("truth") or feedback.HasField("reward"):
        parsed = feedback
        found = {"id": None}
    else:
        parsed = prediction_pb2.Prediction.FromString(message.value())
        found = {"id": None, "model_name": None, "model_version": None, "inputs": {}, "outputs": {}}
    for field, value in parsed.ListFields():
        if field.name in ("inputs", "outputs"):
            value = plain_object(value)
        elif field.name in ("truth", "reward"):
            value = plain(value)
        elif field.name == "occurred_at":
            value = value.ToJsonString()
        elif field.name in ("metadata", "types"):
            value = dict(value)
        found[field.name] = value
    return found


def main():
    broker, topic, *count = sys.argv[1:]
    settings = {"bootstrap.servers": broker, "group.id": str(uuid.uuid4()), "auto.offset.reset": "earliest"}
    consumer = Consumer(settings)
    consumer.subscribe([topic])
    left = int(count[0]) if count else -1
    while left:
        message = consumer.poll(60)
        if message is None:
            continue
        if message.error():
            raise SystemExit(str(message.error()))
        print(json.dumps(record(message)), flush=True)
        left -= 1
    consumer.close()


main()
