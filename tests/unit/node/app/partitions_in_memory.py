"""Partitions that lie in a list, behind the port that the use cases of any node use (`app.leaders.Leaders`).

They judge idempotent batches with the real `ProducerState`, and fail as a test says: before or after the append.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple

from odradek.node.app.context import RequestContext
from odradek.node.app.fetch import FetchedPartition, FetchResult
from odradek.node.app.list_offsets import EARLIEST, ListedOffset
from odradek.node.partition.fetch_session import FetchPartition
from odradek.node.runtime.deferred import Deferred
from odradek.proto.kafka.errors import ErrorCode
from odradek.proto.kafka.record_batch import Record, iter_records, parse_header, stamp
from odradek.storage.append_result import AppendResult
from odradek.storage.producer_state import Duplicate, ProducerState

CONTEXT = RequestContext("test", "User:ANONYMOUS", "GRPC", "127.0.0.1", 1, "c", "127.0.0.1")
NODE = 1


class Fault(NamedTuple):
    """What becomes of the next append: `error`, with the batch written or not."""

    error: ErrorCode
    is_written: bool


class PartitionInMemory:
    def __init__(self) -> None:
        self.batches: list[bytearray] = []
        self.state = ProducerState()
        self.start = 0
        self.end = 0

    def append(self, batch: bytearray) -> AppendResult:
        header = parse_header(batch)
        judged = self.state.check(header)
        if isinstance(judged, Duplicate):
            return AppendResult(ErrorCode.NONE, judged.base_offset, judged.last_offset)
        if judged is not None:
            return AppendResult(judged)
        stamp(batch, 0, self.end, 0)
        header = parse_header(batch)
        self.state.update(header)
        self.batches.append(batch)
        self.end = header.last_offset + 1
        return AppendResult(ErrorCode.NONE, header.base_offset, header.last_offset)

    @property
    def records(self) -> list[Record]:
        return [record for batch in self.batches for record in iter_records(batch)]

    def read(self, offset: int) -> bytes:
        return b"".join(bytes(one) for one in self.batches if parse_header(one).last_offset >= offset)


class PartitionsInMemory:
    """`leaders` by key: node 1, which is this one, unless said otherwise; None for nobody."""

    def __init__(self, **counts: int) -> None:
        self.node_id = NODE
        self.partitions = {
            (topic, index): PartitionInMemory() for topic, count in counts.items() for index in range(count)
        }
        self.leaders: dict[tuple[str, int], int | None] = dict.fromkeys(self.partitions, NODE)
        self.leader_epochs = dict.fromkeys(self.partitions, 3)
        self.faults: list[Fault | None] = []
        self.fetch_errors: dict[tuple[str, int], ErrorCode] = {}
        self.look_up_errors: list[ErrorCode] = []
        self.parked: list[tuple[Sequence[FetchPartition], Deferred[FetchResult]]] = []
        self.abandoned = 0
        self.fetches = 0

    def count(self, topic: str) -> int:
        return sum(1 for name, _ in self.partitions if name == topic)

    def leader_of(self, topic: str, partition: int) -> int | None:
        return self.leaders.get((topic, partition))

    def leader_epoch_of(self, topic: str, partition: int) -> int:
        return self.leader_epochs.get((topic, partition), -1)

    async def produce(
        self,
        context: RequestContext,
        topic: str,
        partition: int,
        batch: bytearray,
        acks: int,
        timeout_ms: int,
    ) -> AppendResult:
        await asyncio.sleep(0)
        found = self.partitions.get((topic, partition))
        if found is None:
            return AppendResult(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
        fault = self.faults.pop(0) if self.faults else None
        if fault is None:
            return found.append(batch)
        if fault.is_written:
            found.append(batch)
        return AppendResult(fault.error)

    def write(self, topic: str, partition: int, *batches: bytes | bytearray) -> None:
        """Append, and wake who waits for it."""
        for batch in batches:
            self.partitions[topic, partition].append(bytearray(batch))
        for waiting in list(self.parked):
            asked, deferred = waiting
            if any((one.topic, one.index) == (topic, partition) for one in asked):
                self.parked.remove(waiting)
                deferred.resolve(FetchResult(ErrorCode.NONE, 0, self._read(asked)))

    def fetch_here(
        self, context: RequestContext, asked: Sequence[FetchPartition], **how: Any
    ) -> Deferred[FetchResult]:
        self.fetches += 1
        found = self._read(asked)
        if any(len(one.records) or one.error is not ErrorCode.NONE for one in found):
            return Deferred.resolved(FetchResult(ErrorCode.NONE, 0, found))
        deferred: Deferred[FetchResult] = Deferred(lambda: self._abandon(deferred))
        self.parked.append((asked, deferred))
        return deferred

    async def fetch_elsewhere(
        self, node_id: int, asked: Sequence[FetchPartition], **how: Any
    ) -> list[FetchedPartition]:
        return list((await self.fetch_here(CONTEXT, asked).wait()).partitions)

    def _abandon(self, deferred: Deferred[FetchResult]) -> None:
        self.abandoned += 1
        self.parked = [one for one in self.parked if one[1] is not deferred]

    def _read(self, asked: Sequence[FetchPartition]) -> list[FetchedPartition]:
        answers = []
        for one in asked:
            key = (one.topic, one.index)
            partition = self.partitions.get(key)
            error = self.fetch_errors.pop(key, ErrorCode.NONE)
            if partition is None:
                error = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
            elif one.current_leader_epoch != self.leader_epochs[key]:
                error = ErrorCode.FENCED_LEADER_EPOCH
            elif not partition.start <= one.fetch_offset <= partition.end:
                error = ErrorCode.OFFSET_OUT_OF_RANGE
            answer = FetchedPartition(one, error)
            if partition is not None and error is ErrorCode.NONE:
                answer.records, answer.high_watermark = partition.read(one.fetch_offset), partition.end
            answers.append(answer)
        return answers

    async def list_offset(
        self, topic: str, partition: int, timestamp: int, isolation_level: int
    ) -> ListedOffset:
        await asyncio.sleep(0)
        if self.look_up_errors:
            return ListedOffset(self.look_up_errors.pop(0))
        found = self.partitions.get((topic, partition))
        if found is None:
            return ListedOffset(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
        if timestamp < 0:
            return ListedOffset(ErrorCode.NONE, -1, found.start if timestamp == EARLIEST else found.end)
        for record in found.records:
            if record.timestamp >= timestamp:
                return ListedOffset(ErrorCode.NONE, record.timestamp, record.offset)
        return ListedOffset(ErrorCode.NONE)
