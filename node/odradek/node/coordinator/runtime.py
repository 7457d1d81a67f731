"""The shell around the coordinator shards: operation -> records -> log -> committed -> answer, and one timer.

Decides which shard owns a group id and whether this node may answer for it; everything about groups is
decided in `group/`. A shard that is not led here answers NOT_COORDINATOR; one that is, but has not applied
everything that was committed before, answers COORDINATOR_LOAD_IN_PROGRESS.

Invariants:
 1. An answer leaves only after the records made with it are committed and applied here.
 2. Every `Deferred` given out is resolved exactly once; losing leadership resolves what is left with
    NOT_COORDINATOR. Their records may still commit, which is why clients repeat them, and why they are
    harmless twice.
 3. Live state that has run ahead of a log that failed is dropped, and made anew from what is committed. An
    entry that was merely refused fails only those who wait for it.

Source: ARCHITECTURE 5(d); Kafka's `CoordinatorRuntime` for the idea.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from typing import Any, Protocol, TypeVar

from odradek.node.coordinator.config import GroupConfig
from odradek.node.coordinator.group.shard import GroupShard
from odradek.node.coordinator.records import encode_entry
from odradek.node.coordinator.result import Instant, Result, Token
from odradek.node.coordinator.timers import Timers
from odradek.node.runtime.alarm import Alarm
from odradek.node.runtime.deferred import Deferred
from odradek.proto.kafka.errors import ErrorCode
from odradek.raft.ports import ProposalTooLargeError, RaftError

log = logging.getLogger(__name__)

R = TypeVar("R")


class ReplicatedLog(Protocol):
    """A shard's log. `propose` resolves once the entry is committed and this replica's machine has applied
    it; it fails when this replica cannot commit it, whatever the reason.
    """

    @property
    def is_leader(self) -> bool: ...

    @property
    def leader_id(self) -> int | None:
        """The node that leads, as far as known; this node's own id also while `is_leader` is not true yet."""

    def propose(self, data: bytes) -> asyncio.Future[int]: ...

    def read_index(self) -> asyncio.Future[int]:
        """Resolves once a quorum has confirmed, after the call, who leads, and this replica's machine has applied
        what was committed before it; fails with RaftError."""


class GroupCommand(Protocol):
    @property
    def group_id(self) -> str: ...


C = TypeVar("C", bound=GroupCommand)

Operation = Callable[[GroupShard, C, Token, Instant], Result[R]]
"""A command method of GroupShard, unbound: `GroupShard.join`."""


class Role(Enum):
    """What a shard's log has told us."""

    FOLLOWING = 0
    LEADING = 1


def java_hash(text: str) -> int:
    """`String.hashCode`: what assigns groups to shards in Kafka too. Signed 32 bits, over UTF-16 units."""
    value = 0
    units = text.encode("utf-16-be", "surrogatepass")
    for at in range(0, len(units), 2):
        value = (31 * value + (units[at] << 8 | units[at + 1])) & 0xFFFFFFFF
    return value - (1 << 32) if value >> 31 else value


def shard_of(group_id: str, shards: int) -> int:
    """As Kafka's `Utils.abs(hash) % n`, where the one hash without an absolute value counts as 0."""
    value = java_hash(group_id)
    return (0 if value == -(1 << 31) else abs(value)) % shards


class Shard:
    """One shard: its log's state machine, and the answers that are due."""

    def __init__(self, index: int, groups: GroupShard, runtime: CoordinatorRuntime) -> None:
        self.index = index
        self.groups = groups
        self.role = Role.FOLLOWING
        self.log: ReplicatedLog | None = None
        self._runtime = runtime
        self._next_token: Token = 0
        self._due: dict[Token, Deferred[Any]] = {}
        self._term_of_life = 0  # counts how often the live half was made or dropped: what is older is void

    # The log's state machine

    def apply(self, index: int, data: bytes) -> None:
        self.groups.apply(data)

    def snapshot(self) -> bytes:
        return self.groups.snapshot()

    def restore(self, data: bytes) -> None:
        self.groups.restore(data)

    def on_leadership(self, is_leader: bool, term: int) -> None:
        if not is_leader:
            self._drop()
        elif self.log is not None:  # otherwise `attach` brings it to life
            self._lead()

    @property
    def error(self) -> ErrorCode:
        """What the shard answers; NONE: it works."""
        if self.role is Role.LEADING:
            return ErrorCode.NONE
        is_elected = self.log is None or self.log.leader_id == self._runtime.node_id
        if is_elected and not self._runtime.is_stopped:
            return ErrorCode.COORDINATOR_LOAD_IN_PROGRESS
        return ErrorCode.NOT_COORDINATOR

    def attach(self, log: ReplicatedLog) -> None:
        self.log = log
        if log.is_leader and self.role is not Role.LEADING:
            self._lead()

    # Operations

    def write(self, operation: Operation[C, R], command: C) -> Deferred[R | ErrorCode]:
        if self.role is not Role.LEADING:
            return Deferred.resolved(self.error)
        self._next_token += 1
        token = self._next_token
        answer: Deferred[R | ErrorCode] = Deferred()
        self._due[token] = answer
        self._carry_out(operation(self.groups, command, token, self._runtime.now()))
        return answer

    def carry_out_now(self, operation: Callable[[GroupShard], Result[None]]) -> None:
        """An operation nobody waits for; nothing if this shard is not led here."""
        if self.role is Role.LEADING:
            self._carry_out(operation(self.groups))

    async def confirm(self) -> ErrorCode:
        """NONE once this replica is known to have led, and seen all that was committed, after the call."""
        if self.role is not Role.LEADING:
            return self.error
        assert self.log is not None
        try:
            await self.log.read_index()
        except RaftError:
            return ErrorCode.NOT_COORDINATOR
        return self.error

    def on_deadline(self, now_ms: int) -> None:
        """`now_ms` is the alarm's: it may be ahead of the clock by the fraction that a timer fires early."""
        if self.role is Role.LEADING:
            now = self._runtime.now()._replace(monotonic_ms=now_ms)
            self._carry_out(self.groups.on_deadline(now))

    def stop(self) -> None:
        self._drop()

    def _carry_out(self, result: Result[object]) -> None:
        if not result.records:
            self._settle(result)
            self._runtime.schedule(self)
            return
        assert self.log is not None
        life = self._term_of_life
        committed = self.log.propose(encode_entry(result.records))
        committed.add_done_callback(lambda future: self._on_proposed(future, result, life))
        self._runtime.schedule(self)

    def _on_proposed(self, future: asyncio.Future[int], result: Result[object], life: int) -> None:
        error = None if future.cancelled() else future.exception()
        if life != self._term_of_life:
            return  # everything due then has been answered
        if error is None and not future.cancelled():
            self._settle(result)
            self._runtime.schedule(self)
            return
        assert self.log is not None
        if self.log.is_leader and error is not None and self._go_on_without(result, error):
            return
        log.warning("coordinator shard %d starts over: %r", self.index, error)
        self._drop()
        if self.log.is_leader:
            self._lead()

    def _go_on_without(self, result: Result[object], error: BaseException) -> bool:
        """The log refused an entry while this node leads it: too large, or too much under way. Nothing was
        written, so only what depended on this entry fails.
        """
        code = ErrorCode.COORDINATOR_NOT_AVAILABLE
        if isinstance(error, ProposalTooLargeError):
            code = ErrorCode.UNKNOWN_SERVER_ERROR
        follow_up = self.groups.on_refused(result, code, self._runtime.now())
        if follow_up is None:
            return False
        log.warning("coordinator shard %d: an entry was refused: %s", self.index, error)
        self._settle_with(result, code)
        self._carry_out(follow_up)
        return True

    def _settle_with(self, result: Result[object], code: ErrorCode) -> None:
        for token, _ in result.replies:
            self._due.pop(token).resolve(code)

    def _settle(self, result: Result[object]) -> None:
        for stored in result.then:
            self._carry_out(self.groups.on_committed(stored, self._runtime.now()))
        for token, value in result.replies:
            self._due.pop(token).resolve(value)

    def _lead(self) -> None:
        self._drop()
        result = self.groups.lead(self._runtime.now())
        self.role = Role.LEADING
        self._carry_out(result)

    def _drop(self) -> None:
        self._term_of_life += 1
        self.role = Role.FOLLOWING
        self.groups.resign()
        due, self._due = self._due, {}
        for answer in due.values():
            answer.resolve(ErrorCode.NOT_COORDINATOR)
        self._runtime.schedule(self)


class CoordinatorRuntime:
    """All shards of this node, and the one timer they share.

    The composer opens one log per shard with `state_machines()[i]` and then calls `attach(i, log)`.
    """

    def __init__(
        self,
        node_id: int,
        shards: int,
        config: GroupConfig,
        loop: asyncio.AbstractEventLoop,
        wall_ms: Callable[[], int],
        new_member_id: Callable[[str], str],
    ) -> None:
        self.node_id = node_id
        self._wall_ms = wall_ms
        self._shards = [Shard(i, GroupShard(config, new_member_id), self) for i in range(shards)]
        self._deadlines: Timers[int] = Timers()
        self._alarm = Alarm(loop, self._on_due)
        self.is_stopped = False

    # Composition

    def state_machines(self) -> list[Shard]:
        return self._shards

    def attach(self, index: int, log: ReplicatedLog) -> None:
        self._shards[index].attach(log)

    def stop(self) -> None:
        """Answer what is parked with NOT_COORDINATOR and let no timer fire again. The logs are the caller's
        to close.
        """
        self.is_stopped = True
        for shard in self._shards:
            shard.stop()
        self._alarm.cancel()

    # Operations

    def write(self, operation: Operation[C, R], command: C) -> Deferred[R | ErrorCode]:
        """Carry out a command on the shard of its group. The answer is the operation's own, or, from a shard
        that is not led here, an ErrorCode: NOT_COORDINATOR or COORDINATOR_LOAD_IN_PROGRESS.
        """
        return self._shards[shard_of(command.group_id, len(self._shards))].write(operation, command)

    def read(self, group_id: str) -> GroupShard | ErrorCode:
        """The shard that owns the group, to be asked at once and not kept; or why it cannot be asked."""
        shard = self._shards[shard_of(group_id, len(self._shards))]
        return shard.groups if shard.role is Role.LEADING else shard.error

    async def confirm(self, group_id: str) -> ErrorCode:
        """Before a `read` that must not miss what another coordinator has acknowledged meanwhile: a node that was
        paused may have been replaced without having heard of it. NONE, or the error of `read`."""
        return await self._shards[shard_of(group_id, len(self._shards))].confirm()

    def read_all(self) -> Iterator[GroupShard | ErrorCode]:
        """Every shard, as `read` gives it."""
        for shard in self._shards:
            yield shard.groups if shard.role is Role.LEADING else shard.error

    def leader_of(self, group_id: str) -> int | None:
        """The node that coordinates a group, None while nobody is known to."""
        log = self._shards[shard_of(group_id, len(self._shards))].log
        return None if log is None else log.leader_id

    def leaders(self) -> list[int | None]:
        """The node that leads each shard, None where nobody is known to."""
        return [None if shard.log is None else shard.log.leader_id for shard in self._shards]

    def on_topics_deleted(self, topics: Mapping[str, bytes]) -> None:
        """Topics (name -> id) are gone from the image: so are their committed offsets."""
        for shard in self._shards:
            shard.carry_out_now(lambda groups: groups.on_topics_deleted(topics))

    # Time

    def now(self) -> Instant:
        return Instant(self._alarm.monotonic_ms(), self._wall_ms())

    def monotonic_ms(self) -> int:
        return self._alarm.monotonic_ms()

    def schedule(self, shard: Shard) -> None:
        """Look at the shard's next deadline again."""
        deadline_ms = shard.groups.next_deadline_ms
        if deadline_ms is None:
            self._deadlines.cancel(shard.index)
        elif self._deadlines.deadline_of(shard.index) != deadline_ms:
            self._deadlines.set(shard.index, deadline_ms)
            if not self.is_stopped:
                self._alarm.announce(deadline_ms)

    def _on_due(self, now_ms: int) -> int | None:
        due: list[int] = []
        while (index := self._deadlines.pop_due(now_ms)) is not None:
            due.append(index)
        for index in due:
            self._shards[index].on_deadline(now_ms)
        return None if self.is_stopped else self._deadlines.next_deadline_ms
