"""A saga, orchestrated: steps in several services, which are all carried out, or compensated in reverse order.

When: something that no single transaction covers (book a flight, then a hotel, then take the money), where one place
should know how far it is. Where services rather react to each other: `choreography`.

How: a `Saga` is a list of steps, each an action and, if it can be undone, a compensation. A `SagaRunner` writes to a
topic that a saga started, and after each step what came of it; `saga_state` says what is next. A step that raises
is tried again (`retry`, or not if it raises `Reject`), then the steps that were done are compensated. Runners of the
same saga form a group and divide the partitions of the topic: when one dies, another reads the log of its sagas from
the beginning and goes on where they were. Context: `data` is the input, `results` what earlier steps returned (both
JSON), `key` is "<saga id>/<step>", and "<saga id>/<step>/undo" for a compensation.

Guaranteed: once `start` returned, the saga ends: completed, compensated, or stuck, which is when a compensation failed
`compensation_retry` times (`retry_stuck` goes on, when the reason is repaired). Order of steps; compensations in
reverse order. A saga id is started once, however often `start` is called.

Not guaranteed: that a step runs once. A runner that dies between a step and its entry, or is slow to notice that its
partitions went elsewhere, makes it run again: actions and compensations must be idempotent by `key`. The step that
failed is not compensated itself: an action either has an effect or raises (one that cannot know should be undone by an
earlier step's compensation). No isolation: others see what is done before it is undone. Attempts are counted anew after
a restart. Steps that were renamed or removed are not found again by sagas under way.

    booking = Saga("booking", [
        Step("flight", book_flight, cancel_flight),
        Step("hotel", book_hotel, cancel_hotel),
        Step("payment", take_payment),
    ])
    runner = SagaRunner("localhost:50051", "bookings.saga", booking)
    async with running(runner):
        await runner.start("booking-4711", {"customer": "alice", "to": "Prague"})
        outcome = await runner.outcome("booking-4711")
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final, NamedTuple, TypeAlias

from odradek.client.errors import ClosedError
from odradek.client.patterns.clock import Clock, SystemClock, sleep_unless
from odradek.client.patterns.log_access import Log, Reader, Writer, log_of
from odradek.client.patterns.retry_policy import RetryPolicy
from odradek.client.patterns.saga_state import Do, End, Entry, Kind, Outcome, SagaState, Undo
from odradek.client.patterns.service import first_of
from odradek.client.records import ConsumerRecord, TopicPartition

_LOADING_POLL_MS: Final = 100
_POLL_MS: Final = 1_000
_COMPENSATION_RETRY: Final = RetryPolicy(max_attempts=10)


class StepContext(NamedTuple):
    """What a step knows. `key` is the same whenever this step of this saga runs: make it idempotent by it."""

    saga_id: str
    key: str
    data: Any
    results: Mapping[str, Any]


Action: TypeAlias = Callable[[StepContext], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Step:
    """`action` returns what JSON holds. Without a `compensation` there is nothing to undo."""

    name: str
    action: Action
    compensation: Action | None = None


class Saga:
    """Steps by name, in order."""

    def __init__(self, name: str, steps: Sequence[Step]) -> None:
        self.name = name
        self.steps = {step.name: step for step in steps}
        if len(self.steps) != len(steps):
            raise ValueError(f"two steps of saga {name} have the same name")


async def start_saga(writer: Writer, topic: str, saga_id: str, data: Any = None) -> None:
    """Start a saga from any process: some runner of the topic takes it up. Starting it again does nothing."""
    await writer.publish(topic, Entry(0, Kind.STARTED, data=data).to_json(), saga_id.encode())


@dataclass(slots=True)
class _Course:
    """A saga in a partition of this runner."""

    saga_id: str
    tp: TopicPartition
    state: SagaState
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None


class SagaRunner:
    """Carries out the sagas of a topic, which is created if need be. See the module."""

    def __init__(
        self,
        servers: str | Log,
        topic: str,
        saga: Saga,
        *,
        retry: RetryPolicy | None = None,
        compensation_retry: RetryPolicy = _COMPENSATION_RETRY,
        concurrency: int = 100,
        clock: Clock | None = None,
    ) -> None:
        self._log = log_of(servers)
        self._topic = topic
        self._saga = saga
        self._retry = retry or RetryPolicy()
        self._compensation_retry = compensation_retry
        self._clock = clock or SystemClock()
        self._random = Random()
        self._slots = asyncio.Semaphore(concurrency)
        self._courses: dict[str, _Course] = {}
        self._loading: dict[TopicPartition, int] = {}
        """Partitions whose past is being read, and where it ends."""
        self._assigned: frozenset[TopicPartition] | None = None
        self._asked: dict[str, list[asyncio.Future[Outcome]]] = {}
        self._ready = asyncio.Event()
        self._stopping = asyncio.Event()
        self._writer: Writer | None = None
        self._group: asyncio.TaskGroup | None = None
        self._reading: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Until `stop`; steps that run then are finished, sagas go on when a runner is there again."""
        await self._log.create_topic(self._topic, configs={"retention.ms": "-1"})
        # Nothing is ever committed: whoever gets a partition reads the log of its sagas from the beginning.
        reader_of_group = self._log.reader(
            topics=(self._topic,),
            group_id=f"{self._topic}.{self._saga.name}",
            offset_reset="earliest",
            auto_commit=False,
            on_assigned=self._on_assigned,
        )
        try:
            async with (
                self._log.writer() as self._writer,
                reader_of_group as reader,
                asyncio.TaskGroup() as group,
            ):
                self._group = group
                if not self._stopping.is_set():
                    self._reading = group.create_task(self._read(reader))
        except BaseExceptionGroup as failed:
            raise first_of(failed) from None
        finally:
            self._writer = None
            for asked in self._asked.values():
                for promise in asked:
                    promise.cancel()

    async def ready(self) -> None:
        await self._ready.wait()

    def stop(self) -> None:
        self._stopping.set()
        self._ready.set()
        if self._reading is not None:
            self._reading.cancel()
        for course in self._courses.values():
            course.changed.set()

    async def start(self, saga_id: str, data: Any = None) -> None:
        """Returns when it is certain to be carried out, by this runner or another one. OdradekError."""
        await start_saga(self._open_writer(), self._topic, saga_id, data)

    async def outcome(self, saga_id: str) -> Outcome:
        """Wait for the end of a saga in one of the partitions of this runner."""
        course = self._courses.get(saga_id)
        if course is not None and course.state.outcome is not None:
            return _outcome(course.state)
        promise: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._asked.setdefault(saga_id, []).append(promise)
        return await promise

    def stuck(self) -> dict[str, str]:
        """Sagas here whose compensation failed, and why."""
        return {
            saga_id: course.state.error
            for saga_id, course in self._courses.items()
            if course.state.outcome is Kind.STUCK
        }

    async def retry_stuck(self, saga_id: str) -> None:
        """Go on with the compensation of a stuck saga. KeyError: there is no such saga here."""
        course = self._courses[saga_id]
        if course.state.outcome is Kind.STUCK:
            await self._write(course, Entry(course.state.next_number, Kind.RETRIED))

    # -- the log

    async def _on_assigned(self, partitions: Sequence[TopicPartition]) -> None:
        before, self._assigned = self._assigned or frozenset(), frozenset(partitions)
        for course in [one for one in self._courses.values() if one.tp not in self._assigned]:
            del self._courses[course.saga_id]
            if course.task is not None:
                course.task.cancel()
        bounds = await self._log.bounds(self._topic) if self._assigned else {}
        past = {tp: end for tp, end in self._loading.items() if tp in self._assigned}
        new = {tp: bounds[tp] for tp in self._assigned - before}
        self._loading = past | {tp: one.end for tp, one in new.items() if one.end > one.start}

    async def _read(self, reader: Reader) -> None:
        while True:
            is_loading = not self._ready.is_set() or bool(self._loading)
            for record in await reader.poll(timeout_ms=_LOADING_POLL_MS if is_loading else _POLL_MS):
                self._on_record(record)
            for tp, end in list(self._loading.items()):
                if tp in reader.assignment and reader.position(tp) >= end:
                    del self._loading[tp]
                    for course in [one for one in self._courses.values() if one.tp == tp]:
                        self._maybe_go(course)
            if self._assigned is not None and not self._loading:
                self._ready.set()

    def _on_record(self, record: ConsumerRecord) -> None:
        entry = None if record.value is None else Entry.from_json(record.value)
        if entry is None or record.key is None:
            return
        saga_id = record.key.decode(errors="replace")
        course = self._courses.get(saga_id)
        if course is None:
            state = SagaState(list(self._saga.steps))
            course = self._courses[saga_id] = _Course(saga_id, record.topic_partition, state)
        if course.state.apply(entry):
            course.changed.set()
            if course.state.outcome is not None:
                for promise in self._asked.pop(saga_id, ()):
                    if not promise.done():
                        promise.set_result(_outcome(course.state))
            self._maybe_go(course)

    async def _write(self, course: _Course, entry: Entry) -> None:
        key = course.saga_id.encode()
        await self._open_writer().publish(self._topic, entry.to_json(), key, partition=course.tp.partition)

    def _open_writer(self) -> Writer:
        if self._writer is None:
            raise ClosedError("the runner does not run")
        return self._writer

    # -- the steps

    def _maybe_go(self, course: _Course) -> None:
        if course.task is None and course.tp not in self._loading and course.state.next() is not None:
            assert self._group is not None
            course.task = self._group.create_task(self._go(course))

    async def _go(self, course: _Course) -> None:
        """Step by step, as the log says: also what another runner wrote, if it was faster."""
        try:
            async with self._slots:
                while not self._stopping.is_set() and (what := course.state.next()) is not None:
                    entry = await self._carry_out(course, what)
                    if entry is None:
                        return
                    await self._write(course, entry)
                    while course.state.next_number <= entry.number and not self._stopping.is_set():
                        course.changed.clear()
                        await course.changed.wait()
        finally:
            course.task = None

    async def _carry_out(self, course: _Course, what: Do | Undo | End) -> Entry | None:
        """What came of it. None: stopped while waiting to try again."""
        number = course.state.next_number
        if isinstance(what, End):
            return Entry(number, what.kind)
        step = self._saga.steps[what.step]
        if isinstance(what, Do):
            key = f"{course.saga_id}/{step.name}"
            action, retry, done, failed = step.action, self._retry, Kind.DONE, Kind.FAILED
        elif step.compensation is None:
            return Entry(number, Kind.UNDONE, step.name)
        else:
            key = f"{course.saga_id}/{step.name}/undo"
            action, retry = step.compensation, self._compensation_retry
            done, failed = Kind.UNDONE, Kind.STUCK
        context = StepContext(course.saga_id, key, course.state.data, course.state.results)
        attempts = 0
        while True:
            try:
                return Entry(number, done, step.name, await action(context))
            except Exception as error:  # the boundary: whatever a step raises is a failed attempt
                attempts += 1
                delay_ms = retry.delay_ms(attempts, error, self._random)
                if delay_ms is None:
                    return Entry(number, failed, step.name, f"{type(error).__qualname__}: {error}")
            if not await sleep_unless(self._stopping, self._clock, self._clock.now_ms() + delay_ms):
                return None


def _outcome(state: SagaState) -> Outcome:
    assert state.outcome is not None
    return Outcome(state.outcome, state.results, state.error)
