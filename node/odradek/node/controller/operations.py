"""The order of changes: one entry of the metadata log at a time, with everything that was asked meanwhile in it.

Operations that arrive while an entry is in flight wait; then all of them are judged one after the other, each against
the image that the ones before it will leave behind, and their records travel as one entry: one fsync for all of them,
and no two of them can create the same topic. Every answer is given after the entry was committed and applied here, so
whoever got an answer finds the change in the image.

Decides the order and the size of entries, not what an operation comes to.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, Protocol, TypeVar

from odradek.node.controller.image import MetadataImage
from odradek.node.controller.records import EMPTY_FRAME, Record, Result, append_records
from odradek.node.controller.state import MetadataState
from odradek.proto.kafka.errors import ErrorCode
from odradek.raft.ports import ProposalQueueFullError, ProposalTooLargeError, RaftError

R = TypeVar("R")

ENTRY_BYTES_ENOUGH: Final = 1024 * 1024
"""An entry that has so many bytes takes no further operation; one operation is never split."""
ENTRY_BYTES_MAX: Final = 4 * 1024 * 1024
"""An entry of several operations has at most so many bytes."""
WAITING_OPERATIONS_MAX: Final = 10_000
TIMEOUT_MS: Final = 60_000

_Answers = list[tuple[asyncio.Future[Any], Any]]
Operation = Callable[[MetadataImage], Result[R]]


class MetadataLog(Protocol):
    """The metadata group of Raft (`odradek.raft.group.RaftGroup`), as far as it is needed here."""

    @property
    def is_leader(self) -> bool: ...

    @property
    def leader_id(self) -> int | None: ...

    def propose(self, data: bytes) -> asyncio.Future[int]:
        """Resolves with the entry's index after commit and apply; fails where this node does not lead."""

    def read_index(self) -> asyncio.Future[int]:
        """Resolves once a quorum has confirmed, after the call, who leads; fails with RaftError."""


class ControllerError(Exception):
    """A change that was not made, or whose outcome is not known: the code for everything that was asked.

    `is_undecided`: it was proposed, and leadership was lost; it may be agreed on yet. Whoever may make it twice can try
    again as NOT_CONTROLLER says; whoever may not must not.
    """

    def __init__(self, error: ErrorCode, message: str, *, is_undecided: bool = False) -> None:
        self.error = error
        self.is_undecided = is_undecided
        super().__init__(message)


class Operations:
    """`machine` is the state machine of the metadata group; `attach` takes the opened group."""

    def __init__(self, machine: MetadataState) -> None:
        self._machine = machine
        self._log: MetadataLog | None = None
        self._waiting: deque[tuple[Operation[Any], asyncio.Future[Any]]] = deque()
        self._in_flight = False

    def attach(self, log: MetadataLog) -> None:
        self._log = log

    @property
    def is_active(self) -> bool:
        return self._log is not None and self._log.is_leader

    @property
    def leader_id(self) -> int | None:
        return None if self._log is None else self._log.leader_id

    def require_active(self) -> None:
        """Raises `ControllerError` where this node does not lead."""
        if not self.is_active:
            raise not_controller()

    async def confirm_active(self) -> None:
        """Return if a quorum still takes this node for the leader: one that was paused may have been replaced
        without having heard of it. Raises `ControllerError`."""
        self.require_active()
        assert self._log is not None
        try:
            await self._log.read_index()
        except RaftError:
            raise not_controller() from None
        self.require_active()

    async def run(self, operation: Operation[R], timeout_ms: int = TIMEOUT_MS) -> R:
        """The operation's response once its records are agreed on and applied. Raises `ControllerError`.

        After a time-out the change may still be made.
        """
        self.require_active()
        if len(self._waiting) >= WAITING_OPERATIONS_MAX:
            raise ControllerError(ErrorCode.REQUEST_TIMED_OUT, "too many metadata changes are waiting")
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((operation, future))
        self._drain()
        if future.done():
            return future.result()
        try:
            async with asyncio.timeout(max(timeout_ms, 0) / 1000):
                return await future
        except TimeoutError:
            raise ControllerError(
                ErrorCode.REQUEST_TIMED_OUT, "the change was not agreed on in time"
            ) from None

    def fail_waiting(self) -> None:
        """Leadership is lost: what was not begun never will be."""
        waiting, self._waiting = self._waiting, deque()
        _fail([(future, None) for _, future in waiting], not_controller())

    def _drain(self) -> None:
        """Starts the next entry unless one is in flight."""
        while self._waiting and not self._in_flight:
            frame, answers = self._judge_waiting()
            if len(frame) == len(EMPTY_FRAME):
                _answer(answers)
                continue
            assert self._log is not None, "operations wait only once a log is attached"
            self._in_flight = True
            self._log.propose(bytes(frame)).add_done_callback(partial(self._on_settled, answers))

    def _judge_waiting(self) -> tuple[bytearray, _Answers]:
        """Runs waiting operations, each on the image that the ones before it will leave behind."""
        image = self._machine.image
        frame = bytearray(EMPTY_FRAME)
        answers: _Answers = []
        unseen: Sequence[Record] = ()
        while self._waiting and len(frame) < ENTRY_BYTES_ENOUGH:
            operation, future = self._waiting[0]
            if unseen:
                image, unseen = self._machine.preview(image, unseen), ()
            if not future.done():  # its caller has not given up
                try:
                    result = operation(image)
                except Exception as error:  # the boundary of one caller's work: others go on
                    future.set_exception(error)
                else:
                    before = len(frame)
                    append_records(frame, result.records)
                    if before > len(EMPTY_FRAME) and len(frame) > ENTRY_BYTES_MAX:
                        del frame[before:]  # large: alone in the next entry, where it can only fail alone
                        break
                    unseen = result.records
                    answers.append((future, result.response))
            self._waiting.popleft()
        return frame, answers

    def _on_settled(self, answers: _Answers, proposal: asyncio.Future[int]) -> None:
        self._in_flight = False
        error = asyncio.CancelledError() if proposal.cancelled() else proposal.exception()
        if error is not None:
            _fail(answers, _controller_error(error))
        else:
            _answer(answers)
        if self.is_active:
            self._drain()
        else:
            self.fail_waiting()


def not_controller() -> ControllerError:
    return ControllerError(ErrorCode.NOT_CONTROLLER, "this node is not the active controller")


def _controller_error(error: BaseException) -> ControllerError:
    if isinstance(error, ProposalTooLargeError):
        return ControllerError(ErrorCode.POLICY_VIOLATION, f"the change is too large: {error}")
    if isinstance(error, ProposalQueueFullError):
        return ControllerError(ErrorCode.REQUEST_TIMED_OUT, str(error))
    message = f"the change may not have been agreed on: {error}"
    return ControllerError(ErrorCode.NOT_CONTROLLER, message, is_undecided=True)


def _answer(answers: _Answers) -> None:
    for future, response in answers:
        if not future.done():
            future.set_result(response)


def _fail(answers: _Answers, error: ControllerError) -> None:
    for future, _ in answers:
        if not future.done():
            future.set_exception(error)
