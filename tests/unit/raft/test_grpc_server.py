"""The way from the peers, against callers that behave as the test says."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import grpc
import grpc.aio
import pytest
from tests.unit.raft.grpc_kit import LOOPBACK, Record

from odradek.raft.core.messages import Heartbeat
from odradek.raft.greeting import PROTOCOL_VERSION, Hello, Refusal, Welcome
from odradek.raft.grpc_link import METHOD
from odradek.raft.grpc_server import RaftServer
from odradek.raft.message_codec import decode_welcome, encode_batch, encode_hello
from odradek.raft.transport_limits import TransportLimits

HERE = 2
BEAT = Heartbeat(1, HERE, 5, 0)
Call = Any  # grpc's own type says nothing about what is sent


class Owner(Record):
    refusal: Refusal | None = None

    def on_hello(self, hello: Hello, source: str) -> Welcome | Refusal:
        self.note(f"hello {hello.node_id}")
        assert LOOPBACK in source
        return self.refusal or Welcome(PROTOCOL_VERSION, "abc", HERE, 200)


class Caller:
    """A server, and streams to it."""

    def __init__(self, limits: TransportLimits) -> None:
        self.owner = Owner()
        self.server = RaftServer(HERE, self.owner, limits)

    async def start(self) -> None:
        port = await self.server.start(LOOPBACK, 0)
        # One channel a stream, as processes have it.
        self.channels: list[grpc.aio.Channel] = []
        self.target = f"{LOOPBACK}:{port}"

    def call(self) -> Call:
        self.channels.append(grpc.aio.insecure_channel(self.target))
        return self.channels[-1].stream_stream(METHOD)()

    async def greeted(self, node_id: int = 1, incarnation: int = 100) -> Call:
        call = self.call()
        await call.write(encode_hello(Hello(PROTOCOL_VERSION, "abc", node_id, incarnation, HERE)))
        assert decode_welcome(await call.read()).node_id == HERE
        return call

    async def stop(self) -> None:
        for channel in self.channels:
            await channel.close()
        await self.server.stop()


@pytest.fixture
async def caller() -> AsyncIterator[Caller]:
    caller = Caller(TransportLimits())
    await caller.start()
    yield caller
    await caller.stop()


async def test_batches_of_a_guest_are_handed_on(caller: Caller) -> None:
    call = await caller.greeted()
    await call.write(encode_batch([(3, BEAT), (4, replace(BEAT, sender=9, to=8))]))
    await caller.owner.until(lambda: caller.owner.messages)
    assert caller.owner.messages == [(3, BEAT), (4, BEAT)]
    assert (caller.server.sources, caller.server.incarnation_of(1)) == ((1,), 100)


@pytest.mark.parametrize(
    ("is_passing", "code"),
    [(False, grpc.StatusCode.FAILED_PRECONDITION), (True, grpc.StatusCode.UNAVAILABLE)],
)
async def test_a_refusal_is_a_status_with_a_sentence(
    caller: Caller, is_passing: bool, code: grpc.StatusCode
) -> None:
    caller.owner.refusal = Refusal("you are strange", is_passing)
    call = caller.call()
    await call.write(encode_hello(Hello(1, "abc", 1, 100, HERE)))
    assert await call.code() is code
    assert await call.details() == "you are strange"
    assert caller.server.sources == ()


@pytest.mark.parametrize("first", [b"\xff", encode_batch([(3, BEAT)]), b""], ids=["noise", "batch", "empty"])
async def test_who_does_not_greet_is_not_heard(caller: Caller, first: bytes) -> None:
    call = caller.call()
    await call.write(first)
    assert await call.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert caller.owner.events == [] and caller.owner.messages == []


async def test_who_hangs_up_before_the_greeting(caller: Caller) -> None:
    call = caller.call()
    await call.done_writing()
    assert await call.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_who_says_nothing_is_sent_away() -> None:
    caller = Caller(TransportLimits(greeting_timeout_ms=10))
    await caller.start()
    assert await caller.call().code() is grpc.StatusCode.DEADLINE_EXCEEDED
    await caller.stop()


async def test_a_guest_that_sends_nonsense_is_cut_off(
    caller: Caller, caplog: pytest.LogCaptureFixture
) -> None:
    call = await caller.greeted()
    await call.write(b"\xff\xff")
    assert await call.code() is grpc.StatusCode.ABORTED
    assert "node 1 sends what is no Raft batch" in caplog.text
    assert caller.server.sources == ()


async def test_the_newest_stream_of_a_node_is_the_one(caller: Caller) -> None:
    old, other = await caller.greeted(), await caller.greeted(node_id=3)
    new = await caller.greeted(incarnation=101)
    assert await old.code() is grpc.StatusCode.ABORTED
    assert await old.details() == "a newer stream of this node took its place"
    assert caller.server.incarnation_of(1) == 101
    for call in (new, other):
        await call.write(encode_batch([(3, BEAT)]))
    await caller.owner.until(lambda: len(caller.owner.messages) == 2)
    assert sorted(message.sender for _, message in caller.owner.messages) == [1, 3]


async def test_a_stream_is_ended_with_a_reason_and_not_heard_any_more(caller: Caller) -> None:
    call = await caller.greeted()
    caller.server.end_stream(1, "you are gone")
    caller.server.end_stream(1, "twice is once")
    caller.server.end_stream(7, "nobody")
    assert caller.server.sources == ()
    assert await call.details() == "you are gone"


async def test_a_stream_may_be_ended_in_any_moment(caller: Caller, caplog: pytest.LogCaptureFixture) -> None:
    """Right after the welcome, while the server may still be busy with it: the peer must hear of it every time."""
    for incarnation in range(30):
        call = await caller.greeted(incarnation=incarnation)
        caller.server.end_stream(1, "you are gone")
        assert (await call.code(), await call.details()) == (grpc.StatusCode.ABORTED, "you are gone")
    assert caplog.messages == []


async def test_a_listener_that_fails_costs_the_stream(
    caller: Caller, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(batch: object) -> None:
        raise ZeroDivisionError

    caller.owner.on_batch = fail  # type: ignore[method-assign]
    call = await caller.greeted()
    await call.write(encode_batch([(3, BEAT)]))
    assert await call.details() == "the receiver failed"
    assert "the Raft stream of node 1 failed" in caplog.text


async def test_a_caller_that_goes_away_is_forgotten(caller: Caller) -> None:
    await caller.greeted()
    await caller.channels[0].close()
    while 1 in caller.server.sources:
        await caller.greeted(node_id=3)
    assert caller.server.incarnation_of(1) is None


async def test_a_port_that_cannot_be_had(caller: Caller) -> None:
    port = int(caller.target.rpartition(":")[2])
    twin = RaftServer(1, Owner(), TransportLimits())
    with pytest.raises(OSError, match=f"cannot listen for Raft on {caller.target}"):
        await twin.start(LOOPBACK, port)
    await twin.stop()
