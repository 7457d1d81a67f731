"""Passing on: the decisions with peers under the test's control, and two nodes' sessions over real sockets."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from odradek.node.app.context import RequestContext
from odradek.node.kafka_api import forwarding
from odradek.node.kafka_api.forwarding import Forwarder, wait_ms
from odradek.node.kafka_api.handlers.envelope import EnvelopeHandlers
from odradek.node.kafka_api.registry import CloseConnection, EncodedResponse, Outcome, Registry, Route
from odradek.node.kafka_api.session import Session
from odradek.node.net.listener import Connection, ConnectionLimits, Listener
from odradek.node.net.peer import PeerNotReachedError, Peers
from odradek.proto.kafka.api import ApiKey
from odradek.proto.kafka.codec import decode_exactly
from odradek.proto.kafka.errors import ErrorCode
from odradek.proto.kafka.headers import RequestHeader, encode_request_frame
from odradek.proto.kafka.messages.controller import EnvelopeRequest, EnvelopeResponse
from odradek.proto.kafka.messages.topics import DeleteTopicsRequest, DeleteTopicsResponse
from odradek.proto.kafka.schema import Message

CONTEXT = RequestContext("me", "User:alice", "PLAINTEXT", "dialled", 19092, "c7", "10.0.0.7")
REQUEST = DeleteTopicsRequest(topic_names=["t"], timeout_ms=60_000)
VERSION = 4
FRAME = b"".join(encode_request_frame(RequestHeader(20, VERSION, 77, "me"), REQUEST))[4:]
DONE = EnvelopeResponse(response_data=b"\0\0\0\x4dthe answer")


class Location:
    def __init__(self, active: int | None, node_id: int = 2) -> None:
        self.active_controller_id = active
        self.node_id = node_id
        self.on_asked: Callable[[], None] = lambda: None

    @property
    def is_active(self) -> bool:
        self.on_asked()
        return self.active_controller_id == self.node_id


class ScriptedPeers:
    """Answers as the script says, in its order; None never answers."""

    def __init__(self, *script: Message | Exception | None, then: Callable[[], None] = lambda: None) -> None:
        self.script = list(script)
        self.asked: list[int] = []
        self.cancelled: list[int] = []
        self.then = then
        """Called after each request was taken."""

    async def request(self, node_id: int, message: Message, version: int, timeout_ms: int) -> Message:
        assert isinstance(message, EnvelopeRequest) and message.request_data == FRAME
        assert version == 0 and timeout_ms > 0
        self.asked.append(node_id)
        outcome = self.script.pop(0)
        self.then()
        if outcome is None:
            try:
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                self.cancelled.append(node_id)
                raise
        if isinstance(outcome, Exception):
            raise outcome
        assert outcome is not None
        return outcome


def here(context: RequestContext, request: Message, version: int) -> Message:
    return DeleteTopicsResponse(throttle_time_ms=5)


ROUTE = Route(ApiKey.DELETE_TOPICS, 1, 6, here, to_controller=True)


def forward(location: Location, peers: ScriptedPeers, request: Message = REQUEST) -> Awaitable[Outcome]:
    return Forwarder(2, location, peers).forward(ROUTE, CONTEXT, request, VERSION, FRAME)


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("PAUSE_MS_MIN", 1), ("PAUSE_MS_MAX", 2), ("WATCH_MS", 1)):
        monkeypatch.setattr(forwarding, name, value)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forwarding, "WAIT_MS_MIN", 5)
    monkeypatch.setattr(forwarding, "WAIT_MS_MAX", 5)


async def test_the_answer_comes_back_as_the_controller_wrote_it() -> None:
    peers = ScriptedPeers(DONE)
    outcome = await forward(Location(1), peers)
    assert isinstance(outcome, EncodedResponse)
    assert outcome.data == DONE.response_data
    assert peers.asked == [1]


@pytest.mark.parametrize(
    "first",
    [
        EnvelopeResponse(error_code=ErrorCode.NOT_CONTROLLER),
        PeerNotReachedError("no connection"),
    ],
)
async def test_who_is_no_controller_any_more_or_is_gone_is_followed_by_the_next(
    first: Message | Exception,
) -> None:
    location = Location(1)

    def elect() -> None:
        location.active_controller_id = 3

    peers = ScriptedPeers(first, DONE, then=elect)
    assert isinstance(await forward(location, peers), EncodedResponse)
    assert peers.asked == [1, 3]


def _elected(location: Location, node_id: int) -> Callable[[], None]:
    def elect() -> None:
        location.active_controller_id = node_id

    return elect


@pytest.mark.parametrize("next_one", [2, 3])
@pytest.mark.parametrize("first", [ConnectionResetError("broke"), None])
async def test_what_must_not_be_done_twice_is_not_sent_twice(first: Exception | None, next_one: int) -> None:
    """The topic may be gone, and made anew by somebody else: a second deletion would take that one."""
    location = Location(1)
    peers = ScriptedPeers(first, DONE, then=_elected(location, next_one))
    outcome = await forward(location, peers)
    assert isinstance(outcome, DeleteTopicsResponse)
    assert [result.error_code for result in outcome.responses] == [ErrorCode.REQUEST_TIMED_OUT]
    assert peers.asked == [1]


@pytest.mark.parametrize("first", [ConnectionResetError("broke"), None])
async def test_what_comes_to_the_same_twice_is_sent_again(
    first: Exception | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A controller that is silent is given up when another is known."""
    monkeypatch.setattr(forwarding, "ONCE", frozenset())
    location = Location(1)
    peers = ScriptedPeers(first, DONE, then=_elected(location, 3))
    assert isinstance(await forward(location, peers), EncodedResponse)
    await asyncio.sleep(0)
    assert (peers.asked, peers.cancelled) == ([1, 3], [1] if first is None else [])


async def test_who_becomes_the_controller_meanwhile_does_it_here() -> None:
    location = Location(1)

    def elect() -> None:
        location.active_controller_id = 2

    peers = ScriptedPeers(EnvelopeResponse(error_code=ErrorCode.NOT_CONTROLLER), then=elect)
    outcome = await forward(location, peers)
    assert isinstance(outcome, DeleteTopicsResponse) and outcome.throttle_time_ms == 5


@pytest.mark.parametrize("known", [None, 1])
async def test_without_a_controller_every_slot_says_so(known: int | None, hasty: None) -> None:
    peers = ScriptedPeers(*[EnvelopeResponse(error_code=ErrorCode.NOT_CONTROLLER)] * 1000)
    outcome = await forward(Location(known), peers)
    assert isinstance(outcome, DeleteTopicsResponse)
    assert [(one.name, one.error_code) for one in outcome.responses] == [("t", ErrorCode.NOT_CONTROLLER)]
    assert bool(peers.asked) is (known is not None)


@pytest.mark.parametrize("outcome", [ConnectionResetError("broke"), TimeoutError()])
async def test_where_nobody_knows_what_became_of_it_every_slot_is_late(
    outcome: Exception, hasty: None
) -> None:
    answer = await forward(Location(1), ScriptedPeers(*[outcome] * 1000))
    assert isinstance(answer, DeleteTopicsResponse)
    assert [one.error_code for one in answer.responses] == [ErrorCode.REQUEST_TIMED_OUT]


async def test_a_version_that_the_controller_does_not_serve_costs_the_connection() -> None:
    outcome = await forward(
        Location(1), ScriptedPeers(EnvelopeResponse(error_code=ErrorCode.UNSUPPORTED_VERSION))
    )
    assert isinstance(outcome, CloseConnection)


async def test_what_the_controller_cannot_read_is_our_error() -> None:
    peers = ScriptedPeers(EnvelopeResponse(error_code=ErrorCode.CLUSTER_AUTHORIZATION_FAILED))
    outcome = await forward(Location(1), peers)
    assert isinstance(outcome, DeleteTopicsResponse)
    assert [one.error_code for one in outcome.responses] == [ErrorCode.UNKNOWN_SERVER_ERROR]


def test_a_client_waits_as_it_asked_within_bounds() -> None:
    def timed(timeout_ms: int) -> int:
        return wait_ms(DeleteTopicsRequest(timeout_ms=timeout_ms))

    assert [timed(-1), timed(0), timed(5_000), timed(10**9)] == [1_000, 1_000, 5_000, 30_000]
    assert wait_ms(EnvelopeRequest()) == 30_000  # has no time of its own


# -- two nodes


class Node:
    """A node with one client listener and one for other nodes; deletes topics by name."""

    def __init__(self, node_id: int, location: Location, ports: dict[int, int]) -> None:
        self.seen: list[RequestContext] = []
        self.peers = Peers(lambda other: ("127.0.0.1", ports[other]))
        registry = Registry(
            [
                Route(ApiKey.DELETE_TOPICS, 1, 6, self.delete, to_controller=True),
                *EnvelopeHandlers(lambda: registry, location, "INTERNAL").routes(),
            ]
        )
        self.registry = registry
        self.forwarder = Forwarder(node_id, location, self.peers)
        limits = ConnectionLimits(10, 10, 600_000, 100_000)
        self.listeners = {
            name: Listener(name, limits, self.opener(name)) for name in ("EXTERNAL", "INTERNAL")
        }

    def opener(self, name: str) -> Callable[[Connection], Session]:
        def context(connection: Connection, client_id: str | None) -> RequestContext:
            return RequestContext(client_id, "User:alice", name, "dialled", 1, "c", connection.peer_host)

        return lambda connection: Session(connection, self.registry, context, self.forwarder)

    async def delete(
        self, context: RequestContext, request: DeleteTopicsRequest, version: int
    ) -> DeleteTopicsResponse:
        self.seen.append(context)
        result = DeleteTopicsResponse.DeletableTopicResult
        return DeleteTopicsResponse(responses=[result(name=name) for name in request.topic_names])

    async def start(self) -> None:
        for listener in self.listeners.values():
            await listener.bind("127.0.0.1", 0)
            await listener.accept()

    def stop(self) -> None:
        self.peers.close()
        for listener in self.listeners.values():
            listener.stop_accepting()
            listener.close_connections()


@asynccontextmanager
async def two_nodes() -> AsyncIterator[tuple[Node, Node, list[Location]]]:
    """Node 1 is the active controller."""
    ports: dict[int, int] = {}
    locations = [Location(1, node_id=1), Location(1, node_id=2)]
    nodes = [Node(node_id, locations[node_id - 1], ports) for node_id in (1, 2)]
    for node_id, node in enumerate(nodes, 1):
        await node.start()
        ports[node_id] = node.listeners["INTERNAL"].port
    try:
        yield nodes[0], nodes[1], locations
    finally:
        for node in nodes:
            node.stop()
        await asyncio.sleep(0)


async def ask(node: Node, key: ApiKey, version: int, request: Message, listener: str = "EXTERNAL") -> bytes:
    """The answer to correlation id 77, size and header included; nothing if the connection was closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", node.listeners[listener].port)
    writer.write(b"".join(encode_request_frame(RequestHeader(int(key), version, 77, "me"), request)))
    try:
        size = await asyncio.wait_for(reader.readexactly(4), 10)
        return size + await reader.readexactly(struct.unpack(">i", size)[0])
    except asyncio.IncompleteReadError:
        return b""
    finally:
        writer.close()


@pytest.mark.parametrize("version", range(1, 7))
async def test_a_client_of_any_node_gets_the_controllers_answer(version: int) -> None:
    async with two_nodes() as (controller, other, _):
        direct = await ask(controller, ApiKey.DELETE_TOPICS, version, REQUEST)
        passed_on = await ask(other, ApiKey.DELETE_TOPICS, version, REQUEST)
        assert passed_on == direct
        assert not other.seen
        first, second = controller.seen
        assert first == RequestContext("me", "User:alice", "EXTERNAL", "dialled", 1, "c", "127.0.0.1")
        assert second == replace(first, received_by=2)


async def test_a_controller_that_lost_its_place_sends_the_request_on_its_way() -> None:
    async with two_nodes() as (controller, other, locations):
        locations[0].active_controller_id = 2  # node 2 hears of it only when node 1 was asked
        locations[0].on_asked = lambda: setattr(locations[1], "active_controller_id", 2)
        assert len(await ask(other, ApiKey.DELETE_TOPICS, 4, REQUEST)) > 8
        assert not controller.seen
        (seen,) = other.seen
        assert seen.received_by is None


async def test_envelopes_are_for_the_listener_among_brokers() -> None:
    async with two_nodes() as (controller, _, _):
        envelope = EnvelopeRequest(request_data=FRAME, request_principal=b"\0\0\5User\3me\0\0")
        refused = await ask(controller, ApiKey.ENVELOPE, 0, envelope)
        answer = decode_exactly(EnvelopeResponse, 0, refused[9:])
        assert answer.error_code == ErrorCode.CLUSTER_AUTHORIZATION_FAILED
        taken = await ask(controller, ApiKey.ENVELOPE, 0, envelope, "INTERNAL")
        assert decode_exactly(EnvelopeResponse, 0, taken[9:]).error_code == ErrorCode.NONE
        assert len(controller.seen) == 1


async def test_the_answer_is_held_back_until_the_change_is_seen_here() -> None:
    seen = asyncio.Event()

    async def catch_up() -> None:
        await seen.wait()

    forwarder = Forwarder(2, Location(1), ScriptedPeers(DONE), catch_up)
    answer = asyncio.ensure_future(forwarder.forward(ROUTE, CONTEXT, REQUEST, VERSION, FRAME))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not answer.done()
    seen.set()
    assert isinstance(await answer, EncodedResponse)


async def test_it_is_not_held_back_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forwarding, "CATCH_UP_MS", 1)

    async def never() -> None:
        await asyncio.get_running_loop().create_future()

    forwarder = Forwarder(2, Location(1), ScriptedPeers(DONE), never)
    outcome = await forwarder.forward(ROUTE, CONTEXT, REQUEST, VERSION, FRAME)
    assert isinstance(outcome, EncodedResponse)
