"""aiokafka: old non-flexible versions, ApiVersions v0 on every connection."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import aiokafka
import pytest
from aiokafka import OffsetAndMetadata, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import MessageSizeTooLargeError, OffsetOutOfRangeError
from tests.compat.conftest import CreateTopic
from tests.compat.servers import Server


async def send(node: Server, topic: str, values: list[bytes], **settings: object) -> list[Any]:
    client = aiokafka.AIOKafkaProducer(bootstrap_servers=node.bootstrap, **settings)
    await client.start()
    try:
        pending = [await client.send(topic, value, partition=0) for value in values]
        return list(await asyncio.gather(*pending))
    finally:
        await client.stop()


async def consumer(node: Server, *topics: str, **settings: object) -> Any:
    defaults: dict[str, object] = {
        "bootstrap_servers": node.bootstrap,
        "auto_offset_reset": "earliest",
        "enable_auto_commit": False,
        "session_timeout_ms": 6000,
        "heartbeat_interval_ms": 200,
        "fetch_max_wait_ms": 100,
    }
    client = aiokafka.AIOKafkaConsumer(*topics, **(defaults | settings))
    await client.start()
    return client


async def take(client: Any, count: int, timeout_s: float = 20.0) -> list[Any]:
    records: list[Any] = []
    deadline = time.monotonic() + timeout_s
    while len(records) < count and time.monotonic() < deadline:
        for batch in (await client.getmany(timeout_ms=100, max_records=count - len(records))).values():
            records += batch
    return records


async def until(done: Callable[[], bool], timeout_s: float = 20.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not done():
        assert time.monotonic() < deadline, "not done in time"
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("codec", [None, "gzip", "snappy", "lz4", "zstd"])
async def test_every_codec(node: Server, topic: CreateTopic, codec: str | None) -> None:
    name = topic()
    values = [f"{number} ".encode() * 30 for number in range(300)]
    sent = await send(node, name, values, compression_type=codec)
    assert [found.offset for found in sent] == list(range(300))
    client = await consumer(node)
    client.assign([TopicPartition(name, 0)])
    records = await take(client, 300)
    await client.stop()
    assert [record.value for record in records] == values


@pytest.mark.parametrize("acks", [0, 1, "all"])
async def test_acks(node: Server, topic: CreateTopic, acks: object) -> None:
    name = topic()
    await send(node, name, [b"a", b"b"], acks=acks)
    client = await consumer(node, name)
    assert [record.value for record in await take(client, 2)] == [b"a", b"b"]
    await client.stop()


async def test_idempotent_producer(node: Server, topic: CreateTopic) -> None:
    name = topic()
    sent = await send(node, name, [b"x"] * 500, enable_idempotence=True, max_batch_size=500)
    assert [found.offset for found in sent] == list(range(500))


async def test_headers_key_and_timestamp(node: Server, topic: CreateTopic) -> None:
    name = topic()
    client = aiokafka.AIOKafkaProducer(bootstrap_servers=node.bootstrap)
    await client.start()
    headers = [("a", b"1"), ("b", b"")]
    stamp = 1_600_000_000_123
    await client.send_and_wait(name, b"v", key=b"k", headers=headers, timestamp_ms=stamp, partition=0)
    with pytest.raises(MessageSizeTooLargeError):
        await client.send_and_wait(name, b"x" * 2_000_000)
    await client.stop()
    reader = await consumer(node, name)
    (record,) = await take(reader, 1)
    await reader.stop()
    assert (record.key, record.value, list(record.headers), record.timestamp) == (b"k", b"v", headers, stamp)


async def test_positions_and_timestamps(node: Server, topic: CreateTopic) -> None:
    name = topic()
    partition = TopicPartition(name, 0)
    await send(node, name, [b"a", b"b", b"c"])
    client = await consumer(node, auto_offset_reset="none")
    client.assign([partition])
    assert await client.beginning_offsets([partition]) == {partition: 0}
    assert await client.end_offsets([partition]) == {partition: 3}
    assert (await client.offsets_for_times({partition: 1}))[partition].offset == 0
    client.seek(partition, 2)
    assert [record.value for record in await take(client, 1)] == [b"c"]
    client.seek(partition, 99)
    with pytest.raises(OffsetOutOfRangeError):
        await client.getone()
    await client.stop()


async def test_group_of_two_commit_and_resume(node: Server, topic: CreateTopic) -> None:
    name = topic(4)
    group = f"group-{name}"
    await send(node, name, [b"a", b"b", b"c"])
    first = await consumer(node, name, group_id=group)
    assert len(await take(first, 3)) == 3
    await first.commit({TopicPartition(name, 0): OffsetAndMetadata(2, "note")})
    second = await consumer(node, name, group_id=group)
    await until(lambda: len(first.assignment()) == len(second.assignment()) == 2)
    await second.stop()
    await until(lambda: len(first.assignment()) == 4)
    assert await first.committed(TopicPartition(name, 0)) == 2
    await first.stop()
    third = await consumer(node, name, group_id=group)
    assert [record.value for record in await take(third, 1)] == [b"c"]
    await third.stop()


async def test_admin(node: Server) -> None:
    name = f"aio-{time.monotonic_ns()}"
    admin = AIOKafkaAdminClient(bootstrap_servers=node.bootstrap)
    await admin.start()
    try:
        created = await admin.create_topics([NewTopic(name, 2, 1)])
        assert created.topic_errors[0][1] == 0
        assert name in await admin.list_topics()
        await admin.create_partitions({name: NewPartitions(3)})
        (described,) = await admin.describe_topics([name])
        assert len(described["partitions"]) == 3
        resource = ConfigResource(ConfigResourceType.TOPIC, name, {"retention.ms": "5000"})
        await admin.alter_configs([resource])
        (answer,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name)])
        configs = {entry[0]: entry[1] for entry in answer.resources[0][4]}
        assert configs["retention.ms"] == "5000"
        await send(node, name, [b"a", b"b", b"c"])
        await admin.delete_records({TopicPartition(name, 0): RecordsToDelete(2)})
        reader = await consumer(node, name, group_id=f"group-{name}")
        assert [record.value for record in await take(reader, 1)] == [b"c"]
        await reader.commit()
        groups = {group for group, _ in await admin.list_consumer_groups()}
        assert f"group-{name}" in groups
        offsets = await admin.list_consumer_group_offsets(f"group-{name}")
        assert offsets[TopicPartition(name, 0)].offset == 3
        (answer,) = await admin.describe_consumer_groups([f"group-{name}"])
        assert answer.groups[0][2] == "Stable"
        await reader.stop()
        await admin.delete_topics([name])
        assert name not in await admin.list_topics()
    finally:
        await admin.close()
