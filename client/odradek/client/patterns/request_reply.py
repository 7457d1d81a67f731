"""Request and reply over topics: ask a service that may run anywhere, and wait for its answer.

When: a question whose asker waits, to services that scale, restart and fall behind without their askers knowing their
addresses; questions wait in the topic until somebody is there. Not where a direct call would do: two writes and two
reads are slower than one gRPC call.

How: a request carries the headers `reply_to` (a topic), `reply_partition`, `correlation_id` and `deadline_ms` (since
1970). Responders with the same `group_id` divide the requests. A requester reads one partition of the reply topic,
from when it starts. An error of the handler travels back in the headers `error_class` and `error_message`, and is
raised as `RemoteError`. Any number of requests may be under way.

Guaranteed: a request that was asked is in the log, and handled at least once, unless its deadline passes before
somebody gets to it; each `request` gets one answer, a RemoteError, or TimeoutError at its deadline.

Not guaranteed: that the request was not handled after TimeoutError; that it was handled only once (a responder that
dies after answering is asked again: use `IdempotentHandler`); any order with `concurrency` above 1. Late, repeated and
foreign replies are dropped and counted. Deadlines compare the clocks of two machines.

    async def price(request: ConsumerRecord) -> bytes:
        return str(await prices.of(request.key)).encode()

    responder = Responder("localhost:50051", "prices", "price-service", price, concurrency=20)
    async with running(responder), Requester("localhost:50051", "prices") as requester:
        answer = await requester.request(b"", key=b"apples", timeout_ms=2_000)
        answers = await asyncio.gather(*(requester.request(b"", key=key) for key in keys))
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final, Self, TypeAlias

from odradek.client.errors import ClosedError, InvalidRequestError, UnknownTopicError
from odradek.client.patterns.clock import Clock, SystemClock
from odradek.client.patterns.correlation import Arrival, CorrelationTable
from odradek.client.patterns.header_fields import field, number_of, text_of
from odradek.client.patterns.log_access import Log, Reader, Writer, log_of
from odradek.client.patterns.worker_lane import WorkerLane
from odradek.client.records import ConsumerRecord, Header, Headers, Position, TopicPartition

REPLY_TO: Final = "reply_to"
REPLY_PARTITION: Final = "reply_partition"
CORRELATION_ID: Final = "correlation_id"
DEADLINE_MS: Final = "deadline_ms"
ERROR_CLASS: Final = "error_class"
ERROR_MESSAGE: Final = "error_message"

Handler: TypeAlias = Callable[[ConsumerRecord], Awaitable[bytes | None]]


class RemoteError(Exception):
    """The handler at the other end raised this. `kind` is the name of its class."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(kind, message)
        self.kind = kind
        self.message = message

    def __str__(self) -> str:
        return f"{self.kind}: {self.message}"


@dataclass(slots=True)
class RequesterCounts:
    """Replies: that somebody waited for, that came too late or twice, and that belong to somebody else."""

    answered: int = 0
    late: int = 0
    unknown: int = 0


class Requester:
    """Asks. `reply_topic` is `<topic>.replies` unless given, and is created. See the module."""

    def __init__(
        self,
        servers: str | Log,
        topic: str,
        *,
        reply_topic: str | None = None,
        timeout_ms: int = 30_000,
        clock: Clock | None = None,
    ) -> None:
        self._log = log_of(servers)
        self._topic = topic
        self._reply_topic = reply_topic or f"{topic}.replies"
        self._timeout_ms = timeout_ms
        self._clock = clock or SystemClock()
        self._name = uuid.uuid4().hex
        self._table: CorrelationTable[asyncio.Future[bytes | None]] = CorrelationTable(self._name)
        self._partition = 0
        self._writer: Writer | None = None
        self._receiving: asyncio.Task[None] | None = None
        self._open = AsyncExitStack()
        self.counts = RequesterCounts()

    async def __aenter__(self) -> Self:
        await self._log.create_topic(self._reply_topic)
        partitions = sorted(await self._log.bounds(self._reply_topic))
        mine = partitions[int(self._name, 16) % len(partitions)]
        self._partition = mine.partition
        async with AsyncExitStack() as stack:
            self._writer = await stack.enter_async_context(self._log.writer())
            assigned = asyncio.Event()
            reader = await stack.enter_async_context(
                self._log.reader(partitions={mine: Position.latest()}, on_assigned=lambda _: assigned.set())
            )
            self._receiving = asyncio.create_task(self._receive(reader))
            stack.push_async_callback(self._end)
            waiting = asyncio.ensure_future(assigned.wait())
            await asyncio.wait([waiting, self._receiving], return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
            if self._receiving.done():
                self._receiving.result()
            self._open = stack.pop_all()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._open.aclose()

    async def request(
        self,
        value: bytes | None,
        key: bytes | None = None,
        *,
        headers: Headers = (),
        timeout_ms: int | None = None,
    ) -> bytes | None:
        """Ask, and return the value of the answer. RemoteError, TimeoutError, ClosedError, OdradekError."""
        if self._writer is None or self._receiving is None or self._receiving.done():
            raise ClosedError("the requester is not open")
        timeout_ms = self._timeout_ms if timeout_ms is None else timeout_ms
        promise: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()
        correlation_id = self._table.ask(promise)
        fields = [
            field(REPLY_TO, self._reply_topic),
            field(REPLY_PARTITION, self._partition),
            field(CORRELATION_ID, correlation_id),
            field(DEADLINE_MS, self._clock.now_ms() + timeout_ms),
        ]
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                await self._writer.publish(self._topic, value, key, headers=[*headers, *fields])
                return await promise
        finally:
            self._table.give_up(correlation_id)

    async def _receive(self, reader: Reader) -> None:
        try:
            async for record in reader:
                self._on_reply(record)
        except Exception as error:  # the boundary of this task: whoever waits for an answer gets it
            self._fail_all(error)
            raise
        finally:
            self._fail_all(ClosedError("the requester was closed before the answer came"))

    def _on_reply(self, record: ConsumerRecord) -> None:
        arrival, promise = self._table.arrive(text_of(record.headers, CORRELATION_ID))
        if arrival is Arrival.LATE:
            self.counts.late += 1
        elif arrival is Arrival.UNKNOWN:
            self.counts.unknown += 1
        elif promise is not None and not promise.done():
            self.counts.answered += 1
            kind = text_of(record.headers, ERROR_CLASS)
            if kind is None:
                promise.set_result(record.value)
            else:
                promise.set_exception(RemoteError(kind, text_of(record.headers, ERROR_MESSAGE) or ""))

    def _fail_all(self, error: Exception) -> None:
        for promise in self._table.give_up_all():
            if not promise.done():
                promise.set_exception(error)

    async def _end(self) -> None:
        assert self._receiving is not None
        self._receiving.cancel()
        await asyncio.wait([self._receiving])


@dataclass(slots=True)
class ResponderCounts:
    """Requests: answered (also with an error), past their deadline, and without an address that takes a reply."""

    answered: int = 0
    failed: int = 0
    """Those of the answered whose answer was an error."""
    expired: int = 0
    undeliverable: int = 0


class Responder:
    """Answers. The handler returns the value of the answer, or raises what the requester is to get."""

    def __init__(
        self,
        servers: str | Log,
        topic: str,
        group_id: str,
        handler: Handler,
        *,
        concurrency: int = 10,
        clock: Clock | None = None,
    ) -> None:
        self._log = log_of(servers)
        self._handler = handler
        self._clock = clock or SystemClock()
        self._writer: Writer | None = None
        self._lane = WorkerLane(
            self._log, self._on_request, concurrency, {"topics": (topic,), "group_id": group_id}
        )
        self.counts = ResponderCounts()

    async def run(self) -> None:
        async with self._log.writer() as self._writer:
            await self._lane.run()

    async def ready(self) -> None:
        await self._lane.ready()

    def stop(self) -> None:
        self._lane.stop()

    async def _on_request(self, request: ConsumerRecord) -> bool:
        reply_to = text_of(request.headers, REPLY_TO)
        correlation_id = text_of(request.headers, CORRELATION_ID)
        deadline_ms = number_of(request.headers, DEADLINE_MS)
        if reply_to is None or correlation_id is None:
            self.counts.undeliverable += 1
        elif deadline_ms is not None and deadline_ms <= self._clock.now_ms():
            self.counts.expired += 1
        else:
            value, fields = await self._answer(request)
            fields.append(field(CORRELATION_ID, correlation_id))
            reply_partition = number_of(request.headers, REPLY_PARTITION)
            await self._reply(
                request,
                TopicPartition(reply_to, -1 if reply_partition is None else reply_partition),
                value,
                fields,
            )
        return True

    async def _answer(self, request: ConsumerRecord) -> tuple[bytes | None, list[Header]]:
        try:
            return await self._handler(request), []
        except Exception as error:  # the boundary: whatever the handler raises is an answer
            self.counts.failed += 1
            return None, [field(ERROR_CLASS, type(error).__qualname__), field(ERROR_MESSAGE, str(error))]

    async def _reply(
        self, request: ConsumerRecord, to: TopicPartition, value: bytes | None, headers: Headers
    ) -> None:
        assert self._writer is not None
        partition = None if to.partition < 0 else to.partition
        try:
            await self._writer.publish(to.topic, value, request.key, headers=headers, partition=partition)
            self.counts.answered += 1
        except (UnknownTopicError, InvalidRequestError):
            # Somebody else's address is wrong: no reason to answer nobody any more.
            self.counts.undeliverable += 1
