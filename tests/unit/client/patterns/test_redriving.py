from __future__ import annotations

import pytest
from tests.unit.client.patterns.memory_log import MemoryLog

from odradek.client.errors import UnknownTopicError
from odradek.client.patterns.dead_letters import REDRIVES, failed_headers
from odradek.client.patterns.header_fields import number_of
from odradek.client.patterns.log_access import Bounds
from odradek.client.patterns.redriving import redrive
from odradek.client.records import ConsumerRecord, TopicPartition


def dead(log: MemoryLog, *values: str, topic: str = "jobs") -> None:
    for value in values:
        first = ConsumerRecord(topic, 0, 0, 5, value.encode(), value.encode(), (("trace", b"1"),))
        headers = failed_headers(first, "g", 5, ValueError("x"))
        log.write("jobs.dlq", first.value, first.key, headers, timestamp_ms=77)


async def test_all_letters_go_back_without_their_failure() -> None:
    log = MemoryLog()
    dead(log, "a", "b")
    dead(log, "c", topic="other")
    assert await redrive(log, "jobs.dlq") == 3
    assert log.values("jobs") == [b"a", b"b"]
    assert log.values("other") == [b"c"]
    assert log.all_of("jobs")[0].headers == (("trace", b"1"), (REDRIVES, b"1"))
    assert log.all_of("jobs")[0].key == b"a"


async def test_what_was_sent_back_is_not_sent_again() -> None:
    log = MemoryLog(partition_count=3)
    dead(log, "a", "b", "c")
    assert await redrive(log, "jobs.dlq") == 3
    assert await redrive(log, "jobs.dlq") == 0
    dead(log, "d")
    assert await redrive(log, "jobs.dlq") == 1
    assert sorted(value or b"" for value in log.values("jobs")) == [b"a", b"b", b"c", b"d"]


async def test_a_limit_leaves_the_rest_for_the_next_time() -> None:
    log = MemoryLog()
    dead(log, "a", "b", "c")
    assert await redrive(log, "jobs.dlq", limit=2) == 2
    assert await redrive(log, "jobs.dlq", limit=0) == 0
    assert log.values("jobs") == [b"a", b"b"]
    assert await redrive(log, "jobs.dlq", limit=2) == 1
    assert log.values("jobs") == [b"a", b"b", b"c"]


async def test_what_is_not_picked_is_still_among_the_dead_letters() -> None:
    log = MemoryLog()
    dead(log, "a", "b", "c")
    assert await redrive(log, "jobs.dlq", predicate=lambda letter: letter.value == b"b") == 1
    assert log.values("jobs") == [b"b"]
    assert log.values("jobs.dlq") == [b"a", b"b", b"c", b"a", b"c"]
    assert {letter.timestamp_ms for letter in log.all_of("jobs.dlq")} == {77}
    assert await redrive(log, "jobs.dlq") == 2
    assert log.values("jobs") == [b"b", b"a", b"c"]


async def test_another_target_may_be_named() -> None:
    log = MemoryLog()
    log.write("jobs.dlq", b"from somebody else")
    with pytest.raises(ValueError, match="does not say where it came from"):
        await redrive(log, "jobs.dlq")
    counts: list[int] = []
    assert await redrive(log, "jobs.dlq", to="elsewhere", on_progress=counts.append) == 1
    assert log.values("elsewhere") == [b"from somebody else"]
    assert counts == [1]
    assert number_of(log.all_of("elsewhere")[0].headers, REDRIVES) == 1


async def test_a_letter_that_cannot_be_written_is_not_passed_over() -> None:
    log = MemoryLog()
    dead(log, "a")
    log.refused.add("jobs")
    with pytest.raises(UnknownTopicError):
        await redrive(log, "jobs.dlq")
    log.refused.clear()
    assert await redrive(log, "jobs.dlq") == 1


async def test_a_topic_that_is_not_there_is_said() -> None:
    with pytest.raises(UnknownTopicError):
        await redrive(MemoryLog(), "jobs.dlq")
    with pytest.raises(ValueError):
        await redrive(MemoryLog(), "jobs.dlq", limit=-1)


async def test_letters_that_come_meanwhile_wait_for_the_next_time() -> None:
    class Busy(MemoryLog):
        async def bounds(self, topic: str) -> dict[TopicPartition, Bounds]:
            found = await super().bounds(topic)
            dead(self, "late")
            return found

    log = Busy()
    dead(log, "a")
    assert await redrive(log, "jobs.dlq") == 1
    assert log.values("jobs") == [b"a"]
    assert await redrive(log, "jobs.dlq") == 1
    assert log.values("jobs") == [b"a", b"late"]
