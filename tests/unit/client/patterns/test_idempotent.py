from __future__ import annotations

import asyncio

import pytest
from tests.unit.client.patterns.memory_log import JumpingClock, MemoryLog

from odradek.client.patterns.idempotent import (
    IdempotentHandler,
    MemorySeenStore,
    TopicSeenStore,
    message_key,
)
from odradek.client.records import ConsumerRecord


def record(offset: int, message_id: bytes | None = None) -> ConsumerRecord:
    headers = () if message_id is None else (("message_id", message_id),)
    return ConsumerRecord("t", 1, offset, 0, None, b"", headers)


class Handler:
    def __init__(self) -> None:
        self.offsets: list[int] = []
        self.failures = 0
        self.gate: asyncio.Event | None = None

    async def __call__(self, handled: ConsumerRecord) -> None:
        self.offsets.append(handled.offset)
        if self.gate is not None:
            await self.gate.wait()
        if self.failures:
            self.failures -= 1
            raise ValueError("broken")


def test_the_key_is_the_message_id_or_the_place() -> None:
    assert message_key(record(5, b"m")) == b"m"
    assert message_key(record(5)) == b"t/1/5"


async def test_what_was_handled_is_skipped() -> None:
    handler = Handler()
    once = IdempotentHandler(handler, MemorySeenStore())
    for offset, message_id in enumerate((b"a", b"b", b"a")):
        await once(record(offset, message_id))
    await once(record(7))
    await once(record(7))
    assert handler.offsets == [0, 1, 7]
    assert once.skipped_count == 2


async def test_what_failed_is_handled_again() -> None:
    handler = Handler()
    handler.failures = 1
    once = IdempotentHandler(handler, MemorySeenStore())
    with pytest.raises(ValueError):
        await once(record(1))
    await once(record(1))
    assert handler.offsets == [1, 1]


async def test_two_at_the_same_time_are_handled_once() -> None:
    handler = Handler()
    handler.gate = asyncio.Event()
    once = IdempotentHandler(handler, MemorySeenStore(), key=lambda one: b"same")
    calls = [asyncio.create_task(once(record(offset))) for offset in range(3)]
    await asyncio.sleep(0)
    handler.gate.set()
    await asyncio.gather(*calls)
    assert handler.offsets == [0]
    assert once.skipped_count == 2


async def test_the_second_takes_over_when_the_first_fails() -> None:
    handler = Handler()
    handler.failures = 1
    once = IdempotentHandler(handler, MemorySeenStore(), key=lambda one: b"same")
    outcomes = await asyncio.gather(*(once(record(offset)) for offset in range(3)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [ValueError, type(None), type(None)]
    assert handler.offsets == [0, 1]


async def test_memory_forgets_with_age() -> None:
    clock = JumpingClock()
    store = MemorySeenStore(max_age_ms=10, clock=clock)
    await store.add(b"a")
    assert await store.contains(b"a")
    clock.time_ms += 10
    assert not await store.contains(b"a")


async def test_a_topic_remembers_after_a_restart_and_for_others() -> None:
    log, clock = MemoryLog(partition_count=2), JumpingClock()
    async with TopicSeenStore(log, "seen", clock=clock) as store:
        await store.add(b"a")
        await store.add(b"b")
        assert await store.contains(b"a")
    async with (
        TopicSeenStore(log, "seen", clock=clock) as again,
        TopicSeenStore(log, "seen", clock=clock) as other,
    ):
        assert await again.contains(b"a") and await again.contains(b"b")
        await other.add(b"c")
        await again.catch_up()
        assert await again.contains(b"c")
    assert log.configs["seen"] == {"retention.ms": str(24 * 3_600_000)}


async def test_keys_beyond_the_window_are_not_even_read() -> None:
    log, clock = MemoryLog(), JumpingClock()
    log.write("seen", None, b"old", timestamp_ms=clock.time_ms - 1_001)
    log.write("seen", None, b"young", timestamp_ms=clock.time_ms - 999)
    async with TopicSeenStore(log, "seen", max_age_ms=1_000, clock=clock) as store:
        assert not await store.contains(b"old")
        assert await store.contains(b"young")
