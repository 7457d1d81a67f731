from __future__ import annotations

import asyncio

import pytest
from tests.unit.client.patterns.memory_log import MemoryLog

from odradek.client.patterns.pubsub import Subscriber
from odradek.client.patterns.service import running
from odradek.client.records import ConsumerRecord


class Ear:
    def __init__(self, log: MemoryLog) -> None:
        self._log = log
        self.heard: list[bytes | None] = []

    async def __call__(self, record: ConsumerRecord) -> None:
        self.heard.append(record.value)
        self._log.notify()


async def test_every_subscriber_gets_every_record_in_order() -> None:
    log = MemoryLog()
    await log.create_topic("news")
    ears = [Ear(log) for _ in range(3)]
    async with running(*(Subscriber(log, ear, topics=["news"]) for ear in ears)):
        for number in range(5):
            log.write("news", str(number).encode())
        await log.until(lambda: all(len(ear.heard) == 5 for ear in ears))
    assert all(ear.heard == [b"0", b"1", b"2", b"3", b"4"] for ear in ears)


async def test_latest_hears_what_comes_and_earliest_what_was() -> None:
    log = MemoryLog()
    log.write("news", b"old")
    late, early = Ear(log), Ear(log)
    async with running(
        Subscriber(log, late, topics=["news"]), Subscriber(log, early, topics=["news"], start="earliest")
    ):
        log.write("news", b"new")
        await log.until(lambda: b"new" in late.heard and b"new" in early.heard)
    assert late.heard == [b"new"]
    assert early.heard == [b"old", b"new"]


async def test_a_name_goes_on_where_it_was() -> None:
    log = MemoryLog()
    ear = Ear(log)
    log.write("news", b"1")
    subscriber = Subscriber(log, ear, topics=["news"], name="me", start="earliest")
    async with running(subscriber):
        await log.until(lambda: len(ear.heard) == 1)
    log.write("news", b"2")
    async with running(Subscriber(log, ear, topics=["news"], name="me", start="latest")):
        await log.until(lambda: len(ear.heard) == 2)
    assert ear.heard == [b"1", b"2"]
    assert subscriber.handled_count == 1


async def test_a_pattern_hears_topics_that_come_later() -> None:
    log = MemoryLog()
    ear = Ear(log)
    async with running(Subscriber(log, ear, topic_pattern=r"news\..*", start="earliest")):
        log.write("news.sport", b"1")
        log.write("weather", b"2")
        log.write("news.arts", b"3")
        await log.until(lambda: len(ear.heard) == 2)
    assert sorted(value or b"" for value in ear.heard) == [b"1", b"3"]


async def test_what_the_handler_raises_is_heard_again() -> None:
    async def fail(record: ConsumerRecord) -> None:
        raise ValueError("cannot hear")

    log = MemoryLog()
    log.write("news", b"1")
    with pytest.raises(ValueError, match="cannot hear"):
        await Subscriber(log, fail, topics=["news"], name="me", start="earliest").run()
    ear = Ear(log)
    async with running(Subscriber(log, ear, topics=["news"], name="me", start="earliest")):
        await log.until(lambda: ear.heard == [b"1"])


async def test_one_record_at_a_time() -> None:
    log = MemoryLog()
    at_once = 0

    async def handle(record: ConsumerRecord) -> None:
        nonlocal at_once
        at_once += 1
        assert at_once == 1
        await asyncio.sleep(0)
        at_once -= 1

    for number in range(10):
        log.write("news", str(number).encode())
    subscriber = Subscriber(log, handle, topics=["news"], name="me", start="earliest")
    async with running(subscriber):
        await log.until(lambda: len(log.committed.get("me", {})) == 1 and subscriber.handled_count == 10)
