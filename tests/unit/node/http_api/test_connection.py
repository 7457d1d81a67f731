"""HTTP over real sockets: what well-behaved peers get, and how the others end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus

import h11
import pytest

from odradek.node.http_api import connection as module
from odradek.node.http_api.connection import HEAD_BYTES_MAX, HttpConnection, Request, Response, plain

GET = b"GET /x HTTP/1.1\r\nhost: a\r\n\r\n"
BIG = 20_000_000


class Door:
    """Answers what it is told to, and counts."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.connections: set[HttpConnection] = set()
        self.gone = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()
        self.has_room = True

    async def respond(self, request: Request) -> Response:
        self.requests.append(request)
        await self.gate.wait()
        if request.path == "/bug":
            raise ValueError("a bug")
        if request.path == "/big":
            return Response(HTTPStatus.OK, "text/plain", [b"z" * 100_000] * (BIG // 100_000))
        return plain(HTTPStatus.OK, f"hello {request.path}")

    def admit(self, connection: HttpConnection) -> bool:
        if self.has_room:
            self.connections.add(connection)
        return self.has_room

    def forget(self, connection: HttpConnection) -> None:
        self.connections.discard(connection)
        self.gone.set()


class Peer:
    """A client that reads answers with h11, and writes any bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.http = h11.Connection(h11.CLIENT)

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def answer(self, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of the next answer."""
        self.http.send(h11.Request(method=method, target="/", headers=[("host", "a")]))
        self.http.send(h11.EndOfMessage())
        head: h11.Response | None = None
        body = b""
        while True:
            event = self.http.next_event()
            if event is h11.NEED_DATA:
                self.http.receive_data(await asyncio.wait_for(self.reader.read(1 << 20), 20))
            elif isinstance(event, h11.Response):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                break
            else:
                raise AssertionError(f"no answer but {event!r}")
        assert head is not None
        if self.http.their_state is h11.DONE and self.http.our_state is h11.DONE:
            self.http.start_next_cycle()
        headers = {name.decode(): value.decode() for name, value in head.headers}
        return head.status_code, headers, body

    async def closed(self) -> bool:
        with contextlib.suppress(ConnectionResetError):
            return await asyncio.wait_for(self.reader.read(), 20) == b""
        return True


@asynccontextmanager
async def opened(door: Door | None = None) -> AsyncIterator[tuple[Door, Peer]]:
    door = door or Door()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: HttpConnection(door.respond, door.admit, door.forget), "127.0.0.1", 0
    )
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname(), limit=1 << 22)
    try:
        yield door, Peer(reader, writer)
    finally:
        writer.close()
        server.close()
        for connection in list(door.connections):
            connection.abort()
        await asyncio.sleep(0)


async def test_requests_follow_each_other_on_one_connection() -> None:
    async with opened() as (door, peer):
        for path in ("/a", "/b?query=1"):
            peer.send(f"GET {path} HTTP/1.1\r\nhost: a\r\naccept: x\r\naccept: y\r\n\r\n".encode())
            status, headers, body = await peer.answer()
            assert (status, body) == (200, f"hello {path[:2]}".encode())
            assert headers["content-length"] == "8"
            assert headers["content-type"] == "text/plain; charset=utf-8"
        assert door.requests[0] == Request("GET", "/a", "x,y")


async def test_requests_sent_together_are_answered_in_order() -> None:
    async with opened() as (door, peer):
        door.gate.clear()
        peer.send(b"GET /1 HTTP/1.1\r\nhost: a\r\n\r\nGET /2 HTTP/1.1\r\nhost: a\r\n\r\nGET /3 HT")
        await until(lambda: bool(door.requests))
        peer.send(b"TP/1.1\r\nhost: a\r\n\r\n")
        assert len(door.requests) == 1, "one at a time"
        door.gate.set()
        assert [(await peer.answer())[2] for _ in range(3)] == [b"hello /1", b"hello /2", b"hello /3"]


async def test_a_request_may_come_byte_by_byte() -> None:
    async with opened() as (_, peer):
        for byte in GET:
            peer.send(bytes([byte]))
            await asyncio.sleep(0)
        assert (await peer.answer())[2] == b"hello /x"


async def test_head_gets_the_head_only() -> None:
    async with opened() as (_, peer):
        peer.send(b"HEAD /a HTTP/1.1\r\nhost: a\r\n\r\n" + GET)
        status, headers, body = await peer.answer("HEAD")
        assert (status, headers["content-length"], body) == (200, "8", b"")
        assert (await peer.answer())[2] == b"hello /x"


@pytest.mark.parametrize("method", ["POST", "DELETE", "OPTIONS", "BREW"])
async def test_other_methods_are_told_so(method: str) -> None:
    async with opened() as (door, peer):
        peer.send(f"{method} /a HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nxx".encode() + GET)
        status, headers, _ = await peer.answer()
        assert (status, headers["allow"]) == (405, "GET, HEAD")
        assert (await peer.answer())[0] == 200
        assert [request.path for request in door.requests] == ["/x"]


async def test_http_1_0_is_answered_and_closed() -> None:
    async with opened() as (_, peer):
        peer.send(b"GET /old HTTP/1.0\r\n\r\n")
        assert (await peer.answer())[2] == b"hello /old"
        assert await peer.closed()


async def test_a_peer_that_has_said_all_still_gets_its_answer() -> None:
    async with opened() as (door, peer):
        door.gate.clear()
        peer.send(GET)
        peer.writer.write_eof()
        await until(lambda: bool(door.requests))
        door.gate.set()
        assert (await peer.answer())[2] == b"hello /x"
        assert await peer.closed()


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (b"GET /a HTTP/1.1\r\n\r\n", 400),  # no host
        (b"GET /a HTTP/1.1\r\nhost: a\r\nbad header\r\n\r\n", 400),
        (b"GET /a HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n\r\n", 400),
        (b"GET /a HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip\r\n\r\n", 501),
        (b"GET /" + b"a" * HEAD_BYTES_MAX, 431),
        (b"GET /a HTTP/1.1\r\nhost: a\r\ncontent-length: 100000\r\n\r\n" + b"z" * 9000, 413),
    ],
)
async def test_what_is_not_http_is_refused_and_the_connection_closed(data: bytes, status: int) -> None:
    async with opened() as (door, peer):
        peer.send(data)
        assert (await peer.answer())[0] == status
        assert await peer.closed()
        assert door.requests == []


async def test_a_bug_costs_one_answer() -> None:
    async with opened() as (_, peer):
        peer.send(b"GET /bug HTTP/1.1\r\nhost: a\r\n\r\n" + GET)
        assert (await peer.answer())[0] == 500
        assert (await peer.answer())[0] == 200


async def test_a_large_answer_waits_for_a_slow_reader() -> None:
    async with opened() as (door, peer):
        peer.send(b"GET /big HTTP/1.1\r\nhost: a\r\n\r\n" + GET)
        await until(lambda: bool(door.requests))
        (served,) = door.connections
        await asyncio.sleep(0.05)
        assert served._transport is not None and served._transport.get_write_buffer_size() < 500_000
        assert len((await peer.answer())[2]) == BIG
        assert (await peer.answer())[2] == b"hello /x"


@pytest.mark.parametrize("data", [b"", b"GET /slow HTTP/1.1\r\nhost", GET + b"GET /more HTTP"])
async def test_a_peer_that_does_not_go_on_is_cut_off(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "IDLE_S", 0.02)
    monkeypatch.setattr(module, "REQUEST_S", 0.02)
    async with opened() as (door, peer):
        peer.send(data)
        await asyncio.wait_for(door.gone.wait(), 20)


async def test_bytes_that_trickle_in_win_no_time() -> None:
    async with opened() as (door, peer):
        peer.send(b"GET /slow HTTP/1.1\r\nhost: a\r\n")
        await until(lambda: any(each._in_request for each in door.connections))
        (served,) = door.connections
        timer = served._timer
        assert timer is not None
        served.data_received(b"x: y\r\n")
        assert served._timer is timer and not timer.cancelled()
        served.data_received(b"\r\n")
        assert (await peer.answer())[2] == b"hello /slow"


async def test_what_comes_while_an_answer_is_made_is_not_read() -> None:
    async with opened() as (door, peer):
        door.gate.clear()
        peer.send(GET)
        await until(lambda: bool(door.requests))
        (served,) = door.connections
        peer.send(GET * 50_000)
        await asyncio.sleep(0.05)
        assert len(served._http.trailing_data[0]) < 100_000
        door.gate.set()
        assert (await peer.answer())[2] == b"hello /x"


async def test_a_peer_that_does_not_take_its_answer_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ANSWER_S", 0.05)
    monkeypatch.setattr(module, "REQUEST_S", 3600.0)
    async with opened() as (door, peer):
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]  # asyncio's own transport has it
        peer.send(b"GET /big HTTP/1.1\r\nhost: a\r\n\r\n")
        await asyncio.wait_for(door.gone.wait(), 20)


async def test_a_peer_that_went_away_is_noticed_with_its_answer() -> None:
    async with opened() as (door, peer):
        door.gate.clear()
        peer.send(GET)
        await until(lambda: bool(door.requests))
        peer.writer.transport.abort()
        door.gate.set()
        await asyncio.wait_for(door.gone.wait(), 20)
        assert not door.connections


async def test_where_there_is_no_room_nobody_is_served() -> None:
    door = Door()
    door.has_room = False
    async with opened(door) as (_, peer):
        assert await peer.closed()


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(5000):
        if condition():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("never happened")
