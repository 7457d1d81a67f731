"""confluent-kafka (librdkafka): topics, configs and the cluster through the admin client."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicCollection, TopicPartition, Uuid
from tests.compat import confluent
from tests.compat.confluent import api
from tests.compat.conftest import CreateTopic
from tests.compat.servers import Server


def code(call: Callable[[], object]) -> int:
    """The Kafka error code that the call raises."""
    with pytest.raises(KafkaException) as caught:
        call()
    return int(caught.value.args[0].code())


def eventually(check: Callable[[], bool]) -> None:
    """Metadata is spread asynchronously: a change is acknowledged before each broker shows it."""
    deadline = time.monotonic() + 10
    while not check():
        assert time.monotonic() < deadline, "not so in time"
        time.sleep(0.01)


def test_create_describe_delete_topic(node: Server) -> None:
    admin = confluent.admin(node)
    name = f"admin-{time.monotonic_ns()}"
    config = {"retention.ms": "60000", "cleanup.policy": "compact"}
    admin.create_topics([api.NewTopic(name, 3, 1, config=config)])[name].result(10)
    assert code(lambda: admin.create_topics([api.NewTopic(name, 3, 1)])[name].result(10)) == (
        KafkaError.TOPIC_ALREADY_EXISTS
    )
    eventually(lambda: name in admin.list_topics(timeout=10).topics)
    described = admin.describe_topics(TopicCollection([name]))[name].result(10)
    assert [part.id for part in described.partitions] == [0, 1, 2]
    assert all([broker.id for broker in part.isr] == [part.leader.id] for part in described.partitions)
    assert described.is_internal is False
    first_id = described.topic_id
    admin.delete_topics([name])[name].result(10)
    eventually(lambda: name not in admin.list_topics(timeout=10).topics)
    assert code(lambda: admin.delete_topics([name])[name].result(10)) == KafkaError.UNKNOWN_TOPIC_OR_PART
    admin.create_topics([api.NewTopic(name, 1, 1)])[name].result(10)
    eventually(lambda: name in admin.list_topics(timeout=10).topics)
    described = admin.describe_topics(TopicCollection([name]))[name].result(10)
    assert isinstance(described.topic_id, Uuid)
    assert str(described.topic_id) != str(first_id)


def test_topic_made_again_is_empty(node: Server) -> None:
    admin = confluent.admin(node)
    name = f"again-{time.monotonic_ns()}"
    for _ in range(2):
        admin.create_topics([api.NewTopic(name, 1, 1)])[name].result(10)
        eventually(lambda: name in admin.list_topics(timeout=10).topics)
        assert confluent.send(node, name, [b"x", b"y"]) == [0, 1]
        admin.delete_topics([name])[name].result(10)
        eventually(lambda: name not in admin.list_topics(timeout=10).topics)


def test_refused_topics(node: Server) -> None:
    admin = confluent.admin(node)

    def outcome(topic: Any) -> int:
        return code(lambda: admin.create_topics([topic])[topic.topic].result(10))

    assert outcome(api.NewTopic("bad name", 1, 1)) == KafkaError.TOPIC_EXCEPTION
    assert outcome(api.NewTopic("zero", 0, 1)) == KafkaError.INVALID_PARTITIONS
    assert outcome(api.NewTopic("too-many-copies", 1, 3)) == KafkaError.INVALID_REPLICATION_FACTOR
    assert outcome(api.NewTopic("odd", 1, 1, config={"no.such.config": "1"})) == KafkaError.INVALID_CONFIG
    assert outcome(api.NewTopic("odd", 1, 1, config={"retention.ms": "soon"})) == KafkaError.INVALID_CONFIG
    topics = admin.list_topics(timeout=10).topics
    assert not {"bad name", "zero", "too-many-copies", "odd"} & set(topics)


def test_validate_only(node: Server) -> None:
    admin = confluent.admin(node)
    admin.create_topics([api.NewTopic("only-a-check", 1, 1)], validate_only=True)["only-a-check"].result(10)
    assert "only-a-check" not in admin.list_topics(timeout=10).topics


def test_create_partitions(node: Server, topic: CreateTopic) -> None:
    admin = confluent.admin(node)
    name = topic(2)
    admin.create_partitions([api.NewPartitions(name, 5)])[name].result(10)
    eventually(lambda: len(admin.list_topics(name, timeout=10).topics[name].partitions) == 5)
    assert confluent.send(node, name, [b"in the new one"], partition=4) == [0]
    fewer = [api.NewPartitions(name, 3)]
    assert code(lambda: admin.create_partitions(fewer)[name].result(10)) == KafkaError.INVALID_PARTITIONS


def test_topic_configs(node: Server, topic: CreateTopic) -> None:
    admin = confluent.admin(node)
    name = topic()
    resource = api.ConfigResource(api.ResourceType.TOPIC, name)

    def value(entry: str) -> Any:
        asked = api.ConfigResource(api.ResourceType.TOPIC, name)
        return admin.describe_configs([asked])[asked].result(10)[entry]

    assert (value("max.message.bytes").value, value("max.message.bytes").source) == (
        "1048588",
        api.ConfigSource.DEFAULT_CONFIG.value,
    )
    put = api.ConfigEntry("max.message.bytes", "2000", incremental_operation=api.AlterConfigOpType.SET)
    change = api.ConfigResource(api.ResourceType.TOPIC, name, incremental_configs=[put])
    admin.incremental_alter_configs([change])[change].result(10)
    eventually(lambda: value("max.message.bytes").value == "2000")
    assert value("max.message.bytes").source == api.ConfigSource.DYNAMIC_TOPIC_CONFIG.value
    with pytest.raises(KafkaException) as caught:
        confluent.send(node, name, [b"x" * 5000])
    assert caught.value.args[0].code() == KafkaError.MSG_SIZE_TOO_LARGE
    undo = api.ConfigEntry("max.message.bytes", None, incremental_operation=api.AlterConfigOpType.DELETE)
    change = api.ConfigResource(api.ResourceType.TOPIC, name, incremental_configs=[undo])
    admin.incremental_alter_configs([change])[change].result(10)
    eventually(lambda: value("max.message.bytes").value == "1048588")
    wrong = api.ConfigEntry("retention.ms", "-2", incremental_operation=api.AlterConfigOpType.SET)
    change = api.ConfigResource(api.ResourceType.TOPIC, name, incremental_configs=[wrong])
    refused = lambda: admin.incremental_alter_configs([change])[change].result(10)  # noqa: E731
    assert code(refused) == KafkaError.INVALID_CONFIG
    resource.set_config("retention.ms", "1234567")
    admin.alter_configs([resource])[resource].result(10)
    eventually(lambda: value("retention.ms").value == "1234567")


def test_append_and_subtract_a_list_config(node: Server, topic: CreateTopic) -> None:
    admin = confluent.admin(node)
    name = topic()

    def policy(operation: Any, text: str) -> None:
        entry = api.ConfigEntry("cleanup.policy", text, incremental_operation=operation)
        change = api.ConfigResource(api.ResourceType.TOPIC, name, incremental_configs=[entry])
        admin.incremental_alter_configs([change])[change].result(10)

    def shown() -> set[str]:
        asked = api.ConfigResource(api.ResourceType.TOPIC, name)
        return set(str(admin.describe_configs([asked])[asked].result(10)["cleanup.policy"].value).split(","))

    policy(api.AlterConfigOpType.APPEND, "compact")
    eventually(lambda: shown() == {"delete", "compact"})
    policy(api.AlterConfigOpType.SUBTRACT, "delete")
    eventually(lambda: shown() == {"compact"})


def test_broker_configs_are_described(node: Server) -> None:
    admin = confluent.admin(node)
    (broker,) = admin.describe_cluster().result(10).nodes
    resource = api.ConfigResource(api.ResourceType.BROKER, str(broker.id))
    found = admin.describe_configs([resource])[resource].result(10)
    assert found["group.initial.rebalance.delay.ms"].value == "0"
    assert found["group.initial.rebalance.delay.ms"].source == api.ConfigSource.STATIC_BROKER_CONFIG.value
    assert found["message.max.bytes"].value == "1048588"
    assert found["node.id"].is_read_only


def test_describe_cluster(node: Server) -> None:
    admin = confluent.admin(node)
    found = admin.describe_cluster().result(10)
    assert len(found.cluster_id) == 22
    assert [(broker.host, broker.port) for broker in found.nodes] == [("127.0.0.1", node.port)]
    assert found.controller.id == found.nodes[0].id


def test_list_offsets_and_delete_records(node: Server, topic: CreateTopic) -> None:
    admin = confluent.admin(node)
    name = topic()
    partition = TopicPartition(name, 0)
    spec = api.OffsetSpec
    client = confluent.producer(node, batch_num_messages=1)
    for offset, timestamp in enumerate([1000, 5000, 3000, 4000]):
        client.produce(name, value=str(offset).encode(), timestamp=timestamp, partition=0)
    assert client.flush(10) == 0

    def found(place: Any) -> int:
        level = IsolationLevel.READ_UNCOMMITTED
        return int(admin.list_offsets({partition: place}, isolation_level=level)[partition].result(10).offset)

    assert (found(spec.earliest()), found(spec.latest()), found(spec.max_timestamp())) == (0, 4, 1)
    assert found(spec.for_timestamp(2000)) == 1
    deleted = admin.delete_records([TopicPartition(name, 0, 3)])[partition].result(10)
    assert deleted.low_watermark == 3
    assert (found(spec.earliest()), found(spec.latest())) == (3, 4)
    beyond = [TopicPartition(name, 0, 9)]
    assert code(lambda: admin.delete_records(beyond)[partition].result(10)) == KafkaError.OFFSET_OUT_OF_RANGE
    consumer = confluent.consumer(node, f"reader-{name}")
    consumer.assign([TopicPartition(name, 0, 0)])
    assert [message.offset() for message in confluent.poll(consumer, 1)] == [3]
    consumer.close()
    everything = admin.delete_records([TopicPartition(name, 0, -1)])[partition].result(10)
    assert everything.low_watermark == 4
    assert (found(spec.earliest()), found(spec.latest())) == (4, 4)
