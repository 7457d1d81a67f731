"""Calls that another node has to carry out (the active controller, a coordinator, a certain node), passed on to it as
they are.

Decides where a call goes, how long its client waits, and what the client hears when there is nobody to ask. A node
that was taken for the right one and is not any more has done nothing and answers UNAVAILABLE, so the call goes to the
next one until its time is up. A connection that broke leaves open what was done, and what the call may have done
itself is not told as somebody else's doing. A node that is silent is given up as soon as
another one is known. Before an answer is passed back, this node catches up with what was agreed on, so the client
finds here what it made through here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

import grpc
import grpc.aio
from google.protobuf.message import Message

from odradek.node.grpc_api.methods import Call, Method
from odradek.node.grpc_api.refusal import DETAILS_KEY, RefusalError, refused
from odradek.proto.kafka.errors import ErrorCode

FORWARDED_KEY: Final = "odradek-forwarded"
WAIT_MS: Final = 30_000
PAUSE_S_MIN: Final = 0.02
ADDRESS_WAIT_S: Final = 2.0
"""For a node that has to do something to say where it speaks gRPC: it may be starting."""
PAUSE_S_MAX: Final = 0.2
CATCH_UP_S: Final = 1.0
ANSWER_S_MAX: Final = 1.0
ANSWER_PART: Final = 0.2
"""How much of a client's time is left for the way of a refusal back to it, which would otherwise come too late."""
WATCH_S: Final = 0.2
"""How often a call under way looks whether its node still is the one that is known."""
MAY_BE_DONE: Final = "the node that does this changed meanwhile: this very call may have made the change"
OWN_DOING: Final = frozenset(
    error.name
    for error in (
        ErrorCode.TOPIC_ALREADY_EXISTS,
        ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
        ErrorCode.UNKNOWN_TOPIC_ID,
        ErrorCode.INVALID_PARTITIONS,
    )
)
"""Refusals that a call which was carried out already would get."""
RECONNECT_MS_MIN: Final = 100
RECONNECT_MS_MAX: Final = 1_000
"""gRPC's own longest pause is two minutes, for which a node that is back would not be reached."""

M = TypeVar("M", bound=Message)
Address = tuple[str, int]


class UnaryForwarder:
    """`address_of` gives the gRPC address of a node, None where it has none. `catch_up` returns when this node has
    applied all that was agreed on before the call."""

    def __init__(
        self,
        node_id: int,
        address_of: Callable[[int], Address | None],
        catch_up: Callable[[], Awaitable[None]],
    ) -> None:
        self._node_id = node_id
        self._address_of = address_of
        self._catch_up = catch_up
        self._channels: dict[Address, grpc.aio.Channel] = {}

    async def carry_out(self, path: str, method: Method, call: Call, request: Any) -> Any:
        """The response, here or from elsewhere. Raises RefusalError."""
        started_s = call.now_s()
        timeout_s = call.timeout_ms(WAIT_MS) / 1000
        deadline_s = started_s + timeout_s
        answer_s = min(ANSWER_S_MAX, ANSWER_PART * timeout_s)
        pause_s = PAUSE_S_MIN
        may_be_done = False
        while True:
            target = _where(method, request)
            try:
                if target == self._node_id:
                    return await method.call(call, request)
                if target is None:
                    raise refused(method.nobody, "nobody is known who could do this now")
                attempt = asyncio.ensure_future(
                    self._request(target, path, call, request, deadline_s - call.now_s())
                )
                answer = await _unless_replaced(attempt, target, lambda: _where(method, request))
                await self._wait_for_change()
                return answer
            except RefusalError as refusal:
                if may_be_done and refusal.reason in OWN_DOING:
                    raise refused(ErrorCode.REQUEST_TIMED_OUT, MAY_BE_DONE) from None
                may_be_done = may_be_done or refusal.reason == ErrorCode.NETWORK_EXCEPTION.name
                is_passing = refusal.status is grpc.StatusCode.UNAVAILABLE
                if not is_passing or call.now_s() + pause_s >= deadline_s - answer_s:
                    raise
                is_mute = target not in (None, self._node_id) and self._address_of(target or 0) is None
                if is_mute and call.now_s() - started_s > ADDRESS_WAIT_S:
                    raise RefusalError(
                        grpc.StatusCode.FAILED_PRECONDITION,
                        ErrorCode.BROKER_NOT_AVAILABLE.name,
                        f"node {target} has to do this and speaks no gRPC: set odradek.grpc.listener there",
                    ) from None
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, PAUSE_S_MAX)

    async def ask(
        self, node_id: int, path: str, call: Call, request: Message, answer: type[M], timeout_s: float
    ) -> M:
        """What another node answers to a part of `call`, asked once. Raises RefusalError; UNAVAILABLE where it cannot
        be reached or is silent for `timeout_s`, DEADLINE_EXCEEDED where the call's own time is up before."""
        left_s = call.timeout_ms(WAIT_MS) / 1000
        try:
            sent = await self._request(node_id, path, call, request, min(timeout_s, left_s))
        except RefusalError as refusal:
            if refusal.status is grpc.StatusCode.DEADLINE_EXCEEDED and timeout_s < left_s:
                message = f"node {node_id} did not answer within {timeout_s:g} s"
                raise refused(ErrorCode.BROKER_NOT_AVAILABLE, message) from None
            raise
        return answer.FromString(sent)

    async def close(self) -> None:
        for channel in self._channels.values():
            await channel.close()
        self._channels.clear()

    async def _request(self, target: int, path: str, call: Call, request: Message, timeout_s: float) -> bytes:
        address = self._address_of(target)
        if address is None:
            raise refused(ErrorCode.BROKER_NOT_AVAILABLE, f"node {target} is not reached by gRPC")
        metadata = [(FORWARDED_KEY, str(self._node_id))]
        if call.context.client_id is not None:
            metadata.append(("client-id", call.context.client_id))
        ask: Any = self._channel(address).unary_unary(path)
        try:
            answer: bytes = await ask(
                request.SerializeToString(), timeout=max(0.001, timeout_s), metadata=tuple(metadata)
            )
        except grpc.aio.AioRpcError as error:
            raise _refusal_of(target, error) from None
        return answer

    async def _wait_for_change(self) -> None:
        try:
            async with asyncio.timeout(CATCH_UP_S):
                await self._catch_up()
        except TimeoutError:
            pass  # it was done, and is not seen here yet

    def _channel(self, address: Address) -> grpc.aio.Channel:
        channel = self._channels.get(address)
        if channel is None:
            host, port = address
            where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            options = [
                ("grpc.max_receive_message_length", -1),
                ("grpc.enable_retries", 0),
                ("grpc.enable_http_proxy", 0),  # a proxy for the world is none for the neighbours
                ("grpc.initial_reconnect_backoff_ms", RECONNECT_MS_MIN),
                ("grpc.max_reconnect_backoff_ms", RECONNECT_MS_MAX),
            ]
            channel = self._channels[address] = grpc.aio.insecure_channel(where, options=options)
        return channel


async def _unless_replaced(
    attempt: asyncio.Future[bytes], target: int, known: Callable[[], int | None]
) -> bytes:
    """What `attempt` comes to, unless another node than `target` is known meanwhile."""
    try:
        while not attempt.done():
            await asyncio.wait((attempt,), timeout=WATCH_S)
            if not attempt.done() and known() not in (target, None):
                message = f"node {target} was silent until another one took its place"
                raise refused(ErrorCode.NETWORK_EXCEPTION, message)
        return attempt.result()
    finally:
        attempt.cancel()


def _where(method: Method, request: Any) -> int | None:
    assert method.where is not None, method.name
    return method.where(request)


def _refusal_of(target: int, error: grpc.aio.AioRpcError) -> RefusalError:
    """What another node refused, refused here: the same status, sentence and details. What gRPC itself says of a node
    gets the names of this API."""
    from google.rpc.error_details_pb2 import ErrorInfo
    from google.rpc.status_pb2 import Status

    refusal = RefusalError(error.code(), error.code().name, error.details() or "")
    for key, value in error.trailing_metadata() or ():
        if key == DETAILS_KEY and isinstance(value, bytes):
            for packed in Status.FromString(value).details:
                info = ErrorInfo()
                if packed.Unpack(info):
                    refusal.reason, refusal.metadata = info.reason, dict(info.metadata)
                else:
                    refusal.retry_delay_ms = 100
            return refusal
    if error.code() is grpc.StatusCode.UNAVAILABLE:
        return refused(ErrorCode.NETWORK_EXCEPTION, f"node {target} cannot be reached: {error.details()}")
    if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
        return refused(ErrorCode.REQUEST_TIMED_OUT, f"node {target} did not answer in time")
    return refusal
