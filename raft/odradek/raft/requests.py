"""What users of a group wait for: proposals, reads, a change of membership, a transfer of the leadership.

Decides when each future is done, and with what. Decides nothing about consensus. Invariants: every future ends, at
the latest when the group stops; a proposal ends well only when it is applied, a read only when its index is.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from heapq import heappop, heappush
from typing import TypeVar

from .core.quorum import Configuration
from .core.raft import Raft
from .core.read_index import ReadResult
from .core.types import NO_NODE
from .ports import NotLeaderError, RaftStoppedError, TransferError

_T = TypeVar("_T")


class Requests:
    """The open requests of one group. All calls on the loop's thread."""

    def __init__(self, group_id: int) -> None:
        self._group_id = group_id
        self._proposals: deque[tuple[int, asyncio.Future[int]]] = deque()
        # Reads without an index yet, by id; and with one, waiting for it to be applied.
        self._reads: dict[int, list[asyncio.Future[int]]] = {}
        self._reads_at: list[tuple[int, int, list[asyncio.Future[int]]]] = []
        self._change: tuple[Configuration, asyncio.Future[None]] | None = None
        # The successor, the term that ends, and whoever waits for that.
        self._transfer: tuple[int, int, asyncio.Future[None]] | None = None
        self._leader_waiters: list[asyncio.Future[None]] = []

    # -- new ones

    def add_proposal(self, index: int, future: asyncio.Future[int]) -> None:
        """Indexes come in order."""
        self._proposals.append((index, future))

    def add_read(self, read_id: int, future: asyncio.Future[int]) -> None:
        self._reads.setdefault(read_id, []).append(future)

    def set_change(self, target: Configuration, future: asyncio.Future[None]) -> None:
        assert self._change is None, self._change
        self._change = (target, future)

    def set_transfer(self, to: int, term: int, future: asyncio.Future[None]) -> bool:
        """False when one is waited for already."""
        if self._transfer is None:
            self._transfer = (to, term, future)
            return True
        return False

    def leadership(self) -> asyncio.Future[None]:
        """Done when this node may lead, or the group has stopped: look again."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._leader_waiters.append(future)
        return future

    # -- what happens

    def on_applied(self, applied: int) -> None:
        """The machine has everything up to `applied`."""
        proposals, reads = self._proposals, self._reads_at
        while proposals and proposals[0][0] <= applied:
            index, future = proposals.popleft()
            _complete(future, index)
        while reads and reads[0][0] <= applied:
            index, _, futures = heappop(reads)
            for future in futures:
                _complete(future, index)

    def on_reads(self, results: Sequence[ReadResult], applied: int, leader_id: int | None) -> None:
        """The core's answers to reads."""
        for result in results:
            futures = self._reads.pop(result.read_id, [])
            if result.index is None:
                for future in futures:
                    _fail(future, NotLeaderError(leader_id))
            elif futures:
                heappush(self._reads_at, (result.index, result.read_id, futures))
        self.on_applied(applied)

    def settle(self, raft: Raft) -> None:
        """Complete a change or a transfer that has come to its end."""
        if self._change is not None and raft.is_membership_committed and not raft.configuration.is_joint:
            target, future = self._change
            if target == raft.configuration:
                self._change = None
                _complete(future, None)
        if self._transfer is not None:
            to, term, future = self._transfer
            if raft.replication is None or raft.term != term:
                self._transfer = None
                _complete(future, None)
            elif raft.transfer_to == NO_NODE:
                self._transfer = None
                _fail(future, TransferError(f"node {to} did not take the leadership in time"))

    def on_leadership_lost(self, leader_id: int | None) -> None:
        """What was under way may or may not happen."""
        proposals, self._proposals = self._proposals, deque()
        for _, future in proposals:
            _fail(future, NotLeaderError(leader_id))
        if self._change is not None:
            _fail(self._change[1], NotLeaderError(leader_id))
            self._change = None

    def wake_leader_waiters(self) -> None:
        waiters, self._leader_waiters = self._leader_waiters, []
        for waiter in waiters:
            _complete(waiter, None)

    def on_stopped(self, failure: BaseException) -> None:
        """Nothing will happen any more."""
        futures: list[asyncio.Future[int] | asyncio.Future[None]] = [future for _, future in self._proposals]
        futures += [future for waiting in self._reads.values() for future in waiting]
        futures += [future for _, _, waiting in self._reads_at for future in waiting]
        if self._change is not None:
            futures.append(self._change[1])
        if self._transfer is not None:
            futures.append(self._transfer[2])
        self._proposals.clear()
        self._reads.clear()
        self._reads_at.clear()
        self._change = self._transfer = None
        for future in futures:
            _fail(future, stopped(self._group_id, failure))
        self.wake_leader_waiters()


def stopped(group_id: int, failure: BaseException) -> RaftStoppedError:
    """The error for everything that is asked of a group after its end."""
    error = RaftStoppedError(f"group {group_id} has stopped")
    error.__cause__ = failure
    return error


def _complete(future: asyncio.Future[_T], value: _T) -> None:
    if not future.done():
        future.set_result(value)


def _fail(future: asyncio.Future[int] | asyncio.Future[None], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
