"""Committed offsets, as both doors use them: commit, fetch, delete.

Decides which topics exist and what their ids are; who may commit and what is kept is
`coordinator/group/offsets.py`'s. A topic is asked for by name, or by id with name "": then an id that names
nothing fails its partitions with UNKNOWN_TOPIC_ID.

Source: KIP-211, KIP-447, KIP-709, KIP-848; Kafka's `KafkaApis` for topic resolution.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

from odradek.node.coordinator.group.commands import (
    NO_LEADER_EPOCH,
    NO_OFFSET,
    CommitOffsets,
    CommitResult,
    CommittedOffset,
    DeleteOffsets,
    DeleteOffsetsResult,
    OffsetToCommit,
)
from odradek.node.coordinator.group.shard import GroupShard
from odradek.node.coordinator.group.stored import TopicOffsets
from odradek.node.coordinator.runtime import CoordinatorRuntime
from odradek.node.runtime.deferred import Deferred
from odradek.proto.kafka.errors import ErrorCode

ZERO_ID = bytes(16)


class TopicsView(Protocol):
    """What this service asks the cluster's metadata."""

    def topic_name(self, topic_id: bytes) -> str | None: ...

    def topic_id(self, name: str) -> bytes | None: ...

    def partition_count(self, name: str) -> int:
        """0 for a topic that does not exist."""
        ...


class CommitCommand(NamedTuple):
    """`by_id`: topics are named by id. `retention_ms` -1: the broker's. `strict`: see `CommitOffsets`."""

    group_id: str
    generation: int
    member_id: str
    instance_id: str | None
    topics: Sequence[TopicToCommit]
    by_id: bool = False
    retention_ms: int = -1
    strict: bool = True


class TopicToCommit(NamedTuple):
    name: str
    topic_id: bytes
    partitions: Sequence[PartitionToCommit]


class PartitionToCommit(NamedTuple):
    partition: int
    offset: int
    leader_epoch: int
    metadata: str


class TopicToFetch(NamedTuple):
    name: str
    topic_id: bytes
    partitions: Sequence[int]


class FetchedPartition(NamedTuple):
    """Offset -1, epoch -1 and metadata "" when nothing is committed, or on an error."""

    partition: int
    error: ErrorCode = ErrorCode.NONE
    offset: int = NO_OFFSET
    leader_epoch: int = NO_LEADER_EPOCH
    metadata: str = ""


class FetchedTopic(NamedTuple):
    name: str
    topic_id: bytes
    partitions: list[FetchedPartition]


class FetchedGroup(NamedTuple):
    """`error` other than NONE: the whole group could not be asked, and `topics` is empty."""

    error: ErrorCode
    group_id: str
    topics: list[FetchedTopic]


class OffsetsService:
    """All of it may be called on the loop only; nothing blocks."""

    def __init__(self, runtime: CoordinatorRuntime, topics: TopicsView) -> None:
        self._runtime = runtime
        self._topics = topics

    # Commit

    def commit(self, command: CommitCommand) -> Deferred[list[ErrorCode]]:
        """One outcome per partition, in the order asked. Answered once they are committed."""
        errors: list[ErrorCode] = []
        offsets: list[OffsetToCommit] = []
        for topic in command.topics:
            name, topic_id, count, missing = self._resolve(topic.name, topic.topic_id, command.by_id)
            for p in topic.partitions:
                exists = 0 <= p.partition < count
                errors.append(ErrorCode.NONE if exists else missing)
                if exists:
                    offsets.append(
                        OffsetToCommit(name, topic_id, p.partition, p.offset, p.leader_epoch, p.metadata)
                    )
        if not offsets:
            return Deferred.resolved(errors)
        inner = CommitOffsets(
            command.group_id,
            command.generation,
            command.member_id,
            command.instance_id,
            command.retention_ms,
            tuple(offsets),
            command.strict,
        )
        return self._runtime.write(GroupShard.commit, inner).map(
            lambda answer: _merge(errors, answer, len(offsets))
        )

    def _resolve(self, name: str, topic_id: bytes, by_id: bool) -> tuple[str, bytes, int, ErrorCode]:
        """Name, id, partition count, and the error of partitions that do not exist."""
        if by_id:
            found = self._topics.topic_name(topic_id) if topic_id != ZERO_ID else None
            if found is None:
                return "", topic_id, 0, ErrorCode.UNKNOWN_TOPIC_ID
            name = found
        else:
            topic_id = self._topics.topic_id(name) or ZERO_ID
        return name, topic_id, self._topics.partition_count(name), ErrorCode.UNKNOWN_TOPIC_OR_PARTITION

    # Fetch

    async def fetch(
        self, group_id: str, topics: Sequence[TopicToFetch] | None, by_id: bool = False
    ) -> FetchedGroup:
        """Committed offsets, none older than what was acknowledged before the call, by whichever coordinator.
        `topics` None: all the group has. A group that does not exist has committed nothing.
        """
        error = await self._runtime.confirm(group_id)
        if error is not ErrorCode.NONE:
            return FetchedGroup(error, group_id, [])
        shard = self._runtime.read(group_id)
        if isinstance(shard, ErrorCode):
            return FetchedGroup(shard, group_id, [])
        offsets = shard.committed_offsets(group_id)
        if topics is None:
            return FetchedGroup(ErrorCode.NONE, group_id, self._all(offsets, by_id))
        return FetchedGroup(ErrorCode.NONE, group_id, [self._asked(offsets, t, by_id) for t in topics])

    def _all(self, offsets: TopicOffsets, by_id: bool) -> list[FetchedTopic]:
        found: list[FetchedTopic] = []
        for name, partitions in offsets.items():
            topic_id = self._topics.topic_id(name) or ZERO_ID
            if by_id and topic_id == ZERO_ID:
                continue  # deleted: it cannot be named in this version any more
            current = [
                _fetched(partition, committed)
                for partition, committed in partitions.items()
                if _same_topic(committed, topic_id)
            ]
            if current:
                found.append(FetchedTopic(name, topic_id, current))
        return found

    def _asked(self, offsets: TopicOffsets, topic: TopicToFetch, by_id: bool) -> FetchedTopic:
        name, topic_id = topic.name, topic.topic_id
        if by_id:
            known = self._topics.topic_name(topic_id)
            if known is None:
                unknown = ErrorCode.UNKNOWN_TOPIC_ID
                return FetchedTopic("", topic_id, [FetchedPartition(p, unknown) for p in topic.partitions])
            name = known
        else:
            topic_id = self._topics.topic_id(name) or ZERO_ID
        of_topic = offsets.get(name, {})
        return FetchedTopic(
            name,
            topic_id,
            [
                _fetched(partition, committed)
                if (committed := of_topic.get(partition)) is not None and _same_topic(committed, topic_id)
                else FetchedPartition(partition)
                for partition in topic.partitions
            ],
        )

    # Delete

    async def delete(self, group_id: str, partitions: Sequence[tuple[str, int]]) -> DeleteOffsetsResult:
        """One outcome per partition, in order: GROUP_SUBSCRIBED_TO_TOPIC while a member consumes it."""
        if not group_id:
            return DeleteOffsetsResult(ErrorCode.INVALID_GROUP_ID)
        missing = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
        errors = [
            ErrorCode.NONE if 0 <= partition < self._topics.partition_count(topic) else missing
            for topic, partition in partitions
        ]
        existing = tuple(at for at, error in zip(partitions, errors, strict=True) if error is ErrorCode.NONE)
        answer = await self._runtime.write(
            GroupShard.delete_offsets, DeleteOffsets(group_id, existing)
        ).wait()
        if isinstance(answer, ErrorCode):
            return DeleteOffsetsResult(answer)
        if answer.error is not ErrorCode.NONE:
            return answer
        return DeleteOffsetsResult(ErrorCode.NONE, tuple(_fill(errors, answer.errors)))


def _merge(errors: list[ErrorCode], answer: CommitResult | ErrorCode, asked: int) -> list[ErrorCode]:
    if answer is ErrorCode.UNKNOWN_SERVER_ERROR:
        answer = ErrorCode.INVALID_COMMIT_OFFSET_SIZE  # the one reason for which a commit is refused for good
    return _fill(errors, (answer,) * asked if isinstance(answer, ErrorCode) else answer.errors)


def _fill(errors: list[ErrorCode], outcomes: Iterable[ErrorCode]) -> list[ErrorCode]:
    """The outcomes in the places that were asked about; errors found before stay."""
    outcome = iter(outcomes)
    return [next(outcome) if error is ErrorCode.NONE else error for error in errors]


def _same_topic(committed: CommittedOffset, topic_id: bytes) -> bool:
    """An offset of a deleted topic says nothing about one that has its name now."""
    return ZERO_ID in (committed.topic_id, topic_id) or committed.topic_id == topic_id


def _fetched(partition: int, committed: CommittedOffset) -> FetchedPartition:
    return FetchedPartition(
        partition, ErrorCode.NONE, committed.offset, committed.leader_epoch, committed.metadata
    )
