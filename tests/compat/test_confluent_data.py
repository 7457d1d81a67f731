"""confluent-kafka (librdkafka): records in and out."""

from __future__ import annotations

import time
from typing import Any

import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition
from tests.compat import confluent
from tests.compat.conftest import CreateTopic
from tests.compat.servers import Server


def reader(node: Server, topic: str, offset: int = OFFSET_BEGINNING, **settings: object) -> Consumer:
    client = confluent.consumer(node, f"reader-{topic}", **settings)
    client.assign([TopicPartition(topic, 0, offset)])
    return client


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
@pytest.mark.parametrize("acks", ["0", "1", "all"])
def test_every_codec_and_acks(node: Server, topic: CreateTopic, codec: str, acks: str) -> None:
    name = topic()
    values = [f"{codec} {number} ".encode() * 20 for number in range(200)]
    offsets = confluent.send(node, name, values, compression_type=codec, acks=acks)
    if acks != "0":
        assert offsets == list(range(200))
    client = reader(node, name)
    messages = confluent.poll(client, 200)
    client.close()
    assert [message.value() for message in messages] == values
    assert [message.offset() for message in messages] == list(range(200))


def test_key_headers_timestamp_null_and_empty(node: Server, topic: CreateTopic) -> None:
    name = topic()
    client = confluent.producer(node)
    headers: list[tuple[str, str | bytes | None]] = [
        ("a", b"1"),
        ("a", b"2"),
        ("nothing", None),
        ("empty", b""),
        ("ключ", "значение".encode()),
    ]
    client.produce(
        name, key=b"key", value=b"value", headers=headers, timestamp=1_600_000_000_123, partition=0
    )
    client.produce(name, key=b"tombstone", value=None, partition=0)
    client.produce(name, key=b"", value=b"", partition=0)
    assert client.flush(10) == 0
    consumer = reader(node, name)
    first, tombstone, empty = confluent.poll(consumer, 3)
    consumer.close()
    assert (first.key(), first.value(), first.headers()) == (b"key", b"value", headers)
    assert first.timestamp() == (1, 1_600_000_000_123)
    assert (tombstone.key(), tombstone.value(), tombstone.headers()) == (b"tombstone", None, None)
    assert (empty.key(), empty.value()) == (b"", b"")


def test_partitioned_by_key(node: Server, topic: CreateTopic) -> None:
    name = topic(5)
    client = confluent.producer(node)
    for number in range(500):
        client.produce(name, key=str(number % 50).encode(), value=str(number).encode())
    assert client.flush(10) == 0
    consumer = confluent.consumer(node, f"reader-{name}")
    consumer.assign([TopicPartition(name, index, OFFSET_BEGINNING) for index in range(5)])
    messages = confluent.poll(consumer, 500)
    consumer.close()
    placed: dict[bytes, set[int]] = {}
    for message in messages:
        placed.setdefault(_bytes(message.key()), set()).add(_int(message.partition()))
    assert len(messages) == 500
    assert len(placed) == 50
    assert all(len(partitions) == 1 for partitions in placed.values())
    assert len(set().union(*placed.values())) == 5


@pytest.mark.parametrize("codec", ["none", "lz4"])
def test_idempotent_producer(node: Server, topic: CreateTopic, codec: str) -> None:
    name = topic()
    values = [str(number).encode() for number in range(3000)]
    offsets = confluent.send(
        node, name, values, batch_num_messages=100, enable_idempotence=True, compression_type=codec
    )
    assert offsets == list(range(3000))
    consumer = reader(node, name)
    assert [message.value() for message in confluent.poll(consumer, 3000)] == values
    consumer.close()


def test_large_message_within_the_limit(node: Server, topic: CreateTopic) -> None:
    name = topic()
    value = bytes(range(256)) * 3900  # 998,400 bytes: just under message.max.bytes
    assert confluent.send(node, name, [value]) == [0]
    consumer = reader(node, name, fetch_message_max_bytes=1000)
    (message,) = confluent.poll(consumer, 1)
    consumer.close()
    assert message.value() == value


def test_message_too_large_is_refused_and_the_connection_lives(node: Server, topic: CreateTopic) -> None:
    name = topic()
    outcomes: list[Any] = []
    client = confluent.producer(node, message_max_bytes=10_000_000)
    report = lambda error, message: outcomes.append(error and error.code())  # noqa: E731
    client.produce(name, value=b"x" * 3_000_000, on_delivery=report)
    assert client.flush(10) == 0
    client.produce(name, value=b"small", on_delivery=report)
    assert client.flush(10) == 0
    assert outcomes == [KafkaError.MSG_SIZE_TOO_LARGE, None]
    consumer = reader(node, name)
    (message,) = confluent.poll(consumer, 1)
    consumer.close()
    assert (message.value(), message.offset()) == (b"small", 0)


@pytest.mark.parametrize("name", ["no spaces", "a/b", "ü", "x" * 250, ".."])
def test_invalid_topic_name(node: Server, name: str) -> None:
    outcomes: list[int] = []
    client = confluent.producer(node, message_timeout_ms=30_000)

    def report(error: KafkaError | None, message: Message) -> None:
        outcomes.append(error.code() if error is not None else 0)

    client.produce(name, value=b"x", on_delivery=report)
    assert client.flush(40) == 0
    assert outcomes == [KafkaError.TOPIC_EXCEPTION]


def test_auto_create_on_produce(node: Server) -> None:
    name = f"auto-{time.monotonic_ns()}"
    assert confluent.send(node, name, [b"first"], partition=-1) == [0]
    metadata = confluent.admin(node).list_topics(name, timeout=10).topics[name]
    assert metadata.error is None
    assert len(metadata.partitions) == 1


def test_consumer_does_not_auto_create(node: Server) -> None:
    name = f"absent-{time.monotonic_ns()}"
    client = confluent.consumer(node, f"reader-{name}", allow_auto_create_topics=False)
    client.subscribe([name])
    with pytest.raises(KafkaException) as caught:
        confluent.poll(client, 1)
    client.close()
    assert caught.value.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART
    assert name not in confluent.admin(node).list_topics(timeout=10).topics


def test_offsets_for_times(node: Server, topic: CreateTopic) -> None:
    name = topic()
    client = confluent.producer(node, batch_num_messages=10)
    base = int(time.time() * 1000) - 3_600_000
    for number in range(100):
        client.produce(name, value=str(number).encode(), timestamp=base + number * 1000, partition=0)
    assert client.flush(10) == 0
    consumer = reader(node, name)
    asked = [base - 5, base, base + 41_500, base + 99_000, base + 99_001]
    found = [consumer.offsets_for_times([TopicPartition(name, 0, ts)], timeout=10)[0].offset for ts in asked]
    assert found == [0, 0, 42, 99, -1]
    assert consumer.get_watermark_offsets(TopicPartition(name, 0), timeout=10) == (0, 100)
    consumer.close()


def test_seek_and_out_of_range_reset(node: Server, topic: CreateTopic) -> None:
    name = topic()
    confluent.send(node, name, [str(number).encode() for number in range(50)], batch_num_messages=7)
    consumer = reader(node, name, offset=45)
    assert [message.value() for message in confluent.poll(consumer, 5)] == [b"45", b"46", b"47", b"48", b"49"]
    consumer.seek(TopicPartition(name, 0, 12))
    assert [message.value() for message in confluent.poll(consumer, 2)] == [b"12", b"13"]
    consumer.seek(TopicPartition(name, 0, 5000))
    assert confluent.poll(consumer, 1)[0].offset() == 0
    consumer.close()
    strict = reader(node, name, offset=5000, auto_offset_reset="error")
    with pytest.raises(KafkaException) as caught:
        confluent.poll(strict, 1)
    strict.close()
    assert caught.value.args[0].code() == KafkaError._AUTO_OFFSET_RESET


def test_read_committed_and_uncommitted_see_the_same_without_transactions(
    node: Server, topic: CreateTopic
) -> None:
    name = topic()
    confluent.send(node, name, [b"a", b"b", b"c"])
    for isolation in ("read_committed", "read_uncommitted"):
        consumer = reader(node, name, isolation_level=isolation)
        assert [message.value() for message in confluent.poll(consumer, 3)] == [b"a", b"b", b"c"]
        consumer.close()


def test_long_poll_wakes_at_once(node: Server, topic: CreateTopic) -> None:
    """A parked fetch of 20 s is answered when a record arrives, not when its time is up."""
    name = topic()
    consumer = reader(node, name, fetch_wait_max_ms=20_000, socket_timeout_ms=60_000)
    assert confluent.poll(consumer, 1, timeout_s=1.0) == []
    started = time.monotonic()
    confluent.send(node, name, [b"now"])
    assert [message.value() for message in confluent.poll(consumer, 1)] == [b"now"]
    assert time.monotonic() - started < 15
    consumer.close()


def test_partition_eof(node: Server, topic: CreateTopic) -> None:
    name = topic()
    confluent.send(node, name, [b"only"])
    consumer = reader(node, name, enable_partition_eof=True)
    assert confluent.poll(consumer, 1)[0].value() == b"only"
    message = consumer.poll(10)
    assert message is not None
    error = message.error()
    assert error is not None and error.code() == KafkaError._PARTITION_EOF
    assert message.offset() == 1
    consumer.close()


def test_many_partitions_in_one_fetch(node: Server, topic: CreateTopic) -> None:
    name = topic(200)
    client = confluent.producer(node)
    for index in range(200):
        client.produce(name, value=str(index).encode(), partition=index)
    assert client.flush(20) == 0
    consumer = confluent.consumer(node, f"reader-{name}")
    consumer.assign([TopicPartition(name, index, OFFSET_BEGINNING) for index in range(200)])
    messages = confluent.poll(consumer, 200)
    consumer.close()
    assert sorted(_int(message.partition()) for message in messages) == list(range(200))
    assert all(message.value() == str(message.partition()).encode() for message in messages)


def _int(value: int | None) -> int:
    assert value is not None
    return value


def _bytes(value: object) -> bytes:
    assert isinstance(value, bytes)
    return value
