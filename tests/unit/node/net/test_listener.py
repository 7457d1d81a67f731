"""Sockets and limits of a listener, with a handler that echoes frames."""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from odradek.node.net.listener import Connection, ConnectionLimits, Listener


class Echo:
    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.gone = asyncio.Event()

    def receive(self, frame: memoryview) -> bool:
        if bytes(frame[:4]) == b"wait":
            return False
        self.connection.write([struct.pack(">i", len(frame)), bytes(frame)])
        return True

    def idle(self) -> bool:
        return True

    def closed(self) -> None:
        self.gone.set()


@asynccontextmanager
async def listening(limits: ConnectionLimits) -> AsyncIterator[tuple[Listener, list[Echo]]]:
    handlers: list[Echo] = []

    def open_session(connection: Connection) -> Echo:
        handlers.append(Echo(connection))
        return handlers[-1]

    listener = Listener("PLAINTEXT", limits, open_session)
    await listener.bind("127.0.0.1", 0)
    await listener.accept()
    try:
        yield listener, handlers
    finally:
        listener.stop_accepting()
        listener.close_connections()
        await asyncio.sleep(0)


def frame(body: bytes) -> bytes:
    return struct.pack(">i", len(body)) + body


async def closed(reader: asyncio.StreamReader) -> bool:
    try:
        return await asyncio.wait_for(reader.read(), 10) == b""
    except ConnectionResetError:
        return True


async def came(listener: Listener, count: int) -> None:
    """Until it has counted so many bytes."""
    async with asyncio.timeout(20):
        while listener.bytes_in < count:  # noqa: ASYNC110  (nobody tells)
            await asyncio.sleep(0.001)


async def test_frames_of_any_size_come_through() -> None:
    async with listening(ConnectionLimits(10, 10, -1, 10_000_000)) as (listener, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        bodies = [b"small", b"", b"x" * 70_000, b"y" * 5_000_000, b"last"]
        for body in bodies:
            writer.write(frame(body))
        for body in bodies:
            assert await asyncio.wait_for(reader.readexactly(4 + len(body)), 20) == frame(body)
        writer.close()


async def test_a_busy_session_is_given_no_more_until_it_resumes() -> None:
    async with listening(ConnectionLimits(10, 10, -1, 1000)) as (listener, handlers):
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        writer.write(frame(b"wait") + frame(b"after"))
        await came(listener, 17)
        handlers[0].connection.resume()
        assert await asyncio.wait_for(reader.readexactly(9), 10) == frame(b"after")
        writer.close()


async def test_connections_beyond_the_limits_are_refused_and_places_are_given_back() -> None:
    async with listening(ConnectionLimits(2, 1, -1, 1000)) as (listener, handlers):
        _, first = await asyncio.open_connection("127.0.0.1", listener.port)
        reader, _ = await asyncio.open_connection("127.0.0.1", listener.port)
        assert await closed(reader)
        first.close()
        await asyncio.wait_for(handlers[0].gone.wait(), 10)
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        writer.write(frame(b"hello"))
        assert await asyncio.wait_for(reader.readexactly(9), 10) == frame(b"hello")
        writer.close()


async def test_an_idle_connection_is_closed() -> None:
    async with listening(ConnectionLimits(10, 10, 20, 1000)) as (listener, _):
        reader, _ = await asyncio.open_connection("127.0.0.1", listener.port)
        assert await closed(reader)


async def test_a_peer_that_does_not_read_stops_being_read() -> None:
    async with listening(ConnectionLimits(10, 10, -1, 10_000_000)) as (listener, handlers):
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port, limit=1 << 26)
        body = b"z" * 1_000_000
        for _ in range(40):
            writer.write(frame(body))
        await asyncio.sleep(0.05)
        transport = handlers[0].connection.transport
        assert transport is not None and transport.get_write_buffer_size() < 4_000_000
        for _ in range(40):
            assert await asyncio.wait_for(reader.readexactly(4 + len(body)), 20) == frame(body)
        writer.close()


async def test_a_peer_that_never_reads_is_not_kept_when_it_is_idle() -> None:
    async with listening(ConnectionLimits(10, 10, 50, 10_000_000)) as (listener, handlers):
        _, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        writer.transport.pause_reading()  # type: ignore[attr-defined]  # asyncio's own transport has it
        for _ in range(30):
            writer.write(frame(b"z" * 1_000_000))
        await asyncio.wait_for(handlers[0].gone.wait(), 10)
        writer.transport.abort()


async def test_a_peer_that_never_reads_is_not_waited_for_when_connections_are_aborted() -> None:
    async with listening(ConnectionLimits(10, 10, -1, 10_000_000)) as (listener, handlers):
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        writer.write(frame(b"x"))
        assert await asyncio.wait_for(reader.readexactly(5), 10) == frame(b"x")
        writer.transport.pause_reading()  # type: ignore[attr-defined]  # asyncio's own transport has it
        handlers[0].connection.write([b"z" * 9_000_000])
        listener.close_connections()
        await asyncio.sleep(0)
        assert listener.connection_count == 1
        listener.abort_connections()
        await asyncio.wait_for(handlers[0].gone.wait(), 10)
        assert listener.connection_count == 0
        writer.transport.abort()


async def test_no_request_is_taken_any_more_after_reading_was_stopped() -> None:
    async with listening(ConnectionLimits(10, 10, -1, 1000)) as (listener, handlers):
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        writer.write(frame(b"one"))
        assert await asyncio.wait_for(reader.readexactly(7), 10) == frame(b"one")
        listener.stop_reading()
        writer.write(frame(b"two"))
        await asyncio.sleep(0.02)
        handlers[0].connection.close()
        assert await closed(reader)


async def test_what_comes_and_goes_is_counted() -> None:
    async with listening(ConnectionLimits(1, 10, -1, 1000)) as (listener, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        writer.write(frame(b"one") + frame(b"three"))  # answered together
        await asyncio.wait_for(reader.readexactly(16), 10)
        refused, _ = await asyncio.open_connection("127.0.0.1", listener.port)
        assert await closed(refused)
        assert (listener.bytes_in, listener.bytes_out) == (16, 16)
        assert (listener.accepted, listener.refused, listener.connection_count) == (1, 1, 1)
        writer.close()


async def test_an_answer_that_comes_later_is_counted_too() -> None:
    async with listening(ConnectionLimits(10, 10, -1, 1000)) as (listener, handlers):
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        writer.write(frame(b"wait"))
        await came(listener, 8)
        handlers[0].connection.write([b"abc", memoryview(b"de")])
        assert await asyncio.wait_for(reader.readexactly(5), 10) == b"abcde"
        assert listener.bytes_out == 5
        writer.close()
