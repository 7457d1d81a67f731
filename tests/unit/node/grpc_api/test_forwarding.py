"""Calls passed on between servers on loopback, each of which is a node that knows where the others are."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc.aio
import pytest
from tests.unit.node.grpc_api.doors import GET, Door, Scripted, named, refusal, server_of
from tests.unit.node.grpc_api.node import a_call

from odradek.node.grpc_api.forwarding import CATCH_UP_S, UnaryForwarder
from odradek.node.grpc_api.methods import Call
from odradek.node.grpc_api.refusal import RefusalError, refused
from odradek.node.grpc_api.server import GrpcServer
from odradek.proto.kafka.errors import ErrorCode
from odradek.v1 import topic_service_pb2 as pb

GET_REQUEST = pb.GetTopicRequest(name="t")


class Cluster:
    """`one` is the node whose clients ask; `leader` is who it takes for the one that can answer."""

    def __init__(self) -> None:
        self.leader: int | None = 2
        self.servers: dict[int, GrpcServer] = {}
        self.addresses: dict[int, tuple[str, int]] = {}
        self.calls: list[tuple[int, Call]] = []
        self.caught_up = 0
        self.catches_up = asyncio.Event()
        self.catches_up.set()
        self.says: dict[int, Any] = {}
        """By node: what it raises, or a function to await; else it answers with its name."""
        self.forwarder = UnaryForwarder(1, self.addresses.get, self._catch_up)

    async def _catch_up(self) -> None:
        await self.catches_up.wait()
        self.caught_up += 1

    async def add(self, node_id: int) -> None:
        async def answer(call: Call, request: pb.GetTopicRequest) -> pb.GetTopicResponse:
            self.calls.append((node_id, call))
            says = self.says.get(node_id)
            if isinstance(says, Exception):
                raise says
            if says is not None:
                await says()
            return named(f"{request.name} of {node_id}")

        servicer = Scripted(answer, where=lambda _: self.leader)
        server = server_of(servicer, forwarder=self.forwarder if node_id == 1 else None)
        await server.start()
        self.servers[node_id] = server
        self.addresses[node_id] = (server.host, server.port)

    @property
    def asked(self) -> list[int]:
        """The nodes that were asked, in order."""
        return [node_id for node_id, _ in self.calls]


@asynccontextmanager
async def cluster(*nodes: int) -> AsyncIterator[tuple[Cluster, Door]]:
    found = Cluster()
    for node_id in nodes or (1, 2, 3):
        await found.add(node_id)
    async with grpc.aio.insecure_channel(found.servers[1].address) as channel:
        try:
            yield found, Door(found.servers[1], channel)
        finally:
            for server in found.servers.values():
                await server.stop()
            await found.forwarder.close()


NOT_CONTROLLER = refused(ErrorCode.NOT_CONTROLLER)


async def test_a_call_goes_to_the_node_that_can_answer_with_what_its_client_said() -> None:
    async with cluster() as (nodes, door):
        assert await door.get("t", timeout_s=100, metadata=(("client-id", "me"),)) == named("t of 2")
    ((node_id, call),) = nodes.calls
    assert node_id == 2 and call.is_forwarded and call.context.client_id == "me"
    assert 50_000 < call.timeout_ms(5) <= 102_000  # gRPC rounds up on the way
    assert nodes.caught_up == 1


async def test_a_call_without_deadline_is_given_one() -> None:
    async with cluster() as (nodes, door):
        await door.get(timeout_s=None)
    assert 20_000 < nodes.calls[0][1].timeout_ms(5) <= 30_000


async def test_what_this_node_can_answer_stays_here() -> None:
    async with cluster() as (nodes, door):
        nodes.leader = 1
        assert await door.get() == named("t of 1")
    assert nodes.calls[0][1].is_forwarded is False and nodes.caught_up == 0


async def test_a_call_that_was_passed_on_is_not_passed_on_again() -> None:
    async with cluster() as (_, door):
        assert await door.get(metadata=(("odradek-forwarded", "3"),)) == named("t of 1")


async def test_a_refusal_comes_back_as_it_was_made() -> None:
    async with cluster() as (nodes, door):
        nodes.says[2] = refused(ErrorCode.TOPIC_ALREADY_EXISTS, "it exists »ä«", topic="t")
        found = await refusal(door.get())
    assert (found.status, found.message, found.reason) == (
        "ALREADY_EXISTS",
        "it exists »ä«",
        "TOPIC_ALREADY_EXISTS",
    )
    assert (found.metadata, found.retry_ms) == ({"topic": "t"}, None)
    assert nodes.asked == [2]


async def test_a_node_that_is_not_the_right_one_any_more_is_followed_by_the_next() -> None:
    async with cluster() as (nodes, door):

        async def move() -> None:
            nodes.leader = 3
            raise NOT_CONTROLLER

        nodes.says[2] = move
        assert await door.get() == named("t of 3")
    assert nodes.asked == [2, 3]


async def test_it_may_have_moved_here() -> None:
    async with cluster() as (nodes, door):

        async def move() -> None:
            nodes.leader = 1
            raise NOT_CONTROLLER

        nodes.says[2] = move
        assert await door.get() == named("t of 1")


async def test_while_nobody_is_known_the_call_waits() -> None:
    async with cluster() as (nodes, door):
        nodes.leader = None
        call = door.get()
        await asyncio.sleep(0.1)
        assert nodes.asked == []
        nodes.leader = 2
        assert await call == named("t of 2")


async def test_when_the_time_is_up_the_client_hears_why() -> None:
    async with cluster() as (nodes, door):
        nodes.leader = None
        found = await refusal(door.get(timeout_s=2))
        assert (found.status, found.reason) == ("UNAVAILABLE", "NOT_CONTROLLER")
        assert found.retry_ms
        nodes.leader, nodes.says[2] = 2, NOT_CONTROLLER
        found = await refusal(door.get(timeout_s=2))
        assert (found.status, found.reason) == ("UNAVAILABLE", "NOT_CONTROLLER")
        assert len(nodes.asked) > 1


async def test_a_node_that_is_gone_is_tried_until_another_is_known_or_it_is_back() -> None:
    async with cluster() as (nodes, door):
        await nodes.servers[2].stop()
        found = await refusal(door.get(timeout_s=2))
        assert (found.status, found.reason) == ("UNAVAILABLE", "NETWORK_EXCEPTION")
        assert found.message.startswith("node 2 cannot be reached") and found.retry_ms
        call = door.get()
        nodes.leader = 3
        assert await call == named("t of 3")
        await nodes.add(2)
        nodes.leader = 2
        assert await door.get() == named("t of 2")


async def test_a_node_without_a_door_is_not_reached() -> None:
    async with cluster() as (nodes, door):
        nodes.leader = 7
        found = await refusal(door.get(timeout_s=2))
    assert (found.status, found.reason) == ("UNAVAILABLE", "BROKER_NOT_AVAILABLE")
    assert found.message == "node 7 is not reached by gRPC"


async def test_a_silent_node_is_given_up_when_another_takes_its_place() -> None:
    async with cluster() as (nodes, door):
        began, cancelled = asyncio.Event(), asyncio.Event()

        async def hang() -> None:
            began.set()
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()

        nodes.says[2] = hang
        call = asyncio.ensure_future(door.get())
        await asyncio.wait_for(began.wait(), 20)
        nodes.leader = None  # not a reason yet
        await asyncio.sleep(0.3)
        assert not cancelled.is_set()
        nodes.leader = 3
        assert await asyncio.wait_for(call, 20) == named("t of 3")
        await asyncio.wait_for(cancelled.wait(), 20)


async def test_a_client_that_gives_up_ends_the_work_elsewhere() -> None:
    async with cluster() as (nodes, door):
        began, cancelled = asyncio.Event(), asyncio.Event()

        async def hang() -> None:
            began.set()
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()

        nodes.says[2] = hang
        call = door.get()
        await asyncio.wait_for(began.wait(), 20)
        call.cancel()
        await asyncio.wait_for(cancelled.wait(), 20)


async def test_an_answer_is_held_back_until_it_is_seen_here_and_not_for_ever() -> None:
    async with cluster() as (nodes, door):
        nodes.catches_up.clear()
        answered_s = [0.0]

        async def answer() -> None:
            answered_s[0] = time.monotonic()

        nodes.says[2] = answer
        assert await door.get() == named("t of 2")  # after a second all the same
        assert time.monotonic() - answered_s[0] > 0.9 * CATCH_UP_S


# -- ask


async def ask(nodes: Cluster, node_id: int, timeout_s: float, call: Call) -> pb.GetTopicResponse:
    return await nodes.forwarder.ask(node_id, GET, call, GET_REQUEST, pb.GetTopicResponse, timeout_s)


async def test_another_node_is_asked_for_a_part() -> None:
    async with cluster() as (nodes, _):
        assert await ask(nodes, 3, 20, a_call()) == named("t of 3")
    ((_, call),) = nodes.calls
    assert call.is_forwarded and call.context.client_id == "test"
    assert call.timeout_ms(5) <= 20_000 and nodes.caught_up == 0


async def test_who_is_asked_for_a_part_is_asked_once() -> None:
    async with cluster() as (nodes, _):
        nodes.says[3] = refused(ErrorCode.NOT_COORDINATOR, "not here", group_id="g")
        with pytest.raises(RefusalError) as raised:
            await ask(nodes, 3, 20, a_call())
        assert (raised.value.reason, raised.value.metadata) == ("NOT_COORDINATOR", {"group_id": "g"})
        assert nodes.asked == [3]
        await nodes.servers[3].stop()
        for gone, reason in ((3, "NETWORK_EXCEPTION"), (9, "BROKER_NOT_AVAILABLE")):
            with pytest.raises(RefusalError) as raised:
                await ask(nodes, gone, 20, a_call())
            assert (raised.value.status.name, raised.value.reason) == ("UNAVAILABLE", reason)


async def test_a_silent_node_is_unavailable_and_a_client_without_time_has_none() -> None:
    async with cluster() as (nodes, _):
        nodes.says[3] = asyncio.Event().wait
        with pytest.raises(RefusalError, match=r"node 3 did not answer within 0\.1 s") as raised:
            await ask(nodes, 3, 0.1, a_call())
        assert (raised.value.status.name, raised.value.reason) == ("UNAVAILABLE", "BROKER_NOT_AVAILABLE")
        with pytest.raises(RefusalError) as raised:
            await ask(nodes, 3, 20, a_call(timeout_s=0.1))
        assert (raised.value.status.name, raised.value.reason) == ("DEADLINE_EXCEEDED", "REQUEST_TIMED_OUT")


async def test_a_bug_elsewhere_is_a_bug_here_too(caplog: pytest.LogCaptureFixture) -> None:
    async with cluster() as (nodes, door):
        nodes.says[2] = KeyError("a bug")
        found = await refusal(door.get())
    assert (found.status, found.reason) == ("INTERNAL", "UNKNOWN_SERVER_ERROR")
    assert nodes.asked == [2]
