from __future__ import annotations

import asyncio

import pytest
from tests.unit.client.patterns.memory_log import MemoryLog

from odradek.client.errors import ClosedError, UnknownTopicError
from odradek.client.patterns.topic_follower import TopicFollower
from odradek.client.records import ConsumerRecord, Position, TopicPartition


async def test_entering_reads_what_is_there() -> None:
    log = MemoryLog(partition_count=2)
    for number in range(6):
        log.write("t", str(number).encode(), partition=number % 2)
    seen: list[ConsumerRecord] = []
    async with TopicFollower(log, "t", seen.append) as follower:
        assert [one.value for one in seen if one.partition == 0] == [b"0", b"2", b"4"]
        assert [follower.position(tp) for tp in follower.partitions] == [3, 3]


async def test_a_place_is_waited_for() -> None:
    log = MemoryLog()
    await log.create_topic("t")
    seen: list[ConsumerRecord] = []
    async with TopicFollower(log, "t", seen.append) as follower:
        waiting = asyncio.create_task(follower.wait_for(TopicPartition("t", 0), 2))
        log.write("t", b"0")
        await follower.wait_for(TopicPartition("t", 0), 1)
        assert not waiting.done()
        log.write("t", b"1")
        await waiting
        assert len(seen) == 2
        log.write("t", b"2")
        await follower.catch_up()
        assert len(seen) == 3


async def test_only_the_partitions_and_from_the_places_that_were_asked_for() -> None:
    log = MemoryLog(partition_count=3)
    for number in range(9):
        log.write("t", str(number).encode(), partition=number % 3)
    seen: list[ConsumerRecord] = []
    starts = {0: Position.at(2)}
    async with TopicFollower(log, "t", seen.append, start=starts, partitions=[0, 1]) as follower:
        assert sorted(one.value or b"" for one in seen) == [b"1", b"4", b"6", b"7"]
        with pytest.raises(KeyError):
            await follower.wait_for(TopicPartition("t", 2), 1)
    with pytest.raises(ValueError):
        await TopicFollower(log, "t", seen.append, partitions=[7]).__aenter__()


async def test_an_error_reaches_who_waits_and_who_comes_later() -> None:
    def fail(record: ConsumerRecord) -> None:
        raise ValueError("cannot apply")

    log = MemoryLog()
    await log.create_topic("t")
    async with TopicFollower(log, "t", fail) as follower:
        waiting = asyncio.create_task(follower.wait_for(TopicPartition("t", 0), 1))
        await asyncio.sleep(0)
        log.write("t", b"0")
        with pytest.raises(ValueError, match="cannot apply"):
            await waiting
        with pytest.raises(ValueError, match="cannot apply"):
            await follower.catch_up()


async def test_what_cannot_be_read_cannot_be_entered() -> None:
    def fail(record: ConsumerRecord) -> None:
        raise ValueError("cannot apply")

    log = MemoryLog()
    with pytest.raises(UnknownTopicError):
        await TopicFollower(log, "t", fail).__aenter__()
    log.write("t", b"0")
    with pytest.raises(ValueError, match="cannot apply"):
        await TopicFollower(log, "t", fail).__aenter__()


async def test_one_that_was_left_is_closed() -> None:
    log = MemoryLog()
    await log.create_topic("t")
    async with TopicFollower(log, "t", lambda record: None) as follower:
        pass
    with pytest.raises(ClosedError):
        await follower.wait_for(TopicPartition("t", 0), 1)


async def test_records_that_were_deleted_are_not_waited_for() -> None:
    log = MemoryLog()
    for number in range(4):
        log.write("t", str(number).encode())
    log.starts[TopicPartition("t", 0)] = 3
    seen: list[ConsumerRecord] = []
    async with TopicFollower(log, "t", seen.append):
        assert [one.value for one in seen] == [b"3"]
