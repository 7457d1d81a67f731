"""Proxied connections over real sockets: bytes pass, ends are passed on, and late requests outlive their client."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import uvloop
from tests.unit.jepsen.proxy.loopback import Target
from tests.unit.jepsen.proxy.requests_made import answer, produce, request

from odradek.jepsen.proxy.behaviour import Behaviour, Hold, Pace, Replay, same
from odradek.jepsen.proxy.links import Link
from odradek.jepsen.proxy.relay import PENDING_BYTES_MAX
from odradek.proto.kafka.api import ApiKey

END_TXN, FETCH = ApiKey.END_TXN.value, ApiKey.FETCH.value
#: Milliseconds: as good as at once, and not before the test says so.
SOON, LATER = 20.0, 600_000.0


@asynccontextmanager
async def _through(behaviour: Behaviour) -> AsyncIterator[tuple[Target, Link, int]]:
    async with Target() as target:
        link = Link(target.address, behaviour)
        port = await link.open("127.0.0.1")
        try:
            yield target, link, port
        finally:
            await link.close(deliver=False)


async def _dial(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", port)


async def _until(link: Link, name: str, count: int) -> None:
    while link.counts().get(name, 0) < count:  # noqa: ASYNC110 - the proxy has no use for an event
        await asyncio.sleep(0)


async def _until_none_is_open(link: Link) -> None:
    while link.counts()["open"]:  # noqa: ASYNC110 - as above
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    "behaviour",
    [Behaviour(), Behaviour(frames=True), same(Pace(delay_ms=1.0, jitter_ms=1.0, dribble_bytes=3))],
    ids=["idle", "framed", "slow"],
)
async def test_requests_and_answers_pass(behaviour: Behaviour) -> None:
    async with _through(behaviour) as (target, link, port):
        reader, writer = await _dial(port)
        for number in range(3):
            writer.write(request(FETCH, number))
            assert await reader.readexactly(len(answer(number))) == answer(number)
        writer.close()
        await target.ends.get()
        assert link.counts()["connections"] == 1
        assert link.counts()["bytes_up"] == 3 * len(request(FETCH, 0))


async def test_half_a_close_still_gets_its_answer() -> None:
    async with _through(same(Pace(delay_ms=SOON))) as (_, _, port):
        reader, writer = await _dial(port)
        writer.write(request(FETCH, 1))
        writer.write_eof()
        assert await reader.read() == answer(1)


async def test_a_target_that_is_not_there_is_a_reset() -> None:
    async with Target() as gone:
        address = gone.address
    link = Link(address, Behaviour())
    reader, _ = await _dial(await link.open("127.0.0.1"))
    with pytest.raises(ConnectionResetError):
        await reader.readexactly(1)
    await _until_none_is_open(link)
    assert (await link.close(deliver=False))["not_connected"] == 1


def test_what_is_sent_before_the_target_is_reached_waits() -> None:
    uvloop.run(_send_at_once())  # the loop of the process itself: it differs in when reading begins


async def _send_at_once() -> None:
    async with _through(Behaviour()) as (target, link, port):
        for number in range(20):  # the first bytes race with the proxy's own connection
            with socket.create_connection(("127.0.0.1", port)) as client:
                client.sendall(request(FETCH, number))
            assert await target.heard.get() == request(FETCH, number)
            await target.ends.get()
        await _until_none_is_open(link)


async def test_a_request_that_is_held_arrives_when_its_time_has_come() -> None:
    async with _through(Behaviour(holds=(Hold(END_TXN, SOON, SOON),))) as (_, link, port):
        reader, writer = await _dial(port)
        writer.write(request(END_TXN, 1) + request(END_TXN, 2))
        assert await reader.readexactly(2 * len(answer(1))) == answer(1) + answer(2)
        assert link.counts()["held"] == link.counts()["delivered_late"] == 1


async def test_a_late_request_arrives_though_its_client_has_gone() -> None:
    async with _through(Behaviour(holds=(Hold(END_TXN, LATER, LATER),))) as (target, link, port):
        _, writer = await _dial(port)
        writer.write(request(END_TXN, 1))
        await _until(link, "held", 1)
        writer.close()
        reader, writer = await _dial(port)
        writer.write(request(END_TXN, 2))
        assert await reader.readexactly(len(answer(2))) == answer(2)
        assert await target.heard.get() == request(END_TXN, 2), "the later one passes"
        link.reset(deliver=True)
        assert await target.heard.get() == request(END_TXN, 1)
        await _until_none_is_open(link)  # the connection without a client ends when its answer has come
        assert link.counts()["delivered_after_close"] == 1


async def test_a_late_request_keeps_its_connection_until_it_is_answered() -> None:
    async with _through(Behaviour(holds=(Hold(END_TXN, LATER, LATER),))) as (target, link, port):
        target.answers.clear()
        _, writer = await _dial(port)
        writer.write(request(END_TXN, 1))
        await _until(link, "held", 1)
        link.reset(deliver=True)
        assert await target.heard.get() == request(END_TXN, 1)
        for _ in range(100):
            await asyncio.sleep(0)
        assert link.counts()["open"] == 1 and target.ends.empty()
        target.answers.set()
        await _until_none_is_open(link)


async def test_a_client_that_is_cut_off_tries_again_before_its_first_request_arrives() -> None:
    hold = Hold(0, LATER, LATER, cut_client=True)
    async with _through(Behaviour(holds=(hold,))) as (target, link, port):
        reader, writer = await _dial(port)
        writer.write(produce(1, producer_id=7))
        with pytest.raises(ConnectionResetError):
            await reader.readexactly(1)
        link.reset(deliver=True)
        assert await target.heard.get() == produce(1, producer_id=7)
        assert link.counts()["cut_clients"] == link.counts()["delivered_after_close"] == 1


async def test_the_connection_ends_after_the_broker_has_answered() -> None:
    async with _through(Behaviour(drop_every=2)) as (target, link, port):
        reader, writer = await _dial(port)
        writer.write(produce(1) + produce(2))
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await reader.readexactly(2 * len(answer(1)))
        assert [await target.heard.get() for _ in range(2)] == [produce(1), produce(2)]
        assert link.counts()["answers_dropped"] == 1


async def test_a_request_that_comes_twice_comes_by_another_connection() -> None:
    async with _through(Behaviour(replay=Replay(1.0, SOON, SOON))) as (target, link, port):
        reader, writer = await _dial(port)
        writer.write(produce(1, producer_id=7))
        await reader.readexactly(len(answer(1)))
        assert await target.heard.get() == await target.heard.get()
        writer.write(request(FETCH, 2))  # the first connection goes on
        assert await reader.readexactly(len(answer(2))) == answer(2)
        await target.ends.get()
        assert target.connections == 2
        assert link.counts()["replays_answered"] == 1


async def test_silence_ends_with_a_reset_when_the_link_changes() -> None:
    async with _through(same(Pace(swallow=True))) as (_, link, port):
        reader, writer = await _dial(port)
        other, other_writer = await _dial(port)
        writer.write(request(FETCH, 1))
        await _until(link, "swallowed_bytes", len(request(FETCH, 1)))
        writer.write_eof()
        link.change(Behaviour())
        with pytest.raises(ConnectionResetError):
            await reader.readexactly(1)
        assert link.counts()["reset_by_change"] == 1
        other_writer.write(request(FETCH, 2))
        assert await other.readexactly(len(answer(2))) == answer(2), "nothing of this one was lost"


async def test_a_link_that_goes_delivers_what_it_holds() -> None:
    behaviour = Behaviour(holds=(Hold(END_TXN, LATER, LATER),), replay=Replay(1.0, LATER, LATER))
    async with _through(behaviour) as (target, link, port):
        reader, writer = await _dial(port)
        writer.write(produce(1, producer_id=7) + request(END_TXN, 2) + request(FETCH, 3))
        assert await target.heard.get() == produce(1, producer_id=7)
        await _until(link, "held", 1)
        counts = await link.close(deliver=True)
        heard = {await target.heard.get(), await target.heard.get()}
        assert heard == {request(END_TXN, 2), produce(1, producer_id=7)}
        assert target.heard.empty(), "what was behind the held one is lost with its client"
        assert counts["delivered_late"] == counts["replays_answered"] == 1
        assert counts["open"] == 0
        with pytest.raises(ConnectionResetError):
            await reader.readexactly(1000)


async def test_a_link_that_goes_may_forget_what_it_holds() -> None:
    async with _through(Behaviour(holds=(Hold(END_TXN, LATER, LATER),))) as (target, link, port):
        _, writer = await _dial(port)
        writer.write(request(END_TXN, 2))
        await _until(link, "held", 1)
        assert (await link.close(deliver=False))["open"] == 0
        await target.ends.get()
        assert target.heard.empty()


async def test_a_source_is_not_read_while_too_much_is_under_way() -> None:
    async with _through(Behaviour(up=Pace(delay_ms=LATER))) as (_, link, port):
        _, writer = await _dial(port)
        writer.write(bytes(3 * PENDING_BYTES_MAX))
        await _until(link, "bytes_up", PENDING_BYTES_MAX + 1)
        for _ in range(100):
            await asyncio.sleep(0)
        assert link.counts()["bytes_up"] < 2 * PENDING_BYTES_MAX
        writer.transport.abort()
