from __future__ import annotations

import asyncio

from tests.unit.node.controller.metadata_node import MetadataNode

from odradek.node.controller.topics import MorePartitions, NewTopic
from odradek.proto.kafka.errors import ErrorCode
from odradek.raft.ports import NotLeaderError

ZERO = bytes(16)


async def test_create_grow_and_delete() -> None:
    node = await MetadataNode().start()
    (made,) = await node.topics.create_topics([NewTopic("t", 2, 1)], validate_only=False, timeout_ms=1000)
    assert made.error is ErrorCode.NONE
    (grown,) = await node.topics.create_partitions(
        [MorePartitions("t", 3)], validate_only=False, timeout_ms=1000
    )
    assert grown.error is ErrorCode.NONE
    assert node.image.partition_count == 3
    (gone,) = await node.topics.delete_topics([(None, made.topic_id)], timeout_ms=1000)
    assert (gone.error, gone.name) == (ErrorCode.NONE, "t")
    assert not node.image.topics_by_name


async def test_trying_changes_nothing() -> None:
    node = await MetadataNode().start(NewTopic("t"))
    await node.topics.create_topics([NewTopic("u")], validate_only=True, timeout_ms=1000)
    await node.topics.create_partitions([MorePartitions("t", 9)], validate_only=True, timeout_ms=1000)
    assert node.image.partition_count == 1


async def test_a_deletion_is_by_name_or_by_id() -> None:
    node = await MetadataNode().start(NewTopic("t"), NewTopic("u"))
    topic_id = node.image.topics_by_name["t"].topic_id
    outcomes = await node.topics.delete_topics([("t", topic_id), (None, ZERO), ("u", ZERO)], timeout_ms=1000)
    assert [(one.name, one.error) for one in outcomes] == [
        ("t", ErrorCode.INVALID_REQUEST),
        (None, ErrorCode.INVALID_REQUEST),
        ("u", ErrorCode.NONE),
    ]
    assert set(node.image.topics_by_name) == {"t"}


async def test_deletion_can_be_switched_off() -> None:
    node = await MetadataNode({"delete.topic.enable": "false"}).start(NewTopic("t"))
    (outcome,) = await node.topics.delete_topics([("t", ZERO)], timeout_ms=1000)
    assert outcome.error is ErrorCode.TOPIC_DELETION_DISABLED
    assert "t" in node.image.topics_by_name


async def test_what_may_be_agreed_on_yet_is_not_told_as_undone() -> None:
    """NOT_CONTROLLER would be asked for again elsewhere, and met by the topic that this very request has made."""
    node = await MetadataNode().start(NewTopic("b"))
    refused: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    refused.set_exception(NotLeaderError(2))
    node.log.propose = lambda data: refused  # type: ignore[method-assign]
    outcomes = [
        *await node.topics.create_topics([NewTopic("a")], validate_only=False, timeout_ms=9),
        *await node.topics.delete_topics([("b", ZERO)], timeout_ms=9),
        *await node.topics.create_partitions([MorePartitions("b", 2)], validate_only=False, timeout_ms=9),
    ]
    assert [one.error for one in outcomes] == [ErrorCode.REQUEST_TIMED_OUT] * 3


async def test_without_a_controller_every_topic_has_the_error_once() -> None:
    node = await MetadataNode().start()
    node.log.is_leader = False
    outcomes = [
        *await node.topics.create_topics([NewTopic("a"), NewTopic("a")], validate_only=False, timeout_ms=9),
        *await node.topics.delete_topics([("b", ZERO), (None, b"c" * 16)], timeout_ms=9),
        *await node.topics.create_partitions([MorePartitions("d", 2)], validate_only=False, timeout_ms=9),
    ]
    assert [(one.name, one.topic_id) for one in outcomes] == [
        ("a", ZERO),
        ("b", ZERO),
        (None, b"c" * 16),
        ("d", ZERO),
    ]
    assert {one.error for one in outcomes} == {ErrorCode.NOT_CONTROLLER}
    assert all(one.message for one in outcomes)
