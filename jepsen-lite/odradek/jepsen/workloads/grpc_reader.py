"""Reads records through the gRPC door: `odradek.client.Consumer`, with partitions of its own choice or a group's.

Decides: how an operation of `generator.Reads` is carried out, and what the history says of it. A consumer of this
client reads what it was made for, so that every assign and subscribe makes a new one.
Invariant: a poll tells every record that it took from the client, in the order in which it came.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from random import Random
from time import monotonic_ns
from typing import Any, Final

from odradek.client.consumer import Consumer
from odradek.client.errors import OdradekError
from odradek.client.records import ConsumerRecord, Position, TopicPartition
from odradek.jepsen import payload
from odradek.jepsen.history import Writer
from odradek.jepsen.workloads.generator import Assign, Crash, Habits, Reads, Subscribe
from odradek.jepsen.workloads.grpc_client import error_name, sleep, within
from odradek.jepsen.workloads.pace import Pace
from odradek.jepsen.workloads.polled import Polled
from odradek.jepsen.workloads.recorder import Recorder
from odradek.jepsen.workloads.spec import WorkerSpec, split_key

_MAX_RECORDS: Final = 500
_WAIT_MS: Final = 200
_CLOSE_S: Final = 3.0


def collect(records: Sequence[ConsumerRecord]) -> Polled:
    """What a poll brought."""
    polled = Polled()
    for record in records:
        key = f"{record.topic}/{record.partition}"
        try:
            value = payload.decode(record.key, record.value, record.headers, key)
        except payload.Corrupt as corrupt:
            polled.corrupt.append({"key": key, "offset": record.offset, "reason": corrupt.reason})
        else:
            polled.add(key, record.offset, value)
    return polled


class GrpcReader:
    """One Jepsen process: one consumer after another, until it is torn down."""

    def __init__(self, spec: WorkerSpec, recorder: Recorder, reads: Reads) -> None:
        self._spec = spec
        self._recorder = recorder
        self._reads = reads
        self._moved: set[str] = set()
        self._consumer: Consumer | None = None

    async def _open(self, consumer: Consumer) -> None:
        await self.close()
        self._consumer = consumer
        consumer.start()

    def _on_moved(self, partitions: Sequence[TopicPartition]) -> None:
        self._moved.update(f"{topic}/{partition}" for topic, partition in partitions)

    async def assign(self, operation: Assign) -> None:
        listed = list(operation.starts)
        more = {"seek": dict(operation.sought)} if operation.sought else None
        op = self._recorder.invoke("assign", listed, more)
        starts: dict[TopicPartition, Position | int | None] = {
            TopicPartition(*split_key(key)): Position.latest() if start is None else start
            for key, start in operation.starts.items()
        }
        await self._open(Consumer(self._spec.grpc, partitions=starts, client_id=self._recorder.process))
        self._recorder.complete(op, "ok", "assign", listed, more=more)

    async def subscribe(self, operation: Subscribe, group: str) -> None:
        topics = list(operation.topics)
        op = self._recorder.invoke("subscribe", topics, {"group": group})
        consumer = Consumer(
            self._spec.grpc,
            topics=topics,
            group_id=group,
            session_timeout_ms=6_000,
            client_id=self._recorder.process,
            on_assigned=self._on_moved,
            on_revoked=self._on_moved,
        )
        await self._open(consumer)
        self._recorder.complete(op, "ok", "subscribe", topics, more={"group": group})

    async def poll(self) -> int:
        """Returns the number of records."""
        assert self._consumer is not None
        op = self._recorder.invoke("poll", [["poll"]])
        try:
            polled = collect(await self._consumer.poll(_MAX_RECORDS, _WAIT_MS))
        except OdradekError as error:
            self._recorder.complete(op, "fail", "poll", [["poll"]], error_name(error))
            self._reads.was_lost()
            return 0
        moved, self._moved = sorted(self._moved), set()
        self._recorder.complete(op, "ok", "poll", polled.value(), more=polled.more(moved))
        for key, last in polled.last_offsets().items():
            self._reads.was_read(key, last)
        return polled.count

    async def crash(self) -> Recorder:
        op = self._recorder.invoke("crash")
        await self.close()
        self._recorder.complete(op, "info", "crash", error="torn-down")
        return self._recorder.successor()

    async def close(self) -> None:
        """Leave the group, if that can be done soon."""
        if self._consumer is not None:
            await within(_CLOSE_S, self._consumer.close())


async def _read(spec: WorkerSpec, writer: Writer, stopping: threading.Event) -> None:
    options: Any = spec.options
    group = str(options.get("group", "queue"))
    mean_s = float(options.get("crash_mean_s", 30.0))
    crash = 1 / (mean_s * spec.rate) if mean_s > 0 else 0.0
    habits = Habits(options.get("mode", "assign"), crash, spec.incarnation > 0)
    reads = Reads(Random(spec.seed + spec.incarnation), spec.keys, habits)
    reader = GrpcReader(spec, Recorder(writer, spec.name), reads)
    pace = Pace(spec.rate, monotonic_ns())
    while not stopping.is_set():
        pace.due(monotonic_ns())
        pace.take(1)
        operation = reads.next()
        if isinstance(operation, Assign):
            await reader.assign(operation)
        elif isinstance(operation, Subscribe):
            await reader.subscribe(operation, group)
        elif isinstance(operation, Crash):
            reader = GrpcReader(spec, await reader.crash(), reads)
        elif await reader.poll() < _MAX_RECORDS:
            await sleep(pace.wait_s(), stopping)
    await reader.close()


def run(spec: WorkerSpec, writer: Writer, stopping: threading.Event) -> None:
    """Poll at the rate of the spec, faster while there is much to read. Options: as in `kafka_reader`."""
    asyncio.run(_read(spec, writer, stopping))
