"""The gRPC server of a node: listens, turns calls into those of the servicers, and refusals into statuses.

Decides nothing about what is asked. Besides the services of `odradek.v1` it offers reflection and `grpc.health.v1`
(per service, and "" for the node). Invariants: a servicer's bug costs its call (INTERNAL), not the node; when the
server stops, calls that wait end with UNAVAILABLE before their connections are closed.

Errors: OSError where it cannot listen.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import grpc
import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from odradek.node.app.context import RequestContext
from odradek.node.grpc_api.forwarding import FORWARDED_KEY, UnaryForwarder
from odradek.node.grpc_api.methods import Call, Method, Oversized, Servicer, Shape
from odradek.node.grpc_api.refusal import DETAILS_KEY, RefusalError, details, refused
from odradek.proto.kafka.errors import ErrorCode

CLIENT_ID_KEY: Final = "client-id"
STOP_GRACE_S: Final = 1.0
KEEPALIVE_MS: Final = 10_000
"""A connection whose other side is silent for so long is asked whether it still is there, and closed after as long
again."""
CALLS_MAX: Final = 50_000
"""At once, streams included; more are refused with RESOURCE_EXHAUSTED."""

log = logging.getLogger(__name__)


class GrpcServer:
    """Use: `bind`, then `start` when the node can serve, then `stop`."""

    def __init__(
        self,
        servicers: Sequence[Servicer],
        own_address: Callable[[], tuple[str, int]],
        listener_name: str,
        message_bytes_max: int,
        forwarder: UnaryForwarder | None = None,
    ) -> None:
        """`own_address`: where clients find this node. `listener_name`: of the addresses that they are told."""
        self._servicers = servicers
        self._own_address = own_address
        self._listener_name = listener_name
        self._message_bytes_max = message_bytes_max
        self._forwarder = forwarder
        self._server: grpc.aio.Server | None = None
        self._health = health.aio.HealthServicer()
        self._is_stopping = False
        self._calls: set[asyncio.Task[Any]] = set()
        self.host = ""
        self.port = 0

    @property
    def address(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def bind(self, host: str, port: int) -> None:
        """Take the port; nobody is answered yet. Raises OSError."""
        server = grpc.aio.server(options=self._options(), maximum_concurrent_rpcs=CALLS_MAX)
        names = [servicer.service for servicer in self._servicers]
        for servicer in self._servicers:
            handlers = {method.name: self._handler(servicer.service, method) for method in servicer.methods()}
            server.add_generic_rpc_handlers(
                (grpc.method_handlers_generic_handler(servicer.service, handlers),)
            )
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        names += [health.SERVICE_NAME, reflection.SERVICE_NAME]
        reflection.enable_server_reflection(names, server)
        where = f"[{host}]:{port}" if ":" in host else f"{host or '[::]'}:{port}"
        try:
            bound = server.add_insecure_port(where)
        except RuntimeError as error:
            raise OSError(str(error)) from None
        if bound == 0:
            raise OSError("the address is taken, or is not this machine's")
        self._server, self.host, self.port = server, host, bound

    async def start(self) -> None:
        assert self._server is not None, "bind comes first"
        await self._server.start()
        for name in ("", *(servicer.service for servicer in self._servicers)):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)

    async def stop(self) -> None:
        """Let calls end, then close every connection and the port."""
        server, self._server = self._server, None
        if server is None:
            return
        await self._health.enter_graceful_shutdown()
        ending = asyncio.get_running_loop().create_task(server.stop(2 * STOP_GRACE_S))
        await asyncio.wait((ending,), timeout=STOP_GRACE_S)
        self._is_stopping = True
        for call in self._calls:  # those that wait for something that may be long in coming
            call.cancel()
        await ending
        if self._forwarder is not None:
            await self._forwarder.close()

    # -- calls

    def _handler(self, service: str, method: Method) -> Any:
        make = {
            Shape.UNARY: grpc.unary_unary_rpc_method_handler,
            Shape.CLIENT_STREAM: grpc.stream_unary_rpc_method_handler,
            Shape.BIDIRECTIONAL: grpc.stream_stream_rpc_method_handler,
        }[method.shape]
        path = f"/{service}/{method.name}"
        behaviour = (
            self._unary(path, method) if method.shape is Shape.UNARY else self._streaming(path, method)
        )
        return make(
            behaviour,
            request_deserializer=_parser(method),
            response_serializer=lambda message: (
                message if type(message) is bytes else message.SerializeToString()
            ),
        )

    def _unary(self, path: str, method: Method) -> Any:
        async def serve(request: Any, context: Any) -> Any:
            call = self._call(context)

            async def carry_out() -> Any:
                _check_size(request, method)
                if method.where is not None and not call.is_forwarded and self._forwarder is not None:
                    return await self._forwarder.carry_out(path, method, call, request)
                return await method.call(call, request)

            return await self._guarded(path, context, carry_out)

        return serve

    def _streaming(self, path: str, method: Method) -> Any:
        async def serve(_: Any, context: Any) -> Any:
            return await self._guarded(
                path, context, lambda: method.call(self._call(context), _Stream(context, method))
            )

        return serve

    async def _guarded(self, path: str, context: Any, work: Callable[[], Awaitable[Any]]) -> Any:
        """The boundary of a call: what it comes to, or a status."""
        task = asyncio.current_task()
        assert task is not None
        self._calls.add(task)
        try:
            return await work()
        except RefusalError as refusal:
            return await _abort(context, refusal)
        except grpc.aio.AbortError:
            raise
        except asyncio.CancelledError:
            if not self._is_stopping:
                raise  # the client has cancelled, or is gone
            return await _abort(context, refused(ErrorCode.BROKER_NOT_AVAILABLE, "the node stops"))
        except Exception:
            if context.cancelled() or context.done():
                return None  # gRPC's way of saying that the client is gone
            log.exception("%s failed", path)
            return await _abort(
                context, refused(ErrorCode.UNKNOWN_SERVER_ERROR, "the node failed in this call")
            )
        finally:
            self._calls.discard(task)

    def _call(self, context: Any) -> Call:
        client_id: str | None = None
        is_forwarded = False
        for key, value in context.invocation_metadata() or ():
            if key == CLIENT_ID_KEY:
                client_id = value
            elif key == FORWARDED_KEY:
                is_forwarded = True
        peer = context.peer()
        host, port = self._own_address()
        remaining_s = context.time_remaining()
        now_s = asyncio.get_running_loop().time
        return Call(
            RequestContext(
                client_id=client_id,
                principal="User:ANONYMOUS",
                listener=self._listener_name,
                local_host=host,
                local_port=port,
                connection_id=peer,
                client_host=_host_of(peer),
            ),
            now_s,
            None if remaining_s is None else now_s() + remaining_s,
            is_forwarded=is_forwarded,
        )

    def _options(self) -> list[tuple[str, Any]]:
        return [
            ("grpc.max_send_message_length", -1),
            ("grpc.max_receive_message_length", self._message_bytes_max),
            ("grpc.http2.max_frame_size", 4 << 20),
            ("grpc.keepalive_time_ms", KEEPALIVE_MS),
            ("grpc.keepalive_timeout_ms", KEEPALIVE_MS),
            ("grpc.http2.ping_timeout_ms", KEEPALIVE_MS),
            ("grpc.http2.max_pings_without_data", 0),
            # Clients may ask as often as they like; they are not to be punished for it.
            ("grpc.http2.max_ping_strikes", 0),
            ("grpc.so_reuseport", 0),  # two nodes must not share a port unnoticed
        ]


class _Stream:
    """`Stream` over a gRPC context."""

    __slots__ = ("_context", "_method")

    def __init__(self, context: Any, method: Method) -> None:
        self._context = context
        self._method = method

    async def read(self) -> Any | None:
        request = await self._context.read()
        if request is grpc.aio.EOF:
            return None
        _check_size(request, self._method)
        return request

    async def write(self, response: Any) -> None:
        await self._context.write(response)


def _parser(method: Method) -> Callable[[bytes], Any]:
    parse: Callable[[bytes], Any] = method.parse or method.request.FromString
    limit = method.bytes_max
    if limit is None:
        return parse

    def parse_or_not(data: bytes) -> Any:
        return parse(data) if len(data) <= limit else Oversized(len(data))

    return parse_or_not


def _check_size(request: Any, method: Method) -> None:
    if type(request) is Oversized:
        raise RefusalError(
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            ErrorCode.MESSAGE_TOO_LARGE.name,
            f"the message has {request.size} bytes; {method.name} takes at most {method.bytes_max}",
        )


async def _abort(context: Any, refusal: RefusalError) -> None:
    try:
        await context.abort(refusal.status, refusal.message, ((DETAILS_KEY, details(refusal)),))
    except grpc.aio.InternalError as error:
        log.debug("the client was gone before it could be told %s: %s", refusal.reason, error)


def _host_of(peer: str) -> str:
    """The address in gRPC's way of writing one: "ipv4:127.0.0.1:5000", "ipv6:%5B::1%5D:5000", "unix:..."."""
    kind, _, rest = peer.partition(":")
    if kind not in ("ipv4", "ipv6"):
        return ""
    host = rest.rpartition(":")[0]
    return host.replace("%5B", "").replace("%5D", "").strip("[]")
