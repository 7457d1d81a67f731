"""One consensus group on this node: carries out what the core's `Ready` asks for, and completes proposals.
 Decides nothing about consensus. Order kept here: nothing marked after-durable leaves before its write and
all earlier ones are durable; a received snapshot is stored before it is restored, and restored before
anything later is written; loss of leadership is told before entries of the next leader are applied, gain
after everything older is applied.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from odradek.storage.disk import DiskFullError

from .core.messages import Message, SnapshotChunk
from .core.raft import Raft
from .core.ready import ChunkToSend, Ready
from .core.types import NO_NODE, NORMAL, Entry, Role, SnapshotMeta
from .ports import (
    ApplyError,
    NotLeaderError,
    ProposalQueueFullError,
    ProposalTooLargeError,
    RaftStoppedError,
    StateMachine,
)
from .snapshot_store import SnapshotStore
from .wal import Wal

logger = logging.getLogger(__name__)

_ENTRY_OVERHEAD_BYTES = 64
"""What an entry costs beside its data, in memory and on disk."""


@dataclass(slots=True)
class GroupServices:
    """What the host lends to its groups."""

    wal: Wal
    snapshots: SnapshotStore
    send: Callable[[int, int, Message], None]
    """Have a message (to, group id, message) sent at the end of this turn."""
    now_ms: Callable[[], int]
    wake: Callable[["RaftGroup"], None]
    """Have `process` called soon, once."""
    on_broken: Callable[["RaftGroup", ApplyError], None]
    snapshot_log_bytes: int
    trailing_log_bytes: int


class RaftGroup:
    """See `RaftHost.open_group`. `damaged` groups hold what is left, but neither vote nor lead."""

    def __init__(self, group_id: int, raft: Raft, machine: StateMachine, services: GroupServices) -> None:
        self.group_id = group_id
        self.raft = raft
        # Set by the host: the deadline under which the group is in its heap.
        self.scheduled_ms: int | None = None
        self._machine = machine
        self._services = services
        self._waiting: deque[tuple[int, asyncio.Future[int]]] = deque()
        self._unsynced: deque[tuple[int, list[Message]]] = deque()
        self._installing = False
        self._leading_term: int | None = None
        self._snapshot_running = False
        self._log_bytes = 0
        self._snapshot_bytes = 0
        self._failure: BaseException | None = None
        self._leader_waiters: list[asyncio.Future[None]] = []

    # -- for users

    @property
    def is_leader(self) -> bool:
        """This node leads, and its machine has applied everything that earlier leaders committed."""
        return self._leading_term == self.raft.term and self.raft.role == Role.LEADER

    @property
    def term(self) -> int:
        return self.raft.term

    @property
    def leader_id(self) -> int | None:
        """The leader as far as known; possibly this node while `is_leader` is not true yet."""
        return None if self.raft.leader_id == NO_NODE else self.raft.leader_id

    @property
    def damaged(self) -> bool:
        """Acknowledged entries are missing on this node's disk."""
        return self.raft.hard_state.damaged

    @property
    def applied_index(self) -> int:
        return self.raft.log.applied

    def propose(self, data: bytes) -> asyncio.Future[int]:
        """Replicate `data`. The future gives its index when a quorum holds it durably and the machine has
        applied it.

        It fails with NotLeaderError (nothing happened, or leadership was lost and the outcome is open),
        ProposalTooLargeError, ProposalQueueFullError or RaftStoppedError.
        """
        return self.propose_many((data,))

    def propose_many(self, proposals: Sequence[bytes]) -> asyncio.Future[int]:
        """Replicate several proposals in order, next to each other; one future, for the last index."""
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        error = self._refusal(proposals)
        if error is not None:
            future.set_exception(error)
            return future
        index = self.raft.propose(proposals, self._services.now_ms())
        if index is not None:
            self._waiting.append((index, future))
        elif self.raft.role == Role.LEADER:
            future.set_exception(ProposalQueueFullError("too many bytes wait for commitment"))
        else:
            future.set_exception(NotLeaderError(self.leader_id))
        self._services.wake(self)
        return future

    def _refusal(self, proposals: Sequence[bytes]) -> Exception | None:
        if self._failure is not None:
            error = RaftStoppedError(f"group {self.group_id} has stopped")
            error.__cause__ = self._failure
            return error
        if not self.is_leader:
            return NotLeaderError(self.leader_id)
        limit = self.raft.config.proposal_bytes_max
        for data in proposals:
            if len(data) > limit:
                return ProposalTooLargeError(f"a proposal of {len(data)} bytes exceeds the limit of {limit}")
        return None if proposals else ValueError("nothing to propose")

    async def wait_until_leader(self) -> None:
        """Return when `is_leader` is true. Raises RaftStoppedError."""
        while not self.is_leader:
            if self._failure is not None:
                raise RaftStoppedError(f"group {self.group_id} has stopped") from self._failure
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._leader_waiters.append(future)
            await future

    def take_snapshot(self) -> None:
        """Store a snapshot of the machine now; nothing when one is under way or nothing was applied since."""
        log, snapshot = self.raft.log, self.raft.snapshot
        if self._snapshot_running or self._failure is not None or self._installing:
            return
        if log.applied <= (snapshot.index if snapshot is not None else 0):
            return
        try:
            data = self._machine.snapshot()
        except Exception as error:
            self._break(error, log.applied)
            return
        term = log.term_at(log.applied)
        assert term is not None, (log.applied, log.base_index)
        meta = SnapshotMeta(log.applied, term, len(data), self.raft.configuration)
        self._snapshot_running = True
        self._log_bytes, self._snapshot_bytes = 0, len(data)
        try:
            self._services.snapshots.save(self.group_id, meta, data, partial(self._on_snapshot_stored, meta))
        except DiskFullError as error:
            logger.warning("group %d keeps its log: %s", self.group_id, error)
            self._snapshot_running = False  # the next one is tried when the log has grown as much again

    # -- for the host

    def receive(self, message: Message) -> None:
        """A message of another node of this group."""
        if self._failure is None:
            self.raft.step(message, self._services.now_ms())
            self._services.wake(self)

    def on_timer(self) -> None:
        """`raft.next_deadline` has come."""
        if self._failure is None:
            self.raft.on_timer(self._services.now_ms())
            self._services.wake(self)

    def on_durable(self, number: int) -> None:
        """See `WriteListener.on_durable`."""
        if self._failure is not None:
            return
        while self._unsynced and self._unsynced[0][0] <= number:
            self._send(self._unsynced.popleft()[1])
        self.raft.on_durable(number, self._services.now_ms())
        self._services.wake(self)

    def process(self) -> None:
        """Do everything that the core asks for now. Raises DiskError."""
        if self._failure is not None:
            return
        self._tell_loss()
        while self._failure is None and not self._installing and (ready := self.raft.ready()) is not None:
            if ready.snapshot is not None:
                self._install(ready)
            else:
                self._perform(ready)
        if self._failure is None:
            self._tell_gain()
        if self._log_bytes > max(self._services.snapshot_log_bytes, self._snapshot_bytes):
            self.take_snapshot()

    def restore(self, data: bytes) -> None:
        """Give the machine the state of a stored snapshot. Raises what the machine raises."""
        self._machine.restore(data)
        self._log_bytes, self._snapshot_bytes = 0, len(data)

    def stop(self, failure: BaseException) -> None:
        """End: nothing is sent, written, applied or completed any more. Idempotent."""
        if self._failure is not None:
            return
        self._failure = failure
        self._leading_term = None
        for _, future in self._waiting:
            if not future.done():
                error = RaftStoppedError(f"group {self.group_id} has stopped")
                error.__cause__ = failure
                future.set_exception(error)
        self._waiting.clear()
        self._wake_leader_waiters()

    # -- parts of process

    def _perform(self, ready: Ready) -> None:
        if ready.must_write:
            self._services.wal.append(
                self,
                ready.number,
                self.group_id,
                ready.hard_state,
                ready.first_index,
                ready.prev_term,
                ready.entries,
                ready.commit,
            )
            self._unsynced.append((ready.number, list(ready.messages_after_durable)))
        elif self._unsynced:
            self._unsynced[-1][1].extend(ready.messages_after_durable)
        else:
            self._send(ready.messages_after_durable)
        self._send(ready.messages_now)
        for chunk in ready.chunks:
            self._send_chunk(chunk)
        if ready.committed:
            self._apply(ready.committed_first, ready.committed)

    def _apply(self, first_index: int, entries: Sequence[Entry]) -> None:
        index = first_index
        size = 0
        try:
            for index, entry in enumerate(entries, first_index):
                if entry.kind == NORMAL:
                    self._machine.apply(index, entry.data)
                size += len(entry.data)
        except Exception as error:
            self._break(error, index)
            return
        self._log_bytes += size + _ENTRY_OVERHEAD_BYTES * len(entries)
        waiting, last = self._waiting, first_index + len(entries) - 1
        while waiting and waiting[0][0] <= last:
            proposed, future = waiting.popleft()
            if not future.done():
                future.set_result(proposed)

    def _tell_loss(self) -> None:
        if self._leading_term is None or self.is_leader:
            return
        self._leading_term = None
        waiting, self._waiting = self._waiting, deque()
        for _, future in waiting:
            if not future.done():
                future.set_exception(NotLeaderError(self.leader_id))
        self._tell_machine(False)

    def _tell_gain(self) -> None:
        start = self.raft.term_start_index
        if self._leading_term is None and start is not None and self.raft.log.applied >= start:
            self._leading_term = self.raft.term
            self._tell_machine(True)
            self._wake_leader_waiters()

    def _tell_machine(self, is_leader: bool) -> None:
        try:
            self._machine.on_leadership(is_leader, self.raft.term)
        except Exception as error:
            self._break(error, self.raft.log.applied)

    def _break(self, error: Exception, index: int) -> None:
        """The machine raised: this group ends here, and with it this entry on every node; the others go
        on."""
        failure = ApplyError(self.group_id, index)
        failure.__cause__ = error
        self.stop(failure)
        self._services.on_broken(self, failure)

    def _wake_leader_waiters(self) -> None:
        waiters, self._leader_waiters = self._leader_waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _send(self, messages: Sequence[Message]) -> None:
        for message in messages:
            self._services.send(message.to, self.group_id, message)

    def _send_chunk(self, chunk: ChunkToSend) -> None:
        data = self._services.snapshots.read(
            self.group_id, chunk.index, chunk.index_term, chunk.offset, chunk.length
        )
        if data is None or len(data) != chunk.length:
            self.raft.on_snapshot_unreadable(chunk.to)
            return
        message = SnapshotChunk(
            self.raft.node_id,
            chunk.to,
            chunk.term,
            chunk.index,
            chunk.index_term,
            chunk.configuration,
            chunk.total,
            chunk.offset,
            data,
        )
        self._services.send(chunk.to, self.group_id, message)

    # -- snapshots

    def _install(self, ready: Ready) -> None:
        """Store the leader's snapshot; the group pauses until that is durable."""
        snapshot = ready.snapshot
        assert snapshot is not None
        self._installing = True
        meta = SnapshotMeta(snapshot.index, snapshot.term, len(snapshot.data), snapshot.configuration)
        self._services.snapshots.save(self.group_id, meta, snapshot.data, partial(self._on_installed, ready))

    def _on_installed(self, ready: Ready) -> None:
        snapshot = ready.snapshot
        assert snapshot is not None
        if self._failure is not None:
            return
        self._installing = False
        try:
            self.restore(snapshot.data)
        except Exception as error:
            self._break(error, snapshot.index)
            return
        self._services.wal.note_reset(self.group_id, snapshot.index)
        self._services.wal.note_snapshot(self.group_id, snapshot.index)
        self._perform(ready)
        self._services.wake(self)

    def _on_snapshot_stored(self, meta: SnapshotMeta) -> None:
        self._snapshot_running = False
        if self._failure is not None:
            return
        log = self.raft.log
        keep_from = log.tail_start(meta.index, self._services.trailing_log_bytes)
        self.raft.on_snapshot_stored(meta, keep_from)
        self._services.wal.note_snapshot(self.group_id, meta.index)
        self._services.wake(self)
