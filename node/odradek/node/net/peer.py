"""Requests of this node to others, in the Kafka protocol: connections that are kept, one request on each at a time.

A node answers the requests of a connection in order, and some of them wait long (a fetch, a topic creation), so
requests that are under way together travel on connections of their own; those that are done wait for the next.
Decides nothing about what is asked; retrying is the caller's. A request that timed out takes its connection with it,
because its answer would be taken for that of the next.

What `request` returns is valid for as long as it is held: frames that arrive in the shared buffer are copied, larger
ones have a buffer of their own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol, cast

from odradek.proto.kafka.api import ApiKey, response_class
from odradek.proto.kafka.codec import DecodeError, decode
from odradek.proto.kafka.frames import FrameError, FrameReader
from odradek.proto.kafka.headers import RequestHeader, decode_response_header, encode_request_frame
from odradek.proto.kafka.schema import Message

Address = tuple[str, int]

CLIENT_ID = "odradek"
_RECEIVE_BUFFER_BYTES = 256 * 1024
_FRAME_BYTES_MAX = 1024 * 1024 * 1024
_IDLE_PER_PEER_MAX = 8


class PeerUnavailableError(ConnectionError):
    """The node cannot be reached, or the connection broke before the answer: the request may have been carried out."""


class PeerNotReachedError(PeerUnavailableError):
    """There was no connection: nothing was sent."""


class Resolve(Protocol):
    def __call__(self, node_id: int) -> Address | None:
        """Where a node listens for the others; None while nobody knows."""


def _key_of(message: Message) -> int:
    key = message.INFO.key
    assert key is not None, f"{message.INFO.name} is not a request"
    return key


class PeerConnection(asyncio.BufferedProtocol):
    """One connection to one node."""

    def __init__(self, buffer: memoryview) -> None:
        self._buffer = buffer
        self._reader = FrameReader(buffer, _FRAME_BYTES_MAX)
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[memoryview] | None = None
        self._next_correlation_id = 0
        self.address: Address | None = None

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._fail(PeerUnavailableError(f"the connection broke: {exc or 'closed by the other side'}"))

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._reader.get_buffer()

    def buffer_updated(self, nbytes: int) -> None:
        self._reader.buffer_updated(nbytes)
        try:
            frame = self._reader.next_frame()
            if frame is not None:
                # Why a copy of small ones: the shared buffer serves the next connection before the waiter runs.
                shared = frame.obj is self._buffer.obj
                self._take(memoryview(bytearray(frame)) if shared else frame)
        except FrameError as error:
            self._fail(PeerUnavailableError(str(error)))
            self.close()
        self._reader.settle()

    async def request(
        self, message: Message, version: int, timeout_ms: int, client_id: str = CLIENT_ID
    ) -> Message:
        """Raises PeerUnavailableError, TimeoutError; then the connection is closed."""
        assert self._answer is None, "one request at a time"
        if self._transport is None or self._transport.is_closing():
            raise PeerUnavailableError("the connection is closed")
        key = ApiKey(_key_of(message))
        self._next_correlation_id = (self._next_correlation_id + 1) & 0x7FFFFFFF
        header = RequestHeader(int(key), version, self._next_correlation_id, client_id)
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.writelines(encode_request_frame(header, message))
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                frame = await self._answer
            correlation_id, position = decode_response_header(frame, int(key), version)
            if correlation_id != header.correlation_id:
                raise PeerUnavailableError(f"answer to request {correlation_id}, not {header.correlation_id}")
            return decode(response_class(key), version, frame, position)
        except DecodeError as error:
            self.close()
            raise PeerUnavailableError(f"{key.name}: {error}") from None
        except BaseException:
            self.close()
            raise
        finally:
            self._answer = None

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _take(self, frame: memoryview) -> None:
        if self._answer is None or self._answer.done():
            self.close()
        else:
            self._answer.set_result(frame)

    def _fail(self, error: PeerUnavailableError) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)


class Peers:
    """Connections to all other nodes, made when they are needed."""

    def __init__(self, resolve: Resolve, connect_timeout_ms: int = 2_000) -> None:
        self._resolve = resolve
        self._connect_timeout_ms = connect_timeout_ms
        self._buffer = memoryview(bytearray(_RECEIVE_BUFFER_BYTES))
        self._idle: dict[int, list[PeerConnection]] = {}
        self._busy: set[PeerConnection] = set()
        self._is_closed = False

    async def request(
        self, node_id: int, message: Message, version: int, timeout_ms: int, client_id: str = CLIENT_ID
    ) -> Message:
        """The answer of `node_id`, asked on behalf of `client_id`. Raises PeerUnavailableError, TimeoutError."""
        address = self._resolve(node_id)
        if address is None:
            raise PeerNotReachedError(f"nobody knows where node {node_id} listens")
        connection = self._take_idle(node_id, address) or await self._connect(address)
        if self._is_closed:
            connection.close()
            raise PeerUnavailableError("this node stops")
        self._busy.add(connection)
        try:
            return await connection.request(message, version, timeout_ms, client_id)
        finally:
            self._busy.discard(connection)
            idle = self._idle.setdefault(node_id, [])
            if connection.is_open and len(idle) < _IDLE_PER_PEER_MAX:
                idle.append(connection)
            else:
                connection.close()

    async def is_listening(self, node_id: int, timeout_ms: int = 250) -> bool:
        """Whether somebody accepts connections where `node_id` listens. True also when nobody refuses in time."""
        address = self._resolve(node_id)
        if address is None:
            return True
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, *address)
        except TimeoutError:
            return True
        except OSError:
            return False
        transport.abort()
        return True

    def close(self) -> None:
        """Requests under way fail with PeerUnavailableError."""
        self._is_closed = True
        for connection in [*self._busy, *(one for idle in self._idle.values() for one in idle)]:
            connection.close()
        self._idle.clear()

    def _take_idle(self, node_id: int, address: Address) -> PeerConnection | None:
        idle = self._idle.get(node_id)
        while idle:
            connection = idle.pop()
            if connection.is_open and connection.address == address:
                return connection
            connection.close()
        return None

    async def _connect(self, address: Address) -> PeerConnection:
        loop = asyncio.get_running_loop()
        make: Callable[[], PeerConnection] = lambda: PeerConnection(self._buffer)  # noqa: E731
        try:
            async with asyncio.timeout(self._connect_timeout_ms / 1000):
                _, connection = await loop.create_connection(make, *address)
        except TimeoutError:
            raise PeerNotReachedError(f"no connection to {address[0]}:{address[1]} in time") from None
        except OSError as error:
            raise PeerNotReachedError(f"no connection to {address[0]}:{address[1]}: {error}") from None
        connection.address = address
        return connection
