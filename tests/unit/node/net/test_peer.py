"""Requests to other nodes over real sockets: order, reuse, broken connections, and a node that says nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from odradek.node.net.peer import Peers, PeerUnavailableError
from odradek.proto.kafka.headers import decode_request_header, encode_response_frame
from odradek.proto.kafka.messages.controller import BrokerHeartbeatRequest, BrokerHeartbeatResponse

Respond = Callable[[int], Awaitable[list[bytes] | None]]


def heartbeat(epoch: int) -> BrokerHeartbeatRequest:
    return BrokerHeartbeatRequest(broker_id=1, broker_epoch=epoch)


class Node:
    """Answers heartbeats with their position on the connection as error code; `silent` ones never."""

    def __init__(self) -> None:
        self.connections = 0
        self.connected = asyncio.Event()
        self.silent = False
        self.cut = False
        self.port = 0
        self._writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.connected.set()
        self._writers.append(writer)
        count = 0
        try:
            while True:
                size = int.from_bytes(await reader.readexactly(4), "big")
                frame = await reader.readexactly(size)
                header, _ = decode_request_header(memoryview(frame))
                if self.cut:
                    writer.close()
                    return
                if self.silent:
                    continue
                answer = BrokerHeartbeatResponse(error_code=count)
                count += 1
                version = header.api_version
                for part in encode_response_frame(header.correlation_id, header.api_key, version, answer):
                    writer.write(part)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    def close_connections(self) -> None:
        for writer in self._writers:
            writer.close()


@asynccontextmanager
async def running() -> AsyncIterator[tuple[Node, Peers]]:
    node = Node()
    server = await asyncio.start_server(node.serve, "127.0.0.1", 0)
    node.port = server.sockets[0].getsockname()[1]
    peers = Peers(lambda node_id: ("127.0.0.1", node.port) if node_id == 7 else None)
    try:
        yield node, peers
    finally:
        peers.close()
        node.close_connections()
        server.close()


async def ask(peers: Peers, timeout_ms: int = 5_000) -> int:
    answer = await peers.request(7, heartbeat(3), 1, timeout_ms)
    assert isinstance(answer, BrokerHeartbeatResponse)
    return answer.error_code


async def test_a_connection_is_kept_and_used_again() -> None:
    async with running() as (node, peers):
        assert [await ask(peers) for _ in range(3)] == [0, 1, 2]
        assert node.connections == 1


async def test_requests_under_way_together_do_not_wait_for_each_other() -> None:
    async with running() as (node, peers):
        assert await asyncio.gather(*(ask(peers) for _ in range(3))) == [0, 0, 0]
        assert node.connections == 3
        assert await ask(peers) == 1


async def test_a_node_nobody_knows_and_one_that_does_not_listen() -> None:
    async with running() as (_, peers):
        with pytest.raises(PeerUnavailableError, match="node 8"):
            await peers.request(8, heartbeat(1), 1, 100)
    closed = Peers(lambda node_id: ("127.0.0.1", 1))
    with pytest.raises(PeerUnavailableError, match=r"127\.0\.0\.1:1"):
        await closed.request(1, heartbeat(1), 1, 5_000)
    assert not await closed.is_listening(1)


async def test_a_connection_that_breaks_fails_its_request_and_the_next_one_makes_another() -> None:
    async with running() as (node, peers):
        node.cut = True
        with pytest.raises(PeerUnavailableError, match="broke"):
            await ask(peers)
        node.cut = False
        assert await ask(peers) == 0
        assert await peers.is_listening(7)


async def test_a_late_answer_is_not_taken_for_that_of_the_next_request() -> None:
    async with running() as (node, peers):
        node.silent = True
        with pytest.raises(TimeoutError):
            await ask(peers, timeout_ms=20)
        node.silent = False
        assert await ask(peers) == 0
        assert node.connections == 2


async def test_closing_fails_what_is_under_way() -> None:
    async with running() as (node, peers):
        node.silent = True
        waiting = asyncio.ensure_future(ask(peers))
        await node.connected.wait()
        peers.close()
        with pytest.raises(PeerUnavailableError):
            await waiting
