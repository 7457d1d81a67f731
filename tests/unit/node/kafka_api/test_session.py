"""A session over a real socket: order, overlap, refusals. Handlers are closures under the test's control."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from odradek.node.app.context import RequestContext
from odradek.node.kafka_api.handlers.api_versions import ApiVersionsHandlers
from odradek.node.kafka_api.registry import CloseConnection, Registry, Route
from odradek.node.kafka_api.session import Session
from odradek.node.net.listener import Connection, ConnectionLimits, Listener
from odradek.node.runtime.deferred import Deferred
from odradek.proto.kafka.api import ApiKey
from odradek.proto.kafka.headers import RequestHeader, encode_request_frame
from odradek.proto.kafka.messages.api_versions import ApiVersionsRequest
from odradek.proto.kafka.messages.list_offsets import ListOffsetsRequest, ListOffsetsResponse
from odradek.proto.kafka.messages.metadata import MetadataRequest, MetadataResponse
from odradek.proto.kafka.messages.produce import ProduceRequest, ProduceResponse
from odradek.proto.kafka.schema import Message
from odradek.storage.durations import SUM

LIMITS = ConnectionLimits(10, 10, 600_000, 100_000)


class Node:
    """Three routes: Produce answers when told to, Metadata is a coroutine, ListOffsets answers at once."""

    def __init__(self) -> None:
        self.produces: list[Deferred[ProduceResponse]] = []
        self.abandoned = 0
        self.quiet: list[Deferred[None]] = []
        self.seen: list[str] = []
        self.gate = asyncio.Event()
        self.contexts: list[RequestContext] = []
        registry = Registry(
            [
                *ApiVersionsHandlers(lambda: registry.advertised()).routes(),
                Route(ApiKey.PRODUCE, 3, 13, self.produce),
                Route(ApiKey.METADATA, 0, 13, self.metadata),
                Route(ApiKey.LIST_OFFSETS, 1, 11, self.list_offsets),
            ]
        )
        self.durations = registry.durations
        self.listener = Listener("PLAINTEXT", LIMITS, lambda conn: Session(conn, registry, self.context))

    def context(self, connection: Connection, client_id: str | None) -> RequestContext:
        return RequestContext(client_id, "User:ANONYMOUS", "PLAINTEXT", "127.0.0.1", 0, "c", "127.0.0.1")

    def produce(self, context: RequestContext, request: ProduceRequest, version: int) -> Any:
        self.seen.append("produce")
        self.contexts.append(context)
        if request.acks == 2:
            self.quiet.append(Deferred())
            return self.quiet[-1]
        if request.acks == 0:
            return Deferred.resolved(CloseConnection("told to"))
        deferred: Deferred[ProduceResponse] = Deferred(on_abandon=self.abandon)
        self.produces.append(deferred)
        return deferred

    def abandon(self) -> None:
        self.abandoned += 1

    async def metadata(self, context: RequestContext, request: MetadataRequest, version: int) -> Message:
        self.seen.append("metadata")
        await self.gate.wait()
        if request.allow_auto_topic_creation is False:
            raise RuntimeError("a bug in a handler")
        return MetadataResponse()

    def list_offsets(self, context: RequestContext, request: ListOffsetsRequest, version: int) -> Message:
        self.seen.append("list_offsets")
        return ListOffsetsResponse()


@asynccontextmanager
async def serving() -> AsyncIterator[tuple[Node, asyncio.StreamReader, asyncio.StreamWriter]]:
    node = Node()
    await node.listener.bind("127.0.0.1", 0)
    await node.listener.accept()
    reader, writer = await asyncio.open_connection("127.0.0.1", node.listener.port)
    try:
        yield node, reader, writer
    finally:
        writer.close()
        node.listener.stop_accepting()
        node.listener.close_connections()
        await asyncio.sleep(0)


def frame(correlation_id: int, key: ApiKey, version: int, request: Message, client_id: str = "me") -> bytes:
    return b"".join(
        encode_request_frame(RequestHeader(int(key), version, correlation_id, client_id), request)
    )


def produce(correlation_id: int, acks: int = -1, client_id: str = "me") -> bytes:
    return frame(correlation_id, ApiKey.PRODUCE, 9, ProduceRequest(acks=acks), client_id)


def list_offsets(correlation_id: int) -> bytes:
    return frame(correlation_id, ApiKey.LIST_OFFSETS, 7, ListOffsetsRequest())


async def answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    (size,) = struct.unpack(">i", await asyncio.wait_for(reader.readexactly(4), 10))
    body = await reader.readexactly(size)
    return struct.unpack_from(">i", body)[0], body[4:]


async def until(condition: Any) -> None:
    for _ in range(2000):
        if condition():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("never happened")


async def test_produces_overlap_and_are_answered_in_request_order() -> None:
    async with serving() as (node, reader, writer):
        writer.write(produce(1) + produce(2) + produce(3))
        await until(lambda: len(node.produces) == 3)
        for place in (2, 0, 1):
            node.produces[place].resolve(ProduceResponse())
        assert [(await answer(reader))[0] for _ in range(3)] == [1, 2, 3]


async def test_another_request_waits_for_the_produce_before_it() -> None:
    async with serving() as (node, reader, writer):
        writer.write(produce(1) + list_offsets(2) + produce(3))
        await until(lambda: node.produces)
        await asyncio.sleep(0.01)
        assert node.seen == ["produce"]
        node.produces[0].resolve(ProduceResponse())
        assert (await answer(reader))[0] == 1
        assert (await answer(reader))[0] == 2
        await until(lambda: len(node.produces) == 2)
        node.produces[1].resolve(ProduceResponse())
        assert (await answer(reader))[0] == 3


async def test_a_coroutine_holds_its_connection() -> None:
    async with serving() as (node, reader, writer):
        writer.write(frame(1, ApiKey.METADATA, 12, MetadataRequest()) + list_offsets(2))
        await until(lambda: node.seen)
        await asyncio.sleep(0.01)
        assert node.seen == ["metadata"]
        node.gate.set()
        assert [(await answer(reader))[0] for _ in range(2)] == [1, 2]


async def test_more_produces_than_may_be_in_flight_are_all_answered() -> None:
    async with serving() as (node, reader, writer):
        writer.write(b"".join(produce(n) for n in range(400)))
        answered = 0
        while answered < 400:
            await until(lambda known=answered: len(node.produces) > known)
            assert len(node.produces) - answered <= 128
            for deferred in node.produces[answered:]:
                deferred.resolve(ProduceResponse())
                assert (await answer(reader))[0] == answered
                answered += 1


async def test_an_unsupported_api_versions_is_answered_in_the_layout_of_version_0() -> None:
    async with serving() as (_, reader, writer):
        writer.write(struct.pack(">ihhih", 10, 18, 99, 77, -1))
        assert await asyncio.wait_for(reader.readexactly(20), 10) == struct.pack(
            ">iihihhh", 16, 77, 35, 1, 18, 0, 4
        )
        writer.write(frame(2, ApiKey.API_VERSIONS, 0, ApiVersionsRequest()))
        assert (await answer(reader))[0] == 2


@pytest.mark.parametrize(
    "data",
    [
        struct.pack(">ihhih", 10, 3, 99, 1, -1),  # a version that is not served
        struct.pack(">ihhih", 10, 999, 0, 1, -1),  # a key that is not served
        struct.pack(">ihhi", 8, 3, 0, 1),  # shorter than a header
        struct.pack(">i", -5),
        struct.pack(">i", 100_001),
        struct.pack(">ihhihi", 14, 2, 1, 1, -1, 2**30),  # a body that does not decode
    ],
)
async def test_a_bad_frame_closes_that_connection_only(data: bytes) -> None:
    async with serving() as (node, reader, writer):
        other_reader, other_writer = await asyncio.open_connection("127.0.0.1", node.listener.port)
        writer.write(data)
        assert await asyncio.wait_for(reader.read(), 10) == b""
        other_writer.write(list_offsets(5))
        assert (await answer(other_reader))[0] == 5
        other_writer.close()


async def test_acks_0_that_fails_closes_without_an_answer() -> None:
    async with serving() as (_, reader, writer):
        writer.write(produce(1, acks=0))
        assert await asyncio.wait_for(reader.read(), 10) == b""


async def test_a_request_without_an_answer_still_holds_its_place() -> None:
    async with serving() as (node, reader, writer):
        writer.write(produce(1, acks=2) + list_offsets(2))
        await until(lambda: node.quiet)
        await asyncio.sleep(0.01)
        assert node.seen == ["produce"]
        node.quiet[0].resolve(None)
        assert (await answer(reader))[0] == 2


async def test_a_half_closed_connection_that_gets_no_answer_is_closed_too() -> None:
    async with serving() as (node, reader, writer):
        writer.write(produce(1, acks=2))
        await until(lambda: node.quiet)
        writer.write_eof()
        await asyncio.sleep(0.01)
        node.quiet[0].resolve(None)
        assert await asyncio.wait_for(reader.read(), 10) == b""


async def test_an_answer_that_cannot_be_encoded_costs_only_its_connection() -> None:
    async with serving() as (node, reader, writer):
        other_reader, other_writer = await asyncio.open_connection("127.0.0.1", node.listener.port)
        writer.write(produce(1))
        await until(lambda: len(node.produces) == 1)
        other_writer.write(produce(2))
        await until(lambda: len(node.produces) == 2)
        node.produces[0].resolve(ProduceResponse(throttle_time_ms=2**40))
        node.produces[1].resolve(ProduceResponse())
        assert await asyncio.wait_for(reader.read(), 10) == b""
        assert (await answer(other_reader))[0] == 2
        other_writer.close()


async def test_a_bug_in_a_handler_costs_its_connection_and_not_the_node() -> None:
    async with serving() as (node, reader, writer):
        node.gate.set()
        writer.write(frame(1, ApiKey.METADATA, 12, MetadataRequest(allow_auto_topic_creation=False)))
        assert await asyncio.wait_for(reader.read(), 10) == b""
        reader, writer = await asyncio.open_connection("127.0.0.1", node.listener.port)
        writer.write(list_offsets(5))
        assert (await answer(reader))[0] == 5
        writer.close()


async def test_what_waits_is_abandoned_when_the_connection_breaks() -> None:
    async with serving() as (node, _, writer):
        writer.write(produce(1) + produce(2))
        await until(lambda: len(node.produces) == 2)
        linger_zero = struct.pack("ii", 1, 0)  # closing sends a reset: the peer is gone, not half-closed
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_zero)
        writer.transport.abort()
        await until(lambda: node.abandoned == 2)


async def test_a_half_closed_connection_still_gets_its_answer() -> None:
    async with serving() as (node, reader, writer):
        writer.write(produce(1))
        writer.write_eof()
        await until(lambda: node.produces)
        await asyncio.sleep(0.01)
        node.produces[0].resolve(ProduceResponse())
        assert (await answer(reader))[0] == 1
        assert await asyncio.wait_for(reader.read(), 10) == b""


async def test_the_client_id_of_each_request_is_in_its_context() -> None:
    async with serving() as (node, _, writer):
        writer.write(produce(1, client_id="a") + produce(2, client_id="b"))
        await until(lambda: len(node.contexts) == 2)
        assert [context.client_id for context in node.contexts] == ["a", "b"]


async def test_every_answer_is_counted_once_with_the_time_it_took() -> None:
    async with serving() as (node, reader, writer):
        writer.write(list_offsets(1) + produce(2) + produce(3, acks=2))
        await answer(reader)
        await until(lambda: len(node.produces) + len(node.quiet) == 2)
        assert counted(node, ApiKey.PRODUCE) == 0, "an answer that waits has not taken its time yet"
        node.quiet[0].resolve(None)
        node.produces[0].resolve(ProduceResponse())
        await answer(reader)
        assert counted(node, ApiKey.LIST_OFFSETS) == 1
        assert counted(node, ApiKey.PRODUCE) == 2
        assert node.durations[ApiKey.PRODUCE][SUM] > 0
        assert counted(node, ApiKey.METADATA) == 0


def counted(node: Node, key: ApiKey) -> int:
    return sum(node.durations[key][:SUM])
