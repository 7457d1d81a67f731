from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from tests.unit.node.controller.metadata_node import CONTEXT, MetadataNode, over_the_wire

from odradek.node.controller.image import Endpoint, TopicImage
from odradek.node.controller.topics import MorePartitions, NewTopic
from odradek.node.kafka_api.handlers.metadata import MetadataHandlers
from odradek.proto.kafka.codec import decode_exactly, encode_to_bytes
from odradek.proto.kafka.errors import ErrorCode
from odradek.proto.kafka.messages.metadata import (
    DescribeTopicPartitionsRequest,
    DescribeTopicPartitionsResponse,
    MetadataRequest,
    MetadataResponse,
)

EVERY_VERSION = range(14)
NOT_ASKED = -(2**31)
Asked = MetadataRequest.MetadataRequestTopic


def handlers(node: MetadataNode) -> MetadataHandlers:
    return MetadataHandlers(node.metadata, node.cluster)


def ask(node: MetadataNode, request: MetadataRequest, version: int) -> MetadataResponse:
    request = decode_exactly(MetadataRequest, version, encode_to_bytes(request, version))
    return over_the_wire(handlers(node).metadata(CONTEXT, request, version), version)


def names(response: MetadataResponse) -> list[tuple[str | None, int]]:
    return [(topic.name, topic.error_code) for topic in response.topics]


@pytest.mark.parametrize("version", EVERY_VERSION)
async def test_a_topic_with_its_brokers(version: int) -> None:
    node = await MetadataNode().start(NewTopic("t", 2, 1))
    response = ask(node, MetadataRequest(topics=[Asked(name="t")]), version)
    (broker,) = response.brokers
    assert (broker.node_id, broker.host, broker.port, broker.rack) == (1, "dialled", 19092, None)
    assert response.controller_id == (1 if version >= 1 else -1)
    assert response.cluster_id == ("a-cluster" if version >= 2 else None)
    (topic,) = response.topics
    assert (topic.name, topic.error_code, topic.is_internal) == ("t", 0, False)
    assert topic.topic_id == (node.image.topics_by_name["t"].topic_id if version >= 10 else bytes(16))
    assert topic.topic_authorized_operations == NOT_ASKED
    assert response.cluster_authorized_operations == NOT_ASKED
    assert [one.partition_index for one in topic.partitions] == [0, 1]
    for one in topic.partitions:
        assert (one.error_code, one.leader_id) == (0, 1)
        assert one.leader_epoch == (0 if version >= 7 else -1)
        assert (one.replica_nodes, one.isr_nodes, one.offline_replicas) == ([1], [1], [])


@pytest.mark.parametrize("version", EVERY_VERSION)
async def test_what_asks_for_all_topics_and_what_for_none(version: int) -> None:
    node = await MetadataNode().start(NewTopic("b"), NewTopic("a"))
    empty = ask(node, MetadataRequest(topics=[]), version)
    assert names(empty) == ([("a", 0), ("b", 0)] if version == 0 else [])
    if version >= 1:
        assert names(ask(node, MetadataRequest(topics=None), version)) == [("a", 0), ("b", 0)]


@pytest.mark.parametrize("version", EVERY_VERSION)
async def test_unknown_and_illegal_names(version: int) -> None:
    node = await MetadataNode({"auto.create.topics.enable": "false"}).start()
    response = ask(node, MetadataRequest(topics=[Asked(name="no"), Asked(name="n o")]), version)
    assert names(response) == [
        ("no", ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
        ("n o", ErrorCode.INVALID_TOPIC_EXCEPTION),
    ]
    assert not any(topic.partitions for topic in response.topics)


@pytest.mark.parametrize("version", EVERY_VERSION)
async def test_before_4_every_client_means_to_create(version: int) -> None:
    node = await MetadataNode().start()
    request = MetadataRequest(topics=[Asked(name="t")], allow_auto_topic_creation=False)
    assert names(ask(node, request, version)) == [("t", ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)]
    for _ in range(5):
        await asyncio.sleep(0)
    assert ("t" in node.image.topics_by_name) == (version < 4)


@pytest.mark.parametrize("version", [10, 11])
async def test_ids_in_requests_are_refused_before_12(version: int) -> None:
    node = await MetadataNode().start(NewTopic("t"))
    asked = [Asked(name="t", topic_id=b"i" * 16), Asked(name=None, topic_id=b"j" * 16), Asked(name="t")]
    response = ask(node, MetadataRequest(topics=asked), version)
    assert names(response) == [(name, ErrorCode.INVALID_REQUEST) for name in ("t", "", "t")]
    assert [topic.topic_id for topic in response.topics] == [b"i" * 16, b"j" * 16, bytes(16)]


@pytest.mark.parametrize("version", [12, 13])
async def test_topics_by_id(version: int) -> None:
    node = await MetadataNode().start(NewTopic("t"))
    topic_id = node.image.topics_by_name["t"].topic_id
    asked = [Asked(name=None, topic_id=topic_id), Asked(name=None, topic_id=b"?" * 16), Asked(name=None)]
    response = ask(node, MetadataRequest(topics=asked), version)
    assert names(response) == [
        ("t", 0),
        (None, ErrorCode.UNKNOWN_TOPIC_ID),
        (None, ErrorCode.INVALID_REQUEST),
    ]
    assert response.topics[1].topic_id == b"?" * 16


@pytest.mark.parametrize("version", range(8, 14))
async def test_operations_where_they_are_asked_for(version: int) -> None:
    node = await MetadataNode().start(NewTopic("t"))
    request = MetadataRequest(
        topics=[Asked(name="t"), Asked(name="n o")],
        include_topic_authorized_operations=True,
        include_cluster_authorized_operations=True,
    )
    response = ask(node, request, version)
    assert [topic.topic_authorized_operations for topic in response.topics] == [3576, 3576]
    assert response.cluster_authorized_operations == (8096 if version <= 10 else NOT_ASKED)


async def test_a_partition_whose_leader_is_away() -> None:
    node = await MetadataNode().start()
    await node.join(node.broker(2))
    await node.create(NewTopic("t", assignments=[(0, [2, 1]), (1, [1, 2])]))
    assert [one.error_code for one in ask(node, MetadataRequest(topics=None), 12).topics[0].partitions] == [
        0,
        0,
    ]
    await node.join(node.broker(2, fenced=True))
    gone, led = ask(node, MetadataRequest(topics=None), 12).topics[0].partitions
    assert (gone.error_code, gone.leader_id) == (ErrorCode.LEADER_NOT_AVAILABLE, -1)
    assert (gone.offline_replicas, led.offline_replicas) == ([2], [2])
    assert (led.error_code, led.leader_id) == (0, 1)


@pytest.mark.parametrize("version", EVERY_VERSION)
async def test_replicas_of_a_broker_that_is_away(version: int) -> None:
    node = await MetadataNode().start()
    await node.join(node.broker(2))
    await node.create(NewTopic("t", assignments=[(0, [1, 2]), (1, [2, 1])]))
    await node.join(node.broker(2, fenced=True))
    led, gone = ask(node, MetadataRequest(topics=[Asked(name="t")]), version).topics[0].partitions
    if version == 0:  # who is away is left out
        assert (led.error_code, led.leader_id) == (ErrorCode.REPLICA_NOT_AVAILABLE, 1)
        assert (led.replica_nodes, led.isr_nodes) == ([1], [1])
    else:
        assert (led.error_code, led.leader_id) == (0, 1)
        assert (led.replica_nodes, led.isr_nodes) == ([1, 2], [1, 2])
    assert led.offline_replicas == ([2] if version >= 5 else [])
    assert (gone.error_code, gone.leader_id) == (ErrorCode.LEADER_NOT_AVAILABLE, -1)


@pytest.mark.parametrize("version", EVERY_VERSION)
async def test_a_leader_that_does_not_serve_the_listener_of_the_client(version: int) -> None:
    node = await MetadataNode().start()
    await node.join(node.broker(2))
    await node.create(NewTopic("t", assignments=[(0, [2, 1])]))
    elsewhere = replace(node.broker(2), endpoints={"OTHER": Endpoint("host2", 9092, "PLAINTEXT")})
    await node.join(elsewhere)
    response = ask(node, MetadataRequest(topics=[Asked(name="t")]), version)
    (one,) = response.topics[0].partitions
    error = ErrorCode.LISTENER_NOT_FOUND if version >= 6 else ErrorCode.LEADER_NOT_AVAILABLE
    assert (one.error_code, one.leader_id) == (error, -1)
    assert one.offline_replicas == ([2] if version >= 5 else [])
    assert [broker.node_id for broker in response.brokers] == [1]
    there = handlers(node).metadata(replace(CONTEXT, listener="OTHER"), MetadataRequest(topics=None), 12)
    assert [one.leader_id for one in there.topics[0].partitions] == [2]


async def test_a_replica_whose_directory_is_lost_is_offline() -> None:
    node = await MetadataNode().start()
    await node.join(replace(node.broker(2), directories=(b"a" * 16, b"b" * 16)))
    await node.create(NewTopic("t", assignments=[(0, [1, 2])]))
    topic = node.image.topics_by_name["t"]
    image = topic.partitions[0]._replace(directories=(bytes(16), b"c" * 16))
    moved = TopicImage(topic.name, topic.topic_id, (image,))
    (one,) = handlers(node)._partitions(moved, "PLAINTEXT", 12)
    assert one.offline_replicas == [2]
    for known in (b"b" * 16, bytes(16)):
        image = image._replace(directories=(bytes(16), known))
        moved = TopicImage(topic.name, topic.topic_id, (image,))
        assert handlers(node)._partitions(moved, "PLAINTEXT", 12)[0].offline_replicas == []


async def test_remembered_answers_follow_the_topic() -> None:
    node = await MetadataNode().start(NewTopic("t", 1, 1))
    serving = handlers(node)
    request = MetadataRequest(topics=[Asked(name="t")])

    def partitions() -> list[MetadataResponse.MetadataResponsePartition]:
        return serving.metadata(CONTEXT, request, 12).topics[0].partitions

    assert partitions() is partitions()
    await node.controller.create_partitions([MorePartitions("t", 2)])
    assert len(partitions()) == 2
    await node.join(node.broker(1, fenced=True))
    assert [one.leader_id for one in partitions()] == [-1, -1]
    await node.join(node.broker(1))
    assert [one.leader_id for one in partitions()] == [1, 1]
    await node.controller.delete_topics(["t"], [])
    await node.create(NewTopic("t", 3, 1))
    assert len(partitions()) == 3
    for number in range(20):  # answers about topics that are gone do not pile up
        await node.create(NewTopic(f"u{number}"))
        serving.metadata(CONTEXT, MetadataRequest(topics=None), 12)
        await node.controller.delete_topics([f"u{number}"], [])
    assert sum(map(len, serving._remembered.values())) <= 5


async def test_topics_of_brokers_own_are_internal() -> None:
    node = await MetadataNode().start(NewTopic("__consumer_offsets"))
    assert ask(node, MetadataRequest(topics=None), 12).topics[0].is_internal


class TestDescribeTopicPartitions:
    def describe(
        self, node: MetadataNode, request: DescribeTopicPartitionsRequest
    ) -> DescribeTopicPartitionsResponse:
        request = decode_exactly(DescribeTopicPartitionsRequest, 0, encode_to_bytes(request, 0))
        return over_the_wire(handlers(node).describe_topic_partitions(CONTEXT, request, 0), 0)

    async def test_one_page(self) -> None:
        node = await MetadataNode().start(NewTopic("b", 1, 1), NewTopic("a", 2, 1))
        topic = DescribeTopicPartitionsRequest.TopicRequest
        asked = [topic(name=name) for name in ("b", "no", "a")]
        response = self.describe(node, DescribeTopicPartitionsRequest(topics=asked))
        assert [(one.name, one.error_code, len(one.partitions)) for one in response.topics] == [
            ("a", 0, 2),
            ("b", 0, 1),
            ("no", ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, 0),
        ]
        assert response.next_cursor is None
        assert response.topics[0].topic_id == node.image.topics_by_name["a"].topic_id
        assert response.topics[0].topic_authorized_operations == 3576
        one = response.topics[0].partitions[1]
        assert (one.partition_index, one.leader_id, one.leader_epoch) == (1, 1, 0)
        assert (one.replica_nodes, one.isr_nodes, one.offline_replicas) == ([1], [1], [])
        assert (one.eligible_leader_replicas, one.last_known_elr) == ([], [])

    async def test_a_partition_without_a_leader_has_no_error(self) -> None:
        node = await MetadataNode().start()
        await node.join(node.broker(2))
        await node.create(NewTopic("t", assignments=[(0, [2, 1])]))
        await node.join(node.broker(2, fenced=True))
        (one,) = self.describe(node, DescribeTopicPartitionsRequest()).topics[0].partitions
        assert (one.error_code, one.leader_id, one.offline_replicas) == (0, -1, [2])

    async def test_the_cursor_leads_to_the_next_page(self) -> None:
        node = await MetadataNode().start(NewTopic("a", 3, 1))
        request = DescribeTopicPartitionsRequest(response_partition_limit=2)
        first = self.describe(node, request)
        assert first.next_cursor is not None
        assert (first.next_cursor.topic_name, first.next_cursor.partition_index) == ("a", 2)
        request.cursor = DescribeTopicPartitionsRequest.Cursor(topic_name="a", partition_index=2)
        second = self.describe(node, request)
        assert [one.partition_index for one in second.topics[0].partitions] == [2]
        assert second.next_cursor is None

    async def test_a_cursor_before_everything_is_refused_per_topic(self) -> None:
        node = await MetadataNode().start(NewTopic("a"))
        response = self.describe(
            node,
            DescribeTopicPartitionsRequest(
                topics=[DescribeTopicPartitionsRequest.TopicRequest(name="a")],
                cursor=DescribeTopicPartitionsRequest.Cursor(topic_name="a", partition_index=-1),
            ),
        )
        assert [(one.name, one.error_code) for one in response.topics] == [("a", ErrorCode.INVALID_REQUEST)]
