"""Connections of the simulated network: asyncio transports over two one-way pipes of bytes.

Decides what a socket decides: how much is under way at most (window), when a writer is told to pause, the order of
bytes, end of stream and reset. Each pipe has at most one event in the heap, for its first piece, so nothing overtakes.

Supports both kinds of protocols; a `BufferedProtocol` is given as many bytes as it has room for, or fewer.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.sim.loop import HostLoop
    from tests.sim.network import Machine, Network

_WINDOW_BYTES = 256 * 1024
_SEGMENT_BYTES_MAX = 64 * 1024
_HIGH_WATER_BYTES = 64 * 1024
_FIN, _RESET = b"FIN", b"RST"


class Pipe:
    """One direction of a connection."""

    def __init__(self, network: Network, source: Machine, target: SimTransport) -> None:
        self._network = network
        self._source = source
        self._target = target
        self.unsent = bytearray()
        self._flight: deque[tuple[int, bytes, bytes]] = deque()  # (due, kind, data)
        self._in_flight_bytes = 0
        self._last_us = 0
        self._is_moving = False
        self.is_closed = False
        self.sent_into_void = False
        self._held_until_us = 0

    def hold(self, delay_us: int) -> None:
        """Let nothing arrive for a while."""
        self._held_until_us = self._network.scheduler.now_us + delay_us

    def write(self, data: bytes) -> None:
        self.unsent += data
        self.pump()

    def pump(self) -> None:
        """Send what the window has room for."""
        target = self._target
        while self.unsent and self._in_flight_bytes + len(target.received) < _WINDOW_BYTES:
            piece = bytes(self.unsent[:_SEGMENT_BYTES_MAX])
            del self.unsent[:_SEGMENT_BYTES_MAX]
            self._in_flight_bytes += len(piece)
            self._send(b"", piece)
        if target.is_ghost:
            self.sent_into_void = True

    def finish(self, kind: bytes) -> None:
        """End of stream behind everything, or a reset that overtakes it."""
        if self.is_closed:
            return
        self.is_closed = True
        if kind is _RESET:
            self.unsent.clear()
            self._flight.clear()
            self._in_flight_bytes = 0
        self._send(kind, b"")

    def _send(self, kind: bytes, data: bytes) -> None:
        now_us = self._network.scheduler.now_us
        self._last_us = max(self._last_us, now_us + self._network.delay_us())
        self._flight.append((self._last_us, kind, data))
        self._move()

    def _move(self) -> None:
        if self._flight and not self._is_moving:
            self._is_moving = True
            self._network.scheduler.at(self._flight[0][0], self._arrive)

    def resume(self, delay_us: int) -> None:
        """The link works again, and the retransmission timer fires."""
        self._network.scheduler.after(delay_us, self._arrive)

    def _arrive(self) -> None:
        target = self._target
        if not self._flight:
            self._is_moving = False
            return
        if target.is_ghost:
            self._is_moving = False
            self.sent_into_void = True
            return
        if self._network.scheduler.now_us < self._held_until_us:
            self._network.scheduler.at(self._held_until_us, self._arrive)
            return
        if self._network.is_cut(self._source, target.machine):
            self._network.park(self)  # still moving: `resume` calls again
            return
        self._is_moving = False
        _, kind, data = self._flight.popleft()
        self._in_flight_bytes -= len(data)
        self._network.scheduler.note(data)
        target.arrived(kind, data)
        self._move()


class SimTransport(asyncio.Transport):
    """One end of a connection."""

    def __init__(self, network: Network, machine: Machine, loop: HostLoop, remote: Machine) -> None:
        super().__init__()
        self.machine = machine
        self.remote = remote
        self.received = bytearray()
        self.is_ghost = False
        """The machine of this end has lost its power."""
        self.out: Pipe
        self.peer: SimTransport
        self.local_port = 0
        self.remote_port = 0
        self._network = network
        self._loop = loop
        self._number = network.scheduler.number()
        self._protocol: Any = None
        self._is_buffered = False
        self._end = b""  # FIN or RST came
        self._is_reading = True
        self._is_delivering = False
        self._is_closing = False
        self._is_lost = False
        self._write_is_paused = False
        self._high, self._low = _HIGH_WATER_BYTES, _HIGH_WATER_BYTES // 4
        machine.transports[self._number] = self

    @classmethod
    def pair(
        cls,
        network: Network,
        client: tuple[Machine, HostLoop],
        server: tuple[Machine, HostLoop],
        port: int,
    ) -> tuple[SimTransport, SimTransport]:
        one, other = cls(network, *client, server[0]), cls(network, *server, client[0])
        one.peer, other.peer = other, one
        one.out, other.out = Pipe(network, client[0], other), Pipe(network, server[0], one)
        one.local_port = other.remote_port = client[0].free_port()
        one.remote_port = other.local_port = port
        return one, other

    # -- the process's side

    def open(self, protocol: Any) -> None:
        """On the loop: the protocol hears of its connection."""
        self.set_protocol(protocol)
        protocol.connection_made(self)
        self._deliver_soon()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        known = {
            "peername": (self.remote.address, self.remote_port),
            "sockname": (self.machine.address, self.local_port),
        }
        return known.get(name, default)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol
        self._is_buffered = isinstance(protocol, asyncio.BufferedProtocol)

    def get_protocol(self) -> Any:
        return self._protocol

    def is_closing(self) -> bool:
        return self._is_closing

    def is_reading(self) -> bool:
        return self._is_reading and not self._is_closing

    def pause_reading(self) -> None:
        self._is_reading = False

    def resume_reading(self) -> None:
        self._is_reading = True
        self._deliver_soon()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high = _HIGH_WATER_BYTES if high is None else high
        self._low = self._high // 4 if low is None else low

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._low, self._high

    def get_write_buffer_size(self) -> int:
        return len(self.out.unsent)

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        if self._is_lost or self._is_closing or self.out.is_closed:
            return
        self.out.write(bytes(data))
        if not self._write_is_paused and len(self.out.unsent) > self._high:
            self._write_is_paused = True
            self._protocol.pause_writing()

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview[Any]]) -> None:
        self.write(b"".join(list_of_data))

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        if not self.out.unsent:
            self.out.finish(_FIN)

    def close(self) -> None:
        """What was written still goes out; nothing is read any more."""
        if self._is_closing:
            return
        self._is_closing = True
        self._maybe_close()

    def abort(self) -> None:
        self._is_closing = True
        self.out.finish(_RESET)
        self._lose(None)

    # -- the network's side

    def arrived(self, kind: bytes, data: bytes) -> None:
        """Bytes or an end have reached this machine's kernel."""
        if self._is_lost or (self._is_closing and data):
            if kind is not _RESET and data:
                self.out.finish(_RESET)  # nobody reads here any more
            return
        if kind is _RESET:
            self.received.clear()
            self._is_closing = True
            self.out.is_closed = True
            self._lose(ConnectionResetError(104, "connection reset by peer"))
            return
        self.received += data
        self._end = self._end or kind
        self._deliver_soon()

    def break_off(self) -> None:
        """Both ends are reset."""
        for end in (self, self.peer):
            end.arrived(_RESET, b"")

    def vanish(self, *, silently: bool) -> None:
        """The process of this end is gone; with its power, nobody tells the other end."""
        self._is_lost = True
        if silently:
            self.is_ghost = True
            self.out.unsent.clear()
            self.out.is_closed = True
            if not self.peer._is_lost:
                self._network.on_ghost(self.peer)
        elif self.received:
            self.out.finish(_RESET)
        else:
            self.out.unsent.clear()
            self.out.finish(_FIN)

    def haunt(self, delay_us: int) -> None:
        """The other end's machine is back and knows nothing of this connection."""
        if self._is_lost:
            return
        if self.out.sent_into_void or self.out.unsent:
            self._network.scheduler.after(delay_us, lambda: self.arrived(_RESET, b""))
        else:
            self._network.scheduler.after(delay_us + 200_000, lambda: self.haunt(delay_us))

    def on_room(self) -> None:
        """The reader of what this end writes has taken something."""
        self.out.pump()
        if self._write_is_paused and len(self.out.unsent) <= self._low and not self._is_lost:
            self._write_is_paused = False
            self._loop.call_soon(self._resume_writing)
        if self._is_closing:
            self._maybe_close()

    # -- inside

    def _resume_writing(self) -> None:
        if not self._write_is_paused and not self._is_lost:
            self._protocol.resume_writing()

    def _maybe_close(self) -> None:
        if not self._is_lost and not self.out.unsent:
            self.out.finish(_FIN)
            self._lose(None)

    def _lose(self, error: Exception | None) -> None:
        if self._is_lost:
            return
        self._is_lost = True
        self.machine.transports.pop(self._number, None)
        if self._protocol is not None:
            self._loop.call_soon(self._protocol.connection_lost, error)

    def _deliver_soon(self) -> None:
        if self._protocol is None or self._is_delivering or not self.is_reading():
            return
        if self.received or self._end:
            self._is_delivering = True
            self._loop.call_soon(self._deliver)

    def _deliver(self) -> None:
        self._is_delivering = False
        if self._is_lost or not self.is_reading():
            return
        if self.received:
            self._give(self._network.piece(len(self.received)))
            self.peer.on_room()
        elif self._end:
            self._end = b""
            if not self._protocol.eof_received():
                self.close()
            return
        self._deliver_soon()

    def _give(self, size: int) -> None:
        if not self._is_buffered:
            data = bytes(self.received[:size])
            del self.received[:size]
            self._protocol.data_received(data)
            return
        buffer = memoryview(self._protocol.get_buffer(size)).cast("B")
        assert len(buffer), "get_buffer gave no room"
        size = min(size, len(buffer))
        buffer[:size] = self.received[:size]
        del self.received[:size]
        self._protocol.buffer_updated(size)
