"""Prints every message of a topic as it stands there: key, headers and value, through a client that is not weir's.

usage: topic.py BROKER TOPIC COUNT
"""

import sys
import uuid

from confluent_kafka import Consumer

broker, topic, count = sys.argv[1:4]
consumer = Consumer(
    {"bootstrap.servers": broker, "group.id": str(uuid.uuid4()), "auto.offset.reset": "earliest", "enable.auto.commit": False}
)
consumer.subscribe([topic])
for _ in range(int(count)):
    message = consumer.poll(60)
    assert message is not None and message.error() is None, message
    print(message.key(), message.headers(), message.value())
consumer.close()
