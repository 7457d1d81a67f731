"""A coordinator shard in a world without a clock, a network or a disk: what scripts, unit and property tests
drive.

It does what the runtime does (records into a log, applied, told, answered), by hand and in order, and checks
the invariants of the shard after every step.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from odradek.node.coordinator.config import GroupConfig
from odradek.node.coordinator.group.classic import ClassicGroup, GroupState
from odradek.node.coordinator.group.shard import GroupShard
from odradek.node.coordinator.group.stored import StoredGroups, group_record
from odradek.node.coordinator.records import GroupTombstone, encode_entry
from odradek.node.coordinator.result import Instant, Result, Token
from odradek.proto.kafka.errors import ErrorCode

WALL_MS = 1_700_000_000_000

C = TypeVar("C")
R = TypeVar("R")


@dataclass(frozen=True)
class Answer:
    token: Token
    value: object


class World:
    """`hold = True` keeps proposals from committing until `release()`."""

    def __init__(self, config: GroupConfig | None = None) -> None:
        self.config = config or GroupConfig(initial_rebalance_delay_ms=0)
        self.now_ms = 0
        self.hold = False
        self.refused = False
        self.log: list[bytes] = []
        self.answers: list[Answer] = []
        self.due: dict[Token, str] = {}
        self._proposed: deque[tuple[bytes, Result[object]]] = deque()
        self._tokens = 0
        self._ids = 0
        self._generations: dict[str, int] = {}
        self.shard = GroupShard(self.config, self._new_id)
        self._finish(self.shard.lead(self.now()))

    def _new_id(self, prefix: str) -> str:
        self._ids += 1
        return f"{prefix}-{self._ids}"

    def now(self) -> Instant:
        return Instant(self.now_ms, WALL_MS + self.now_ms)

    # What the runtime does

    def do(self, operation: Callable[[GroupShard, C, Token, Instant], Result[R]], command: C) -> Token:
        """Carry out a command; its answer is in `answers` now, or later."""
        self._tokens += 1
        self.due[self._tokens] = type(command).__name__
        self._finish(operation(self.shard, command, self._tokens, self.now()))
        self.check()
        return self._tokens

    def ask(self, operation: Callable[[GroupShard, C, Token, Instant], Result[R]], command: C) -> R:
        """A command that is answered at once."""
        token = self.do(operation, command)
        return self.answer(token)  # type: ignore[return-value]  # the operation's type says what it answers

    def answer(self, token: Token) -> object:
        found = [answer.value for answer in self.answers if answer.token == token]
        assert found, f"request {token} has not been answered"
        return found[0]

    def carry_out(self, result: Result[None]) -> None:
        self._finish(result)
        self.check()

    def advance(self, milliseconds: int) -> None:
        """Let time pass, stopping at every deadline on the way."""
        until_ms = self.now_ms + milliseconds
        while (due_ms := self.shard.next_deadline_ms) is not None and due_ms <= until_ms:
            self.now_ms = max(self.now_ms, due_ms)
            self._finish(self.shard.on_deadline(self.now()))
            self.check()
        self.now_ms = until_ms

    def settle(self) -> None:
        """Carry out what is due now."""
        self.advance(0)

    def release(self) -> None:
        """Commit everything proposed, and what follows from it."""
        self.hold = False
        while self._proposed:
            entry, result = self._proposed.popleft()
            self._commit(entry, result)
        self.check()

    def refuse(self, error: ErrorCode) -> None:
        """The log takes none of the entries proposed."""
        self.refused = True
        while self._proposed:
            _, result = self._proposed.popleft()
            follow_up = self.shard.on_refused(result, error, self.now())
            assert follow_up is not None, "the shard would start over"
            for token, _ in result.replies:
                self._answer(token, error)
            self._finish(follow_up)
        self.check()

    def would_start_over(self) -> bool:
        """Refusing what is proposed would cost the live half, and with it every parked request."""
        return any(isinstance(r, GroupTombstone) for _, result in self._proposed for r in result.records)

    def restart(self) -> list[Token]:
        """The node dies and comes back: what was proposed and not committed is lost. The tokens that got no
        answer.
        """
        lost, self.due = list(self.due), {}
        self._proposed.clear()
        snapshot = self.shard.snapshot()
        self.shard = GroupShard(self.config, self._new_id)
        self.shard.restore(snapshot)
        self._generations.clear()
        self._finish(self.shard.lead(self.now()))
        return lost

    def _finish(self, result: Result[object]) -> None:
        if not result.records:
            self._settle(result)
        else:
            self._proposed.append((encode_entry(result.records), result))
            if not self.hold:
                while self._proposed:
                    self._commit(*self._proposed.popleft())

    def _commit(self, entry: bytes, result: Result[object]) -> None:
        self.log.append(entry)
        self.shard.apply(entry)
        self._settle(result)

    def _settle(self, result: Result[object]) -> None:
        for stored in result.then:
            self._finish(self.shard.on_committed(stored, self.now()))
        for token, value in result.replies:
            self._answer(token, value)

    def _answer(self, token: Token, value: object) -> None:
        assert self.due.pop(token, None) is not None, f"request {token} is answered twice, now with {value}"
        self.answers.append(Answer(token, value))

    # What must always hold

    def check(self) -> None:
        parked: list[Token] = []
        self._generations = {g: n for g, n in self._generations.items() if g in self.shard.groups}
        for group in self.shard.groups.values():
            self._check_group(group)
            for member in group.members.values():
                parked += [token for token in (member.join_token, member.sync_token) if token is not None]
        assert len(parked) == len(set(parked)), "one request is parked twice"
        waiting = [token for _, result in self._proposed for token, _ in result.replies]
        lost = set(self.due) - set(parked) - set(waiting)
        if not self._proposed:
            assert not lost, f"nobody will answer {[self.due[token] for token in lost]}"

    def _check_group(self, group: ClassicGroup) -> None:
        name = group.group_id
        if group.members:
            assert group.leader_id in group.members, f"{name}: leader {group.leader_id} is no member"
        assert group.generation >= self._generations.get(name, 0), f"{name}: generation fell"
        self._generations[name] = group.generation
        assert group.commits_in_flight >= 0, f"{name}: {group.commits_in_flight} commits in flight"
        statics = {m.instance_id: m.member_id for m in group.members.values() if m.instance_id is not None}
        assert group.static_members == statics, f"{name}: {group.static_members} for {statics}"
        joins = sum(member.join_token is not None for member in group.members.values())
        assert group.awaiting_joins == joins, f"{name}: counts {group.awaiting_joins} of {joins} joins"
        assert set(group.pending_syncs) <= set(group.members), f"{name}: strangers are to sync"
        if group.is_in(GroupState.EMPTY):
            assert not group.members, f"{name}: Empty with members"
        if group.is_in(GroupState.COMPLETING_REBALANCE, GroupState.STABLE):
            assert group.members, f"{name}: {group.state.value} without members"
            assert group.protocol_name in group.candidate_protocols(), f"{name}: nobody's protocol"
        # A join of a Stable group waits for the record of a replaced static member.
        if not group.is_in(GroupState.PREPARING_REBALANCE, GroupState.STABLE):
            assert joins == 0, f"{name}: a join waits in {group.state.value}"
        if not group.is_in(GroupState.COMPLETING_REBALANCE):
            assert all(m.sync_token is None for m in group.members.values()), f"{name}: a sync waits"

    def check_replay(self) -> None:
        """A replica that sees only the log has the same state; finished groups are in it as they are alive."""
        assert not self._proposed
        replica = StoredGroups()
        for entry in self.log:
            replica.apply_entry(entry)
        assert replica.groups == self.shard.stored.groups
        restored = StoredGroups()
        restored.restore(self.shard.snapshot())
        assert restored.groups == self.shard.stored.groups
        for group_id, group in self.shard.groups.items():
            stored = replica.groups.get(group_id)
            if group.is_in(GroupState.STABLE):
                assert stored is not None and stored.metadata is not None
                live = group_record(group)
                live.state_timestamp_ms = stored.metadata.state_timestamp_ms
                assert live == stored.metadata
            elif group.is_in(GroupState.EMPTY) and stored is not None and stored.metadata is not None:
                assert self.refused or not stored.metadata.members, f"{group_id}: the dead would come back"
