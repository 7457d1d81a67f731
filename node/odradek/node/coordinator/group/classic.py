"""One classic group: its members, its state, and the questions the protocol asks about them.

Decides which moves between states are legal, which protocol a generation uses and who leads. Does not decide
when to rebalance or what to answer (`classic_protocol.py`), and knows nothing of records or timers.

Invariants: `leader_id` names a member, or nobody is left; `generation` never falls; every member's instance
id is in `static_members` and the other way round; all members share `protocol_type` and at least one
protocol.

Source: KIP-62, KIP-345; Kafka's `ClassicGroup` for the corners.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple

from odradek.node.coordinator.group.commands import (
    GroupDescription,
    GroupProtocol,
    JoinedMember,
    MemberDescription,
)
from odradek.node.coordinator.group.subscription import CONSUMER_PROTOCOL_TYPE, subscribed_topics
from odradek.node.coordinator.result import Token
from odradek.proto.kafka.errors import ErrorCode


class GroupState(Enum):
    """The values are the names that DescribeGroups and ListGroups show."""

    EMPTY = "Empty"
    PREPARING_REBALANCE = "PreparingRebalance"
    COMPLETING_REBALANCE = "CompletingRebalance"
    STABLE = "Stable"
    DEAD = "Dead"


TRANSITIONS: Final[dict[GroupState, frozenset[GroupState]]] = {
    GroupState.EMPTY: frozenset({GroupState.PREPARING_REBALANCE, GroupState.DEAD}),
    GroupState.PREPARING_REBALANCE: frozenset(
        {GroupState.EMPTY, GroupState.COMPLETING_REBALANCE, GroupState.DEAD}
    ),
    GroupState.COMPLETING_REBALANCE: frozenset(
        {GroupState.PREPARING_REBALANCE, GroupState.STABLE, GroupState.DEAD}
    ),
    GroupState.STABLE: frozenset({GroupState.PREPARING_REBALANCE, GroupState.DEAD}),
    GroupState.DEAD: frozenset(),
}


@dataclass(slots=True)
class Member:
    """`join_token` and `sync_token` are the parked requests. `is_new`: its first join is still parked, so it
    cannot heartbeat yet and its session does not count.
    """

    member_id: str
    instance_id: str | None
    client_id: str
    client_host: str
    rebalance_timeout_ms: int
    session_timeout_ms: int
    protocols: tuple[GroupProtocol, ...]
    assignment: bytes = b""
    join_token: Token | None = None
    sync_token: Token | None = None
    is_new: bool = False

    def metadata(self, protocol_name: str | None) -> bytes:
        for protocol in self.protocols:
            if protocol.name == protocol_name:
                return protocol.metadata
        return b""

    def vote(self, candidates: Iterable[str]) -> str:
        allowed = set(candidates)
        for protocol in self.protocols:
            if protocol.name in allowed:
                return protocol.name
        raise AssertionError(f"{self.member_id} supports none of {sorted(allowed)}")


class InitialDelay(NamedTuple):
    """The first rebalance of an empty group: it waits `delay_ms`, then up to `remaining_ms` more."""

    delay_ms: int
    remaining_ms: int


class ClassicGroup:
    """Members are kept in the order in which they joined, which is the order of every answer."""

    __slots__ = (
        "_support",
        "assignment_in_flight",
        "awaiting_joins",
        "commits_in_flight",
        "generation",
        "group_id",
        "initial_delay",
        "leader_id",
        "members",
        "new_member_added",
        "pending_joins",
        "pending_syncs",
        "previous_state",
        "protocol_name",
        "protocol_type",
        "state",
        "state_timestamp_ms",
        "static_members",
        "subscribed_topics",
    )

    def __init__(self, group_id: str, now_wall_ms: int) -> None:
        self.group_id = group_id
        self.state = GroupState.EMPTY
        self.previous_state = GroupState.EMPTY
        self.state_timestamp_ms = now_wall_ms
        self.generation = 0
        self.protocol_type: str | None = None
        self.protocol_name: str | None = None
        self.leader_id: str | None = None
        self.members: dict[str, Member] = {}
        self.static_members: dict[str, str] = {}
        self.pending_joins: dict[str, None] = {}  # member ids given out, not yet used
        self.pending_syncs: dict[str, None] = {}  # members that joined this generation and have not synced
        self.initial_delay: InitialDelay | None = None  # set while the initial rebalance waits for company
        self.new_member_added = False  # since the last look during the initial rebalance: extend it
        self.assignment_in_flight = False  # the leader's assignment is proposed, not yet committed
        self.commits_in_flight = 0  # offset commits proposed, not yet committed
        self.awaiting_joins = 0  # members with a join_token
        self.subscribed_topics: frozenset[str] | None = None  # None: not known
        self._support: dict[str, int] = {}  # protocol name -> how many members support it

    # Questions

    def is_in(self, *states: GroupState) -> bool:
        return self.state in states

    @property
    def uses_consumer_protocol(self) -> bool:
        return self.protocol_type == CONSUMER_PROTOCOL_TYPE

    @property
    def rebalance_timeout_ms(self) -> int:
        return max((member.rebalance_timeout_ms for member in self.members.values()), default=0)

    @property
    def all_members_joined(self) -> bool:
        return not self.pending_joins and self.awaiting_joins == len(self.members)

    def is_subscribed_to(self, topic: str) -> bool:
        """Unknown subscriptions of consumers count as subscribed: nothing of theirs may be lost."""
        if self.subscribed_topics is None:
            return self.uses_consumer_protocol
        return topic in self.subscribed_topics

    def supports_protocols(self, protocol_type: str, protocols: tuple[GroupProtocol, ...]) -> bool:
        if self.state is GroupState.EMPTY:
            return bool(protocol_type) and bool(protocols)
        if protocol_type != self.protocol_type:
            return False
        return any(self._support.get(protocol.name) == len(self.members) for protocol in protocols)

    def candidate_protocols(self) -> tuple[str, ...]:
        """Supported by all members, in the order of the leader's preference."""
        first = self.members.get(self.leader_id or "")
        if first is None:
            return ()
        return tuple(p.name for p in first.protocols if self._support.get(p.name) == len(self.members))

    def select_protocol(self) -> str:
        """Most votes among the protocols all members support; a tie goes to the leader's preference."""
        candidates = self.candidate_protocols()
        votes = dict.fromkeys(candidates, 0)
        for member in self.members.values():
            votes[member.vote(candidates)] += 1
        return max(candidates, key=lambda name: votes[name])

    def check_member(self, member_id: str, instance_id: str | None) -> ErrorCode:
        """NONE, or why this identity may not act: UNKNOWN_MEMBER_ID, or FENCED_INSTANCE_ID when replaced."""
        if instance_id is not None:
            current = self.static_members.get(instance_id)
            if current is None:
                return ErrorCode.UNKNOWN_MEMBER_ID
            if current != member_id:
                return ErrorCode.FENCED_INSTANCE_ID
        if member_id not in self.members:
            return ErrorCode.UNKNOWN_MEMBER_ID
        return ErrorCode.NONE

    def joined_members(self) -> tuple[JoinedMember, ...]:
        return tuple(
            JoinedMember(member.member_id, member.instance_id, member.metadata(self.protocol_name))
            for member in self.members.values()
        )

    def describe(self) -> GroupDescription:
        """Protocol and metadata only when Stable: before that they belong to no finished generation."""
        stable = self.state is GroupState.STABLE
        return GroupDescription(
            ErrorCode.NONE,
            self.group_id,
            self.state.value,
            self.protocol_type or "",
            (self.protocol_name or "") if stable else "",
            tuple(
                MemberDescription(
                    member.member_id,
                    member.instance_id,
                    member.client_id,
                    member.client_host,
                    member.metadata(self.protocol_name) if stable else b"",
                    member.assignment,
                )
                for member in self.members.values()
            ),
            self.generation,
        )

    # Changes

    def move_to(self, state: GroupState, now_wall_ms: int) -> None:
        assert state in TRANSITIONS[self.state], f"{self.group_id}: {self.state.value} -> {state.value}"
        self.previous_state = self.state
        self.state = state
        self.state_timestamp_ms = now_wall_ms
        self.assignment_in_flight = False

    def add(self, member: Member, protocol_type: str) -> None:
        if not self.members:
            self.protocol_type = protocol_type
        assert self.protocol_type == protocol_type, (
            f"{self.group_id}: {protocol_type} in {self.protocol_type}"
        )
        if member.instance_id is not None:
            assert member.instance_id not in self.static_members, f"{member.instance_id} joined twice"
            self.static_members[member.instance_id] = member.member_id
        if self.leader_id is None:
            self.leader_id = member.member_id
        self.members[member.member_id] = member
        self.pending_joins.pop(member.member_id, None)
        self._count_support(member, 1)

    def update(
        self, member: Member, protocols: tuple[GroupProtocol, ...], timeouts_ms: tuple[int, int]
    ) -> None:
        """`timeouts_ms`: rebalance, session."""
        self._count_support(member, -1)
        member.protocols = protocols
        member.rebalance_timeout_ms, member.session_timeout_ms = timeouts_ms
        self._count_support(member, 1)

    def park_join(self, member: Member, token: Token) -> None:
        assert member.join_token is None, f"{member.member_id} joins twice"
        member.join_token = token
        self.awaiting_joins += 1

    def take_join(self, member: Member) -> Token | None:
        """The parked join, which the caller now answers."""
        token, member.join_token = member.join_token, None
        self.awaiting_joins -= token is not None
        return token

    def remove(self, member_id: str) -> Member | None:
        """Forget a member or a pending member id. Its parked requests must have been answered."""
        member = self.members.pop(member_id, None)
        if member is not None:
            assert member.join_token is None and member.sync_token is None, (
                f"{member_id} has a parked request"
            )
            self._count_support(member, -1)
            if member.instance_id is not None:
                self.static_members.pop(member.instance_id, None)
        if self.leader_id == member_id:
            self.leader_id = next(iter(self.members), None)
        self.pending_joins.pop(member_id, None)
        self.pending_syncs.pop(member_id, None)
        return member

    def replace_static(self, instance_id: str, new_member_id: str) -> Member:
        """The same member under a new id, with its assignment; it takes the old id's place, leadership
        included.

        Whatever the old id had parked must have been answered.
        """
        old_id = self.static_members[instance_id]
        old = self.members[old_id]
        assert old.join_token is None and old.sync_token is None, f"{old_id} has a parked request"
        old.member_id = new_member_id
        old.is_new = False
        self.members = {
            (new_member_id if member_id == old_id else member_id): member
            for member_id, member in self.members.items()
        }
        self.static_members[instance_id] = new_member_id
        if self.leader_id == old_id:
            self.leader_id = new_member_id
        self.pending_syncs.pop(old_id, None)
        return old

    def elect_joined_leader(self) -> bool:
        """Keep the leader if it has rejoined, else take the first member that has. False if nobody has."""
        leader = self.members.get(self.leader_id or "")
        if leader is not None and leader.join_token is not None:
            return True
        for member in self.members.values():
            if member.join_token is not None:
                self.leader_id = member.member_id
                return True
        return False

    def start_generation(self, now_wall_ms: int) -> None:
        """The join barrier is over: next generation, Empty if nobody is left."""
        self.generation += 1
        self.pending_syncs.clear()
        if self.members:
            self.protocol_name = self.select_protocol()
            self.move_to(GroupState.COMPLETING_REBALANCE, now_wall_ms)
        else:
            self.protocol_name = None
            self.move_to(GroupState.EMPTY, now_wall_ms)
        self.refresh_subscriptions()

    def refresh_subscriptions(self) -> None:
        self.subscribed_topics = None
        if not self.uses_consumer_protocol:
            return
        topics: set[str] = set()
        for member in self.members.values():
            found = subscribed_topics(member.metadata(self.protocol_name))
            if found is None:
                return
            topics |= found
        self.subscribed_topics = frozenset(topics)

    def _count_support(self, member: Member, change: int) -> None:
        for name in {protocol.name for protocol in member.protocols}:
            count = self._support.get(name, 0) + change
            if count:
                self._support[name] = count
            else:
                del self._support[name]
