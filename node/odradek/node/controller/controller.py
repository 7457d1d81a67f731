"""The controller: the one writer of the cluster's metadata, on the leader of the metadata group.

Decides the order of changes and nothing else: what a request comes to is decided by pure operations
(`topics`, `configs`, `brokers`, `producer_ids`), who may ask by the application layer.

One entry of the metadata log is in flight at a time. Operations that arrive meanwhile wait; then all of
them are judged one after the other, each against the image that the ones before it will leave behind, and
their records travel as one entry: one fsync for all of them, and no two of them can create the same topic.
Every answer is given after the entry was committed and applied here, so whoever got an answer finds the
change in the image.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from random import Random
from typing import Any, Final, Protocol, TypeVar

from odradek.node.controller import brokers, configs, producer_ids, topics
from odradek.node.controller.image import BrokerImage, MetadataImage
from odradek.node.controller.publisher import ImageListener, Publisher
from odradek.node.controller.records import EMPTY_FRAME, Record, Result, append_records
from odradek.node.controller.state import MetadataState
from odradek.proto.kafka.errors import ErrorCode
from odradek.raft.ports import ProposalQueueFullError, ProposalTooLargeError

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

    def propose(self, data: bytes) -> asyncio.Future[int]:
        """Resolves with the entry's index after commit and apply; fails where this node does not lead."""


class Policy(configs.Rules, Protocol):
    """What the node's settings and the image come to; see `effective`."""

    def topic_defaults(self, image: MetadataImage) -> topics.TopicDefaults: ...

    def check_topic_configs(self, overrides: Mapping[str, str], image: MetadataImage) -> str | None: ...


class ControllerError(Exception):
    """A change that was not made, or whose outcome is not known: the code for everything that was asked."""

    def __init__(self, error: ErrorCode, message: str) -> None:
        self.error = error
        super().__init__(message)


class Controller:
    """`machine` is the state machine to open the metadata group with; `attach` takes the opened group."""

    def __init__(self, node_id: int, policy: Policy, random: Random) -> None:
        self._node_id = node_id
        self._policy = policy
        self._random = random
        self._publisher = Publisher()
        self.machine = MetadataState(self._publisher.publish)
        self._log: MetadataLog | None = None
        self._waiting: deque[tuple[Operation[Any], asyncio.Future[Any]]] = deque()
        self._in_flight = False

    @property
    def image(self) -> MetadataImage:
        """The last agreed and applied metadata."""
        return self.machine.image

    def subscribe(self, listener: ImageListener) -> None:
        """`listener(delta, image)` for what is there, and then on every change; nothing before `start`."""
        self._publisher.subscribe(listener)

    def attach(self, log: MetadataLog) -> None:
        self._log = log

    async def start(
        self, cluster_id: str, broker: BrokerImage, features: dict[str, int] | None = None
    ) -> None:
        """Founds the cluster if it is new and registers this node. Raises `ClusterMismatchError`.

        This node must have applied the log as far as it was committed before. Listeners hear of what is there now,
        not of how it came about.
        """
        self._publisher.open()
        await self.run(lambda image: brokers.found_cluster(image, cluster_id, features or {}))
        await self.run(lambda image: brokers.register_broker(image, broker))

    async def create_topics(
        self, new: Sequence[topics.NewTopic], *, validate_only: bool = False, timeout_ms: int = TIMEOUT_MS
    ) -> list[topics.TopicOutcome]:
        def create(image: MetadataImage) -> Result[list[topics.TopicOutcome]]:
            return topics.create_topics(
                image,
                new,
                self._policy.topic_defaults(image),
                lambda overrides: self._policy.check_topic_configs(overrides, image),
                self._random,
            )

        return await self._run_or_try(create, validate_only, timeout_ms)

    async def delete_topics(
        self, names: Sequence[str], topic_ids: Sequence[bytes], *, timeout_ms: int = TIMEOUT_MS
    ) -> list[topics.TopicOutcome]:
        return await self.run(lambda image: topics.delete_topics(image, names, topic_ids), timeout_ms)

    async def create_partitions(
        self,
        more: Sequence[topics.MorePartitions],
        *,
        validate_only: bool = False,
        timeout_ms: int = TIMEOUT_MS,
    ) -> list[topics.TopicOutcome]:
        def grow(image: MetadataImage) -> Result[list[topics.TopicOutcome]]:
            return topics.create_partitions(image, more, self._random)

        return await self._run_or_try(grow, validate_only, timeout_ms)

    async def alter_configs(
        self, alterations: Sequence[configs.ConfigAlteration], *, validate_only: bool = False
    ) -> list[configs.ConfigOutcome]:
        """Replaces all configs of the resources."""
        return await self._run_or_try(
            lambda image: configs.replace_configs(image, alterations, self._policy), validate_only, TIMEOUT_MS
        )

    async def incremental_alter_configs(
        self, alterations: Sequence[configs.ConfigAlteration], *, validate_only: bool = False
    ) -> list[configs.ConfigOutcome]:
        return await self._run_or_try(
            lambda image: configs.incremental_alter_configs(image, alterations, self._policy),
            validate_only,
            TIMEOUT_MS,
        )

    async def allocate_producer_ids(self, count: int = producer_ids.PRODUCER_IDS_PER_BLOCK) -> int:
        """The first of `count` ids that nobody else will ever get."""
        return await self.run(lambda image: producer_ids.allocate_block(image, self._node_id, count))

    async def run(self, operation: Operation[R], timeout_ms: int = TIMEOUT_MS) -> R:
        """The operation's response once its records are agreed on and applied. Raises `ControllerError`.

        After a time-out the change may still be made.
        """
        if self._log is None or not self._log.is_leader:
            raise ControllerError(ErrorCode.NOT_CONTROLLER, "this node is not the active controller")
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

    async def _run_or_try(self, operation: Operation[R], validate_only: bool, timeout_ms: int) -> R:
        if validate_only:
            return operation(self.image).response
        return await self.run(operation, timeout_ms)

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
        image = self.machine.image
        frame = bytearray(EMPTY_FRAME)
        answers: _Answers = []
        unseen: Sequence[Record] = ()
        while self._waiting and len(frame) < ENTRY_BYTES_ENOUGH:
            operation, future = self._waiting[0]
            if unseen:
                image, unseen = self.machine.preview(image, unseen), ()
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
        self._drain()


def _controller_error(error: BaseException) -> ControllerError:
    if isinstance(error, ProposalTooLargeError):
        return ControllerError(ErrorCode.POLICY_VIOLATION, f"the change is too large: {error}")
    if isinstance(error, ProposalQueueFullError):
        return ControllerError(ErrorCode.REQUEST_TIMED_OUT, str(error))
    return ControllerError(ErrorCode.NOT_CONTROLLER, f"the change may not have been agreed on: {error}")


def _answer(answers: _Answers) -> None:
    for future, response in answers:
        if not future.done():
            future.set_result(response)


def _fail(answers: _Answers, error: ControllerError) -> None:
    for future, _ in answers:
        if not future.done():
            future.set_exception(error)
