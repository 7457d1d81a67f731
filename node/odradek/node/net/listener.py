"""Sockets of one Kafka listener: accept, limits, flow control, orderly close. Decides nothing about requests.

Bytes are received into one buffer per listener and cut into frames in place (`proto.kafka.frames`); a session
gets each frame as a view that is valid only during the call. Reading stops while the session is busy or the peer
reads slower than it asks (backpressure), and a connection that is silent for `connections.max.idle.ms` is closed.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, cast

from odradek.proto.kafka.codec import DecodeError
from odradek.proto.kafka.frames import FrameError, FrameReader

Buffer = bytes | bytearray | memoryview

_RECEIVE_BUFFER_BYTES = 1024 * 1024
_WRITE_HIGH_WATER_BYTES = 1024 * 1024
_CLOSE_GRACE_S = 5

log = logging.getLogger(__name__)


class PeerError(Exception):
    """The peer broke the protocol above the framing: log once, close its connection."""


def _write_lines(transport: asyncio.Transport, buffers: Sequence[Buffer]) -> None:
    transport.writelines(buffers)


def _write_joined(transport: asyncio.Transport, buffers: Sequence[Buffer]) -> None:
    # Why: asyncio's own writelines never tells the protocol to pause before 3.12.9 and 3.13.2 (CVE-2024-12254).
    transport.write(buffers[0] if len(buffers) == 1 else b"".join(buffers))


class FrameHandler(Protocol):
    """What a connection drives: one session of the Kafka door."""

    def receive(self, frame: memoryview) -> bool:
        """Take one frame; False asks for no more until the session calls `Connection.resume`."""

    def idle(self) -> bool:
        """No answer is outstanding."""

    def closed(self) -> None:
        """The connection is gone; nothing can be written any more."""


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """`max.connections`, `max.connections.per.ip`, `connections.max.idle.ms`, `socket.request.max.bytes`."""

    connections_max: int
    connections_per_ip_max: int
    idle_ms_max: int
    frame_bytes_max: int


class Connection(asyncio.BufferedProtocol):
    """One accepted socket."""

    __slots__ = (
        "_active",
        "_busy",
        "_choked",
        "_corked",
        "_eof",
        "_handler",
        "_idle_timer",
        "_listener",
        "_reader",
        "_reading",
        "_send",
        "_stopping",
        "local_address",
        "peer_host",
        "peer_port",
        "transport",
    )

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._reader = FrameReader(listener.receive_buffer, listener.limits.frame_bytes_max)
        self._handler: FrameHandler | None = None
        self._corked: list[Buffer] | None = None
        self._busy = False  # the session wants no more frames now
        self._choked = False  # the peer does not read what we wrote
        self._reading = True
        self._active = True
        self._eof = False
        self._stopping = False
        self._send = _write_joined
        self._idle_timer: asyncio.TimerHandle | None = None
        self.transport: asyncio.Transport | None = None
        self.peer_host = ""
        self.peer_port = 0
        self.local_address = ("", 0)

    # -- asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        if type(transport).__module__.startswith("uvloop"):
            self._send = _write_lines
        peer = transport.get_extra_info("peername")
        self.peer_host, self.peer_port = (peer[0], peer[1]) if peer else ("", 0)
        local = transport.get_extra_info("sockname")
        self.local_address = (local[0], local[1]) if local else ("", 0)
        refused = self._listener.admit(self)
        if refused is not None:
            log.warning("connection from %s refused: %s", self.peer_host, refused)
            self.transport.abort()
            return
        self.transport.set_write_buffer_limits(high=_WRITE_HIGH_WATER_BYTES)
        self._handler = self._listener.open_session(self)
        self._idle_check()

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self._listener.forget(self)
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        handler, self._handler = self._handler, None
        if handler is not None:
            handler.closed()

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._reader.get_buffer()

    def buffer_updated(self, nbytes: int) -> None:
        self._reader.buffer_updated(nbytes)
        self._listener.bytes_in += nbytes
        self._active = True
        self._drain()
        self._reader.settle()

    def eof_received(self) -> bool:
        # A half-closed peer may still read: answers to what it already sent go out before we close.
        self._eof = self._handler is not None and not self._handler.idle()
        return self._eof

    def pause_writing(self) -> None:
        self._choked = True
        self._set_reading()

    def resume_writing(self) -> None:
        self._choked = False
        if not self._busy:
            self.resume()

    # -- the session's side

    def write(self, buffers: Sequence[Buffer]) -> None:
        """Send one answer. Answers given while frames are being taken leave together in one write."""
        if self._corked is not None:
            self._corked.extend(buffers)
        elif self.transport is not None and not self.transport.is_closing():
            self._active = True
            self._listener.bytes_out += sum(map(len, buffers))
            self._send(self.transport, buffers)
            self.answered()

    def answered(self) -> None:
        """The session has completed something, perhaps without bytes: a half-closed peer may have it all now."""
        if self._eof and self._corked is None and self._handler is not None and self._handler.idle():
            self.close()

    def stop_reading(self) -> None:
        """Take no further request; answers to those taken still go out."""
        self._stopping = True
        self._set_reading()

    def resume(self) -> None:
        """The session can take frames again."""
        self._busy = False
        if self._handler is not None and self._corked is None and not self._choked:
            self._drain()
            self._reader.settle()
        self._set_reading()

    def close(self) -> None:
        """Flush what was written, then close; a peer that does not read is not waited for long."""
        if self.transport is not None and not self.transport.is_closing():
            if self.transport.get_write_buffer_size():
                asyncio.get_running_loop().call_later(_CLOSE_GRACE_S, self.abort)
            self.transport.close()

    def abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    # -- inside

    def _drain(self) -> None:
        handler = self._handler
        if handler is None:
            return
        corked: list[Buffer] = []
        self._corked = corked
        failure: Exception | None = None
        try:
            while not (self._busy or self._choked or self._stopping):
                frame = self._reader.next_frame()
                if frame is None:
                    break
                if not handler.receive(frame):
                    self._busy = True
                if self.transport is None or self.transport.is_closing():
                    break
        except (FrameError, DecodeError, PeerError) as error:
            failure = error
        except Exception as error:  # the boundary of one connection's work: a bug costs it, not the node
            log.error("a request of %s failed", self.peer_host, exc_info=error)
            failure = error
        finally:
            self._corked = None
        if corked and self.transport is not None:
            self._listener.bytes_out += sum(map(len, corked))
            self._send(self.transport, corked)
        if failure is not None:
            log.warning("closing connection of %s:%d: %s", self.peer_host, self.peer_port, failure)
            self._handler = None
            handler.closed()
            self.close()
            return
        self._set_reading()

    def _set_reading(self) -> None:
        wanted = not (self._busy or self._choked or self._stopping)
        if wanted == self._reading or self.transport is None or self.transport.is_closing():
            return
        self._reading = wanted
        if wanted:
            self.transport.resume_reading()
        else:
            self.transport.pause_reading()

    def _idle_check(self) -> None:
        """Runs once per idle period, not per request: a request only sets a flag."""
        idle_ms_max = self._listener.limits.idle_ms_max
        if idle_ms_max < 0 or self.transport is None:
            return
        if not self._active and not self._busy:
            log.info(
                "closing connection of %s:%d: idle for %d ms", self.peer_host, self.peer_port, idle_ms_max
            )
            self.close()
            return
        self._active = False
        loop = asyncio.get_running_loop()
        self._idle_timer = loop.call_later(idle_ms_max / 1000, self._idle_check)


class Listener:
    """One bound address and its connections."""

    def __init__(
        self,
        name: str,
        limits: ConnectionLimits,
        open_session: Callable[[Connection], FrameHandler],
    ) -> None:
        self.name = name
        self.limits = limits
        self.open_session = open_session
        self.receive_buffer = memoryview(bytearray(_RECEIVE_BUFFER_BYTES))
        self.host = ""
        self.port = 0
        # Counted for whoever watches the node, all since the start.
        self.accepted = 0
        self.refused = 0
        self.bytes_in = 0
        self.bytes_out = 0
        self._connections: dict[Connection, None] = {}  # in the order of their coming
        self._per_ip: Counter[str] = Counter()
        self._server: asyncio.Server | None = None

    async def bind(self, host: str, port: int, backlog: int = 1024) -> None:
        """Take the address (an empty host is every address); accepts nothing yet. Raises OSError."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: Connection(self),
            host or None,
            port,
            backlog=backlog,
            reuse_address=True,
            start_serving=False,
        )
        self.host = host
        bound = [sock for sock in self._server.sockets if sock.family in (socket.AF_INET, socket.AF_INET6)]
        self.port = bound[0].getsockname()[1]

    async def accept(self) -> None:
        """Serve connections from now on."""
        assert self._server is not None, "bind comes first"
        await self._server.start_serving()

    @property
    def connection_count(self) -> int:
        """Connections that are open now."""
        return len(self._connections)

    @property
    def address(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def stop_accepting(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    def stop_reading(self) -> None:
        for connection in self._connections:
            connection.stop_reading()

    def close_connections(self) -> None:
        for connection in list(self._connections):
            connection.close()

    def abort_connections(self) -> None:
        for connection in list(self._connections):
            connection.abort()

    def admit(self, connection: Connection) -> str | None:
        """Count the connection in, or say why not."""
        if len(self._connections) >= self.limits.connections_max:
            self.refused += 1
            return f"max.connections={self.limits.connections_max} reached"
        if self._per_ip[connection.peer_host] >= self.limits.connections_per_ip_max:
            self.refused += 1
            return f"max.connections.per.ip={self.limits.connections_per_ip_max} reached"
        self.accepted += 1
        self._connections[connection] = None
        self._per_ip[connection.peer_host] += 1
        return None

    def forget(self, connection: Connection) -> None:
        if connection in self._connections:
            del self._connections[connection]
            self._per_ip[connection.peer_host] -= 1
            if not self._per_ip[connection.peer_host]:
                del self._per_ip[connection.peer_host]
