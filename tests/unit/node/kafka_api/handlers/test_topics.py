from __future__ import annotations

import pytest
from tests.unit.node.controller.metadata_node import CONTEXT, MetadataNode, over_the_wire

from odradek.node.controller.topics import NewTopic
from odradek.node.kafka_api.handlers.topics import TopicsHandlers
from odradek.proto.kafka.codec import decode_exactly, encode_to_bytes
from odradek.proto.kafka.errors import ErrorCode
from odradek.proto.kafka.messages.topics import (
    CreatePartitionsRequest,
    CreatePartitionsResponse,
    CreateTopicsRequest,
    CreateTopicsResponse,
    DeleteTopicsRequest,
    DeleteTopicsResponse,
)

Creatable = CreateTopicsRequest.CreatableTopic
Config = CreateTopicsRequest.CreatableTopicConfig


def handlers(node: MetadataNode) -> TopicsHandlers:
    return TopicsHandlers(node.topics, node.configs)


async def create(node: MetadataNode, version: int, request: CreateTopicsRequest) -> CreateTopicsResponse:
    request = decode_exactly(CreateTopicsRequest, version, encode_to_bytes(request, version))
    return over_the_wire(await handlers(node).create_topics(CONTEXT, request, version), version)


async def delete(node: MetadataNode, version: int, request: DeleteTopicsRequest) -> DeleteTopicsResponse:
    request = decode_exactly(DeleteTopicsRequest, version, encode_to_bytes(request, version))
    return over_the_wire(await handlers(node).delete_topics(CONTEXT, request, version), version)


async def grow(
    node: MetadataNode, version: int, request: CreatePartitionsRequest
) -> CreatePartitionsResponse:
    request = decode_exactly(CreatePartitionsRequest, version, encode_to_bytes(request, version))
    return over_the_wire(await handlers(node).create_partitions(CONTEXT, request, version), version)


class TestCreate:
    @pytest.mark.parametrize("version", range(2, 8))
    async def test_what_each_version_answers(self, version: int) -> None:
        node = await MetadataNode({"log.retention.ms": "7"}).start()
        topic = Creatable(
            name="t", num_partitions=2, replication_factor=1, configs=[Config(name="flush.ms", value="9")]
        )
        (made,) = (await create(node, version, CreateTopicsRequest(topics=[topic]))).topics
        assert (made.name, made.error_code, made.error_message) == ("t", 0, None)
        assert made.topic_id == (node.image.topics_by_name["t"].topic_id if version >= 7 else bytes(16))
        assert (made.num_partitions, made.replication_factor) == ((2, 1) if version >= 5 else (-1, -1))
        configs = {one.name: (one.value, one.config_source) for one in made.configs or ()}
        if version >= 5:
            assert len(configs) == 33
            assert configs["flush.ms"] == ("9", 1)
            assert configs["retention.ms"] == ("7", 4)
            assert configs["cleanup.policy"] == ("delete", 5)
            assert not any(one.read_only or one.is_sensitive for one in made.configs or ())
        else:
            assert not configs

    @pytest.mark.parametrize("version", range(2, 8))
    async def test_defaults_and_refusals(self, version: int) -> None:
        node = await MetadataNode({"num.partitions": "4"}).start(NewTopic("old"))
        topics = [
            Creatable(name="t", num_partitions=-1, replication_factor=-1),
            Creatable(name="old", num_partitions=1, replication_factor=1),
            Creatable(name="n o", num_partitions=1, replication_factor=1),
            Creatable(name="far", num_partitions=1, replication_factor=3),
        ]
        response = await create(node, version, CreateTopicsRequest(topics=topics))
        assert [(one.name, one.error_code) for one in response.topics] == [
            ("t", 0),
            ("old", ErrorCode.TOPIC_ALREADY_EXISTS),
            ("n o", ErrorCode.INVALID_TOPIC_EXCEPTION),
            ("far", ErrorCode.INVALID_REPLICATION_FACTOR),
        ]
        assert all(one.error_message and one.num_partitions == -1 for one in response.topics[1:])
        assert len(node.image.topics_by_name["t"].partitions) == 4

    async def test_trying_describes_and_changes_nothing(self) -> None:
        node = await MetadataNode().start()
        topic = Creatable(name="t", num_partitions=2, replication_factor=1)
        (tried,) = (await create(node, 7, CreateTopicsRequest(topics=[topic], validate_only=True))).topics
        assert (tried.error_code, tried.num_partitions, len(tried.configs or ())) == (0, 2, 33)
        assert not node.image.topics_by_name

    async def test_manual_assignments(self) -> None:
        node = await MetadataNode().start()
        await node.join(node.broker(2))
        place = CreateTopicsRequest.CreatableReplicaAssignment
        topic = Creatable(
            name="t",
            num_partitions=-1,
            replication_factor=-1,
            assignments=[place(partition_index=0, broker_ids=[2, 1])],
        )
        (made,) = (await create(node, 7, CreateTopicsRequest(topics=[topic]))).topics
        assert (made.num_partitions, made.replication_factor) == (1, 2)
        assert node.image.topics_by_name["t"].partitions[0].replicas == (2, 1)

    async def test_topics_with_default_configs_share_their_entries(self) -> None:
        node = await MetadataNode().start()
        topics = [Creatable(name=name, num_partitions=1, replication_factor=1) for name in "ab"]
        response = await handlers(node).create_topics(CONTEXT, CreateTopicsRequest(topics=topics), 7)
        assert response.topics[0].configs is response.topics[1].configs


class TestDelete:
    @pytest.mark.parametrize("version", range(1, 6))
    async def test_by_name(self, version: int) -> None:
        node = await MetadataNode().start(NewTopic("t"))
        response = await delete(node, version, DeleteTopicsRequest(timeout_ms=1000, topic_names=["t", "no"]))
        assert [(one.name, one.error_code) for one in response.responses] == [
            ("t", 0),
            ("no", ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
        ]
        assert bool(response.responses[1].error_message) == (version >= 5)
        assert not node.image.topics_by_name

    async def test_by_id_or_name_from_6(self) -> None:
        node = await MetadataNode().start(NewTopic("t"), NewTopic("u"))
        topic_id = node.image.topics_by_name["t"].topic_id
        state = DeleteTopicsRequest.DeleteTopicState
        asked = [state(topic_id=topic_id), state(name="u"), state(topic_id=b"?" * 16)]
        response = await delete(node, 6, DeleteTopicsRequest(timeout_ms=1000, topics=asked))
        assert {(one.name, one.topic_id, one.error_code) for one in response.responses} == {
            ("t", topic_id, 0),
            ("u", response.responses[0].topic_id, 0),
            (None, b"?" * 16, ErrorCode.UNKNOWN_TOPIC_ID),
        }

    @pytest.mark.parametrize("version", range(1, 6))
    async def test_switched_off(self, version: int) -> None:
        node = await MetadataNode({"delete.topic.enable": "false"}).start(NewTopic("t"))
        response = await delete(node, version, DeleteTopicsRequest(timeout_ms=1000, topic_names=["t"]))
        error = ErrorCode.TOPIC_DELETION_DISABLED if version >= 3 else ErrorCode.INVALID_REQUEST
        assert response.responses[0].error_code == error


@pytest.mark.parametrize("version", range(4))
async def test_create_partitions(version: int) -> None:
    node = await MetadataNode().start(NewTopic("t", 1, 1), NewTopic("u", 1, 1))
    topic = CreatePartitionsRequest.CreatePartitionsTopic
    place = CreatePartitionsRequest.CreatePartitionsAssignment
    asked = [
        topic(name="t", count=3, assignments=None),
        topic(name="u", count=2, assignments=[place(broker_ids=[9])]),
        topic(name="no", count=2, assignments=None),
    ]
    response = await grow(node, version, CreatePartitionsRequest(timeout_ms=1000, topics=asked))
    assert [(one.name, one.error_code) for one in response.results] == [
        ("t", 0),
        ("u", ErrorCode.INVALID_REPLICA_ASSIGNMENT),
        ("no", ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
    ]
    assert [bool(one.error_message) for one in response.results] == [False, True, True]
    assert len(node.image.topics_by_name["t"].partitions) == 3
