"""One Kafka connection: header, version check, dispatch, and answers in request order.

Kafka serves one request of a connection at a time, and clients rely on what follows from it (a ListOffsets sent
after a Produce sees its records). Here only Produce requests overlap, with Produce requests, because each waits for
a group commit that others share; anything else waits until the answers before it have left. What only the active
controller can do is passed on to it, where that is another node.

Errors (ARCHITECTURE 8): an unknown key, an unsupported version or bytes that do not decode close this connection;
only ApiVersions answers an unsupported version, in the layout of version 0 (KIP-511).
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from struct import Struct
from time import perf_counter_ns
from typing import Any, Protocol

from odradek.node.app.context import RequestContext
from odradek.node.kafka_api.registry import CloseConnection, EncodedResponse, Outcome, Registry, Route
from odradek.node.net.listener import Buffer, Connection, PeerError
from odradek.node.runtime.deferred import Deferred
from odradek.proto.kafka.api import ApiKey
from odradek.proto.kafka.codec import DecodeError, decode
from odradek.proto.kafka.errors import ErrorCode
from odradek.proto.kafka.headers import decode_request_header, encode_response_frame
from odradek.proto.kafka.schema import Message
from odradek.storage.durations import SUM, Durations

_PREFIX = Struct(">hhih")  # api key, api version, correlation id, client id length
_KEY = Struct(">h")
_API_VERSIONS_REFUSAL = Struct(">iihihhh")
_PRODUCE = int(ApiKey.PRODUCE)
_API_VERSIONS = int(ApiKey.API_VERSIONS)
_PRODUCE_IN_FLIGHT_MAX = 128
_SIZE_AND_CORRELATION = Struct(">ii")
_AT_ONCE = (Message, CloseConnection)
_NOT_MESSAGES = (CloseConnection, EncodedResponse)

log = logging.getLogger(__name__)


class MakeContext(Protocol):
    def __call__(self, connection: Connection, client_id: str | None) -> RequestContext: ...


class Forwards(Protocol):
    """Passes on what only the active controller can do; see `forwarding`."""

    @property
    def is_local(self) -> bool: ...

    def forward(
        self, route: Route, context: RequestContext, request: Message, version: int, frame: bytes
    ) -> Awaitable[Outcome]: ...


class _Slot:
    """The place of one answer in the order of its connection."""

    __slots__ = ("buffers", "correlation_id", "durations", "key", "started_ns", "version")

    def __init__(
        self, correlation_id: int, key: int, version: int, started_ns: int, durations: Durations
    ) -> None:
        self.correlation_id = correlation_id
        self.key = key
        self.version = version
        self.started_ns = started_ns
        self.durations = durations
        self.buffers: list[Buffer] | None = None

    def fill(self, outcome: Outcome) -> None:
        """Raises PeerError when the outcome is to close the connection."""
        if outcome is None:
            self.buffers = []
        elif isinstance(outcome, _NOT_MESSAGES):
            if isinstance(outcome, CloseConnection):
                raise PeerError(str(outcome))
            size = len(outcome.data)
            self.buffers = [_SIZE_AND_CORRELATION.pack(size, self.correlation_id), outcome.data[4:]]
        else:
            self.buffers = encode_response_frame(self.correlation_id, self.key, self.version, outcome)
        elapsed_ns = perf_counter_ns() - self.started_ns
        self.durations[elapsed_ns.bit_length()] += 1
        self.durations[SUM] += elapsed_ns


class Session:
    """`FrameHandler` of a connection on a Kafka listener."""

    __slots__ = (
        "_blocked",
        "_connection",
        "_context",
        "_deferred",
        "_forwarder",
        "_held",
        "_make_context",
        "_registry",
        "_slots",
        "_tasks",
    )

    def __init__(
        self,
        connection: Connection,
        registry: Registry,
        make_context: MakeContext,
        forwarder: Forwards | None = None,
    ) -> None:
        """Without a `forwarder` this node carries out everything itself."""
        self._connection: Connection | None = connection
        self._registry = registry
        self._forwarder = forwarder
        self._make_context = make_context
        self._context = make_context(connection, None)
        self._slots: deque[_Slot] = deque()
        self._deferred: set[Deferred[Outcome]] = set()
        self._held: memoryview | None = None  # a whole request that must wait for the answers before it
        self._blocked = False  # receive() returned False, so the connection waits for resume()
        self._tasks: set[asyncio.Task[None]] = set()

    # -- FrameHandler

    def receive(self, frame: memoryview) -> bool:
        if len(frame) < _PREFIX.size:
            raise PeerError(f"request of {len(frame)} bytes is shorter than its header")
        if self._slots and _KEY.unpack_from(frame)[0] != _PRODUCE:
            self._held = memoryview(bytearray(frame))
            more = False
        else:
            more = self._dispatch(frame)
        self._blocked = not more
        return more

    def idle(self) -> bool:
        return not self._slots

    def closed(self) -> None:
        self._connection = None
        self._held = None
        self._slots.clear()
        deferred, self._deferred = self._deferred, set()
        for answer in deferred:
            answer.abandon()
        # Why tasks are not cancelled: what they began (a commit, a topic) has to end in one piece.

    # -- inside

    def _dispatch(self, frame: memoryview) -> bool:
        """Start one request; True when the next may be taken at once."""
        started_ns = perf_counter_ns()
        key, version, correlation_id, _ = _PREFIX.unpack_from(frame)
        route = self._registry.routes.get(key)
        if route is None:
            raise PeerError(f"api key {key} is not served here")
        if not route.min_version <= version <= route.max_version:
            if key == _API_VERSIONS:
                self._refuse_api_versions(correlation_id, route.min_version, route.max_version)
                return True
            raise PeerError(
                f"{route.key.name} version {version} is not served; {route.min_version} to {route.max_version} are"
            )
        (_, _, _, client_id), body_offset = decode_request_header(frame)
        if client_id != self._context.client_id:
            assert self._connection is not None
            self._context = self._make_context(self._connection, client_id)
        request = decode(self._registry.request_class(key), version, frame, body_offset)
        if route.to_controller and (forwarder := self._forwarder) is not None and not forwarder.is_local:
            answer: Any = forwarder.forward(route, self._context, request, version, bytes(frame))
        else:
            answer = route.call(self._context, request, version)
        slot = _Slot(correlation_id, key, version, started_ns, self._registry.durations[key])
        if type(answer) is Deferred:
            if not answer.done:
                self._slots.append(slot)
                self._deferred.add(answer)
                answer.then(_completion(self, slot, answer))
                return key == _PRODUCE and len(self._slots) < _PRODUCE_IN_FLIGHT_MAX
            answer = answer.value
        if answer is None or isinstance(answer, _AT_ONCE):
            slot.fill(answer)
            if self._slots:
                self._slots.append(slot)
            elif slot.buffers and self._connection is not None:
                self._connection.write(slot.buffers)
            return True
        self._slots.append(slot)
        task = asyncio.get_running_loop().create_task(self._run(answer, slot))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return False

    async def _run(self, answer: Awaitable[Outcome], slot: _Slot) -> None:
        """The task boundary of a request: a bug in a handler costs its connection, not the node."""
        try:
            self._complete(slot, await answer)
        except Exception as error:
            self._fail(slot, error)

    def _complete(self, slot: _Slot, outcome: Outcome) -> None:
        connection = self._connection
        if connection is None:
            return
        slot.fill(outcome)
        slots = self._slots
        buffers: list[Buffer] = []
        while slots and slots[0].buffers is not None:
            buffers += slots.popleft().buffers or ()
        if buffers:
            connection.write(buffers)
        else:
            connection.answered()
        self._maybe_continue(connection)

    def _fail(self, slot: _Slot, error: Exception) -> None:
        if isinstance(error, PeerError):
            log.warning("closing connection: %s", error)
        else:
            log.error("%s version %d failed", ApiKey(slot.key).name, slot.version, exc_info=error)
        if self._connection is not None:
            self._connection.close()

    def _maybe_continue(self, connection: Connection) -> None:
        """Answers have left: start the request that was held back, and let the connection read on."""
        if not self._blocked:
            return
        if self._held is not None:
            if self._slots:
                return
            held, self._held = self._held, None
            try:
                more = self._dispatch(held)
            except (DecodeError, PeerError) as error:
                log.warning("closing connection of %s: %s", connection.peer_host, error)
                connection.close()
                return
            if not more:
                return
        elif len(self._slots) > _PRODUCE_IN_FLIGHT_MAX // 2:
            return
        self._blocked = False
        connection.resume()

    def _refuse_api_versions(self, correlation_id: int, min_version: int, max_version: int) -> None:
        assert self._connection is not None
        body = _API_VERSIONS_REFUSAL.pack(
            _API_VERSIONS_REFUSAL.size - 4,
            correlation_id,
            int(ErrorCode.UNSUPPORTED_VERSION),
            1,
            _API_VERSIONS,
            min_version,
            max_version,
        )
        self._connection.write([body])


def _completion(session: Session, slot: _Slot, answer: Deferred[Outcome]) -> Callable[[Outcome], None]:
    def complete(outcome: Outcome) -> None:
        session._deferred.discard(answer)
        try:
            session._complete(slot, outcome)
        except Exception as error:  # the boundary of this request: whoever resolved it has others to tell
            session._fail(slot, error)

    return complete
