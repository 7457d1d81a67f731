from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import grpc
import pytest
from tests.unit.client.fake_node import FakeLog, FakeNode
from tests.unit.client.fake_stream import Streams
from tests.unit.client.responses import assigned, records

from odradek.client import consumer_stream
from odradek.client.connection import Connection
from odradek.client.consumer_plan import Plan
from odradek.client.consumer_state import ConsumerState
from odradek.client.consumer_stream import FEW, StreamKeeper
from odradek.client.errors import FencedError, NodeUnavailableError, UnknownTopicError
from odradek.client.records import TopicPartition


class Learning(Connection):
    """Says when it has learnt addresses."""

    def __init__(self, bootstrap: str) -> None:
        super().__init__(bootstrap)
        self.has_learnt = asyncio.Event()

    def learn(self, addresses: Iterable[str]) -> None:
        super().learn(addresses)
        self.has_learnt.set()


class Keeping:
    """A keeper at work, and a way to wait for what it brings."""

    def __init__(self, address: str, **settings: object) -> None:
        plan = Plan(topics=("t",), **settings)  # type: ignore[arg-type]
        self.state = ConsumerState(plan)
        self.connection = Learning(address)
        self._changed = asyncio.Event()
        self.keeper = StreamKeeper(self.connection, self.state, "t", self._changed.set)

    async def changed(self) -> None:
        await self._changed.wait()
        self._changed.clear()

    async def failed(self) -> Exception:
        while self.keeper.failure is None:
            await self.changed()
        return self.keeper.failure


@asynccontextmanager
async def keeping(*nodes: FakeNode, **settings: object) -> AsyncIterator[Keeping]:
    one = Keeping(",".join(node.address for node in nodes), **settings)
    try:
        yield one
    finally:
        await one.keeper.close()
        await one.connection.close()


async def test_what_the_node_says_arrives_and_what_is_due_is_said() -> None:
    async with FakeNode() as node:
        streams = Streams(node)
        async with keeping(node, group_id="g", credit=2) as one:
            end = await streams.opened()
            await end.hears("subscribe")
            await end.say(assigned((0, 0)), records(0, [0]))
            while one.state.take() is None:
                await one.changed()
            one.state.acknowledge_handed(consumer_stream.steady_ms())
            one.keeper.wake()
            request = await end.heard()
            assert request is not None
            assert request.credit == 1, "a lot, at once"
            request = await end.hears("acknowledge")
            assert request.acknowledge.records[0].offset == 0
            end.end()


@pytest.mark.parametrize(
    "status", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.OK, grpc.StatusCode.CANCELLED]
)
async def test_a_stream_that_ends_is_followed_by_another(status: grpc.StatusCode) -> None:
    async with FakeNode() as node:
        streams = Streams(node)
        async with keeping(node):
            for _ in range(3):
                end = await streams.opened()
                await end.hears("subscribe")
                await end.say(assigned((0, 0)))
                end.end(status)


async def test_the_next_stream_is_opened_at_another_node() -> None:
    async with FakeNode() as first, FakeNode() as second:
        streams = {first.address: Streams(first), second.address: Streams(second)}
        async with keeping(first, second) as one:
            address = one.connection.preferred
            other = second.address if address == first.address else first.address
            for where in (address, other, address, other):
                end = await streams[where].opened()
                await end.say(assigned((0, 0)))
                end.end(grpc.StatusCode.UNAVAILABLE)


async def test_nodes_that_were_not_configured_are_learnt() -> None:
    async with FakeNode() as first, FakeNode() as second:
        log = FakeLog()
        log.serve(1, first)
        log.serve(2, second)
        streams, others = Streams(first), Streams(second)
        async with keeping(first) as one:
            end = await streams.opened()
            await end.say(assigned((0, 0)))
            await one.connection.has_learnt.wait()
            await first.stop()
            (await others.opened()).end()


async def test_a_node_that_is_killed_is_left() -> None:
    async with FakeNode() as first, FakeNode() as second:
        streams = {first.address: Streams(first), second.address: Streams(second)}
        async with keeping(first, second) as one:
            address = one.connection.preferred
            end = await streams[address].opened()
            await end.say(assigned((0, 0)))
            killed, other = (first, second) if address == first.address else (second, first)
            await killed.stop()
            (await streams[other.address].opened()).end()


async def test_who_was_fenced_does_not_come_back() -> None:
    async with FakeNode() as node:
        streams = Streams(node)
        async with keeping(node, group_id="g") as one:
            (await streams.opened()).end(grpc.StatusCode.ABORTED, "FENCED_INSTANCE_ID")
            assert isinstance(await one.failed(), FencedError)


async def test_some_failures_are_given_a_few_chances() -> None:
    async with FakeNode() as node:
        streams = Streams(node)
        async with keeping(node) as one:
            for _ in range(FEW + 1):
                (await streams.opened()).end(grpc.StatusCode.NOT_FOUND, "UNKNOWN_TOPIC_OR_PARTITION")
            assert isinstance(await one.failed(), UnknownTopicError)


async def test_a_cluster_that_never_answers_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumer_stream, "FIRST_CONTACT_MS", 100)
    async with FakeNode() as node:
        gone = node.address
    one = Keeping(gone)
    assert isinstance(await one.failed(), NodeUnavailableError)
    await one.keeper.close()
    await one.connection.close()


async def test_closing_says_the_last_and_waits_for_the_node() -> None:
    async with FakeNode() as node:
        streams = Streams(node)
        one = Keeping(node.address, group_id="g")
        end = await streams.opened()
        await end.say(assigned((0, 0)), records(0, [0]))
        while (record := one.state.take()) is None:
            await one.changed()
        one.state.acknowledge(record, consumer_stream.steady_ms())
        closing = asyncio.create_task(one.keeper.close())
        assert (await end.hears("acknowledge")).acknowledge.records[0].offset == 0
        assert await end.heard() is None, "half-closed"
        assert not closing.done(), "the node still commits"
        end.end()
        await closing
        await one.connection.close()


async def test_closing_before_there_is_a_stream() -> None:
    one = Keeping("127.0.0.1:1")
    await one.keeper.close()
    await one.connection.close()
    assert one.state.assignment == frozenset[TopicPartition]()


async def test_a_bug_of_ours_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    async with FakeNode() as node:
        streams = Streams(node)
        async with keeping(node) as one:
            monkeypatch.setattr(one.state, "on_response", None)
            await (await streams.opened()).say(assigned((0, 0)))
            assert "CLIENT_ERROR" in str(await one.failed())
