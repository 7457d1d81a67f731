"""The way from all peers to this node: greets who calls, and hands on the batches of those who belong here.

Decides nothing about who is welcome (`greeting`); decides that a node has one incoming stream, the newest. Invariants:
no batch is handed on before the welcome, or after the stream was ended; the sender of a message is who greeted.
Source: `proto/odradek/proto/v1/raft.proto`.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final, Protocol

import grpc
import grpc.aio

from .greeting import Hello, Refusal, Welcome
from .message_codec import Batch, MalformedBatchError, decode_batch, decode_hello, encode_welcome
from .transport_limits import TransportLimits

logger = logging.getLogger(__name__)

SERVICE: Final = "odradek.proto.v1.RaftTransportService"


class ServerOwner(Protocol):
    """Who judges and who listens. Everything is called on the event loop's thread."""

    def on_hello(self, hello: Hello, source: str) -> Welcome | Refusal:
        """`source` is the caller's address, for people."""

    def on_batch(self, batch: Batch) -> None: ...


@dataclass(slots=True, eq=False)
class _Stream:
    """`ended` holds the sentence with which it is ended from this side."""

    node_id: int
    incarnation: int
    ended: "asyncio.Future[str]"

    def end(self, sentence: str) -> None:
        if not self.ended.done():
            self.ended.set_result(sentence)


class RaftServer:
    """Use: `await start(...)`, `await stop()`."""

    def __init__(self, node_id: int, owner: ServerOwner, limits: TransportLimits) -> None:
        self.node_id = node_id
        self._owner = owner
        self._limits = limits
        self._streams: dict[int, _Stream] = {}
        self._server: grpc.aio.Server | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen. Returns the port, which is another one only if `port` is 0. Raises OSError."""
        server = grpc.aio.server(
            options=_options(self._limits), maximum_concurrent_rpcs=self._limits.streams_max
        )
        handler: Any = grpc.stream_stream_rpc_method_handler(self._exchange)
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(SERVICE, {"Exchange": handler}),)
        )
        address = f"[{host}]:{port}" if ":" in host else f"{host or '[::]'}:{port}"
        try:
            bound = server.add_insecure_port(address)
        except RuntimeError as error:
            raise OSError(f"cannot listen for Raft on {address}: {error}") from error
        if bound == 0:
            raise OSError(f"cannot listen for Raft on {address}")
        await server.start()
        self._server = server
        return bound

    async def stop(self) -> None:
        """Close every stream, and the port."""
        server, self._server = self._server, None
        if server is not None:
            await server.stop(None)

    def end_stream(self, node_id: int, sentence: str) -> None:
        """End the stream of this node, if there is one."""
        if (stream := self._streams.pop(node_id, None)) is not None:
            stream.end(sentence)

    def incarnation_of(self, node_id: int) -> int | None:
        """That of the process whose stream is open."""
        stream = self._streams.get(node_id)
        return stream.incarnation if stream is not None else None

    @property
    def sources(self) -> tuple[int, ...]:
        """Nodes whose stream is open."""
        return tuple(self._streams)

    async def _exchange(self, _: AsyncIterator[bytes], context: Any) -> None:
        hello = await self._read_hello(context)
        answer = self._owner.on_hello(hello, context.peer())
        if isinstance(answer, Refusal):
            code = grpc.StatusCode.UNAVAILABLE if answer.is_passing else grpc.StatusCode.FAILED_PRECONDITION
            await context.abort(code, answer.sentence)
            return
        self.end_stream(hello.node_id, "a newer stream of this node took its place")
        ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        stream = self._streams[hello.node_id] = _Stream(hello.node_id, hello.incarnation, ended)
        try:
            await context.write(encode_welcome(answer))
            await self._listen(stream, context)
        finally:
            if self._streams.get(hello.node_id) is stream:
                del self._streams[hello.node_id]

    async def _listen(self, stream: _Stream, context: Any) -> None:
        """Until one side ends the stream."""
        # Why a task of its own: cancelling the one that gRPC made can leave a stream that never ends for the peer.
        reader = asyncio.get_running_loop().create_task(self._hand_on(stream, context))
        try:
            either: list[asyncio.Future[Any]] = [reader, stream.ended]
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if stream.ended.done():
                await context.abort(grpc.StatusCode.ABORTED, stream.ended.result())
        finally:
            reader.cancel()

    async def _read_hello(self, context: Any) -> Hello:
        try:
            async with asyncio.timeout(self._limits.greeting_timeout_ms / 1000):
                data = await context.read()
        except TimeoutError:
            await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "no hello came")
        if data is grpc.aio.EOF:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "no hello came")
        try:
            return decode_hello(data)
        except MalformedBatchError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
            raise AssertionError("abort does not return") from error

    async def _hand_on(self, stream: _Stream, context: Any) -> None:
        read, on_batch, ended = context.read, self._owner.on_batch, stream.ended
        try:
            while (data := await read()) is not grpc.aio.EOF:
                batch = decode_batch(data, stream.node_id, self.node_id)
                if ended.done():
                    return
                on_batch(batch)
        except MalformedBatchError as error:
            logger.error("node %d sends what is no Raft batch: %s", stream.node_id, error)
            stream.end(f"no Raft batch: {error}")
        except Exception:
            if ended.done():
                return  # gRPC's way of saying so
            # The boundary of the task: a bug costs this stream, and the peer begins another.
            logger.exception("the Raft stream of node %d failed", stream.node_id)
            stream.end("the receiver failed")


def _options(limits: TransportLimits) -> list[tuple[str, Any]]:
    return [
        ("grpc.max_send_message_length", limits.message_bytes_max),
        ("grpc.max_receive_message_length", limits.message_bytes_max),
        ("grpc.keepalive_time_ms", limits.keepalive_ms),
        ("grpc.keepalive_timeout_ms", limits.keepalive_timeout_ms),
        ("grpc.http2.ping_timeout_ms", limits.keepalive_timeout_ms),
        ("grpc.http2.max_pings_without_data", 0),
        # The peers ping as often as we do; they are not to be punished for it.
        ("grpc.http2.min_ping_interval_without_data_ms", limits.keepalive_ms // 2),
        ("grpc.http2.max_ping_strikes", 0),
        ("grpc.so_reuseport", 0),  # two nodes must not share a port unnoticed
    ]
