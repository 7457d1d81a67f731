"""Committed offsets of one shard: who may commit, what is kept, what expires.

Decides the outcome of commits and deletions and which offsets have outlived their retention. Reads see
committed offsets only (`stored.py`); a commit that is proposed and not yet committed is merely counted on its
group, which keeps the group and its offsets from expiring underneath it. Does not decide whether topics exist
(`app/offsets.py`).

Invariants: an offset leaves by a later record only: a commit, a tombstone, the group's tombstone. A committed
offset is never replaced by an older one, because the log orders them.

Source: KIP-211 (retention), KIP-496 (deletion), KIP-848 (errors of version 9); Kafka 4.3's
`OffsetMetadataManager`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from odradek.node.coordinator.config import GroupConfig
from odradek.node.coordinator.group.classic import ClassicGroup
from odradek.node.coordinator.group.commands import (
    NO_MEMBER_ID,
    CommitOffsets,
    CommitResult,
    CommittedOffset,
    DeleteGroup,
    DeleteOffsets,
    DeleteOffsetsResult,
    OffsetToCommit,
)
from odradek.node.coordinator.group.rebalance import COMPLETING, EMPTY, PREPARING, STABLE, Rebalances
from odradek.node.coordinator.group.stored import StoredGroups, offset_tombstone
from odradek.node.coordinator.records import (
    MAX_TIMESTAMP,
    NO_TIMESTAMP,
    GroupTombstone,
    OffsetCommitRecord,
    OffsetTombstone,
)
from odradek.node.coordinator.result import Instant, Result, Token
from odradek.proto.kafka.errors import ErrorCode
from odradek.proto.kafka.schema import ZERO_UUID


class OffsetsStored(NamedTuple):
    """A commit of this group is in the log now."""

    group: ClassicGroup


class GroupOffsets:
    """Works on the live groups of a shard and on what is stored of them."""

    def __init__(
        self,
        config: GroupConfig,
        groups: dict[str, ClassicGroup],
        stored: StoredGroups,
        rebalances: Rebalances,
    ) -> None:
        self._config = config
        self._groups = groups
        self._stored = stored
        self._rebalances = rebalances

    def commit(self, command: CommitOffsets, token: Token, now: Instant, out: Result[CommitResult]) -> None:
        group = self._groups.get(command.group_id)
        error = self._check_commit(group, command)
        if error is not ErrorCode.NONE:
            out.reply(token, CommitResult((error,) * len(command.offsets)))
            return
        limit = self._config.offset_metadata_max_bytes
        too_large = ErrorCode.OFFSET_METADATA_TOO_LARGE
        errors = tuple(ErrorCode.NONE if len(o.metadata) <= limit else too_large for o in command.offsets)
        accepted = [o for o, e in zip(command.offsets, errors, strict=True) if e is ErrorCode.NONE]
        if group is not None and command.member_id != NO_MEMBER_ID and group.is_in(STABLE, PREPARING):
            self._rebalances.extend_session(group, group.members[command.member_id], now.monotonic_ms)
        if accepted:
            if group is None:
                group = self._rebalances.create_group(command.group_id, now)
            if command.retention_ms >= 0:
                self._rebalances.check_expiry_in(group, command.retention_ms, now)
            out.records.append(commit_record(command, accepted, now.wall_ms))
            out.then.append(OffsetsStored(group))
            group.commits_in_flight += 1
        out.reply(token, CommitResult(errors))

    def _check_commit(self, group: ClassicGroup | None, command: CommitOffsets) -> ErrorCode:
        anonymous = command.member_id == NO_MEMBER_ID and command.instance_id is None
        if group is None:
            if command.generation < 0:
                return ErrorCode.NONE  # a simple group: offsets without members
            return ErrorCode.GROUP_ID_NOT_FOUND if command.strict else ErrorCode.ILLEGAL_GENERATION
        if command.generation < 0 and group.is_in(EMPTY):
            return ErrorCode.NONE
        if command.generation < 0 and anonymous:
            return ErrorCode.UNKNOWN_MEMBER_ID
        error = group.check_member(command.member_id, command.instance_id)
        if error is not ErrorCode.NONE:
            return error
        if command.generation != group.generation:
            return ErrorCode.ILLEGAL_GENERATION
        # It knows the generation and not yet its assignment: what it would commit belongs to the one before.
        return ErrorCode.REBALANCE_IN_PROGRESS if group.is_in(COMPLETING) else ErrorCode.NONE

    def on_stored(self, stored: OffsetsStored) -> None:
        stored.group.commits_in_flight -= 1

    # Deletion

    def delete(
        self, command: DeleteOffsets, token: Token, now: Instant, out: Result[DeleteOffsetsResult]
    ) -> None:
        group = self._groups.get(command.group_id)
        if group is None:
            out.reply(token, DeleteOffsetsResult(ErrorCode.GROUP_ID_NOT_FOUND))
            return
        if not group.is_in(EMPTY) and not group.uses_consumer_protocol:
            out.reply(token, DeleteOffsetsResult(ErrorCode.NON_EMPTY_GROUP))
            return
        subscribed = ErrorCode.GROUP_SUBSCRIBED_TO_TOPIC
        errors = tuple(
            subscribed if group.is_subscribed_to(topic) else ErrorCode.NONE for topic, _ in command.partitions
        )
        offsets = self._stored.offsets_of(command.group_id)
        gone = [
            (topic, partition)
            for (topic, partition), error in zip(command.partitions, errors, strict=True)
            if error is ErrorCode.NONE and (group.commits_in_flight or partition in offsets.get(topic, ()))
        ]
        if gone:
            out.records.append(offset_tombstone(command.group_id, gone))
            self._rebalances.check_expiry_soon(group, now)
        out.reply(token, DeleteOffsetsResult(ErrorCode.NONE, errors))

    def delete_group(self, command: DeleteGroup, token: Token, now: Instant, out: Result[ErrorCode]) -> None:
        group = self._groups.get(command.group_id)
        if group is None:
            out.reply(token, ErrorCode.GROUP_ID_NOT_FOUND)
        elif not group.is_in(EMPTY):
            out.reply(token, ErrorCode.NON_EMPTY_GROUP)
        else:
            self._rebalances.forget_group(group, now)
            out.records.append(GroupTombstone(group_id=command.group_id))
            out.reply(token, ErrorCode.NONE)

    def on_topics_deleted(self, topics: Mapping[str, bytes], out: Result[None]) -> None:
        """Drop the offsets of deleted topics (name -> topic id), not those of topics created since under
        their names.
        """
        for group in self._groups.values():
            if group.commits_in_flight:
                # What is on its way lies before this tombstone in the log.
                everything = [OffsetTombstone.Topic(topic=topic) for topic in topics]
                out.records.append(OffsetTombstone(group_id=group.group_id, topics=everything))
                continue
            offsets = self._stored.offsets_of(group.group_id)
            gone = [
                (topic, partition)
                for topic in topics.keys() & offsets.keys()
                for partition, committed in offsets[topic].items()
                if committed.topic_id in (ZERO_UUID, topics[topic])
            ]
            if gone:
                out.records.append(offset_tombstone(group.group_id, sorted(gone)))

    # Expiry

    def expire(self, group: ClassicGroup, now: Instant, out: Result[None]) -> None:
        """Drop what has outlived its retention, the group included once it is Empty and holds nothing."""
        offsets = self._stored.offsets_of(group.group_id)
        expired: list[tuple[str, int]] = []
        kept = 0
        next_ms: int | None = None
        for topic, partition, committed in _each(offsets):
            due_ms = self._due_ms(group, topic, committed)
            if due_ms is not None and due_ms <= now.wall_ms and not group.commits_in_flight:
                expired.append((topic, partition))
                continue
            kept += 1
            if due_ms is not None and (next_ms is None or due_ms < next_ms):
                next_ms = due_ms
        idle = group.is_in(EMPTY) and not group.pending_joins and not group.commits_in_flight
        if idle and not kept:
            self._rebalances.forget_group(group, now)
            out.records.append(GroupTombstone(group_id=group.group_id))
            return
        if expired:
            out.records.append(offset_tombstone(group.group_id, expired))
        if next_ms is not None:
            delay_ms = next_ms - now.wall_ms
        elif group.is_in(EMPTY):
            delay_ms = 0  # somebody is about to join or to commit: soon it will be used, or gone
        else:
            delay_ms = self._config.offsets_retention_ms  # nothing can expire; a new generation looks again
        self._rebalances.check_expiry_in(group, delay_ms, now)

    def _due_ms(self, group: ClassicGroup, topic: str, committed: CommittedOffset) -> int | None:
        """When this offset expires as things are, or None while the group is using it."""
        base_ms = self._retention_base(group)
        if base_ms is None or (not group.is_in(EMPTY) and group.is_subscribed_to(topic)):
            return None
        if committed.expire_timestamp_ms != NO_TIMESTAMP:
            return committed.expire_timestamp_ms
        return base_ms(committed) + self._config.offsets_retention_ms

    def _retention_base(self, group: ClassicGroup) -> Callable[[CommittedOffset], int] | None:
        if group.protocol_type is None:
            return lambda committed: committed.commit_timestamp_ms
        if group.is_in(EMPTY):
            return lambda _: group.state_timestamp_ms
        known = group.uses_consumer_protocol and group.subscribed_topics is not None
        if known and group.is_in(STABLE):
            return lambda committed: committed.commit_timestamp_ms
        return None


def _each(offsets: Mapping[str, Mapping[int, CommittedOffset]]) -> Iterator[tuple[str, int, CommittedOffset]]:
    for topic, partitions in offsets.items():
        for partition, committed in partitions.items():
            yield topic, partition, committed


def commit_record(
    command: CommitOffsets, accepted: list[OffsetToCommit], now_wall_ms: int
) -> OffsetCommitRecord:
    topics: dict[tuple[str, bytes], OffsetCommitRecord.Topic] = {}
    for offset in accepted:
        key = (offset.topic, offset.topic_id)
        topic = topics.get(key)
        if topic is None:
            topic = topics[key] = OffsetCommitRecord.Topic(topic=offset.topic, topic_id=offset.topic_id)
        topic.partitions.append(
            OffsetCommitRecord.Partition(
                partition=offset.partition,
                offset=offset.offset,
                leader_epoch=offset.leader_epoch,
                metadata=offset.metadata,
            )
        )
    expires_ms = NO_TIMESTAMP
    if command.retention_ms >= 0:
        expires_ms = min(now_wall_ms + command.retention_ms, MAX_TIMESTAMP)
    return OffsetCommitRecord(
        group_id=command.group_id,
        commit_timestamp_ms=now_wall_ms,
        expire_timestamp_ms=expires_ms,
        topics=list(topics.values()),
    )
