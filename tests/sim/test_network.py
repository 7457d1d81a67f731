"""The virtual network must itself be right: what TCP promises holds, and nothing more."""

from __future__ import annotations

import asyncio
from functools import partial
from random import Random
from typing import Any

from tests.sim.loop import HostLoop, Scheduler
from tests.sim.network import Machine, Network, Weather


class Collector(asyncio.Protocol):
    """Keeps what it is told; echoes when asked to."""

    def __init__(self, *, echo: bool = False) -> None:
        self.data = b""
        self.pieces = 0
        self.events: list[str] = []
        self.error: Exception | None = None
        self.transport: Any = None
        self._echo = echo

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.pieces += 1
        self.data += data
        if self._echo:
            self.transport.write(data)

    def eof_received(self) -> bool:
        self.events.append("eof")
        return False

    def pause_writing(self) -> None:
        self.events.append("pause")

    def resume_writing(self) -> None:
        self.events.append("resume")

    def connection_lost(self, exc: Exception | None) -> None:
        self.events.append("lost")
        self.error = exc


class Filled(Collector, asyncio.BufferedProtocol):
    """The same through `get_buffer`."""

    buffer = bytearray(100)

    def get_buffer(self, sizehint: int) -> bytearray:
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.data_received(bytes(self.buffer[:nbytes]))


class Pair:
    """A server and a client on two machines."""

    def __init__(self, weather: Weather | None = None, server: type[Collector] = Collector) -> None:
        self.world = Scheduler(Random(1))
        self.network = Network(self.world, Random(2))
        if weather is not None:
            self.network.weather = weather
        self.server_machine, self.client_machine = self.network.add("server"), self.network.add("client")
        self.boot(self.server_machine)
        self.boot(self.client_machine)
        self.accepted: list[Collector] = []
        self.client = Collector()
        self._kind = server
        self.listen()

    def boot(self, machine: Machine) -> None:
        machine.boot(HostLoop(self.world, machine.name))

    def listen(self) -> None:
        def accept() -> Collector:
            self.accepted.append(self._kind(echo=True))
            return self.accepted[-1]

        self.server_machine.listen(accept, None, 9092, True)

    def connect(self, seconds: float = 1.0) -> asyncio.Task[Any]:
        loop = self.client_machine.loop
        assert loop is not None
        task = loop.create_task(
            loop.create_connection(lambda: self.client, self.server_machine.address, 9092)
        )
        self.run(seconds)
        return task

    def run(self, seconds: float) -> None:
        self.world.run(self.world.now_us + int(seconds * 1_000_000))


def test_bytes_arrive_once_and_in_order_in_any_pieces() -> None:
    rough = Weather(delay_max_us=20_000, stall_chance=0.3, stall_max_us=300_000, dribble=0.8, loss=0.5)
    for kind in (Collector, Filled):
        pair = Pair(rough, kind)
        pair.connect(20)
        sent = Random(3).randbytes(50_000)
        for start in range(0, len(sent), 700):
            pair.client.transport.write(sent[start : start + 700])
        pair.run(600)
        assert pair.accepted[0].data == sent and pair.client.data == sent
        assert pair.accepted[0].pieces > 5
        assert not pair.world.problems


def test_a_writer_is_told_to_pause_while_the_reader_does_not_read() -> None:
    pair = Pair()
    pair.connect()
    reader = pair.accepted[0]
    reader.transport.pause_reading()
    pair.client.transport.write(bytes(2_000_000))
    pair.run(5)
    assert pair.client.events == ["pause"] and not reader.data
    reader.transport.resume_reading()
    pair.run(60)
    assert pair.client.events == ["pause", "resume"] and len(reader.data) == 2_000_000


def test_close_sends_what_was_written_and_ends_both_sides() -> None:
    pair = Pair()
    pair.connect()
    pair.client.transport.write(b"last words")
    pair.client.transport.close()
    pair.run(1)
    assert pair.accepted[0].data == b"last words"
    assert pair.accepted[0].events == ["eof", "lost"] and pair.client.events == ["lost"]
    assert not pair.server_machine.transports and not pair.client_machine.transports


def test_a_port_nobody_listens_on_refuses() -> None:
    pair = Pair()
    pair.server_machine.servers.clear()
    assert isinstance(pair.connect().exception(), ConnectionRefusedError)


def test_a_killed_process_breaks_its_connections_and_a_power_cut_does_not_tell() -> None:
    pair = Pair()
    pair.connect()
    pair.server_machine.end_process(power_cut=False)
    pair.run(1)
    assert pair.client.events[-1] == "lost"

    pair = Pair()
    pair.connect()
    pair.server_machine.end_process(power_cut=True)
    pair.client.transport.write(b"anybody there?")
    pair.run(60)
    assert not pair.client.events
    pair.boot(pair.server_machine)
    pair.run(10)
    assert pair.client.events == ["lost"] and isinstance(pair.client.error, ConnectionResetError)


def test_a_cut_link_holds_bytes_back_in_one_direction() -> None:
    pair = Pair()
    pair.connect()
    pair.network.cut(pair.server_machine, pair.client_machine)
    pair.client.transport.write(b"ping")
    pair.run(5)
    assert (pair.accepted[0].data, pair.client.data) == (b"ping", b"")
    pair.network.mend()
    pair.run(1)
    assert pair.client.data[:] == b"ping"


def test_a_frozen_process_still_accepts_connections_and_bytes() -> None:
    pair = Pair()
    loop = pair.server_machine.loop
    assert loop is not None
    loop.freeze()
    assert pair.connect().done()
    pair.client.transport.write(b"wake up")
    pair.run(1)
    assert not pair.accepted
    loop.thaw()
    pair.run(1)
    assert pair.client.data == b"wake up"


def test_datagrams_are_lost_doubled_and_overtaken() -> None:
    pair = Pair(Weather(delay_max_us=50_000, loss=0.3, repeat=0.3))
    seen: list[int] = []
    for number in range(300):
        pair.network.send(pair.client_machine, pair.server_machine, partial(seen.append, number))
    pair.run(1)
    assert seen != sorted(seen) and 0 < len(set(seen)) < 300 and len(seen) > len(set(seen))
