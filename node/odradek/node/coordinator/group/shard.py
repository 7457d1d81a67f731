"""The groups of one coordinator shard: the pure machine that the runtime drives.

Glue only: it owns the stored half (every replica) and the live half (the leader), hands commands to the
protocol and the offsets, and deadlines to whoever set them. All methods below `lead` may be called on a
leading shard only.

Invariant: the live half is derived from the stored half at `lead` and thrown away at `resign`; members keep
their ids and generation over a change of coordinator and start with a full session, so that nobody has to
rejoin.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from uuid import UUID

from odradek.node.coordinator.config import GroupConfig
from odradek.node.coordinator.group.classic import ClassicGroup
from odradek.node.coordinator.group.classic_protocol import (
    AssignmentStored,
    ClassicProtocol,
    StaticMemberStored,
)
from odradek.node.coordinator.group.commands import (
    CommitOffsets,
    CommitResult,
    DeleteGroup,
    DeleteOffsets,
    DeleteOffsetsResult,
    GroupDescription,
    GroupListing,
    Heartbeat,
    JoinGroup,
    JoinResult,
    LeaveGroup,
    LeaveResult,
    SyncGroup,
    SyncResult,
)
from odradek.node.coordinator.group.offsets import GroupOffsets, OffsetsStored
from odradek.node.coordinator.group.rebalance import EXPIRY, JOIN, SESSION, SYNC, Rebalances, TimerKey
from odradek.node.coordinator.group.stored import StoredGroups, TopicOffsets, live_group
from odradek.node.coordinator.records import GroupTombstone
from odradek.node.coordinator.result import Instant, Result, Token
from odradek.node.coordinator.timers import Timers
from odradek.proto.kafka.errors import ErrorCode

CLASSIC = "classic"


def member_ids(random: Random) -> Callable[[str], str]:
    """Member ids as Kafka makes them: the client's or instance's name, then a random UUID."""
    return lambda prefix: f"{prefix}-{UUID(int=random.getrandbits(128), version=4)}"


class GroupShard:
    """One shard's groups. `new_member_id(prefix)` must never repeat itself."""

    def __init__(self, config: GroupConfig, new_member_id: Callable[[str], str]) -> None:
        self._config = config
        self.stored = StoredGroups()
        self.groups: dict[str, ClassicGroup] = {}
        self._timers: Timers[TimerKey] = Timers()
        self._rebalances = Rebalances(config, self.groups, self._timers)
        self._protocol = ClassicProtocol(config, self.groups, self._rebalances, new_member_id)
        self._offsets = GroupOffsets(config, self.groups, self.stored, self._rebalances)

    # The stored half, on every replica

    def apply(self, data: bytes) -> None:
        """One committed entry of the shard's log."""
        self.stored.apply_entry(data)

    def snapshot(self) -> bytes:
        return self.stored.snapshot()

    def restore(self, data: bytes) -> None:
        self.stored.restore(data)

    # Leadership

    def lead(self, now: Instant) -> Result[None]:
        """Everything committed is applied, and this node is the coordinator: bring the groups to life."""
        self.resign()
        out: Result[None] = Result()
        for group_id, stored in self.stored.groups.items():
            group = self.groups[group_id] = live_group(group_id, stored, now.wall_ms)
            self._rebalances.check_expiry_soon(group, now)
            for member in group.members.values():
                self._rebalances.extend_session(group, member, now.monotonic_ms)
            if len(group.members) > self._config.max_size:
                self._rebalances.prepare(group, now, out)
        return out

    def resign(self) -> None:
        """Forget the live half. Parked requests are the runtime's to answer."""
        self.groups.clear()
        self._timers.clear()

    # Time

    @property
    def next_deadline_ms(self) -> int | None:
        """Monotonic ms; may be early, never late."""
        return self._timers.next_deadline_ms

    def on_deadline(self, now: Instant) -> Result[None]:
        out: Result[None] = Result()
        while (key := self._timers.pop_due(now.monotonic_ms)) is not None:
            kind, group_id, member_id = key
            group = self.groups.get(group_id)
            if group is None:
                continue
            if kind == SESSION:
                self._rebalances.on_session_deadline(group, member_id, now, out)
            elif kind == JOIN:
                self._rebalances.on_join_deadline(group, now, out)
            elif kind == SYNC:
                self._rebalances.on_sync_deadline(group, now, out)
            else:
                assert kind == EXPIRY, f"nobody sets {kind} deadlines"
                self._offsets.expire(group, now, out)
        return out

    def on_committed(self, stored: object, now: Instant) -> Result[None]:
        """One value of `Result.then`, now that the records beside it are committed and applied."""
        out: Result[None] = Result()
        match stored:
            case OffsetsStored():
                self._offsets.on_stored(stored)
            case AssignmentStored():
                self._protocol.on_assignment_stored(stored, now, out)
            case StaticMemberStored():
                self._protocol.on_static_member_stored(stored, out)
            case _:
                raise AssertionError(f"nobody asked to hear of {stored!r}")
        return out

    def on_refused(self, result: Result[object], error: ErrorCode, now: Instant) -> Result[None] | None:
        """The log would not take the result's records, and nothing else has happened. None: the live half
        cannot go on from here, and has to be made anew. Otherwise the runtime answers the result's own
        replies with `error`.
        """
        if any(isinstance(record, GroupTombstone) for record in result.records):
            return None  # the group is gone from the live half, and is not gone
        out: Result[None] = Result()
        for stored in result.then:
            match stored:
                case OffsetsStored():
                    self._offsets.on_stored(stored)
                case AssignmentStored():
                    self._protocol.on_assignment_refused(stored, error, now, out)
                case StaticMemberStored():
                    self._protocol.on_static_member_refused(stored, now, out)
                case _:
                    raise AssertionError(f"nobody asked to hear of {stored!r}")
        return out

    # Commands

    def join(self, command: JoinGroup, token: Token, now: Instant) -> Result[JoinResult]:
        out: Result[JoinResult] = Result()
        self._protocol.join(command, token, now, out)
        return out

    def sync(self, command: SyncGroup, token: Token, now: Instant) -> Result[SyncResult]:
        out: Result[SyncResult] = Result()
        self._protocol.sync(command, token, now, out)
        return out

    def leave(self, command: LeaveGroup, token: Token, now: Instant) -> Result[LeaveResult]:
        out: Result[LeaveResult] = Result()
        self._protocol.leave(command, token, now, out)
        return out

    def commit(self, command: CommitOffsets, token: Token, now: Instant) -> Result[CommitResult]:
        out: Result[CommitResult] = Result()
        self._offsets.commit(command, token, now, out)
        return out

    def delete_offsets(
        self, command: DeleteOffsets, token: Token, now: Instant
    ) -> Result[DeleteOffsetsResult]:
        out: Result[DeleteOffsetsResult] = Result()
        self._offsets.delete(command, token, now, out)
        return out

    def delete_group(self, command: DeleteGroup, token: Token, now: Instant) -> Result[ErrorCode]:
        out: Result[ErrorCode] = Result()
        self._offsets.delete_group(command, token, now, out)
        return out

    def on_topics_deleted(self, topics: Mapping[str, bytes]) -> Result[None]:
        out: Result[None] = Result()
        self._offsets.on_topics_deleted(topics, out)
        return out

    # Questions and heartbeats: nothing is written

    def heartbeat(self, command: Heartbeat, now_ms: int) -> ErrorCode:
        """`now_ms` is monotonic."""
        return self._protocol.heartbeat(command, now_ms)

    def committed_offsets(self, group_id: str) -> TopicOffsets:
        """Committed offsets by topic and partition, not to be changed; empty for an unknown group."""
        return self.stored.offsets_of(group_id)

    def describe(self, group_id: str) -> GroupDescription:
        group = self.groups.get(group_id)
        if group is None:
            return GroupDescription(ErrorCode.GROUP_ID_NOT_FOUND, group_id)
        return group.describe()

    def list_groups(self) -> list[GroupListing]:
        return [
            GroupListing(group.group_id, group.protocol_type or "", group.state.value, CLASSIC)
            for group in self.groups.values()
        ]
