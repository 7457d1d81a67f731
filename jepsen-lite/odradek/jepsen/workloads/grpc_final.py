"""Reads everything once more, after the faults, through the gRPC door.

Decides: when all is read: every key up to the offset that the spec names, or the time is up. What cannot be read in
time is left out of the history, where checkers miss it.
"""

from __future__ import annotations

import asyncio
import threading
from time import monotonic_ns
from typing import Final

from odradek.client.consumer import Consumer
from odradek.client.errors import OdradekError
from odradek.client.records import TopicPartition
from odradek.jepsen.history import Writer
from odradek.jepsen.workloads.grpc_client import error_name, within
from odradek.jepsen.workloads.grpc_reader import collect
from odradek.jepsen.workloads.recorder import Recorder
from odradek.jepsen.workloads.spec import WorkerSpec, split_key

_MAX_RECORDS: Final = 2_000
_WAIT_MS: Final = 500
_CREDIT: Final = 10_000


async def _read(spec: WorkerSpec, writer: Writer, stopping: threading.Event) -> None:
    recorder = Recorder(writer, spec.name)
    left = {key: int(offset) for key, offset in spec.options["until"].items() if offset > 0}
    if not left:
        return
    deadline = monotonic_ns() + int(float(spec.options.get("limit_s", 200.0)) * 1e9)
    listed = sorted(left)
    more = {"seek": "beginning", "final": True}
    op = recorder.invoke("assign", listed, more)
    partitions = {TopicPartition(*split_key(key)): 0 for key in listed}
    consumer = Consumer(spec.grpc, partitions=dict(partitions), credit=_CREDIT, client_id=spec.name)
    consumer.start()
    recorder.complete(op, "ok", "assign", listed, more=more)
    while left and monotonic_ns() < deadline and not stopping.is_set():
        op = recorder.invoke("poll", [["poll"]], {"final": True})
        try:
            polled = collect(await consumer.poll(_MAX_RECORDS, _WAIT_MS))
        except OdradekError as error:
            recorder.complete(op, "fail", "poll", [["poll"]], error_name(error), {"final": True})
            break
        recorder.complete(op, "ok", "poll", polled.value(), more=polled.more(final=True))
        for key, last in polled.last_offsets().items():
            if last + 1 >= left.get(key, 0):
                left.pop(key, None)
    await within(3.0, consumer.close())


def run(spec: WorkerSpec, writer: Writer, stopping: threading.Event) -> None:
    """Options: as in `kafka_final`."""
    asyncio.run(_read(spec, writer, stopping))
