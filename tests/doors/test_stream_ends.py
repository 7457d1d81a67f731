"""Streams under a node that stops or dies, readers that stop reading, and ten thousand that have nothing to read."""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.doors import streams
from tests.doors.api_door import GrpcCarrier
from tests.doors.conftest import SETTINGS, NewTopic, NodeInside, nothing_is_left
from tests.doors.door import Door, batch_of, values
from tests.doors.kafka_door import KafkaDoor
from tests.doors.streams import GrpcWire, StreamReader, Wire, assign, send, subscribe

from odradek.v1 import record_pb2
from odradek.v1 import record_service_pb2 as pb

OpenWire = Callable[..., Wire]
NewName = Callable[[], str]
ROOT = Path(__file__).parents[2]
IDLE_STREAMS = 10_000
FEW_STREAMS = 1_000
CHANNELS = 100
KIB_PER_STREAM_MAX = 50


class NodeOutside:
    """A node in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process, kafka: str, grpc: str) -> None:
        self.process = process
        self.kafka_address = kafka
        self.grpc_address = grpc

    @classmethod
    async def start(cls, data: Path) -> NodeOutside:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(Path(__file__).with_name("outside.py")),
            str(data),
            *SETTINGS,
            stdout=asyncio.subprocess.PIPE,
            cwd=ROOT,
        )
        assert process.stdout is not None
        kafka, grpc = (await process.stdout.readline()).decode().split()
        return cls(process, kafka, grpc)

    def memory_kib(self) -> int:
        """What is resident and not shared with a file."""
        fields = Path(f"/proc/{self.process.pid}/statm").read_text().split()
        return (int(fields[1]) - int(fields[2])) * 4

    async def end(self, how: signal.Signals = signal.SIGTERM) -> None:
        if self.process.returncode is None:
            self.process.send_signal(how)
        await self.process.wait()


# -- the node ends


async def test_a_node_that_stops_says_so(tmp_path: Path) -> None:
    """Whatever a stream is doing: waiting for records, for its first request, for a rebalance, for its reader."""
    node = await NodeInside(tmp_path).start()
    door, carrier = node.door("kafka"), GrpcCarrier(node.grpc_address)
    await door.create_topic("t", 2)
    wires = [GrpcWire(carrier) for _ in range(5)]
    await StreamReader.open(wires[0], subscribe("t"))
    member = await StreamReader.open(wires[1], subscribe("t", group="g"))
    await StreamReader.open(wires[2], assign({("t", 0): None}))
    await send(door, "t", 2)
    await member.records(2)
    await member.acknowledge(("t", 0, 0))
    await wires[3].write(subscribe("t", group="g"))
    await member.next("revoking")
    await node.broker.stop()
    for wire in wires[:4]:
        ended = await StreamReader(wire).ending()
        assert ended is not None and (ended.status, ended.reason) == ("UNAVAILABLE", "BROKER_NOT_AVAILABLE")
    silent = await StreamReader(wires[4]).ending()
    assert silent is not None and silent.status in ("UNAVAILABLE", "CANCELLED")
    await nothing_is_left(node)
    await carrier.close()
    await door.close()


async def test_a_node_that_is_killed_leaves_no_stream_hanging(tmp_path: Path) -> None:
    node = await NodeOutside.start(tmp_path)
    carrier, door = GrpcCarrier(node.grpc_address), KafkaDoor(node.kafka_address)
    await door.create_topic("t")
    readers = [await StreamReader.open(GrpcWire(carrier), subscribe("t", group=group)) for group in ("", "g")]
    await node.end(signal.SIGKILL)
    for reader in readers:
        ended = await reader.ending()
        assert ended is not None and ended.status == "UNAVAILABLE"
    await carrier.close()
    await door.close()


async def test_what_was_acknowledged_outlives_a_node_that_stops(tmp_path: Path) -> None:
    node = await NodeInside(tmp_path).start()
    door, carrier = node.door("kafka"), GrpcCarrier(node.grpc_address)
    await door.create_topic("t")
    await send(door, "t", 10)
    first = subscribe("t", group="g", commit_interval_ms=60_000)
    reader = await StreamReader.open(GrpcWire(carrier), first)
    await reader.records(10)
    await reader.acknowledge(("t", 0, 6))
    await reader.commit({})
    await node.broker.stop()
    assert await reader.ending() is not None
    await carrier.close()
    await door.close()
    node = await NodeInside(tmp_path).start()
    door = node.door("kafka")
    assert await door.committed("g") == {("t", 0): (7, "")}
    await door.close()
    await node.broker.stop()


# -- readers that stop reading


async def test_a_reader_that_stops_reading_holds_nothing_in_memory(tmp_path: Path) -> None:
    """Twenty of them, each with credit for 90 MB, in a process of their own so that it can be weighed."""
    node = await NodeOutside.start(tmp_path)
    carrier, door = GrpcCarrier(node.grpc_address), KafkaDoor(node.kafka_address)
    await door.create_topic("t")
    for _ in range(100):
        assert (await door.produce("t", 0, batch_of(values(*[bytes(10_000)] * 90)))).error == "NONE"
    reader = await StreamReader.open(GrpcWire(carrier), subscribe("t"))
    await reader.records(9_000)
    before = node.memory_kib()
    carriers = [GrpcCarrier(node.grpc_address) for _ in range(20)]
    wires = [GrpcWire(one) for one in carriers]
    for wire in wires:
        await wire.write(subscribe("t"))
        assert (await StreamReader(wire).event()) == "assigned"
    # What a reader that does read gets meanwhile shows that the node has gone on, and had time to read for the others.
    await reader.seek(("t", 0), _start())
    await reader.records(9_000)
    # A message on its way, the next one, and what gRPC has in its windows; of 1.8 GB that they have credit for.
    assert node.memory_kib() - before < 20 * 8 * 1024
    await node.end()
    for one in (*carriers, carrier):
        await one.close()
    await door.close()


async def test_without_credit_nothing_is_read(
    node: NodeInside, kafka: Door, new_topic: NewTopic, open_wire: OpenWire, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = await new_topic()
    asked: list[str] = []
    fetch = node.services.leaders.fetch_here

    def fetch_here(context: object, wanted: list[object], **more: object) -> object:
        asked.extend(one.topic for one in wanted)  # type: ignore[attr-defined]
        return fetch(context, wanted, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(node.services.leaders, "fetch_here", fetch_here)
    reader = await StreamReader.open(open_wire("grpc"), subscribe(topic, credit=5))
    await send(kafka, topic, 5)
    await reader.records(5)
    await reader.seek((topic, 0), _start())
    asked.clear()
    await send(kafka, topic, 5)
    await reader.seek((topic, 0), _start())
    assert topic not in asked
    await reader.grant(3)
    await reader.records(3)
    assert topic in asked


def _start() -> record_pb2.Position:
    return record_pb2.Position(edge=record_pb2.EDGE_EARLIEST)


# -- streams with nothing to read


async def open_idle(carriers: list[GrpcCarrier], count: int) -> list[GrpcWire]:
    wires: list[GrpcWire] = []

    async def one(at: int) -> GrpcWire:
        wire = GrpcWire(carriers[at % CHANNELS])
        await wire.write(subscribe("t", offset_reset=pb.OFFSET_RESET_LATEST))
        response = await wire.read()
        assert response is not None and response.WhichOneof("event") == "assigned"
        return wire

    for at in range(0, count, 500):
        wires += await asyncio.gather(*(one(each) for each in range(at, at + 500)))
    return wires


@pytest.mark.timeout(600)
async def test_ten_thousand_idle_streams(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They cost little, leave nothing behind, wake up together, and hear of the end."""
    gc.freeze()
    node = await NodeOutside.start(tmp_path)
    carriers = [GrpcCarrier(node.grpc_address) for _ in range(CHANNELS)]
    door = KafkaDoor(node.kafka_address)
    await door.create_topic("t")
    await send(door, "t", 1)
    before = node.memory_kib()
    for wire in await open_idle(carriers, FEW_STREAMS):
        wire.cancel()
    once = node.memory_kib()
    # The same again takes the room of those that are gone.
    wires = await open_idle(carriers, FEW_STREAMS)
    assert node.memory_kib() - once < (once - before) / 2
    wires += await open_idle(carriers, IDLE_STREAMS - FEW_STREAMS)
    assert node.memory_kib() - before < IDLE_STREAMS * KIB_PER_STREAM_MAX
    await send(door, "t", 1)
    woken = await asyncio.gather(*(wire.read() for wire in wires))
    assert all(one is not None and one.WhichOneof("event") == "records" for one in woken)
    monkeypatch.setattr(streams, "PATIENCE_S", 120)  # each waits for all the others
    node.process.send_signal(signal.SIGTERM)
    endings = await asyncio.gather(*(StreamReader(wire).ending() for wire in wires))
    assert Counter(one and one.status for one in endings) == {"UNAVAILABLE": IDLE_STREAMS}
    await node.end()
    for carrier in carriers:
        await carrier.close()
    await door.close()
    gc.unfreeze()
