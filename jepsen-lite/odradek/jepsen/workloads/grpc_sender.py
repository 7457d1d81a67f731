"""Sends records through the gRPC door: `odradek.client.Producer`, each record an operation of its own.

Decides: what the end of a promise means for the history. Does not decide: what is sent (`generator.Sends`), how much
is under way (`outstanding`), nor which error is which outcome (`outcomes`).
"""

from __future__ import annotations

import asyncio
import threading
from functools import partial
from random import Random
from time import monotonic_ns
from typing import Final

from odradek.client.errors import OdradekError
from odradek.client.producer import Producer
from odradek.client.records import RecordMetadata
from odradek.jepsen import payload
from odradek.jepsen.history import Writer
from odradek.jepsen.outcomes import outcome
from odradek.jepsen.workloads.generator import Crashes, Sends
from odradek.jepsen.workloads.grpc_client import error_name, within
from odradek.jepsen.workloads.outstanding import Outstanding
from odradek.jepsen.workloads.pace import Pace
from odradek.jepsen.workloads.recorder import Recorder
from odradek.jepsen.workloads.spec import WorkerSpec, split_key

_TICK_S: Final = 0.05
_GRACE_S: Final = 10.0


class GrpcSender:
    """One Jepsen process: one producer, until it is torn down."""

    def __init__(self, spec: WorkerSpec, recorder: Recorder, sends: Sends) -> None:
        self._recorder = recorder
        self._outstanding = Outstanding(recorder, sends)
        self._producer = Producer(
            spec.grpc,
            client_id=recorder.process,
            delivery_timeout_ms=int(spec.options.get("delivery_timeout_ms", 10_000)),
        )
        self._producer.start()
        self.is_broken = False

    async def send(self, due: int) -> int:
        """Begin up to `due` operations; returns how many."""
        begun = 0
        for key, sends in self._outstanding.begin(due):
            begun += len(sends)
            topic, partition = split_key(key)
            for op, value in sends:
                name, data, headers = payload.encode(value, key)
                try:
                    promise = await self._producer.send(
                        topic, data, name, headers=headers, partition=partition
                    )
                except OdradekError as error:  # taken by nobody
                    self.is_broken = True
                    self._outstanding.ended(op, key, value, "fail", f"REFUSED_BY_CLIENT: {error_name(error)}")
                else:
                    promise.add_done_callback(partial(self._delivered, op, key, value))
        return begun

    def _delivered(self, op: int, key: str, value: int, promise: asyncio.Future[RecordMetadata]) -> None:
        error = promise.exception()
        if error is None:
            offset = promise.result().offset
            self._outstanding.acknowledged(op, key, value, offset if offset >= 0 else None)
        else:
            name = error_name(error)
            self._outstanding.ended(op, key, value, outcome("grpc", "send", name), name)

    def tell(self) -> None:
        self._outstanding.tell()

    async def finish(self) -> None:
        """Let operations that are under way end; those that do not within the time stay open."""
        deadline = monotonic_ns() + int(_GRACE_S * 1e9)
        while self._outstanding.count and monotonic_ns() < deadline:
            await asyncio.sleep(0.05)
            self.tell()

    async def tear_down(self) -> Recorder:
        """Forget whatever is under way; returns the recorder of the process that comes after."""
        op = self._recorder.invoke("crash")
        await within(3.0, self._producer.close(timeout_ms=0))
        await asyncio.sleep(0)  # promises call back on the next turn of the loop
        self.tell()
        self._recorder.complete(op, "info", "crash", error="torn-down")
        return self._recorder.successor()


async def _send(spec: WorkerSpec, writer: Writer, stopping: threading.Event) -> None:
    random = Random(spec.seed + spec.incarnation)
    sends = Sends(random, spec.keys, spec.first_value)
    sender = GrpcSender(spec, Recorder(writer, spec.name), sends)
    pace = Pace(spec.rate, monotonic_ns())
    crash = Crashes(random, float(spec.options.get("crash_mean_s", 30.0)), monotonic_ns())
    while not stopping.is_set():
        if sender.is_broken or crash.is_due(monotonic_ns()):
            sender = GrpcSender(spec, await sender.tear_down(), sends)
        pace.take(await sender.send(pace.due(monotonic_ns())))
        await asyncio.sleep(_TICK_S)
        sender.tell()
    await sender.finish()


def run(spec: WorkerSpec, writer: Writer, stopping: threading.Event) -> None:
    """Send at the rate of the spec until told to stop. Options: "crash_mean_s" (30; 0: never)."""
    asyncio.run(_send(spec, writer, stopping))
