"""The requests of the classic group protocol: who may join, sync, heartbeat and leave, and what each is
answered.

Inputs are commands and "your records are committed"; outputs go into a `Result`. The barriers and sessions
that they touch are in `rebalance.py`. Does not decide about offsets (`offsets.py`), nor whether this node is
the coordinator at all (`runtime.py`).

Invariants:
 1. Every token is answered exactly once: by the barrier it waits for, by the removal of its member, by a
    newer request of the same member, or (leadership lost) by the runtime.
 2. Members learn an assignment only after the record with it is committed.
 3. A heartbeat writes nothing.

Source: KIP-62, KIP-345, KIP-394, KIP-559, KIP-814; behaviour compared with Kafka 4.3's
`GroupMetadataManager`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from odradek.node.coordinator.config import GroupConfig
from odradek.node.coordinator.group.classic import ClassicGroup, Member
from odradek.node.coordinator.group.commands import (
    NO_MEMBER_ID,
    Heartbeat,
    JoinGroup,
    JoinResult,
    LeaveGroup,
    LeaveResult,
    LeavingMember,
    LeftMember,
    SyncGroup,
    SyncResult,
)
from odradek.node.coordinator.group.rebalance import COMPLETING, DEAD, EMPTY, PREPARING, STABLE, Rebalances
from odradek.node.coordinator.group.stored import group_record
from odradek.node.coordinator.result import Instant, Result, Token
from odradek.proto.kafka.errors import ErrorCode


class AssignmentStored(NamedTuple):
    """The leader's assignment of this generation is committed."""

    group_id: str
    generation: int
    assignments: dict[str, bytes]


class StaticMemberStored(NamedTuple):
    """A static member's new id is committed. `token` is its parked join, `result` the answer if all is still
    so.
    """

    group_id: str
    member_id: str
    token: Token
    result: JoinResult


class ClassicProtocol:
    """`new_member_id(prefix)` makes an id that was never given out before."""

    def __init__(
        self,
        config: GroupConfig,
        groups: dict[str, ClassicGroup],
        rebalances: Rebalances,
        new_member_id: Callable[[str], str],
    ) -> None:
        self._config = config
        self._groups = groups
        self._rebalances = rebalances
        self._new_member_id = new_member_id

    # Join

    def join(self, command: JoinGroup, token: Token, now: Instant, out: Result[JoinResult]) -> None:
        group = self._groups.get(command.group_id)
        if group is None:
            if command.member_id != NO_MEMBER_ID:
                out.reply(token, JoinResult(ErrorCode.UNKNOWN_MEMBER_ID, command.member_id))
                return
            group = self._rebalances.create_group(command.group_id, now)
        if not self._has_room(group, command.member_id):
            self._rebalances.drop(group, command.member_id, out)
            out.reply(token, JoinResult(ErrorCode.GROUP_MAX_SIZE_REACHED, NO_MEMBER_ID))
        elif not group.supports_protocols(command.protocol_type, command.protocols):
            out.reply(token, JoinResult(ErrorCode.INCONSISTENT_GROUP_PROTOCOL, command.member_id))
        elif command.member_id == NO_MEMBER_ID:
            self._join_new(group, command, token, now, out)
        else:
            self._join_known(group, command, token, now, out)

    def _has_room(self, group: ClassicGroup, member_id: str) -> bool:
        """A member that is already in keeps its place. During a join barrier places go to those who have
        come: that pushes out the last ones if the limit was lowered.
        """
        if group.is_in(EMPTY, DEAD):
            return True
        member = group.members.get(member_id)
        if group.is_in(PREPARING):
            waiting = member is not None and member.join_token is not None
            return waiting or group.awaiting_joins < self._config.max_size
        return member is not None or len(group.members) < self._config.max_size

    def _join_new(
        self, group: ClassicGroup, command: JoinGroup, token: Token, now: Instant, out: Result[JoinResult]
    ) -> None:
        new_id = self._new_member_id(
            command.client_id if command.instance_id is None else command.instance_id
        )
        if command.instance_id is not None:
            if command.instance_id in group.static_members:
                self._replace_static(group, command, new_id, token, now, out)
            else:
                self._add_member(group, command, new_id, token, now, out)
        elif command.known_member_id_required:
            group.pending_joins[new_id] = None
            self._rebalances.start_session(group, new_id, now.monotonic_ms, command.session_timeout_ms)
            out.reply(token, JoinResult(ErrorCode.MEMBER_ID_REQUIRED, new_id))
        else:
            self._add_member(group, command, new_id, token, now, out)

    def _join_known(
        self, group: ClassicGroup, command: JoinGroup, token: Token, now: Instant, out: Result[JoinResult]
    ) -> None:
        member_id = command.member_id
        if member_id in group.pending_joins:
            if command.instance_id is not None:
                # An id given to a dynamic member comes back with an instance id: nobody's member.
                out.reply(token, JoinResult(ErrorCode.UNKNOWN_MEMBER_ID, member_id))
                return
            self._add_member(group, command, member_id, token, now, out)
            return
        error = group.check_member(member_id, command.instance_id)
        if error is not ErrorCode.NONE:
            out.reply(token, JoinResult(error, member_id))
            return
        member = group.members[member_id]
        unchanged = member.protocols == command.protocols
        leads = group.leader_id == member_id
        # The same metadata again: the answer to the first join was lost, or a follower rejoined without need.
        # The leader of a Stable group rejoins on purpose: something it assigns by has changed.
        if unchanged and (group.is_in(COMPLETING) or (group.is_in(STABLE) and not leads)):
            out.reply(token, self._rebalances.current_generation(group, member))
            return
        self._park_join(group, member, command, token, out)
        self._rebalances.prepare_or_complete(group, now, out)

    def _park_join(
        self,
        group: ClassicGroup,
        member: Member,
        command: JoinGroup,
        token: Token,
        out: Result[JoinResult],
    ) -> None:
        # An older join of the same member has lost its sender: it is told to try again, should anybody
        # listen.
        older = JoinResult(ErrorCode.REBALANCE_IN_PROGRESS, member.member_id)
        self._rebalances.answer_join(group, member, older, out)
        group.update(member, command.protocols, (command.rebalance_timeout_ms, command.session_timeout_ms))
        group.park_join(member, token)

    def _add_member(
        self,
        group: ClassicGroup,
        command: JoinGroup,
        member_id: str,
        token: Token,
        now: Instant,
        out: Result[JoinResult],
    ) -> None:
        member = Member(
            member_id,
            command.instance_id,
            command.client_id,
            command.client_host,
            command.rebalance_timeout_ms,
            command.session_timeout_ms,
            command.protocols,
            is_new=True,
        )
        if group.initial_delay is not None:
            group.new_member_added = True
        group.add(member, command.protocol_type)
        group.park_join(member, token)
        timeout_ms = self._config.new_member_join_timeout_ms
        self._rebalances.start_session(group, member_id, now.monotonic_ms, timeout_ms)
        self._rebalances.prepare_or_complete(group, now, out)

    def _replace_static(
        self,
        group: ClassicGroup,
        command: JoinGroup,
        new_id: str,
        token: Token,
        now: Instant,
        out: Result[JoinResult],
    ) -> None:
        """A static member came back without its id: it gets a new one, and the old one is fenced."""
        assert command.instance_id is not None
        old_leader = group.leader_id or ""
        old_id = group.static_members[command.instance_id]
        old = group.members[old_id]
        fenced = ErrorCode.FENCED_INSTANCE_ID
        self._rebalances.answer_join(group, old, JoinResult(fenced, old_id), out)
        self._rebalances.answer_sync(old, SyncResult(fenced), out)
        self._rebalances.end_session(group, old_id)
        member = group.replace_static(command.instance_id, new_id)
        member.client_id, member.client_host = command.client_id, command.client_host
        self._park_join(group, member, command, token, out)
        self._rebalances.extend_session(group, member, now.monotonic_ms)
        if group.is_in(PREPARING):
            self._rebalances.maybe_complete_join(group, now, out)
        elif group.is_in(COMPLETING) or group.select_protocol() != group.protocol_name:
            # In CompletingRebalance the leader may already be assigning to the old id.
            self._rebalances.prepare(group, now, out)
        else:
            result = self._rebalances.current_generation(group, member)
            if not command.can_skip_assignment:
                # Told of the old leader id, it takes itself for a follower and just fetches its assignment.
                result = result._replace(leader_id=old_leader, members=())
            else:
                result = result._replace(skip_assignment=group.leader_id == new_id)
            out.records.append(group_record(group))
            out.then.append(StaticMemberStored(group.group_id, new_id, token, result))

    def on_static_member_stored(self, stored: StaticMemberStored, out: Result[object]) -> None:
        group = self._groups.get(stored.group_id)
        member = group.members.get(stored.member_id) if group is not None else None
        # If a rebalance has begun meanwhile the join simply takes part in it.
        if group is None or member is None or member.join_token != stored.token or not group.is_in(STABLE):
            return
        self._rebalances.answer_join(group, member, stored.result, out)

    # Sync

    def sync(self, command: SyncGroup, token: Token, now: Instant, out: Result[SyncResult]) -> None:
        group = self._groups.get(command.group_id)
        error = self._check_sync(group, command)
        if group is None or error is not ErrorCode.NONE:
            out.reply(token, SyncResult(error))
            return
        member = group.members[command.member_id]
        self._rebalances.on_synced(group, member.member_id)
        if group.is_in(STABLE):
            out.reply(token, self._rebalances.assignment(group, member))
            return
        self._rebalances.answer_sync(member, SyncResult(ErrorCode.REBALANCE_IN_PROGRESS), out)
        member.sync_token = token
        if group.leader_id == member.member_id and not group.assignment_in_flight:
            group.assignment_in_flight = True
            assignments = {m: command.assignments.get(m, b"") for m in group.members}
            out.records.append(group_record(group, assignments))
            out.then.append(AssignmentStored(group.group_id, group.generation, assignments))

    def _check_sync(self, group: ClassicGroup | None, command: SyncGroup) -> ErrorCode:
        if group is None or group.is_in(EMPTY):
            return ErrorCode.UNKNOWN_MEMBER_ID
        error = group.check_member(command.member_id, command.instance_id)
        if error is not ErrorCode.NONE:
            return error
        if command.generation != group.generation:
            return ErrorCode.ILLEGAL_GENERATION
        if command.protocol_type not in (None, group.protocol_type):
            return ErrorCode.INCONSISTENT_GROUP_PROTOCOL
        if command.protocol_name not in (None, group.protocol_name):
            return ErrorCode.INCONSISTENT_GROUP_PROTOCOL
        if group.is_in(PREPARING):
            return ErrorCode.REBALANCE_IN_PROGRESS
        return ErrorCode.NONE

    def on_assignment_stored(self, stored: AssignmentStored, now: Instant, out: Result[object]) -> None:
        group = self._groups.get(stored.group_id)
        if group is not None and group.is_in(COMPLETING) and group.generation == stored.generation:
            self._rebalances.assign(group, stored.assignments, now, out)

    # What could not be stored

    def on_assignment_refused(
        self, stored: AssignmentStored, error: ErrorCode, now: Instant, out: Result[object]
    ) -> None:
        group = self._groups.get(stored.group_id)
        if group is not None and group.is_in(COMPLETING) and group.generation == stored.generation:
            self._rebalances.answer_all_syncs(group, error, now, out)
            self._rebalances.prepare(group, now, out)

    def on_static_member_refused(self, stored: StaticMemberStored, now: Instant, out: Result[object]) -> None:
        """The next generation's record will hold the new id; until then its join stays parked."""
        group = self._groups.get(stored.group_id)
        member = group.members.get(stored.member_id) if group is not None else None
        if (
            group is not None
            and member is not None
            and member.join_token == stored.token
            and group.is_in(STABLE)
        ):
            self._rebalances.prepare(group, now, out)

    # Heartbeat and leave

    def heartbeat(self, command: Heartbeat, now_ms: int) -> ErrorCode:
        group = self._groups.get(command.group_id)
        if group is None:
            return ErrorCode.UNKNOWN_MEMBER_ID
        error = group.check_member(command.member_id, command.instance_id)
        if error is not ErrorCode.NONE:
            return error
        if command.generation != group.generation:
            return ErrorCode.ILLEGAL_GENERATION
        self._rebalances.extend_session(group, group.members[command.member_id], now_ms)
        return ErrorCode.REBALANCE_IN_PROGRESS if group.is_in(PREPARING) else ErrorCode.NONE

    def leave(self, command: LeaveGroup, token: Token, now: Instant, out: Result[LeaveResult]) -> None:
        group = self._groups.get(command.group_id)
        if group is None:
            unknown = ErrorCode.UNKNOWN_MEMBER_ID
            left = tuple(LeftMember(m.member_id, m.instance_id, unknown) for m in command.members)
        else:
            left = tuple(
                LeftMember(m.member_id, m.instance_id, self._leave_one(group, m, out))
                for m in command.members
            )
            if any(member.error is ErrorCode.NONE for member in left):
                self._rebalances.after_removal(group, now, out)
        out.reply(token, LeaveResult(ErrorCode.NONE, left))

    def _leave_one(self, group: ClassicGroup, leaving: LeavingMember, out: Result[LeaveResult]) -> ErrorCode:
        member_id = leaving.member_id
        if member_id == NO_MEMBER_ID:
            # An administrator removes a static member by the only name it knows.
            member_id = group.static_members.get(leaving.instance_id or "", NO_MEMBER_ID)
            if member_id == NO_MEMBER_ID:
                return ErrorCode.UNKNOWN_MEMBER_ID
        elif member_id in group.pending_joins:
            self._rebalances.drop(group, member_id, out)
            return ErrorCode.NONE
        else:
            error = group.check_member(member_id, leaving.instance_id)
            if error is not ErrorCode.NONE:
                return error
        self._rebalances.drop(group, member_id, out)
        return ErrorCode.NONE
