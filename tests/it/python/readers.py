"""Prints every message of a topic as JSON lines, through one of the usual clients: key, headers and value as text.

usage: readers.py confluent-kafka|kafka-python|aiokafka BROKER TOPIC COUNT
"""

import asyncio
import json
import sys
import uuid

library, broker, topic, count = sys.argv[1:4] + [int(sys.argv[4])]
PATIENCE_S = 60


def show(partition, offset, key, headers, value):
    record = {
        "partition": partition,
        "offset": offset,
        "key": None if key is None else key.decode(),
        "headers": {name: text.decode() for name, text in headers},
        "value": json.loads(value),
    }
    print(json.dumps(record))


def confluent():
    from confluent_kafka import Consumer

    settings = {"bootstrap.servers": broker, "group.id": str(uuid.uuid4()), "auto.offset.reset": "earliest"}
    consumer = Consumer(settings)
    consumer.subscribe([topic])
    for _ in range(count):
        message = consumer.poll(PATIENCE_S)
        assert message is not None and message.error() is None, message
        show(message.partition(), message.offset(), message.key(), message.headers(), message.value())
    consumer.close()


def kafka_python():
    from kafka import KafkaConsumer

    consumer = KafkaConsumer(
        topic, bootstrap_servers=broker, auto_offset_reset="earliest", consumer_timeout_ms=PATIENCE_S * 1000
    )
    for _ in range(count):
        message = next(consumer)
        show(message.partition, message.offset, message.key, message.headers, message.value)
    consumer.close()


async def aio():
    from aiokafka import AIOKafkaConsumer

    consumer = AIOKafkaConsumer(topic, bootstrap_servers=broker, auto_offset_reset="earliest")
    await consumer.start()
    for _ in range(count):
        message = await asyncio.wait_for(consumer.getone(), PATIENCE_S)
        show(message.partition, message.offset, message.key, message.headers, message.value)
    await consumer.stop()


if library == "aiokafka":
    asyncio.run(aio())
else:
    {"confluent-kafka": confluent, "kafka-python": kafka_python}[library]()
