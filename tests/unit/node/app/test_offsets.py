from __future__ import annotations

from tests.scripts.group.node import Node

from odradek.node.app.offsets import (
    CommitCommand,
    FetchedPartition,
    PartitionToCommit,
    TopicToCommit,
    TopicToFetch,
)
from odradek.proto.kafka.errors import ErrorCode

T, U, OTHER = b"t" * 16, b"u" * 16, b"?" * 16
NO_ID = bytes(16)


def commit(*topics: TopicToCommit, by_id: bool = False, generation: int = -1) -> CommitCommand:
    return CommitCommand("g", generation, "", None, topics, by_id)


def partitions(*numbers: int) -> list[PartitionToCommit]:
    return [PartitionToCommit(number, 10 + number, 3, "m") for number in numbers]


def ask(name: str, *numbers: int, topic_id: bytes = NO_ID) -> TopicToFetch:
    return TopicToFetch(name, topic_id, numbers)


NONE = ErrorCode.NONE
UNKNOWN = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
UNKNOWN_ID = ErrorCode.UNKNOWN_TOPIC_ID


async def test_partitions_that_do_not_exist_fail_alone() -> None:
    node = Node()
    command = commit(
        TopicToCommit("t", NO_ID, partitions(7, 0, -1)),
        TopicToCommit("nope", NO_ID, partitions(0)),
        TopicToCommit("u", NO_ID, partitions(0)),
    )
    assert await node.offsets.commit(command).wait() == [UNKNOWN, NONE, UNKNOWN, UNKNOWN, NONE]
    fetched = (await node.offsets.fetch("g", [ask("t", 0, 1)])).topics[0]
    assert fetched.partitions == [FetchedPartition(0, NONE, 10, 3, "m"), FetchedPartition(1)]


async def test_nothing_that_exists_makes_no_group() -> None:
    node = Node()
    command = commit(TopicToCommit("nope", NO_ID, partitions(0)))
    assert node.offsets.commit(command).value == [UNKNOWN]
    assert node.groups.list_groups().groups == []


async def test_topics_by_id() -> None:
    node = Node()
    command = commit(
        TopicToCommit("", T, partitions(0, 5)),
        TopicToCommit("", OTHER, partitions(0)),
        TopicToCommit("", NO_ID, partitions(0)),
        by_id=True,
    )
    assert await node.offsets.commit(command).wait() == [NONE, UNKNOWN, UNKNOWN_ID, UNKNOWN_ID]
    found = (
        await node.offsets.fetch("g", [ask("", 0, topic_id=T), ask("", 0, 1, topic_id=OTHER)], by_id=True)
    ).topics
    assert found[0].partitions == [FetchedPartition(0, NONE, 10, 3, "m")]
    assert found[1].partitions == [FetchedPartition(0, UNKNOWN_ID), FetchedPartition(1, UNKNOWN_ID)]


async def test_a_group_that_does_not_exist_has_committed_nothing() -> None:
    node = Node()
    fetched = await node.offsets.fetch("never", [ask("t", 1, 0), ask("nope", 3)])
    assert fetched.error is NONE
    assert [t.partitions for t in fetched.topics] == [
        [FetchedPartition(1), FetchedPartition(0)],
        [FetchedPartition(3)],
    ]
    assert (await node.offsets.fetch("never", None)).topics == []


async def test_all_offsets_of_a_group() -> None:
    node = Node()
    await node.offsets.commit(
        commit(TopicToCommit("t", NO_ID, partitions(0, 1)), TopicToCommit("u", NO_ID, partitions(0)))
    ).wait()
    found = (await node.offsets.fetch("g", None)).topics
    assert [(t.name, t.topic_id, [p.partition for p in t.partitions]) for t in found] == [
        ("t", T, [0, 1]),
        ("u", U, [0]),
    ]


async def test_a_recreated_topic_starts_without_offsets() -> None:
    node = Node()
    await node.offsets.commit(commit(TopicToCommit("t", NO_ID, partitions(0)))).wait()
    node.topics.topics["t"] = (OTHER, 2)
    assert (await node.offsets.fetch("g", None)).topics == []
    assert (await node.offsets.fetch("g", [ask("t", 0)])).topics[0].partitions == [FetchedPartition(0)]


async def test_a_deleted_topic_can_be_named_but_has_no_id() -> None:
    node = Node()
    await node.offsets.commit(commit(TopicToCommit("t", NO_ID, partitions(0)))).wait()
    del node.topics.topics["t"]
    assert [t.name for t in (await node.offsets.fetch("g", None)).topics] == ["t"]
    assert (await node.offsets.fetch("g", None, by_id=True)).topics == []


async def test_the_coordinator_cannot_be_asked() -> None:
    node = Node(leading=False)
    loading = ErrorCode.COORDINATOR_LOAD_IN_PROGRESS
    command = commit(TopicToCommit("t", NO_ID, partitions(0, 9)))
    assert node.offsets.commit(command).value == [loading, UNKNOWN]
    assert (await node.offsets.fetch("g", [ask("t", 0)])).error is loading
    assert (await node.offsets.delete("g", [("t", 0)])).error is loading


async def test_deleting() -> None:
    node = Node()
    await node.offsets.commit(commit(TopicToCommit("t", NO_ID, partitions(0, 1)))).wait()
    result = await node.offsets.delete("g", [("t", 9), ("t", 0), ("nope", 0)])
    assert result == (NONE, (UNKNOWN, NONE, UNKNOWN))
    assert [p.partition for p in (await node.offsets.fetch("g", None)).topics[0].partitions] == [1]
    assert (await node.offsets.delete("", [])).error is ErrorCode.INVALID_GROUP_ID
    assert (await node.offsets.delete("never", [])).error is ErrorCode.GROUP_ID_NOT_FOUND
