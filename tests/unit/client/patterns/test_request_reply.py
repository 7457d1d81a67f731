from __future__ import annotations

import asyncio

import pytest
from tests.unit.client.patterns.memory_log import JumpingClock, MemoryLog

from odradek.client.errors import ClosedError
from odradek.client.patterns.header_fields import field, number_of, text_of
from odradek.client.patterns.request_reply import (
    CORRELATION_ID,
    DEADLINE_MS,
    REPLY_PARTITION,
    REPLY_TO,
    RemoteError,
    Requester,
    Responder,
)
from odradek.client.patterns.service import running
from odradek.client.records import ConsumerRecord


async def shout(request: ConsumerRecord) -> bytes:
    if not request.value:
        raise ValueError("nothing to shout")
    return request.value.upper()


async def test_a_request_is_answered() -> None:
    log = MemoryLog(partition_count=3)
    responder = Responder(log, "shouts", "shouters", shout)
    async with running(responder), Requester(log, "shouts") as requester:
        assert await requester.request(b"hello", key=b"k") == b"HELLO"
    assert (requester.counts.answered, responder.counts.answered, responder.counts.failed) == (1, 1, 0)


async def test_many_requests_are_under_way_and_each_gets_its_own_answer() -> None:
    log = MemoryLog(partition_count=2)
    async with (
        running(Responder(log, "shouts", "shouters", shout, concurrency=7)),
        Requester(log, "shouts") as one,
        Requester(log, "shouts") as two,
    ):
        asked = [(one, f"a{number}") for number in range(50)] + [(two, f"b{number}") for number in range(50)]
        answers = await asyncio.gather(*(asker.request(text.encode()) for asker, text in asked))
    assert answers == [text.upper().encode() for _, text in asked]


async def test_an_error_travels_back() -> None:
    log = MemoryLog()
    responder = Responder(log, "shouts", "shouters", shout)
    async with running(responder), Requester(log, "shouts") as requester:
        with pytest.raises(RemoteError, match="ValueError: nothing to shout") as raised:
            await requester.request(b"")
        assert raised.value.kind == "ValueError"
    assert (responder.counts.answered, responder.counts.failed) == (1, 1)


async def test_a_request_says_where_when_and_for_whom_it_is_to_be_answered() -> None:
    log = MemoryLog()
    async with Requester(log, "shouts", reply_topic="answers", clock=JumpingClock(500)) as requester:
        asking = asyncio.create_task(requester.request(b"x", headers=[("trace", b"1")], timeout_ms=60_000))
        await log.until(lambda: bool(log.values("shouts")))
        (request,) = log.all_of("shouts")
        assert text_of(request.headers, REPLY_TO) == "answers"
        assert number_of(request.headers, REPLY_PARTITION) == 0
        assert number_of(request.headers, DEADLINE_MS) == 60_500
        assert text_of(request.headers, "trace") == "1"
        correlation_id = text_of(request.headers, CORRELATION_ID)
        assert correlation_id is not None
        log.write("answers", b"y", headers=[field(CORRELATION_ID, correlation_id)])
        assert await asking == b"y"


async def test_nobody_answers() -> None:
    log = MemoryLog()
    async with Requester(log, "shouts") as requester:
        with pytest.raises(TimeoutError):
            await requester.request(b"x", timeout_ms=1)
        (request,) = log.all_of("shouts")
        late = text_of(request.headers, CORRELATION_ID) or ""
        log.write("shouts.replies", b"too late", headers=[field(CORRELATION_ID, late)])
        log.write("shouts.replies", b"not mine", headers=[field(CORRELATION_ID, "x-1")])
        log.write("shouts.replies", b"not even that")
        again = asyncio.create_task(requester.request(b"x"))
        await log.until(lambda: len(log.values("shouts")) == 2)
        mine = text_of(log.all_of("shouts")[1].headers, CORRELATION_ID) or ""
        log.write("shouts.replies", b"in time", headers=[field(CORRELATION_ID, mine)])
        assert await again == b"in time"
    assert (requester.counts.answered, requester.counts.late, requester.counts.unknown) == (1, 1, 2)


async def test_requests_that_nobody_waits_for_are_not_handled() -> None:
    log = MemoryLog()
    log.refused.add("gone")
    reply_to = [field(REPLY_TO, "gone"), field(CORRELATION_ID, "1")]
    log.write("shouts", b"a", headers=[*reply_to, field(DEADLINE_MS, 999)])
    log.write("shouts", b"b")
    log.write("shouts", b"c", headers=reply_to)
    responder = Responder(log, "shouts", "shouters", shout, clock=JumpingClock(1_000))
    async with running(responder):
        await log.until(lambda: 3 in log.committed.get("shouters", {}).values())
    counts = responder.counts
    assert (counts.answered, counts.expired, counts.undeliverable) == (0, 1, 2)


async def test_who_waits_when_the_requester_closes_hears_of_it() -> None:
    log = MemoryLog()
    async with Requester(log, "shouts") as requester:
        asking = asyncio.create_task(requester.request(b"x"))
        await log.until(lambda: bool(log.values("shouts")))
    with pytest.raises(ClosedError):
        await asking
    with pytest.raises(ClosedError):
        await requester.request(b"x")
