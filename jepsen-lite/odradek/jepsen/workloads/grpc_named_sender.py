"""Sends records through Publish under producer names, each request again and again until its outcome is known.

Decides: who sends what when, and at which node. Does not decide: what an error means (`named`, `outcomes`).
A few names in one worker, each a Jepsen process with one request under way; requests hold one to eight records of one
topic.
"""

from __future__ import annotations

import asyncio
import threading
from random import Random
from time import monotonic_ns
from typing import Final

from odradek.client.connection import Connection, Method, parse_addresses
from odradek.client.errors import OdradekError
from odradek.jepsen import payload
from odradek.jepsen.history import Type, Writer
from odradek.jepsen.workloads.generator import Sends
from odradek.jepsen.workloads.grpc_client import error_name, sleep
from odradek.jepsen.workloads.named import NamedRequest, Sent
from odradek.jepsen.workloads.outstanding import Outstanding
from odradek.jepsen.workloads.pace import Pace
from odradek.jepsen.workloads.recorder import Recorder
from odradek.jepsen.workloads.spec import WorkerSpec, split_key
from odradek.v1 import record_pb2, record_service_pb2

PUBLISH: Final = Method(
    "RecordService/Publish", record_service_pb2.PublishRequest, record_service_pb2.PublishResponse
)
_NAMES: Final = 4
_RECORDS: Final = 8
_DELIVERY_S: Final = 10.0
_BACKOFF_S: Final = 0.05


def request_of(name: str, request: NamedRequest) -> record_service_pb2.PublishRequest:
    topic = split_key(request.records[0].key)[0]
    records = []
    for _, key, value in request.records:
        record_key, data, headers = payload.encode(value, key)
        told = [record_pb2.Header(key=header, value=content) for header, content in headers]
        partition = split_key(key)[1]
        records.append(record_pb2.Record(key=record_key, value=data, headers=told, partition=partition))
    return record_service_pb2.PublishRequest(
        topic=topic, records=records, producer_name=name, sequence=request.sequence, acks=record_pb2.ACKS_ALL
    )


class NamedSender:
    """One Jepsen process under a producer name of its own."""

    def __init__(self, spec: WorkerSpec, recorder: Recorder, sends: Sends, random: Random) -> None:
        self._outstanding = Outstanding(recorder, sends)
        self._name = recorder.process
        self._random = random
        self._addresses = parse_addresses(spec.grpc)
        self._connection = Connection(spec.grpc, client_id=recorder.process)
        self._answer_ms = float(spec.options.get("answer_timeout_ms", 300))
        self._sequence = 0

    async def send(self, due: int) -> int:
        """One request until its end; returns how many records it had."""
        for key, sends in self._outstanding.begin(min(due, self._random.randint(1, _RECORDS))):
            request = NamedRequest(self._sequence, [Sent(op, key, value) for op, value in sends])
            await self._deliver(request)
            self._sequence = request.next_sequence
            self._outstanding.tell()
            return len(sends)
        return 0

    async def _deliver(self, request: NamedRequest) -> None:
        message = request_of(self._name, request)
        deadline = monotonic_ns() + int(_DELIVERY_S * 1e9)
        while True:
            address = self._random.choice(self._addresses)
            try:
                answer = await self._connection.call_at(address, PUBLISH, message, timeout_ms=self._answer_ms)
            except OdradekError as error:
                name = error_name(error)
                kind = request.failed(name)
                if kind is None and monotonic_ns() >= deadline:
                    kind = request.given_up(name)
                if kind is not None:
                    self._end(request, kind, name)
                    return
                await asyncio.sleep(_BACKOFF_S)
            else:
                for (op, key, value), offset in zip(request.records, answer.offsets):
                    self._outstanding.acknowledged(op, key, value, offset if offset >= 0 else None)
                return

    def _end(self, request: NamedRequest, kind: Type, error: str) -> None:
        for op, key, value in request.records:
            self._outstanding.ended(op, key, value, kind, error)


async def _send(spec: WorkerSpec, writer: Writer, stopping: threading.Event) -> None:
    random = Random(spec.seed + spec.incarnation)
    sends = Sends(random, spec.keys, spec.first_value)  # values are unique among the names, as they share it

    async def one(number: int) -> None:
        sender = NamedSender(spec, Recorder(writer, f"{spec.name}-{number}"), sends, random)
        pace = Pace(spec.rate / _NAMES, monotonic_ns())
        while not stopping.is_set():
            pace.take(await sender.send(pace.due(monotonic_ns())))
            await sleep(pace.wait_s(), stopping)

    await asyncio.gather(*map(one, range(_NAMES)))


def run(spec: WorkerSpec, writer: Writer, stopping: threading.Event) -> None:
    """Send at the rate of the spec until told to stop. Options: "answer_timeout_ms" (300): then it is sent again."""
    asyncio.run(_send(spec, writer, stopping))
