"""Machines and the network between them: who hears whom, how late, and in which pieces.

Decides, by drawing: delays, stalls (a lost segment comes again after a retransmission time), how a stream of bytes is
cut into pieces at the receiver; for datagrams (Raft's batches) also loss, repetition and reordering. Links can be cut
in one direction or in both; machines can be cut off from their power.

What TCP promises is kept, because the code above builds on it: bytes of a connection arrive once and in order or the
connection breaks. What it does not promise is not given: a peer that lost its power is silent until it is back; a
process that froze still has a kernel that accepts connections and bytes.

`streams.py` has the connections themselves.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any

from tests.sim.disk import SimDisk
from tests.sim.loop import HostLoop, Scheduler
from tests.sim.streams import Pipe, SimTransport

_SYN_RETRY_US = 1_000_000
_EPHEMERAL = 40_000


@dataclass
class Weather:
    """How the network is now. Times in microseconds, chances from 0 to 1."""

    delay_min_us: int = 50
    delay_max_us: int = 500
    stall_chance: float = 0.0
    stall_max_us: int = 0
    loss: float = 0.0
    repeat: float = 0.0
    dribble: float = 0.0
    """Chance that a piece of a stream reaches the reader in smaller pieces."""


def _soon(loop: HostLoop, callback: Callable[[], None]) -> None:
    loop.call_soon(callback)


class Machine:
    """A computer: it outlives its processes. `loop` is the process that runs now."""

    def __init__(self, network: Network, name: str, address: str) -> None:
        self.network = network
        self.name = name
        self.address = address
        self.has_power = True
        self.disk: SimDisk
        """Set by whoever gives the machine one."""
        self.loop: HostLoop | None = None
        self.servers: dict[int, SimServer] = {}
        self.transports: dict[int, SimTransport] = {}
        self._next_port = _EPHEMERAL

    def __repr__(self) -> str:
        return self.name

    def boot(self, loop: HostLoop) -> None:
        """A process starts here; whoever still talks to an earlier one learns that it is gone."""
        assert self.loop is None, f"{self.name} runs a process already"
        self.loop = loop
        self.has_power = True
        loop.machine = self
        self.network.on_boot(self)

    def end_process(self, *, power_cut: bool) -> None:
        """The process is gone. Its kernel tells its peers, unless that has lost its power too."""
        loop, self.loop = self.loop, None
        self.servers.clear()
        transports, self.transports = self.transports, {}
        self.has_power = not power_cut
        if loop is not None:
            loop.kill()
        for transport in transports.values():
            transport.vanish(silently=power_cut)

    def free_port(self) -> int:
        self._next_port += 1
        return self._next_port

    # -- what `HostLoop` passes on

    def listen(self, factory: Callable[[], Any], host: Any, port: Any, serving: bool) -> SimServer:
        number = port or self.free_port()
        if number in self.servers:
            raise OSError(98, f"address {self.address}:{number} is in use")
        assert self.loop is not None
        server = SimServer(self, self.loop, factory, number)
        self.servers[number] = server
        server.is_serving = serving
        return server

    async def connect(self, factory: Callable[[], Any], host: str, port: int) -> tuple[SimTransport, Any]:
        """As `create_connection`. A host without power does not answer: the caller has to give up by itself."""
        loop = self.loop
        assert loop is not None
        connected = loop.create_future()
        self.network.connect(self, loop, factory, host, port, connected)
        transport: SimTransport = await connected
        return transport, transport.get_protocol()


class _SimSocket:
    """What `Listener.bind` asks the sockets of a server."""

    family = socket.AF_INET

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address

    def getsockname(self) -> tuple[str, int]:
        return self._address


class SimServer:
    """As `asyncio.Server`."""

    def __init__(self, machine: Machine, loop: HostLoop, factory: Callable[[], Any], port: int) -> None:
        self.machine = machine
        self.loop = loop
        self.factory = factory
        self.port = port
        self.is_serving = False

    @property
    def sockets(self) -> list[_SimSocket]:
        return [_SimSocket((self.machine.address, self.port))]

    async def start_serving(self) -> None:
        self.is_serving = True

    def close(self) -> None:
        self.is_serving = False
        self.machine.servers.pop(self.port, None)

    async def wait_closed(self) -> None:
        """Nothing to wait for."""


class Network:
    """All machines by address, and the state of the links."""

    def __init__(self, scheduler: Scheduler, random: Random) -> None:
        self.scheduler = scheduler
        self.weather = Weather()
        self.machines: dict[str, Machine] = {}
        self._random = random
        self._cut: set[tuple[str, str]] = set()
        self._parked: list[Pipe] = []
        self._ghosts: list[SimTransport] = []
        """Ends of connections whose other end lost its power."""

    def add(self, name: str) -> Machine:
        machine = Machine(self, name, f"10.0.0.{len(self.machines) + 1}")
        self.machines[machine.address] = machine
        return machine

    # -- links

    def cut(self, source: Machine, target: Machine) -> None:
        """Nothing passes from `source` to `target` until `mend`."""
        self._cut.add((source.address, target.address))

    def mend(self) -> None:
        """All links work again; what TCP held back is sent again, after a while."""
        self._cut.clear()
        parked, self._parked = self._parked, []
        for pipe in parked:
            pipe.resume(self._random.randrange(1, 400_000))

    def is_cut(self, source: Machine, target: Machine) -> bool:
        return (source.address, target.address) in self._cut

    def is_silent(self, source: Machine, target: Machine) -> bool:
        """Cut, or one of the two is without power."""
        return self.is_cut(source, target) or not (source.has_power and target.has_power)

    def park(self, pipe: Pipe) -> None:
        self._parked.append(pipe)

    def delay_us(self) -> int:
        """How long one segment or datagram takes, retransmissions included."""
        weather, random = self.weather, self._random
        delay = random.randint(weather.delay_min_us, weather.delay_max_us)
        if weather.stall_chance and random.random() < weather.stall_chance:
            delay += random.randint(1, weather.stall_max_us)
        return delay

    def piece(self, available: int) -> int:
        """How many of the bytes that have arrived the reader gets at once."""
        weather = self.weather
        if weather.dribble and available > 1 and self._random.random() < weather.dribble:
            return self._random.randint(1, available)
        return available

    # -- datagrams

    def send(self, source: Machine, target: Machine, deliver: Callable[[], None]) -> None:
        """Carry a message, or lose it; twice perhaps, and later ones may overtake it."""
        weather, random = self.weather, self._random
        for _ in range(2 if weather.repeat and random.random() < weather.repeat else 1):
            if self.is_silent(source, target) or (weather.loss and random.random() < weather.loss):
                continue
            loop = target.loop

            def arrive(loop: HostLoop | None = loop) -> None:
                if not self.is_silent(source, target) and loop is not None and target.loop is loop:
                    loop.call_soon(deliver)

            self.scheduler.after(self.delay_us(), arrive)

    # -- connections

    def connect(
        self,
        source: Machine,
        loop: HostLoop,
        factory: Callable[[], Any],
        host: str,
        port: int,
        connected: Any,
    ) -> None:
        target = self.machines.get(host)

        def syn() -> None:
            if loop.is_dead or connected.done():
                return
            if target is None or self.is_silent(source, target):
                self.scheduler.after(_SYN_RETRY_US, syn)
                return
            server = target.servers.get(port)
            if server is None or not server.is_serving:
                self.scheduler.after(self.delay_us(), partial(_soon, loop, refuse))
                return
            client, accepted = SimTransport.pair(self, (source, loop), (target, server.loop), port)
            server.loop.call_soon(lambda: accepted.open(server.factory()))
            self.scheduler.after(self.delay_us(), partial(_soon, loop, partial(establish, client)))

        def refuse() -> None:
            if not connected.done():
                connected.set_exception(ConnectionRefusedError(f"{host}:{port} refuses connections"))

        def establish(client: SimTransport) -> None:
            if connected.done():
                client.abort()
                return
            client.open(factory())
            connected.set_result(client)

        self.scheduler.after(self.delay_us(), syn)

    def reset_some(self, source: Machine, target: Machine, chance: float) -> None:
        """Break connections between two machines, as a restarted router does."""
        for transport in list(source.transports.values()):
            if transport.remote is target and self._random.random() < chance:
                transport.break_off()

    def on_ghost(self, transport: SimTransport) -> None:
        self._ghosts.append(transport)

    def on_boot(self, machine: Machine) -> None:
        """Its kernel knows nothing of old connections: their other ends are reset when they send something."""
        ghosts, self._ghosts = self._ghosts, []
        for ghost in ghosts:
            if ghost.remote is not machine:
                self._ghosts.append(ghost)
            else:
                ghost.haunt(self._random.randrange(1_000, 1_000_000))
