"""The two barriers of a rebalance, and the sessions that keep them from waiting for the dead.

Decides when a join barrier opens, who is dropped by it, which generation follows, and when a member that does
not heartbeat or sync is removed. Does not validate requests (`classic_protocol.py`).

Invariants: a group in PreparingRebalance has a join deadline; one in CompletingRebalance has a sync deadline;
a member that cannot be waiting in a barrier has a session deadline. So every parked request is answered in
bounded time.

Source: KIP-62 (timeouts), KIP-134 (initial delay), KIP-345 (static members outlive a missed join), and
Kafka's pending sync timeout (KAFKA-13435); compared with Kafka 4.3's `GroupMetadataManager`.
"""

from __future__ import annotations

from odradek.node.coordinator.config import GroupConfig
from odradek.node.coordinator.group.classic import ClassicGroup, GroupState, InitialDelay, Member
from odradek.node.coordinator.group.commands import NO_MEMBER_ID, JoinResult, SyncResult
from odradek.node.coordinator.group.stored import group_record
from odradek.node.coordinator.result import Instant, Result
from odradek.node.coordinator.timers import Timers
from odradek.proto.kafka.errors import ErrorCode

EMPTY = GroupState.EMPTY
PREPARING = GroupState.PREPARING_REBALANCE
COMPLETING = GroupState.COMPLETING_REBALANCE
STABLE = GroupState.STABLE
DEAD = GroupState.DEAD

TimerKey = tuple[str, str, str]
"""(kind, group id, member id or "")."""

SESSION = "session"
JOIN = "join"
SYNC = "sync"
EXPIRY = "expiry"


class Rebalances:
    """What all groups of a shard share. Every method works on one group and fills a Result."""

    def __init__(
        self, config: GroupConfig, groups: dict[str, ClassicGroup], timers: Timers[TimerKey]
    ) -> None:
        self._config = config
        self._groups = groups
        self._timers = timers

    def create_group(self, group_id: str, now: Instant) -> ClassicGroup:
        group = self._groups[group_id] = ClassicGroup(group_id, now.wall_ms)
        self.check_expiry_soon(group, now)
        return group

    def check_expiry_soon(self, group: ClassicGroup, now: Instant) -> None:
        """What can expire may have changed; looked at once per check interval at most."""
        self.check_expiry_in(group, self._config.offsets_retention_check_interval_ms, now)

    def check_expiry_in(self, group: ClassicGroup, delay_ms: int, now: Instant) -> None:
        key = (EXPIRY, group.group_id, "")
        deadline_ms = now.monotonic_ms + max(delay_ms, self._config.offsets_retention_check_interval_ms)
        current_ms = self._timers.deadline_of(key)
        if current_ms is None or deadline_ms < current_ms:
            self._timers.set(key, deadline_ms)

    def forget_group(self, group: ClassicGroup, now: Instant) -> None:
        """The group is deleted: it is Empty, so nothing is parked in it."""
        assert group.is_in(EMPTY), f"{group.group_id} is {group.state.value}"
        group.move_to(DEAD, now.wall_ms)
        self._timers.cancel((EXPIRY, group.group_id, ""))
        for member_id in group.pending_joins:
            self.end_session(group, member_id)
        del self._groups[group.group_id]

    # Sessions

    def extend_session(self, group: ClassicGroup, member: Member, now_ms: int) -> None:
        self._timers.set((SESSION, group.group_id, member.member_id), now_ms + member.session_timeout_ms)

    def start_session(self, group: ClassicGroup, member_id: str, now_ms: int, timeout_ms: int) -> None:
        self._timers.set((SESSION, group.group_id, member_id), now_ms + timeout_ms)

    def end_session(self, group: ClassicGroup, member_id: str) -> None:
        self._timers.cancel((SESSION, group.group_id, member_id))

    def on_session_deadline(
        self, group: ClassicGroup, member_id: str, now: Instant, out: Result[object]
    ) -> None:
        if member_id in group.pending_joins:
            group.remove(member_id)
            self.maybe_complete_join(group, now, out)
            return
        member = group.members.get(member_id)
        if member is None:
            return
        waiting = member.join_token is not None or member.sync_token is not None
        # A parked request proves life, except the first join: its sender may have gone and come back as
        # another.
        if waiting and not member.is_new:
            return
        self.drop_member(group, member, out)
        self.after_removal(group, now, out)

    # Removal

    def drop_member(self, group: ClassicGroup, member: Member, out: Result[object]) -> None:
        """Remove a member at once; what it had parked is told that the member is unknown, so that it may
        start anew.
        """
        self.answer_join(group, member, JoinResult(ErrorCode.UNKNOWN_MEMBER_ID, NO_MEMBER_ID), out)
        self.answer_sync(member, SyncResult(ErrorCode.UNKNOWN_MEMBER_ID), out)
        self.end_session(group, member.member_id)
        group.remove(member.member_id)

    def drop(self, group: ClassicGroup, member_id: str, out: Result[object]) -> None:
        """The same for an id that may be a member's, pending, or nobody's."""
        member = group.members.get(member_id)
        if member is not None:
            self.drop_member(group, member, out)
        elif member_id in group.pending_joins:
            self.end_session(group, member_id)
            group.remove(member_id)

    def after_removal(self, group: ClassicGroup, now: Instant, out: Result[object]) -> None:
        if group.is_in(STABLE, COMPLETING):
            self.prepare(group, now, out)
        else:
            self.maybe_complete_join(group, now, out)

    # The join barrier

    def prepare_or_complete(self, group: ClassicGroup, now: Instant, out: Result[object]) -> None:
        if group.is_in(PREPARING):
            self.maybe_complete_join(group, now, out)
        else:
            self.prepare(group, now, out)

    def prepare(self, group: ClassicGroup, now: Instant, out: Result[object]) -> None:
        """Everybody must join again: close the sync barrier if it is open, and open the join barrier."""
        if group.is_in(COMPLETING):
            self.answer_all_syncs(group, ErrorCode.REBALANCE_IN_PROGRESS, now, out)
        self._timers.cancel((SYNC, group.group_id, ""))
        initial = group.is_in(EMPTY)
        group.move_to(PREPARING, now.wall_ms)
        if initial:
            delay_ms = self._config.initial_rebalance_delay_ms
            group.initial_delay = InitialDelay(delay_ms, max(group.rebalance_timeout_ms - delay_ms, 0))
            group.new_member_added = False
            self._timers.set((JOIN, group.group_id, ""), now.monotonic_ms + delay_ms)
        elif group.all_members_joined:
            self.complete_join(group, now, out)
        else:
            self._timers.set((JOIN, group.group_id, ""), now.monotonic_ms + group.rebalance_timeout_ms)

    def maybe_complete_join(self, group: ClassicGroup, now: Instant, out: Result[object]) -> None:
        """Open the join barrier if all are there; the initial rebalance waits for its deadline regardless."""
        if group.is_in(PREPARING) and group.initial_delay is None and group.all_members_joined:
            self.complete_join(group, now, out)

    def on_join_deadline(self, group: ClassicGroup, now: Instant, out: Result[object]) -> None:
        if not group.is_in(PREPARING):
            return
        delay = group.initial_delay
        if delay is not None and group.new_member_added and delay.remaining_ms > 0:
            group.new_member_added = False
            next_delay_ms = min(self._config.initial_rebalance_delay_ms, delay.remaining_ms)
            group.initial_delay = InitialDelay(next_delay_ms, max(delay.remaining_ms - delay.delay_ms, 0))
            self._timers.set((JOIN, group.group_id, ""), now.monotonic_ms + next_delay_ms)
            return
        self.complete_join(group, now, out)

    def complete_join(self, group: ClassicGroup, now: Instant, out: Result[object]) -> None:
        """The join barrier opens: dynamic members that did not come are out; a new generation begins."""
        self._timers.cancel((JOIN, group.group_id, ""))
        missing = [m for m in group.members.values() if m.join_token is None and m.instance_id is None]
        for member in missing:
            self.drop_member(group, member, out)
        if group.members and not group.elect_joined_leader():
            # Only static members are left and none has come back: wait until they do or their sessions end.
            group.initial_delay = None
            self._timers.set((JOIN, group.group_id, ""), now.monotonic_ms + group.rebalance_timeout_ms)
            return
        group.initial_delay = None
        group.start_generation(now.wall_ms)
        self.check_expiry_soon(group, now)
        if group.is_in(EMPTY):
            out.records.append(group_record(group))
            return
        for member in group.members.values():
            self.answer_join(group, member, self.current_generation(group, member), out)
            self.extend_session(group, member, now.monotonic_ms)
            member.is_new = False
            group.pending_syncs[member.member_id] = None
        self._timers.set((SYNC, group.group_id, ""), now.monotonic_ms + group.rebalance_timeout_ms)

    def current_generation(self, group: ClassicGroup, member: Member) -> JoinResult:
        """What a member that belongs to the current generation is told about it."""
        leads = group.leader_id == member.member_id
        return JoinResult(
            ErrorCode.NONE,
            member.member_id,
            group.generation,
            group.protocol_type,
            group.protocol_name,
            group.leader_id or "",
            members=group.joined_members() if leads else (),
        )

    def answer_join(
        self, group: ClassicGroup, member: Member, result: JoinResult, out: Result[object]
    ) -> None:
        token = group.take_join(member)
        if token is not None:
            out.reply(token, result)

    # The sync barrier

    def on_synced(self, group: ClassicGroup, member_id: str) -> None:
        group.pending_syncs.pop(member_id, None)
        if not group.pending_syncs:
            self._timers.cancel((SYNC, group.group_id, ""))

    def on_sync_deadline(self, group: ClassicGroup, now: Instant, out: Result[object]) -> None:
        """Members that joined and never synced would hold the others' partitions: out, and once more."""
        if not group.is_in(COMPLETING, STABLE) or not group.pending_syncs:
            return
        for member_id in list(group.pending_syncs):
            self.drop_member(group, group.members[member_id], out)
        self.prepare(group, now, out)

    def assign(
        self, group: ClassicGroup, assignments: dict[str, bytes], now: Instant, out: Result[object]
    ) -> None:
        """The assignment is committed: the sync barrier opens."""
        for member in group.members.values():
            member.assignment = assignments.get(member.member_id, b"")
        group.move_to(STABLE, now.wall_ms)
        self.answer_all_syncs(group, ErrorCode.NONE, now, out)

    def answer_all_syncs(
        self, group: ClassicGroup, error: ErrorCode, now: Instant, out: Result[object]
    ) -> None:
        for member in group.members.values():
            if error is not ErrorCode.NONE:
                member.assignment = b""
            if member.sync_token is not None:
                self.answer_sync(member, self.assignment(group, member, error), out)
                # While it waited its session did not run; it starts again now, whatever the answer.
                self.extend_session(group, member, now.monotonic_ms)

    def assignment(
        self, group: ClassicGroup, member: Member, error: ErrorCode = ErrorCode.NONE
    ) -> SyncResult:
        if error is not ErrorCode.NONE:
            return SyncResult(error)
        return SyncResult(error, member.assignment, group.protocol_type, group.protocol_name)

    def answer_sync(self, member: Member, result: SyncResult, out: Result[object]) -> None:
        token, member.sync_token = member.sync_token, None
        if token is not None:
            out.reply(token, result)
