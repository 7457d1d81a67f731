"""kafka-python: records, groups and admin."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import kafka
import pytest
from kafka import TopicPartition
from kafka.admin import ConfigResource, KafkaAdminClient, OffsetSpec
from kafka.errors import (
    InvalidPartitionsError,
    InvalidTopicError,
    MessageSizeTooLargeError,
    TopicAlreadyExistsError,
)
from kafka.structs import OffsetAndMetadata
from tests.compat.conftest import CreateTopic
from tests.compat.servers import Server

CODECS = [None, "gzip", "lz4", "zstd"]  # snappy would need one more package; the other clients drive it


@pytest.fixture
def admin(node: Server) -> Iterator[Any]:
    client = KafkaAdminClient(bootstrap_servers=node.bootstrap)
    yield client
    client.close()


def send(node: Server, topic: str, values: list[bytes], **settings: object) -> list[Any]:
    """Produce to partition 0 and return the metadata of each record."""
    client = kafka.KafkaProducer(bootstrap_servers=node.bootstrap, **settings)
    try:
        pending = [client.send(topic, value, partition=0) for value in values]
        client.flush(20)
        return [future.get(20) for future in pending]
    finally:
        client.close()


def consumer(node: Server, *topics: str, **settings: object) -> Any:
    defaults: dict[str, object] = {
        "bootstrap_servers": node.bootstrap,
        "auto_offset_reset": "earliest",
        "enable_auto_commit": False,
        "session_timeout_ms": 6000,
        "heartbeat_interval_ms": 200,
        "fetch_max_wait_ms": 100,
    }
    client = kafka.KafkaConsumer(**(defaults | settings))
    if topics:
        # A member that leads its group before it knows the topics assigns nothing, and about one time in sixty
        # the client never looks again: against Apache Kafka as well.
        for topic in topics:
            client.partitions_for_topic(topic)
        client.subscribe(list(topics))
    return client


def poll(client: Any, count: int, timeout_s: float = 20.0) -> list[Any]:
    records: list[Any] = []
    deadline = time.monotonic() + timeout_s
    while len(records) < count and time.monotonic() < deadline:
        for batch in client.poll(timeout_ms=100, max_records=count - len(records)).values():
            records += batch
    return records


def poll_until(clients: list[Any], done: Callable[[], bool], timeout_s: float = 20.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not done():
        assert time.monotonic() < deadline, "not done in time"
        for client in clients:
            client.poll(timeout_ms=200)


def assigned(node: Server, topic: str, offset: int | None = None, **settings: object) -> Any:
    client = consumer(node, **settings)
    client.assign([TopicPartition(topic, 0)])
    if offset is not None:
        client.seek(TopicPartition(topic, 0), offset)
    return client


@pytest.mark.parametrize("codec", CODECS)
def test_every_codec(node: Server, topic: CreateTopic, codec: str | None) -> None:
    name = topic()
    values = [f"{number} ".encode() * 30 for number in range(300)]
    sent = send(node, name, values, compression_type=codec)
    assert [found.offset for found in sent] == list(range(300))
    client = assigned(node, name)
    records = poll(client, 300)
    client.close()
    assert [record.value for record in records] == values
    assert [record.offset for record in records] == list(range(300))


@pytest.mark.parametrize("acks", [0, 1, "all"])
def test_acks_without_idempotence(node: Server, topic: CreateTopic, acks: object) -> None:
    name = topic()
    send(node, name, [b"a", b"b"], acks=acks, enable_idempotence=False)
    client = assigned(node, name)
    assert [record.value for record in poll(client, 2)] == [b"a", b"b"]
    client.close()


def test_key_headers_timestamp_and_tombstone(node: Server, topic: CreateTopic) -> None:
    name = topic()
    client = kafka.KafkaProducer(bootstrap_servers=node.bootstrap)
    headers = [("a", b"1"), ("a", b""), ("b", "ключ".encode())]
    client.send(name, b"value", key=b"key", headers=headers, timestamp_ms=1_600_000_000_123).get(10)
    client.send(name, None, key=b"key").get(10)
    client.close()
    reader = assigned(node, name)
    first, second = poll(reader, 2)
    reader.close()
    assert (first.key, first.value, list(first.headers)) == (b"key", b"value", headers)
    assert (first.timestamp, first.timestamp_type) == (1_600_000_000_123, 0)
    assert second.value is None


def test_fetch_sessions_over_many_polls(node: Server, topic: CreateTopic) -> None:
    """An incremental fetch session: partitions that change one at a time, added and forgotten ones."""
    name = topic(20)
    client = consumer(node)
    client.assign([TopicPartition(name, index) for index in range(10)])
    producer = kafka.KafkaProducer(bootstrap_servers=node.bootstrap, linger_ms=0)
    for index in (3, 7, 3, 0, 9):
        producer.send(name, str(index).encode(), partition=index).get(10)
        (record,) = poll(client, 1)
        assert (record.partition, record.value) == (index, str(index).encode())
    client.assign([TopicPartition(name, index) for index in range(5, 20)])
    for index in (19, 12, 3):
        producer.send(name, str(index).encode(), partition=index).get(10)
    assert sorted(record.partition for record in poll(client, 2)) == [12, 19]
    assert poll(client, 1, timeout_s=0.3) == []
    client.close()
    producer.close()


def test_positions_and_timestamps(node: Server, topic: CreateTopic) -> None:
    name = topic()
    partition = TopicPartition(name, 0)
    producer = kafka.KafkaProducer(bootstrap_servers=node.bootstrap)
    for number in range(10):
        producer.send(name, b"x", partition=0, timestamp_ms=1_700_000_000_000 + number * 1000)
    producer.flush(10)
    producer.close()
    client = assigned(node, name)
    assert client.beginning_offsets([partition]) == {partition: 0}
    assert client.end_offsets([partition]) == {partition: 10}
    found = client.offsets_for_times({partition: 1_700_000_004_500})[partition]
    assert (found.offset, found.timestamp) == (5, 1_700_000_005_000)
    assert client.offsets_for_times({partition: 1_800_000_000_000})[partition] is None
    client.seek_to_end()
    assert client.position(partition) == 10
    client.seek(partition, 4)
    assert poll(client, 1)[0].offset == 4
    client.close()


def test_too_large_and_invalid(node: Server, topic: CreateTopic) -> None:
    name = topic()
    client = kafka.KafkaProducer(bootstrap_servers=node.bootstrap, max_request_size=20_000_000)
    with pytest.raises(MessageSizeTooLargeError):
        client.send(name, b"x" * 3_000_000).get(10)
    client.close()
    assert [found.offset for found in send(node, name, [b"small"])] == [0]
    with pytest.raises((InvalidTopicError, ValueError)):
        send(node, "no spaces", [b"x"])


def test_group_of_two_commit_and_resume(node: Server, topic: CreateTopic) -> None:
    name = topic(4)
    group = f"group-{name}"
    producer = kafka.KafkaProducer(bootstrap_servers=node.bootstrap)
    for number in range(40):
        producer.send(name, str(number).encode(), partition=number % 4)
    producer.flush(10)
    first = consumer(node, name, group_id=group)
    assert len(poll(first, 40)) == 40
    first.commit()
    second = consumer(node, name, group_id=group)
    poll_until([first, second], lambda: len(first.assignment()) == len(second.assignment()) == 2)
    assert not first.assignment() & second.assignment()
    second.close()
    poll_until([first], lambda: len(first.assignment()) == 4)
    assert {first.committed(TopicPartition(name, index)) for index in range(4)} == {10}
    first.close()
    producer.send(name, b"new", partition=2).get(10)
    third = consumer(node, name, group_id=group)
    assert [record.value for record in poll(third, 1)] == [b"new"]
    third.close()
    producer.close()


def test_static_member(node: Server, topic: CreateTopic) -> None:
    name = topic(2)
    settings: dict[str, object] = {"group_id": f"static-{name}", "group_instance_id": "one"}
    first = consumer(node, name, **settings)
    poll_until([first], lambda: len(first.assignment()) == 2)
    first.close()
    again = consumer(node, name, **settings)
    poll_until([again], lambda: len(again.assignment()) == 2)
    again.close()


def test_admin_topics_and_partitions(node: Server, admin: Any) -> None:
    name = f"kp-{time.monotonic_ns()}"
    admin.create_topics({name: {"num_partitions": 2, "replication_factor": 1}}, wait_for_metadata=True)
    with pytest.raises(TopicAlreadyExistsError):
        admin.create_topics({name: {"num_partitions": 2, "replication_factor": 1}})
    assert name in admin.list_topics()
    admin.create_partitions({name: 4})
    with pytest.raises(InvalidPartitionsError):
        admin.create_partitions({name: 1})
    (described,) = admin.describe_topics([name])
    assert [part["partition_index"] for part in described["partitions"]] == [0, 1, 2, 3]
    admin.delete_topics([name])
    assert name not in admin.list_topics()


def test_admin_configs(node: Server, admin: Any, topic: CreateTopic) -> None:
    name = topic()
    admin.alter_configs([ConfigResource("TOPIC", name, {"retention.ms": "4000"})])
    found = admin.describe_configs([ConfigResource("TOPIC", name)])
    assert found["topic"][name]["retention.ms"]["value"] == "4000"
    outcome = admin.alter_configs([ConfigResource("TOPIC", name, {"retention.ms": "soon"})])
    assert "InvalidConfig" in str(outcome["topic"][name])


def test_admin_offsets_and_records(node: Server, admin: Any, topic: CreateTopic) -> None:
    name = topic()
    partition = TopicPartition(name, 0)
    send(node, name, [b"a", b"b", b"c"])
    found = admin.list_partition_offsets({partition: OffsetSpec.LATEST})
    assert found[partition].offset == 3
    admin.delete_records({partition: 2})
    assert admin.list_partition_offsets({partition: OffsetSpec.EARLIEST})[partition].offset == 2
    producers = admin.describe_producers([partition])[partition]
    assert len(producers.active_producers) == 1


def test_admin_groups(node: Server, admin: Any, topic: CreateTopic) -> None:
    name = topic()
    group = f"seen-{name}"
    partition = TopicPartition(name, 0)
    client = consumer(node, name, group_id=group)
    poll_until([client], lambda: len(client.assignment()) == 1)
    client.commit({partition: OffsetAndMetadata(0, "note", -1)})
    described = admin.describe_groups([group])[group]
    assert described["group_state"] == "Stable"
    assert [found["group_id"] for found in admin.list_groups() if found["group_id"] == group] == [group]
    client.close()
    changed = admin.alter_group_offsets(group, {partition: OffsetAndMetadata(7, "", -1)})
    assert changed[partition].errno == 0
    assert admin.list_group_offsets({group: None})[group][partition].offset == 7
    assert admin.delete_group_offsets(group, [partition])[partition].errno == 0
    assert admin.list_group_offsets({group: None})[group] == {}
    assert admin.delete_groups([group]) == {group: "OK"}
    assert "GroupIdNotFound" in admin.delete_groups([group])[group]


def test_admin_cluster(node: Server, admin: Any, topic: CreateTopic) -> None:
    topic()
    found = admin.describe_cluster()
    assert len(found["cluster_id"]) == 22
    (broker,) = found["brokers"]
    assert (broker["host"], broker["port"]) == ("127.0.0.1", node.port)
    (directory,) = admin.describe_log_dirs()
    assert directory
    assert "topic" in {kind.lower() for kind in admin.list_config_resources(["TOPIC"])}
