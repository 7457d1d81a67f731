from __future__ import annotations

import asyncio
from random import Random

import pytest
from tests.unit.client.patterns.memory_log import JumpingClock, MemoryLog, StandingClock

from odradek.client.errors import UnknownTopicError
from odradek.client.patterns import dead_letters
from odradek.client.patterns.header_fields import number_of, text_of
from odradek.client.patterns.retry_policy import Reject, RetryPolicy
from odradek.client.patterns.service import running
from odradek.client.patterns.work_queue import Handler, WorkQueue
from odradek.client.records import ConsumerRecord, TopicPartition

POLICY = RetryPolicy(max_attempts=3, first_delay_ms=100, jitter=0)


class Worker:
    """Fails with a record as often as it is told to."""

    def __init__(self, failures: dict[bytes, int] | None = None) -> None:
        self.failures = failures or {}
        self.seen: list[ConsumerRecord] = []

    async def __call__(self, record: ConsumerRecord) -> None:
        self.seen.append(record)
        left = self.failures.get(record.value or b"", 0)
        if left:
            self.failures[record.value or b""] = left - 1
            raise ValueError(f"cannot do {record.value!r}")


def queue_of(log: MemoryLog, handler: Handler, clock: JumpingClock | None = None) -> WorkQueue:
    return WorkQueue(
        log, "jobs", "workers", handler, retry=POLICY, clock=clock or JumpingClock(), random=Random(1)
    )


async def test_every_record_is_handled_and_acknowledged() -> None:
    log, worker = MemoryLog(), Worker()
    for value in (b"a", b"b", b"c"):
        log.write("jobs", value)
    queue = queue_of(log, worker)
    async with running(queue):
        await log.until(lambda: log.committed.get("workers", {}).get(TopicPartition("jobs", 0)) == 3)
    assert sorted(record.value or b"" for record in worker.seen) == [b"a", b"b", b"c"]
    assert (queue.counts.done, queue.counts.retried, queue.counts.dead) == (3, 0, 0)


async def test_a_failure_is_tried_again_with_backoff_and_the_rest_goes_on() -> None:
    log, worker, clock = MemoryLog(), Worker({b"bad": 2}), JumpingClock()
    log.write("jobs", b"bad", b"key", headers=[("trace", b"1")])
    log.write("jobs", b"good")
    queue = queue_of(log, worker, clock)
    async with running(queue):
        await log.until(lambda: queue.counts.done == 2)
    assert clock.slept_ms == [100, 200]
    tries = [record for record in worker.seen if record.value == b"bad"]
    places = {(one.topic, one.partition, one.offset, one.timestamp_ms, one.key) for one in tries}
    assert places == {("jobs", 0, 0, 1_000_000, b"key")}
    assert [dead_letters.attempts_of(one) for one in tries] == [0, 1, 2]
    assert text_of(tries[2].headers, "trace") == "1"
    assert log.values("jobs.dlq") == []


async def test_what_never_succeeds_becomes_a_dead_letter() -> None:
    log, worker = MemoryLog(), Worker({b"bad": 99})
    log.write("jobs", b"bad", b"key")
    queue = queue_of(log, worker)
    async with running(queue):
        await log.until(lambda: queue.counts.dead == 1)
    assert len(worker.seen) == 3
    (letter,) = log.all_of("jobs.dlq")
    assert (letter.key, letter.value) == (b"key", b"bad")
    assert text_of(letter.headers, dead_letters.TOPIC) == "jobs"
    assert number_of(letter.headers, dead_letters.ATTEMPTS) == 3
    assert text_of(letter.headers, dead_letters.EXCEPTION_CLASS) == "ValueError"
    assert text_of(letter.headers, dead_letters.EXCEPTION_MESSAGE) == "cannot do b'bad'"
    assert number_of(letter.headers, dead_letters.DUE) is None


async def test_a_rejected_record_dies_at_once() -> None:
    async def reject(record: ConsumerRecord) -> None:
        raise Reject("no address")

    log = MemoryLog()
    log.write("jobs", b"bad")
    queue = queue_of(log, reject)
    async with running(queue):
        await log.until(lambda: queue.counts.dead == 1)
    assert queue.counts.retried == 0


async def test_a_failure_that_cannot_be_put_aside_stays_in_the_queue() -> None:
    log = MemoryLog()
    log.refused.add("jobs.workers.retry")
    log.write("jobs", b"bad")
    with pytest.raises(UnknownTopicError):
        await queue_of(log, Worker({b"bad": 1})).run()
    assert log.committed == {}


async def test_a_retry_that_waits_when_the_queue_stops_is_done_by_the_next_worker() -> None:
    log, clock = MemoryLog(), StandingClock()
    log.write("jobs", b"bad")
    async with running(queue_of(log, Worker({b"bad": 1}), clock)):
        # It stops when the retry sleeps, and that sleep would never end.
        await clock.fell_asleep.wait()
    next_worker = Worker()
    queue = queue_of(log, next_worker)
    async with running(queue):
        await log.until(lambda: queue.counts.done == 1)
    assert [dead_letters.attempts_of(record) for record in next_worker.seen] == [1]


async def test_no_more_handlers_run_at_once_than_allowed() -> None:
    log = MemoryLog()
    for number in range(20):
        log.write("jobs", str(number).encode())
        log.write("jobs.workers.retry", str(number).encode())
    running_now, most = 0, 0

    async def handle(record: ConsumerRecord) -> None:
        nonlocal running_now, most
        running_now += 1
        most = max(most, running_now)
        log.notify()
        await log.until(lambda: most == 4)
        await asyncio.sleep(0)
        running_now -= 1

    queue = WorkQueue(log, "jobs", "workers", handle, concurrency=4)
    async with running(queue):
        await log.until(lambda: queue.counts.done == 40)
    assert most == 4


async def test_a_handler_that_hangs_is_a_failed_attempt() -> None:
    async def hang(record: ConsumerRecord) -> None:
        await asyncio.get_running_loop().create_future()

    log = MemoryLog()
    log.write("jobs", b"x")
    policy = RetryPolicy(max_attempts=1)
    queue = WorkQueue(log, "jobs", "workers", hang, retry=policy, attempt_timeout_ms=1)
    async with running(queue):
        await log.until(lambda: queue.counts.dead == 1)
    (letter,) = log.all_of("jobs.dlq")
    assert text_of(letter.headers, dead_letters.EXCEPTION_CLASS) == "TimeoutError"


async def test_the_retry_topic_is_as_wide_as_the_topic() -> None:
    log = MemoryLog()
    await log.create_topic("jobs", partition_count=3)
    async with running(queue_of(log, Worker())):
        assert len(log.topics["jobs.workers.retry"]) == 3
