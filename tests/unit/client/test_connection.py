from __future__ import annotations

import asyncio
from random import Random
from typing import Any

import grpc
import pytest
from tests.unit.client.fake_node import FakeNode, refuse

from odradek.client.connection import Connection, Method, parse_addresses, unavailable
from odradek.client.errors import (
    CallTimeoutError,
    ClosedError,
    InvalidRequestError,
    NodeUnavailableError,
    NotControllerError,
    OdradekError,
)
from odradek.v1 import log_service_pb2 as pb

METADATA = Method("LogService/Metadata", pb.MetadataRequest, pb.MetadataResponse)


def answering(cluster_id: str) -> Any:
    async def metadata(request: pb.MetadataRequest, context: Any) -> pb.MetadataResponse:
        return pb.MetadataResponse(cluster_id=cluster_id)

    return metadata


def refusing(status: grpc.StatusCode, reason: str, times: int, then: str = "c") -> Any:
    """Refuses so many calls, then answers."""
    left = [times]

    async def metadata(request: pb.MetadataRequest, context: Any) -> pb.MetadataResponse:
        if left[0]:
            left[0] -= 1
            await refuse(context, status, reason)
        return pb.MetadataResponse(cluster_id=then)

    return metadata


async def dead_address() -> str:
    """Where nobody listens any more."""
    async with FakeNode() as node:
        return node.address


@pytest.mark.parametrize(
    ("bootstrap", "addresses"),
    [("a:1", ("a:1",)), ("a:1, b:2,a:1,", ("a:1", "b:2")), ("[::1]:9,h.x:80", ("[::1]:9", "h.x:80"))],
)
def test_addresses(bootstrap: str, addresses: tuple[str, ...]) -> None:
    assert parse_addresses(bootstrap) == addresses


@pytest.mark.parametrize("bootstrap", ["", "a", "a:", ":1", "a:x", "a:0", "a:70000", "a:1,b"])
def test_what_is_no_address(bootstrap: str) -> None:
    with pytest.raises(ValueError, match="address"):
        parse_addresses(bootstrap)


async def test_a_call_says_who_makes_it() -> None:
    async with FakeNode() as node, Connection(node.address, client_id="me") as connection:
        node.unary["LogService/Metadata"] = answering("c")
        assert (await connection.call(METADATA, pb.MetadataRequest())).cluster_id == "c"
        assert node.client_ids == ["me"]


@pytest.mark.parametrize("seed", range(4))
async def test_where_nobody_answers_another_is_asked(seed: int) -> None:
    dead = await dead_address()
    async with FakeNode() as node:
        node.unary["LogService/Metadata"] = answering("c")
        async with Connection(f"{dead},{node.address}", random=Random(seed)) as connection:
            assert (await connection.call(METADATA, pb.MetadataRequest())).cluster_id == "c"
            assert connection.preferred == node.address, "and is asked first from then on"


async def test_a_node_that_was_learnt_is_asked_when_those_configured_are_gone() -> None:
    dead = await dead_address()
    async with FakeNode() as node, Connection(dead) as connection:
        node.unary["LogService/Metadata"] = answering("c")
        connection.learn([node.address])
        assert connection.addresses == (dead, node.address)
        assert (await connection.call(METADATA, pb.MetadataRequest())).cluster_id == "c"


async def test_a_node_that_cannot_now_is_asked_again() -> None:
    async with FakeNode() as node, Connection(node.address) as connection:
        node.unary["LogService/Metadata"] = refusing(grpc.StatusCode.UNAVAILABLE, "NOT_CONTROLLER", 3)
        assert (await connection.call(METADATA, pb.MetadataRequest())).cluster_id == "c"


async def test_a_node_that_never_can_is_given_up_in_time() -> None:
    async with FakeNode() as node, Connection(node.address) as connection:
        node.unary["LogService/Metadata"] = refusing(grpc.StatusCode.UNAVAILABLE, "NOT_CONTROLLER", 10_000)
        with pytest.raises(NotControllerError) as caught:
            await connection.call(METADATA, pb.MetadataRequest(), timeout_ms=1_500)
        assert caught.value.is_retriable


@pytest.mark.parametrize(("is_repeatable", "told"), [(True, NotControllerError), (False, CallTimeoutError)])
async def test_what_a_node_said_is_told_rather_than_that_the_last_attempt_took_too_long(
    is_repeatable: bool, told: type[OdradekError]
) -> None:
    """A call that does harm when made twice may have been carried out by that attempt."""

    calls = 0

    async def refuse_then_hang(request: pb.MetadataRequest, context: Any) -> pb.MetadataResponse:
        nonlocal calls
        calls += 1
        if calls > 1:
            await asyncio.sleep(60)
        await refuse(context, grpc.StatusCode.UNAVAILABLE, "NOT_CONTROLLER")
        raise AssertionError

    async with FakeNode() as node, Connection(node.address) as connection:
        node.unary["LogService/Metadata"] = refuse_then_hang
        with pytest.raises(told):
            await connection.call(
                METADATA, pb.MetadataRequest(), timeout_ms=1_500, is_repeatable=is_repeatable
            )
    assert calls == 2


async def test_a_refusal_is_not_argued_with() -> None:
    async with FakeNode() as node, Connection(node.address) as connection:
        node.unary["LogService/Metadata"] = refusing(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST", 1)
        with pytest.raises(InvalidRequestError):
            await connection.call(METADATA, pb.MetadataRequest())


async def test_what_may_have_been_carried_out_is_repeated_only_if_that_does_no_harm() -> None:
    async with FakeNode() as node, Connection(node.address) as connection:
        node.unary["LogService/Metadata"] = refusing(grpc.StatusCode.UNAVAILABLE, "", 1)
        with pytest.raises(NodeUnavailableError):
            await connection.call(METADATA, pb.MetadataRequest(), is_repeatable=False)
        node.unary["LogService/Metadata"] = refusing(grpc.StatusCode.UNAVAILABLE, "NOT_CONTROLLER", 1)
        assert (await connection.call(METADATA, pb.MetadataRequest(), is_repeatable=False)).cluster_id == "c"


async def test_a_node_that_comes_back_is_found_soon() -> None:
    node = FakeNode()
    node.unary["LogService/Metadata"] = answering("c")
    await node.start()
    async with Connection(node.address) as connection:
        await connection.call(METADATA, pb.MetadataRequest())
        await node.stop()
        with pytest.raises(NodeUnavailableError):
            await connection.call_at(node.address, METADATA, pb.MetadataRequest())
        await node.start()
        assert (await connection.call(METADATA, pb.MetadataRequest(), timeout_ms=10_000)).cluster_id == "c"
    await node.stop()


async def test_a_closed_connection_calls_nobody() -> None:
    connection = Connection("127.0.0.1:1")
    await connection.close()
    with pytest.raises(ClosedError):
        await connection.call(METADATA, pb.MetadataRequest())


def test_the_pause_grows_and_has_an_end() -> None:
    connection = Connection("a:1", random=Random(1))
    pauses = [connection.backoff_ms(attempt) for attempt in (0, 2, 4, 40)]
    assert pauses == sorted(pauses)
    assert 25 <= pauses[0] <= 50
    assert 500 <= pauses[-1] <= 1000
    assert connection.backoff_ms(0, 900) >= 450
    assert connection.backoff_ms(0, 60_000) <= 1000


def test_avoiding_goes_round() -> None:
    connection = Connection("a:1,b:2", random=Random(1))
    first = connection.preferred
    connection.avoid("c:3")
    assert connection.preferred == first
    connection.avoid(first)
    assert connection.preferred != first
    connection.avoid(connection.preferred)
    assert connection.preferred == first


def test_a_node_that_could_not_be_asked() -> None:
    assert unavailable("gone").is_retriable
