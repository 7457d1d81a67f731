"""One consensus group on this node: carries out what the core's `Ready` asks for, and completes what users
asked for.

Decides nothing about consensus. Order kept here: nothing marked after-durable leaves before its write and
all earlier ones are durable; a received snapshot is stored before it is restored, and restored before
anything later is written; loss of leadership is told before entries of the next leader are applied, gain
after everything older is applied.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from odradek.storage.disk import DiskFullError

from .core.messages import Message, SnapshotChunk
from .core.quorum import Configuration
from .core.raft import Raft
from .core.ready import ChunkToSend, Ready
from .core.status import Status, status_of
from .core.types import NO_NODE, NORMAL, Entry, Role, SnapshotMeta
from .ports import (
    ApplyError,
    MembershipChangeError,
    NotLeaderError,
    ProposalQueueFullError,
    ProposalTooLargeError,
    StateMachine,
    TransferError,
)
from .requests import Requests, stopped
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
    on_membership: Callable[["RaftGroup"], None]
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
        self._requests = Requests(group_id)
        self._unsynced: deque[tuple[int, list[Message]]] = deque()
        self._installing = False
        self._leading_term: int | None = None
        self._snapshot_running = False
        self._log_bytes = 0
        self._snapshot_bytes = 0
        self._failure: BaseException | None = None
        # The configuration that the host was told last.
        self._told: Configuration = raft.configuration

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
            self._requests.add_proposal(index, future)
        elif self.raft.transfer_to != NO_NODE:
            future.set_exception(NotLeaderError(self.raft.transfer_to))
        elif self.raft.role == Role.LEADER:
            future.set_exception(ProposalQueueFullError("too many bytes wait for commitment"))
        else:
            future.set_exception(NotLeaderError(self.leader_id))
        self._services.wake(self)
        return future

    def _refusal(self, proposals: Sequence[bytes]) -> Exception | None:
        if self._failure is not None:
            return stopped(self.group_id, self._failure)
        if not self.is_leader:
            return NotLeaderError(self.leader_id)
        limit = self.raft.config.proposal_bytes_max
        for data in proposals:
            if len(data) > limit:
                return ProposalTooLargeError(f"a proposal of {len(data)} bytes exceeds the limit of {limit}")
        return None if proposals else ValueError("nothing to propose")

    def read_index(self) -> asyncio.Future[int]:
        """Done once this node's machine shows everything that was acknowledged before this call, anywhere: whoever
        reads it then reads linearizably. On the leader and on every other member; the result is the index.

        Fails with NotLeaderError when no leader could vouch for it in time (try again), or RaftStoppedError.
        """
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        if self._failure is not None:
            future.set_exception(stopped(self.group_id, self._failure))
            return future
        self._requests.add_read(self.raft.read(self._services.now_ms()), future)
        self._services.wake(self)
        return future

    def transfer_leadership(self, to: int) -> asyncio.Future[None]:
        """Hand over to the voter `to`. Done when this node leads no longer; until then proposals are refused.

        Fails with TransferError when `to` is no other voter, or did not take over within an election timeout (this
        node leads on), NotLeaderError or RaftStoppedError.
        """
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        raft = self.raft
        if self._failure is not None:
            future.set_exception(stopped(self.group_id, self._failure))
        elif raft.transfer_leadership(to, self._services.now_ms()):
            if not self._requests.set_transfer(to, raft.term, future):
                future.set_exception(TransferError(f"the leadership is being handed to node {to} already"))
        elif raft.role != Role.LEADER:
            future.set_exception(NotLeaderError(self.leader_id))
        else:
            future.set_exception(TransferError(f"the leadership cannot be handed to node {to} now"))
        self._services.wake(self)
        return future

    def change_membership(self, voters: Iterable[int], learners: Iterable[int] = ()) -> asyncio.Future[None]:
        """Have exactly these voters and learners from now on. Done when that is committed for good; a leader that is
        no voter any more has handed over by then. New voters should be learners first, until `status()` shows that
        they have caught up: a voter that is behind counts as much as one that is down.

        Fails with MembershipChangeError while another change or a transfer is under way, NotLeaderError (this node
        does not lead, or lost the leadership meanwhile: look at `membership`), RaftStoppedError, or ValueError for
        no voters, or a voter that is a learner too.
        """
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        target = Configuration(frozenset(voters), frozenset(), frozenset(learners))
        if self._failure is not None:
            future.set_exception(stopped(self.group_id, self._failure))
        elif not self.is_leader:
            future.set_exception(NotLeaderError(self.leader_id))
        elif self.raft.change_membership(target.incoming, target.learners, self._services.now_ms()):
            self._requests.set_change(target, future)
        elif self.raft.role != Role.LEADER:
            future.set_exception(NotLeaderError(self.leader_id))
        else:
            future.set_exception(MembershipChangeError("another change is under way"))
        self._services.wake(self)
        return future

    @property
    def membership(self) -> Configuration:
        """Voters (`incoming`; while a change is under way the old ones too, as `outgoing`) and learners, as the newest
        entry in this node's log says; see `Raft.is_membership_committed`."""
        return self.raft.configuration

    def status(self) -> Status:
        """Who leads and how far everyone is; the members' progress only on the leader."""
        return status_of(self.raft, self._services.now_ms())

    async def wait_until_leader(self) -> None:
        """Return when `is_leader` is true. Raises RaftStoppedError."""
        while not self.is_leader:
            if self._failure is not None:
                raise stopped(self.group_id, self._failure)
            await self._requests.leadership()

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
        meta = SnapshotMeta(log.applied, term, len(data), self.raft.configuration_at(log.applied))
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

    def on_peer_lost(self, node_id: int) -> None:
        """See `RaftHost.on_peer_lost`."""
        if self._failure is None and self.raft.leader_id == node_id:
            self.raft.on_leader_lost(self._services.now_ms())
            self._services.wake(self)

    def on_peer_found(self, node_id: int) -> None:
        """What is sent to that node has a way now."""
        if self._failure is None and node_id in self.raft.configuration.voters:
            self.raft.on_voter_found(self._services.now_ms())
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
        # A change may be complete because it removed this node: that comes before the loss of the leadership.
        self._requests.settle(self.raft)
        self._tell_loss()
        while self._failure is None and not self._installing and (ready := self.raft.ready()) is not None:
            if ready.snapshot is not None:
                self._install(ready)
            else:
                self._perform(ready)
        if self._failure is None:
            self._requests.settle(self.raft)
            self._tell_gain()
            self._tell_membership()
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
        self._requests.on_stopped(failure)

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
        if ready.reads and self._failure is None:
            self._requests.on_reads(ready.reads, self.raft.log.applied, self.leader_id)

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
        self._requests.on_applied(first_index + len(entries) - 1)

    def _tell_loss(self) -> None:
        if self._leading_term is None or self.is_leader:
            return
        self._leading_term = None
        self._requests.on_leadership_lost(self.leader_id)
        self._tell_machine(False)

    def _tell_gain(self) -> None:
        start = self.raft.term_start_index
        if self._leading_term is None and start is not None and self.raft.log.applied >= start:
            self._leading_term = self.raft.term
            self._tell_machine(True)
            self._requests.wake_leader_waiters()

    def _tell_membership(self) -> None:
        configuration = self.raft.configuration
        if configuration != self._told:
            self._told = configuration
            self._services.on_membership(self)

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
        self._requests.on_applied(snapshot.index)
        self._services.wake(self)

    def _on_snapshot_stored(self, meta: SnapshotMeta) -> None:
        self._snapshot_running = False
        if self._failure is not None:
            return
        log = self.raft.log
        # Followers that are a little behind get entries rather than the snapshot; without any there is no use.
        has_followers = self.raft.configuration.members != {self.raft.node_id}
        trailing_bytes = self._services.trailing_log_bytes if has_followers else 0
        keep_from = log.tail_start(meta.index, trailing_bytes)
        self.raft.on_snapshot_stored(meta, keep_from)
        self._services.wal.note_snapshot(self.group_id, meta.index)
        self._services.wake(self)
