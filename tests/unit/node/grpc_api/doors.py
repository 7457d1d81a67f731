"""A gRPC server on loopback with one service that does what a test says, and a client of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import grpc
import grpc.aio
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from odradek.node.grpc_api.forwarding import UnaryForwarder
from odradek.node.grpc_api.methods import Call, Method, Shape, Stream, Where
from odradek.node.grpc_api.server import GrpcServer
from odradek.v1 import topic_service_pb2 as pb

GET: Final = "/odradek.v1.TopicService/GetTopic"
COLLECT: Final = "/odradek.v1.TopicService/Collect"
ECHO: Final = "/odradek.v1.TopicService/Echo"
Answer = Callable[[Call, pb.GetTopicRequest], Awaitable[pb.GetTopicResponse]]
Streamed = Callable[[Call, Stream], Awaitable[Any]]


def named(name: str) -> pb.GetTopicResponse:
    return pb.GetTopicResponse(topic=pb.Topic(name=name))


async def repeat(call: Call, request: pb.GetTopicRequest) -> pb.GetTopicResponse:
    return named(request.name)


async def collect(call: Call, stream: Stream) -> pb.GetTopicResponse:
    names = []
    while (request := await stream.read()) is not None:
        names.append(request.name)
    return named(",".join(names))


async def echo(call: Call, stream: Stream) -> None:
    while (request := await stream.read()) is not None:
        await stream.write(named(request.name))


class Scripted:
    """`GetTopic` is `answer`; `Collect` and `Echo`, which are not in the .proto, have streams."""

    service = "odradek.v1.TopicService"

    def __init__(
        self,
        answer: Answer = repeat,
        collect: Streamed = collect,
        echo: Streamed = echo,
        where: Where | None = None,
    ) -> None:
        self.answer = answer
        self._collect = collect
        self._echo = echo
        self._where = where

    def methods(self) -> list[Method]:
        return [
            Method("GetTopic", pb.GetTopicRequest, self._get, where=self._where),
            Method("Collect", pb.GetTopicRequest, self._collect, Shape.CLIENT_STREAM),
            Method("Echo", pb.GetTopicRequest, self._echo, Shape.BIDIRECTIONAL),
        ]

    async def _get(self, call: Call, request: pb.GetTopicRequest) -> pb.GetTopicResponse:
        return await self.answer(call, request)


def server_of(
    servicer: Scripted,
    *,
    message_bytes_max: int = 1 << 20,
    forwarder: UnaryForwarder | None = None,
    port: int = 0,
) -> GrpcServer:
    """Bound, not started."""
    server = GrpcServer([servicer], lambda: ("a-host", 50051), "GRPC", message_bytes_max, forwarder)
    server.bind("127.0.0.1", port)
    return server


@asynccontextmanager
async def serving(
    servicer: Scripted, *, message_bytes_max: int = 1 << 20, forwarder: UnaryForwarder | None = None
) -> AsyncIterator[Door]:
    server = server_of(servicer, message_bytes_max=message_bytes_max, forwarder=forwarder)
    await server.start()
    async with grpc.aio.insecure_channel(server.address) as channel:
        try:
            yield Door(server, channel)
        finally:
            await server.stop()


class Door:
    def __init__(self, server: GrpcServer, channel: grpc.aio.Channel) -> None:
        self.server = server
        self.channel = channel

    def get(
        self, name: str = "t", timeout_s: float | None = 20.0, metadata: tuple[tuple[str, str], ...] = ()
    ) -> Any:
        """A call of `GetTopic` under way."""
        ask: Any = self.channel.unary_unary(
            GET,
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=pb.GetTopicResponse.FromString,
        )
        return ask(pb.GetTopicRequest(name=name), timeout=timeout_s, metadata=metadata)

    def stream(self, path: str) -> Any:
        """A call of `Collect` or `Echo` under way."""
        make = self.channel.stream_unary if path == COLLECT else self.channel.stream_stream
        open_: Any = make(
            path,
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=pb.GetTopicResponse.FromString,
        )
        return open_(timeout=20.0)


class Refusal:
    """What a client reads of a refusal."""

    def __init__(self, error: Any) -> None:
        self.status = error.code().name
        self.message = error.details()
        self.reason = self.domain = ""
        self.metadata: dict[str, str] = {}
        self.retry_ms: int | None = None
        for key, value in error.trailing_metadata() or ():
            if key == "grpc-status-details-bin":
                status: Any = Status.FromString(value)
                assert (status.code, status.message) == (error.code().value[0], error.details())
                for packed in status.details:
                    self._unpack(packed)

    def _unpack(self, packed: Any) -> None:
        info: Any = ErrorInfo()
        retry: Any = RetryInfo()
        if packed.Unpack(info):
            self.reason, self.domain, self.metadata = info.reason, info.domain, dict(info.metadata)
        elif packed.Unpack(retry):
            self.retry_ms = retry.retry_delay.ToMilliseconds()


async def refusal(call: Any) -> Refusal:
    try:
        found = await call
    except grpc.aio.AioRpcError as error:
        return Refusal(error)
    raise AssertionError(f"answered: {found!r}")
