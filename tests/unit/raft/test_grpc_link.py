"""The way to one peer, against a peer that behaves as the test says."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import grpc
import grpc.aio
import pytest
from tests.unit.raft.grpc_kit import LIMITS, LOOPBACK, Record, free_ports

from odradek.raft.core.messages import SnapshotChunk
from odradek.raft.core.quorum import Configuration
from odradek.raft.greeting import PROTOCOL_VERSION, Hello, Welcome
from odradek.raft.grpc_link import PeerLink, _target
from odradek.raft.grpc_server import SERVICE
from odradek.raft.message_codec import decode_batch, decode_hello, encode_welcome
from odradek.raft.transport_limits import TransportLimits

WELCOME = Welcome(PROTOCOL_VERSION, "abc", 2, 200)
HOUR_MS = 3_600_000
Behaviour = Callable[[Any], Awaitable[None]]


class Owner(Record):
    def hello_to(self, peer: int) -> Hello:
        self.note("hello")
        return Hello(PROTOCOL_VERSION, "abc", 1, 100, peer)

    def on_link_up(self, welcome: Welcome) -> None:
        assert welcome == WELCOME
        self.note("up")

    def on_link_down(self, peer: int) -> None:
        self.note("down")


@asynccontextmanager
async def peer(behaviour: Behaviour, port: int = 0) -> AsyncIterator[int]:
    """Gives its port."""

    async def exchange(_: Any, context: Any) -> None:
        await behaviour(context)

    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    handler: Any = grpc.stream_stream_rpc_method_handler(exchange)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {"Exchange": handler}),))
    bound = server.add_insecure_port(f"{LOOPBACK}:{port}")
    await server.start()
    try:
        yield bound
    finally:
        await server.stop(None)


@asynccontextmanager
async def link_to(port: int, limits: TransportLimits = LIMITS) -> AsyncIterator[tuple[PeerLink, Owner]]:
    owner = Owner()
    link = PeerLink(2, (LOOPBACK, port), owner, limits)
    link.start()
    try:
        yield link, owner
    finally:
        await link.stop()


async def welcome(context: Any) -> None:
    assert decode_hello(await context.read()) == Hello(PROTOCOL_VERSION, "abc", 1, 100, 2)
    await context.write(encode_welcome(WELCOME))


def chunk(number: int, size: int = 0) -> tuple[int, SnapshotChunk]:
    configuration = Configuration(frozenset({1, 2}))
    return 0, SnapshotChunk(1, 2, 1, number, 1, configuration, size, 0, bytes(size))


async def read_numbers(context: Any, numbers: list[int], last: int) -> None:
    while last not in numbers:
        batch = decode_batch(await context.read(), 1, 2)
        numbers.extend(message.index for _, message in batch if isinstance(message, SnapshotChunk))


async def test_a_peer_that_does_not_keep_up_loses_the_oldest(caplog: pytest.LogCaptureFixture) -> None:
    limits = replace(LIMITS, queue_bytes_max=1 << 20, message_bytes_max=1 << 20, write_bytes_max=1 << 16)
    resume, done, numbers = asyncio.Event(), asyncio.Event(), list[int]()

    async def slow(context: Any) -> None:
        await welcome(context)
        await resume.wait()
        await read_numbers(context, numbers, last=999)
        done.set()
        await context.read()

    async with peer(slow) as port, link_to(port, limits) as (link, owner):
        await owner.heard("up")
        for number in range(1000):
            link.send([chunk(number, 50_000)])  # 50 MB, which no window holds
            await asyncio.sleep(0)
        resume.set()
        await done.wait()
        assert numbers == sorted(numbers) and numbers[0] == 0
        assert 0 < link.lost_messages == 1000 - len(numbers)
        assert [line for line in caplog.messages if "does not keep up" in line] == [
            "node 2 does not keep up: the oldest Raft messages for it are lost"
        ]
        assert owner.events == ["hello", "up"]


async def test_what_waited_when_a_stream_broke_is_not_for_the_next_process() -> None:
    reached, lives, numbers = asyncio.Event(), list[int](), list[int]()

    async def first_deaf_then_eager(context: Any) -> None:
        await welcome(context)
        lives.append(1)
        if len(lives) == 1:
            await reached.wait()
            await context.abort(grpc.StatusCode.INTERNAL, "enough")
        await read_numbers(context, numbers, last=77)
        reached.set()
        await context.read()

    async with peer(first_deaf_then_eager) as port, link_to(port) as (link, owner):
        await owner.heard("up")
        for number in range(50):
            link.send([chunk(number, 500_000)])
        reached.set()
        await owner.heard("up", 2)
        reached.clear()
        link.send([chunk(77)])
        await reached.wait()
        assert numbers == [77]
        assert owner.events == ["hello", "up", "down", "hello", "up"]


@pytest.mark.parametrize(
    ("behaviour", "line"),
    [
        (
            lambda context: context.write(encode_welcome(replace(WELCOME, node_id=3))),
            "refuses this node: node 3 answers there",
        ),
        (
            lambda context: context.abort(grpc.StatusCode.FAILED_PRECONDITION, "you are strange"),
            "refuses this node: you are strange",
        ),
        (lambda context: asyncio.sleep(0), "is not reachable"),
        (lambda context: context.write(b"\xff\xff"), "is not reachable"),
        (lambda context: context.abort(grpc.StatusCode.UNAVAILABLE, "not now"), "not now"),
        (lambda context: context.abort(grpc.StatusCode.CANCELLED, "stopped"), "stopped"),
        (lambda context: asyncio.Event().wait(), "no answer in 20 ms"),
    ],
    ids=["other node", "refused", "mute", "noise", "not now", "cancelled", "silent"],
)
async def test_a_peer_that_does_not_welcome_is_never_up_and_dialled_again(
    behaviour: Behaviour, line: str, caplog: pytest.LogCaptureFixture
) -> None:
    limits = replace(LIMITS, greeting_timeout_ms=20 if "20 ms" in line else 10_000)
    async with peer(behaviour) as port, link_to(port, limits) as (link, owner):
        await owner.heard("hello", 10)
        assert set(owner.events) == {"hello"} and not link.is_up
        assert len([found for found in caplog.messages if line in found]) == 1


async def test_a_peer_that_shows_itself_is_dialled_at_once() -> None:
    patient = replace(LIMITS, retry_first_ms=HOUR_MS, retry_max_ms=HOUR_MS)
    (port,) = free_ports(1)
    async with link_to(port, patient) as (link, owner):
        await owner.heard("hello")
        async with peer(_welcome_and_stay, port):
            link.hurry()
            await owner.heard("up")
    assert owner.events[-2:] == ["up", "down"]


async def test_redial_ends_the_stream_and_begins_another() -> None:
    patient = replace(LIMITS, retry_first_ms=HOUR_MS, retry_max_ms=HOUR_MS)
    async with peer(_welcome_and_stay) as port, link_to(port, patient) as (link, owner):
        await owner.heard("up")
        link.redial()
        await owner.heard("up", 2)
        assert owner.events == ["hello", "up", "down", "hello", "up"]


async def _welcome_and_stay(context: Any) -> None:
    await welcome(context)
    await context.read()


async def test_stop_is_told_once_and_ends_all() -> None:
    async with peer(_welcome_and_stay) as port, link_to(port) as (link, owner):
        await owner.heard("up")
        await link.stop()
        assert owner.events == ["hello", "up", "down"]
        link.send([chunk(1)])


def test_addresses() -> None:
    assert _target(("node-1.example", 9093)) == "dns:///node-1.example:9093"
    assert _target(("10.0.0.1", 9093)) == "dns:///10.0.0.1:9093"
    assert _target(("::1", 9093)) == "dns:///[::1]:9093"
