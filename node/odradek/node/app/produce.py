"""Produce: append each partition's batch, wait until it is as safe as `acks` asks, answer per partition.

`acks=all` waits for the high watermark, which counts only records that are fsynced on every in-sync replica; `acks=1`
waits for the disk of this node; `acks=0` gets no answer, but whoever asks next on its connection finds the records of
a topic without followers, so it waits as acks=1 does. The appends of one request are synchronous calls on the loop;
what waits is one object for the request, however many partitions it has.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from odradek.node.app.context import RequestContext
from odradek.node.partition.replicas import ACKS_ALL, Partition, Replicas
from odradek.node.runtime.alarm import Alarm
from odradek.node.runtime.deadlines import Deadlines
from odradek.node.runtime.deferred import Deferred
from odradek.proto.kafka.errors import ErrorCode
from odradek.storage.log import AppendResult

Records = bytearray | memoryview

_ATTRIBUTES_AT = 22  # the low byte of a batch's attributes


class ProducePartition:
    """One batch (Kafka record batch v2, in a writable buffer: offsets are stamped in place)."""

    __slots__ = ("index", "records", "topic")

    def __init__(self, topic: str, index: int, records: Records | None) -> None:
        self.topic = topic
        self.index = index
        self.records = records


class ProduceCommand(NamedTuple):
    """`acks` is 0, 1 or -1 (all); `version` is the Produce version whose rules apply (7 is the first with zstd)."""

    acks: int
    timeout_ms: int
    version: int
    partitions: Sequence[ProducePartition]
    transactional_id: str | None = None


class Clock(Protocol):
    def __call__(self) -> int: ...


def failed(error: ErrorCode, message: str | None = None) -> AppendResult:
    return AppendResult(error=error, error_message=message)


def _is_transactional(records: Records | None) -> bool:
    return records is not None and len(records) > _ATTRIBUTES_AT and bool(records[_ATTRIBUTES_AT] & 0x10)


class PendingProduce:
    """A request whose batches are appended and not yet safe."""

    __slots__ = ("_results", "_service", "deferred", "waiting")

    def __init__(self, service: ProduceService, results: list[AppendResult]) -> None:
        self._service = service
        self._results = results
        self.waiting: dict[Partition, int] = {}  # -> its place among the results
        self.deferred: Deferred[list[AppendResult]] = Deferred()

    def on_passed(self, partition: Partition) -> None:
        """This request's batch in `partition` is safe."""
        waiting = self.waiting
        if waiting.pop(partition, None) is not None and not waiting:
            self._service.finish(self, self._results)

    def on_failed(self, partition: Partition, error: ErrorCode) -> None:
        """`partition` cannot make the batch safe any more."""
        place = self.waiting.pop(partition, None)
        if place is not None:
            self._results[place] = failed(error)
            if not self.waiting:
                self._service.finish(self, self._results)

    def expire(self) -> None:
        if not self.waiting:
            return
        for place in self.waiting.values():
            self._results[place] = failed(ErrorCode.REQUEST_TIMED_OUT)
        self.waiting.clear()
        self._service.finish(self, self._results)


class ProduceService:
    """`clock` gives wall-clock ms (record timestamps are checked against it)."""

    def __init__(
        self, replicas: Replicas, clock: Clock, new_alarm: Callable[[Callable[[int], int | None]], Alarm]
    ) -> None:
        self._replicas = replicas
        self._clock = clock
        self._deadlines: Deadlines[PendingProduce] = Deadlines()
        self._alarm = new_alarm(self._on_due)
        self._drained: asyncio.Future[None] | None = None

    def produce(self, context: RequestContext, command: ProduceCommand) -> Deferred[list[AppendResult]]:
        """One result per partition of the command, in its order."""
        acks = command.acks
        if acks not in (-1, 0, 1):
            refusal = failed(ErrorCode.INVALID_REQUIRED_ACKS, f"acks {acks}; allowed are -1, 0 and 1")
            return Deferred.resolved([refusal] * len(command.partitions))
        now_ms = self._clock()
        results: list[AppendResult] = []
        pending: PendingProduce | None = None
        seen: set[Partition] = set()
        for asked in command.partitions:
            partition = self._replicas.find(asked.topic, asked.index)
            if isinstance(partition, ErrorCode):
                results.append(failed(partition))
                continue
            if partition in seen:
                results.append(failed(ErrorCode.INVALID_REQUEST, "one partition twice in a request"))
                continue
            seen.add(partition)
            if command.transactional_id is not None or _is_transactional(asked.records):
                results.append(failed(ErrorCode.INVALID_TXN_STATE, "transactions are not served"))
                continue
            result = self._replicas.append(partition, asked.records, now_ms, command.version, acks)
            results.append(result)
            if result.error is not ErrorCode.NONE:
                continue
            replica = partition.replica
            safe = replica.high_watermark if acks == ACKS_ALL else replica.durable_end_offset
            if safe <= result.last_offset:
                if pending is None:
                    pending = PendingProduce(self, results)
                pending.waiting[partition] = len(results) - 1
                waiters = partition.produce_waiters if acks == ACKS_ALL else partition.durable_waiters
                waiters.add(result.last_offset + 1, pending)
        if pending is None:
            return Deferred.resolved(results)
        deadline_ms = self._alarm.monotonic_ms() + max(0, command.timeout_ms)
        self._deadlines.add(pending, deadline_ms)
        self._alarm.announce(deadline_ms)
        return pending.deferred

    async def drain(self) -> None:
        """Return when nothing waits for the disk any more."""
        while len(self._deadlines):
            self._drained = asyncio.get_running_loop().create_future()
            await self._drained

    def finish(self, pending: PendingProduce, results: list[AppendResult]) -> None:
        self._deadlines.discard(pending)
        pending.deferred.resolve(results)
        if self._drained is not None and not len(self._deadlines) and not self._drained.done():
            self._drained.set_result(None)

    def _on_due(self, now_ms: int) -> int | None:
        for pending in self._deadlines.pop_due(now_ms):
            pending.expire()
        return self._deadlines.next_deadline_ms()
