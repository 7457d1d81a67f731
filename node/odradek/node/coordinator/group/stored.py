"""The replicated half of a group shard: what the records committed so far add up to.

Changed only by `apply`, on every replica in the same order, so that it is equal on all of them and always
ready to lead from. The live groups (`classic.py`), with their parked requests and deadlines, exist only on
the leader and are made from this when leadership is gained; nothing here is undone when it is lost.

Invariants: a group is here if it has metadata or at least one offset; no group has an empty topic; nothing
here depends on time, configuration or iteration order of sets.

Source: Kafka's `__consumer_offsets` semantics (last record per key, tombstones).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from odradek.node.coordinator.group.classic import ClassicGroup, GroupState, Member
from odradek.node.coordinator.group.commands import CommittedOffset, GroupProtocol
from odradek.node.coordinator.records import (
    GroupMetadataRecord,
    GroupTombstone,
    OffsetCommitRecord,
    OffsetTombstone,
    Record,
    decode_entry,
    encode_entry,
)

TopicOffsets = dict[str, dict[int, CommittedOffset]]
"""Committed offsets by topic, then partition."""


@dataclass(slots=True)
class StoredGroup:
    metadata: GroupMetadataRecord | None = None
    offsets: TopicOffsets = field(default_factory=dict)


class StoredGroups:
    """The groups of one shard by id."""

    def __init__(self) -> None:
        self.groups: dict[str, StoredGroup] = {}

    def apply_entry(self, data: bytes) -> None:
        for record in decode_entry(data):
            self.apply(record)

    def apply(self, record: Record) -> None:
        match record:
            case OffsetCommitRecord():
                self._commit(record)
            case GroupMetadataRecord():
                self.groups.setdefault(record.group_id, StoredGroup()).metadata = record
            case OffsetTombstone():
                self._delete(record)
            case GroupTombstone():
                self.groups.pop(record.group_id, None)
            case _:
                raise AssertionError(f"no meaning for {type(record).__name__}")

    def offsets_of(self, group_id: str) -> TopicOffsets:
        """Not to be changed by the caller; empty for an unknown group."""
        group = self.groups.get(group_id)
        return group.offsets if group is not None else {}

    def snapshot(self) -> bytes:
        return encode_entry(self._records())

    def restore(self, data: bytes) -> None:
        self.groups = {}
        self.apply_entry(data)

    def _records(self) -> Iterator[Record]:
        for group_id, group in self.groups.items():
            if group.metadata is not None:
                yield group.metadata
            yield from offset_records(group_id, group.offsets)

    def _commit(self, record: OffsetCommitRecord) -> None:
        offsets = self.groups.setdefault(record.group_id, StoredGroup()).offsets
        committed_ms, expires_ms = record.commit_timestamp_ms, record.expire_timestamp_ms
        for topic in record.topics:
            of_topic = offsets.setdefault(topic.topic, {})
            for p in topic.partitions:
                of_topic[p.partition] = CommittedOffset(
                    p.offset, p.leader_epoch, p.metadata, committed_ms, expires_ms, topic.topic_id
                )

    def _delete(self, record: OffsetTombstone) -> None:
        group = self.groups.get(record.group_id)
        if group is None:
            return
        for topic in record.topics:
            of_topic = group.offsets.get(topic.topic, {})
            for partition in topic.partitions or list(of_topic):
                of_topic.pop(partition, None)
            if not of_topic:
                group.offsets.pop(topic.topic, None)
        if group.metadata is None and not group.offsets:
            del self.groups[record.group_id]


def offset_records(group_id: str, offsets: TopicOffsets) -> Iterator[OffsetCommitRecord]:
    """The offsets as records: one per distinct pair of timestamps and topic id, which a record holds only
    once.
    """
    records: dict[tuple[int, int], dict[tuple[str, bytes], OffsetCommitRecord.Topic]] = {}
    for topic, partitions in offsets.items():
        for partition, committed in partitions.items():
            times = (committed.commit_timestamp_ms, committed.expire_timestamp_ms)
            entry = records.setdefault(times, {}).setdefault(
                (topic, committed.topic_id),
                OffsetCommitRecord.Topic(topic=topic, topic_id=committed.topic_id),
            )
            entry.partitions.append(
                OffsetCommitRecord.Partition(
                    partition=partition,
                    offset=committed.offset,
                    leader_epoch=committed.leader_epoch,
                    metadata=committed.metadata,
                )
            )
    for (committed_ms, expires_ms), topics in records.items():
        yield OffsetCommitRecord(
            group_id=group_id,
            commit_timestamp_ms=committed_ms,
            expire_timestamp_ms=expires_ms,
            topics=list(topics.values()),
        )


def offset_tombstone(group_id: str, partitions: Iterable[tuple[str, int]]) -> OffsetTombstone:
    topics: dict[str, OffsetTombstone.Topic] = {}
    for topic, partition in partitions:
        topics.setdefault(topic, OffsetTombstone.Topic(topic=topic)).partitions.append(partition)
    return OffsetTombstone(group_id=group_id, topics=list(topics.values()))


def group_record(group: ClassicGroup, assignments: dict[str, bytes] | None = None) -> GroupMetadataRecord:
    """The group as it is now, or as it will be with `assignments` (by member id; missing ones are empty)."""
    return GroupMetadataRecord(
        group_id=group.group_id,
        protocol_type=group.protocol_type,
        generation=group.generation,
        protocol_name=group.protocol_name,
        leader_id=group.leader_id,
        state_timestamp_ms=group.state_timestamp_ms,
        members=[
            GroupMetadataRecord.Member(
                member_id=member.member_id,
                instance_id=member.instance_id,
                client_id=member.client_id,
                client_host=member.client_host,
                rebalance_timeout_ms=member.rebalance_timeout_ms,
                session_timeout_ms=member.session_timeout_ms,
                protocols=[
                    GroupMetadataRecord.Protocol(name=protocol.name, metadata=protocol.metadata)
                    for protocol in member.protocols
                ],
                assignment=member.assignment
                if assignments is None
                else assignments.get(member.member_id, b""),
            )
            for member in group.members.values()
        ],
    )


def live_group(group_id: str, stored: StoredGroup, now_wall_ms: int) -> ClassicGroup:
    """The group as its last record left it: Stable with its members, or Empty. Its sessions are the caller's
    to start.
    """
    group = ClassicGroup(group_id, now_wall_ms)
    record = stored.metadata
    if record is None:
        return group
    for m in record.members:
        group.add(
            Member(
                m.member_id,
                m.instance_id,
                m.client_id,
                m.client_host,
                m.rebalance_timeout_ms,
                m.session_timeout_ms,
                tuple(GroupProtocol(p.name, p.metadata) for p in m.protocols),
                m.assignment,
            ),
            record.protocol_type or "",
        )
    group.protocol_type = record.protocol_type
    group.protocol_name = record.protocol_name
    group.generation = record.generation
    group.leader_id = record.leader_id
    group.state = GroupState.STABLE if group.members else GroupState.EMPTY
    group.previous_state = group.state
    if record.state_timestamp_ms >= 0:
        group.state_timestamp_ms = record.state_timestamp_ms
    group.refresh_subscriptions()
    return group
