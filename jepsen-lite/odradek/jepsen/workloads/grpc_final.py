"""Reads everything once more, after the faults, through the gRPC door.

Decides: when all is read: every key up to the offset that the spec names, or the time is up. What cannot be read in
time is left out of the history, where checkers miss it, and the worker ends with status 1. After an error a new
consumer goes on from where the old one was.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from time import monotonic_ns
from typing import Final

from odradek.client.consumer import Consumer
from odradek.client.errors import OdradekError
from odradek.client.records import Position, TopicPartition
from odradek.jepsen.history import Writer
from odradek.jepsen.workloads.grpc_client import error_name, sleep, within
from odradek.jepsen.workloads.grpc_reader import collect
from odradek.jepsen.workloads.polled import end_status
from odradek.jepsen.workloads.recorder import Recorder
from odradek.jepsen.workloads.spec import WorkerSpec, split_key

_MAX_RECORDS: Final = 2_000
_WAIT_MS: Final = 500
_CREDIT: Final = 10_000
_CLOSE_S: Final = 3.0
_AGAIN_S: Final = 0.2


async def _read(spec: WorkerSpec, writer: Writer, stopping: threading.Event) -> int:
    recorder = Recorder(writer, spec.name)
    left = {key: int(offset) for key, offset in spec.options["until"].items() if offset > 0}
    if not left:
        return 0
    deadline = monotonic_ns() + int(float(spec.options.get("limit_s", 200.0)) * 1e9)
    listed = sorted(left)
    more = {"seek": "beginning", "final": True}
    op = recorder.invoke("assign", listed, more)
    starts = dict.fromkeys(listed, 0)
    consumer = _opened(spec, starts)
    recorder.complete(op, "ok", "assign", listed, more=more)
    while left and monotonic_ns() < deadline and not stopping.is_set():
        op = recorder.invoke("poll", [["poll"]], {"final": True})
        try:
            polled = collect(await consumer.poll(_MAX_RECORDS, _WAIT_MS))
        except OdradekError as error:
            recorder.complete(op, "fail", "poll", [["poll"]], error_name(error), {"final": True})
            await within(_CLOSE_S, consumer.close())
            await sleep(_AGAIN_S, stopping)
            consumer = _opened(spec, starts)  # from where it was
            continue
        recorder.complete(op, "ok", "poll", polled.value(), more=polled.more(final=True))
        for key, last in polled.last_offsets().items():
            starts[key] = last + 1
            if last + 1 >= left.get(key, 0):
                left.pop(key, None)
    await within(_CLOSE_S, consumer.close())
    return end_status(spec.name, left)


def _opened(spec: WorkerSpec, starts: Mapping[str, int]) -> Consumer:
    partitions: dict[TopicPartition, Position | int | None] = {
        TopicPartition(*split_key(key)): offset for key, offset in starts.items()
    }
    consumer = Consumer(spec.grpc, partitions=partitions, credit=_CREDIT, client_id=spec.name)
    consumer.start()
    return consumer


def run(spec: WorkerSpec, writer: Writer, stopping: threading.Event) -> int:
    """Options and status: as in `kafka_final`."""
    return asyncio.run(_read(spec, writer, stopping))
