"""What one client wrote, every other client reads, byte for byte, under each codec."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import aiokafka
import kafka
import pytest
from confluent_kafka import OFFSET_BEGINNING
from confluent_kafka import TopicPartition as LibrdkafkaPartition
from kafka import TopicPartition
from tests.compat import confluent
from tests.compat.conftest import CreateTopic
from tests.compat.servers import Server

Row = tuple[bytes, bytes]
ROWS: list[Row] = [
    (f"key {number}".encode(), bytes(range(256)) * 2 + bytes([number])) for number in range(60)
]


def write_confluent(node: Server, topic: str, codec: str) -> None:
    client = confluent.producer(node, compression_type=codec)
    for key, value in ROWS:
        client.produce(topic, key=key, value=value, partition=0)
    assert client.flush(10) == 0


def read_confluent(node: Server, topic: str) -> list[Row]:
    client = confluent.consumer(node, f"confluent-{topic}")
    client.assign([LibrdkafkaPartition(topic, 0, OFFSET_BEGINNING)])
    messages = confluent.poll(client, len(ROWS))
    client.close()
    return [(bytes(message.key() or b""), bytes(message.value() or b"")) for message in messages]


def write_kafka_python(node: Server, topic: str, codec: str) -> None:
    client = kafka.KafkaProducer(
        bootstrap_servers=node.bootstrap, compression_type=None if codec == "none" else codec, linger_ms=5
    )
    for key, value in ROWS:
        client.send(topic, value, key, partition=0)
    client.flush(10)
    client.close()


def read_kafka_python(node: Server, topic: str) -> list[Row]:
    client = kafka.KafkaConsumer(
        bootstrap_servers=node.bootstrap, auto_offset_reset="earliest", consumer_timeout_ms=30_000
    )
    client.assign([TopicPartition(topic, 0)])
    found = [(record.key, record.value) for _, record in zip(ROWS, client)]
    client.close()
    return found


def write_aiokafka(node: Server, topic: str, codec: str) -> None:
    async def run() -> None:
        client = aiokafka.AIOKafkaProducer(
            bootstrap_servers=node.bootstrap, compression_type=None if codec == "none" else codec
        )
        await client.start()
        pending = [await client.send(topic, value, key, partition=0) for key, value in ROWS]
        await asyncio.gather(*pending)
        await client.stop()

    asyncio.run(run())


def read_aiokafka(node: Server, topic: str) -> list[Row]:
    async def run() -> list[Row]:
        client = aiokafka.AIOKafkaConsumer(
            topic, bootstrap_servers=node.bootstrap, auto_offset_reset="earliest"
        )
        await client.start()
        found = [await asyncio.wait_for(client.getone(), 10) for _ in ROWS]
        await client.stop()
        return [(record.key, record.value) for record in found]

    return asyncio.run(run())


WRITERS: dict[str, Callable[[Server, str, str], None]] = {
    "confluent": write_confluent,
    "kafka-python": write_kafka_python,
    "aiokafka": write_aiokafka,
}


@pytest.mark.parametrize("writer", list(WRITERS))
@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_the_same_bytes_everywhere(node: Server, topic: CreateTopic, writer: str, codec: str) -> None:
    if (writer, codec) == ("kafka-python", "snappy"):
        pytest.skip("kafka-python needs one more package for snappy")
    name = topic()
    WRITERS[writer](node, name, codec)
    assert read_confluent(node, name) == ROWS
    assert read_aiokafka(node, name) == ROWS
    if codec != "snappy":
        assert read_kafka_python(node, name) == ROWS
