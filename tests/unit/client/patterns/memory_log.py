"""A log in memory, and a clock that never waits: the ports of the patterns, for their tests.

Decides: what a cluster would do with one node that never fails, unless a test says that a topic refuses records.
"""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Self, Unpack

from odradek.client.errors import UnknownTopicError
from odradek.client.patterns.log_access import Bounds
from odradek.client.records import ConsumerRecord, Headers, Position, RecordMetadata, TopicPartition
from odradek.proto.kafka.partitioner import partition_for

if TYPE_CHECKING:
    from odradek.client.consumer import ConsumerSettings


class JumpingClock:
    """Sleeping takes no time, and time passes only by sleeping."""

    def __init__(self, now_ms: int = 1_000_000) -> None:
        self.time_ms = now_ms
        self.slept_ms: list[int] = []

    def now_ms(self) -> int:
        return self.time_ms

    async def sleep_until(self, at_ms: int) -> None:
        self.slept_ms.append(at_ms - self.time_ms)
        self.time_ms = max(self.time_ms, at_ms)


class StandingClock(JumpingClock):
    """Nobody who sleeps wakes up."""

    def __init__(self, now_ms: int = 1_000_000) -> None:
        super().__init__(now_ms)
        self.fell_asleep = asyncio.Event()

    async def sleep_until(self, at_ms: int) -> None:
        self.slept_ms.append(at_ms - self.time_ms)
        self.fell_asleep.set()
        await asyncio.get_running_loop().create_future()


class MemoryLog:
    def __init__(self, partition_count: int = 1) -> None:
        self.partition_count = partition_count
        self.topics: dict[str, list[list[ConsumerRecord]]] = {}
        self.configs: dict[str, Mapping[str, str]] = {}
        self.committed: dict[str, dict[TopicPartition, int]] = {}
        self.refused: set[str] = set()
        """Topics that nothing can be written to."""
        self.starts: dict[TopicPartition, int] = {}
        """Offsets before which records were deleted."""
        self.assigned_count = 0
        """How often readers were told what they read."""
        self._members: dict[str, list[MemoryReader]] = {}
        self._waiting: list[asyncio.Future[None]] = []

    # -- the port

    def writer(self) -> MemoryWriter:
        return MemoryWriter(self)

    def reader(self, **settings: Unpack[ConsumerSettings]) -> MemoryReader:
        return MemoryReader(self, settings)

    async def create_topic(
        self, topic: str, *, partition_count: int | None = None, configs: Mapping[str, str] | None = None
    ) -> None:
        if topic not in self.topics:
            self.topics[topic] = [[] for _ in range(partition_count or self.partition_count)]
            self.configs[topic] = configs or {}
            self.notify()

    async def bounds(self, topic: str) -> dict[TopicPartition, Bounds]:
        if topic not in self.topics:
            raise UnknownTopicError("UNKNOWN_TOPIC_OR_PARTITION", topic, 3)
        partitions = [TopicPartition(topic, number) for number in range(len(self.topics[topic]))]
        return {tp: Bounds(self.starts.get(tp, 0), len(self.records_of(tp))) for tp in partitions}

    # -- what tests see and do

    def records_of(self, tp: TopicPartition) -> list[ConsumerRecord]:
        return self.topics[tp.topic][tp.partition]

    def all_of(self, topic: str) -> list[ConsumerRecord]:
        return [record for partition in self.topics.get(topic, []) for record in partition]

    def values(self, topic: str) -> list[bytes | None]:
        return [record.value for record in self.all_of(topic)]

    def write(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None = None,
        headers: Headers = (),
        partition: int | None = None,
        timestamp_ms: int | None = None,
    ) -> RecordMetadata:
        if topic in self.refused:
            raise UnknownTopicError("UNKNOWN_TOPIC_OR_PARTITION", topic, 3)
        partitions = self.topics.setdefault(topic, [[] for _ in range(self.partition_count)])
        if partition is None:
            partition = 0 if key is None else partition_for(key, len(partitions))
        records = partitions[partition]
        timestamp_ms = 1_000_000 if timestamp_ms is None else timestamp_ms
        place = RecordMetadata(topic, partition, len(records), timestamp_ms)
        records.append(ConsumerRecord(*place, key, value, tuple(headers)))
        self.notify()
        return place

    async def until(self, is_true: Callable[[], bool]) -> None:
        """Wait for something that comes about by writing, reading or committing."""
        while not is_true():
            await self.change()

    # -- readers

    def notify(self) -> None:
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    async def change(self) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        await future

    def join(self, group_id: str, reader: MemoryReader) -> None:
        self._members.setdefault(group_id, []).append(reader)
        self.notify()

    def leave(self, group_id: str, reader: MemoryReader) -> None:
        self._members[group_id].remove(reader)
        self.notify()

    def share_of(
        self, group_id: str, reader: MemoryReader, wanted: list[TopicPartition]
    ) -> set[TopicPartition]:
        members = self._members[group_id]
        return set(wanted[members.index(reader) :: len(members)])


class MemoryWriter:
    def __init__(self, log: MemoryLog) -> None:
        self._log = log

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    async def send(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None = None,
        *,
        headers: Headers = (),
        partition: int | None = None,
        timestamp_ms: int | None = None,
    ) -> asyncio.Future[RecordMetadata]:
        promise: asyncio.Future[RecordMetadata] = asyncio.get_running_loop().create_future()
        try:
            promise.set_result(self._log.write(topic, value, key, headers, partition, timestamp_ms))
        except UnknownTopicError as error:
            promise.set_exception(error)
        return promise

    async def publish(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None = None,
        *,
        headers: Headers = (),
        partition: int | None = None,
        timestamp_ms: int | None = None,
    ) -> RecordMetadata:
        return await (
            await self.send(
                topic, value, key, headers=headers, partition=partition, timestamp_ms=timestamp_ms
            )
        )


class MemoryReader:
    def __init__(self, log: MemoryLog, settings: ConsumerSettings) -> None:
        self._log = log
        self._group_id = settings.get("group_id") or ""
        self._topics = tuple(settings.get("topics", ()))
        self._pattern = settings.get("topic_pattern")
        self._given = settings.get("partitions")
        self._reset = settings.get("offset_reset", "earliest")
        self._auto_commit = settings.get("auto_commit", True)
        self._on_assigned = settings.get("on_assigned")
        self._positions: dict[TopicPartition, int] | None = None
        self._handed: dict[TopicPartition, ConsumerRecord] = {}
        self._is_member = bool(self._group_id) and self._given is None

    async def __aenter__(self) -> Self:
        if self._is_member:
            self._log.join(self._group_id, self)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None and self._auto_commit:
            self._acknowledge_handed()
        if self._is_member:
            self._log.leave(self._group_id, self)

    def __aiter__(self) -> AsyncIterator[ConsumerRecord]:
        return self._records()

    async def _records(self) -> AsyncIterator[ConsumerRecord]:
        while True:
            for record in await self.poll(max_records=1, timeout_ms=60_000):
                yield record

    async def poll(self, max_records: int = 500, timeout_ms: int = 1000) -> list[ConsumerRecord]:
        if self._auto_commit:
            self._acknowledge_handed()
        await asyncio.sleep(0)  # others get their turn, as they would
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                while True:
                    if await self._divide():
                        return []
                    records = self._take(max_records)
                    if records:
                        return records
                    await self._log.change()
        except TimeoutError:
            return []

    async def _divide(self) -> bool:
        """True: the assignment is news."""
        wanted = sorted(self._wanted())
        assigned = self._log.share_of(self._group_id, self, wanted) if self._is_member else set(wanted)
        if self._positions is not None and assigned == self._positions.keys():
            return False
        before = self._positions or {}
        self._positions = {tp: before[tp] if tp in before else self._start_of(tp) for tp in assigned}
        self._handed = {tp: record for tp, record in self._handed.items() if tp in assigned}
        self._log.assigned_count += 1
        self._log.notify()
        if self._on_assigned is not None:
            outcome: Awaitable[None] | None = self._on_assigned(tuple(assigned))
            if inspect.isawaitable(outcome):
                await outcome
        return True

    def _wanted(self) -> list[TopicPartition]:
        if self._given is not None:
            return [TopicPartition(*tp) for tp in self._given]
        pattern = self._pattern
        topics = [
            topic
            for topic in self._log.topics
            if (topic in self._topics if pattern is None else re.fullmatch(pattern, topic))
        ]
        return [TopicPartition(topic, n) for topic in topics for n in range(len(self._log.topics[topic]))]

    def _start_of(self, tp: TopicPartition) -> int:
        records = self._log.records_of(tp)
        place = (self._given or {}).get(tp)
        if place is None:
            committed = self._log.committed.get(self._group_id, {}).get(tp)
            place = Position(self._reset) if committed is None else committed
        if isinstance(place, int):
            return place
        if place.kind == "time":
            newer = [record.offset for record in records if record.timestamp_ms >= place.value]
            return min(newer, default=len(records))
        places = {"earliest": self._log.starts.get(tp, 0), "latest": len(records), "offset": place.value}
        return places[place.kind]

    def _take(self, max_records: int) -> list[ConsumerRecord]:
        assert self._positions is not None
        taken: list[ConsumerRecord] = []
        for tp, position in self._positions.items():
            found = self._log.records_of(tp)[position : position + max_records - len(taken)]
            if found:
                self._positions[tp] = found[-1].offset + 1
                self._handed[tp] = found[-1]
                taken += found
        return taken

    def _acknowledge_handed(self) -> None:
        for record in self._handed.values():
            self.acknowledge(record)
        self._handed.clear()

    def acknowledge(self, record: ConsumerRecord) -> None:
        tp = record.topic_partition
        if self._group_id and self._positions is not None and tp in self._positions:
            committed = self._log.committed.setdefault(self._group_id, {})
            committed[tp] = max(committed.get(tp, 0), record.offset + 1)
            self._log.notify()

    async def commit(self, offsets: Mapping[TopicPartition, int] | None = None) -> None:
        self._log.committed.setdefault(self._group_id, {}).update(offsets or {})
        self._log.notify()

    @property
    def assignment(self) -> frozenset[TopicPartition]:
        return frozenset(self._positions or ())

    def position(self, tp: TopicPartition) -> int:
        return (self._positions or {})[tp]
