from __future__ import annotations

import asyncio

import pytest
from tests.unit.client.patterns.memory_log import MemoryLog

from odradek.client.patterns.service import running
from odradek.client.patterns.worker_lane import WorkerLane
from odradek.client.records import ConsumerRecord, TopicPartition

PLACE = TopicPartition("t", 0)


class Gates:
    """A handler whose records finish when the test says so."""

    def __init__(self, log: MemoryLog) -> None:
        self._log = log
        self.begun: list[int] = []
        self.ended: list[int] = []
        self._gates: dict[int, asyncio.Future[bool]] = {}

    def gate(self, offset: int) -> asyncio.Future[bool]:
        return self._gates.setdefault(offset, asyncio.get_running_loop().create_future())

    async def __call__(self, record: ConsumerRecord) -> bool:
        self.begun.append(record.offset)
        self._log.notify()
        is_finished = await self.gate(record.offset)
        self.ended.append(record.offset)
        self._log.notify()
        return is_finished


def filled(count: int) -> MemoryLog:
    log = MemoryLog()
    for number in range(count):
        log.write("t", str(number).encode())
    return log


async def test_records_are_handled_side_by_side_and_acknowledged_in_order() -> None:
    log = filled(4)
    gates = Gates(log)
    async with running(WorkerLane(log, gates, 3, {"topics": ["t"], "group_id": "g"})):
        await log.until(lambda: len(gates.begun) == 3)
        gates.gate(1).set_result(True)
        await log.until(lambda: 3 in gates.begun)
        assert log.committed.get("g", {}) == {}
        gates.gate(0).set_result(True)
        await log.until(lambda: log.committed.get("g", {}).get(PLACE) == 2)
        for offset in (2, 3):
            gates.gate(offset).set_result(True)
        await log.until(lambda: log.committed["g"][PLACE] == 4)


async def test_a_window_of_one_keeps_the_order() -> None:
    log = filled(5)
    gates = Gates(log)
    async with running(WorkerLane(log, gates, 1, {"topics": ["t"]})):
        for offset in range(5):
            await log.until(lambda offset=offset: offset in gates.begun)  # type: ignore[misc]
            assert gates.begun == list(range(offset + 1))
            gates.gate(offset).set_result(True)
    assert gates.ended == [0, 1, 2, 3, 4]


async def test_stop_finishes_what_had_begun_and_begins_nothing() -> None:
    log = filled(5)
    gates = Gates(log)
    lane = WorkerLane(log, gates, 2, {"topics": ["t"], "group_id": "g"})
    running_lane = asyncio.create_task(lane.run())
    await log.until(lambda: len(gates.begun) == 2)
    lane.stop()
    gates.gate(0).set_result(True)
    gates.gate(1).set_result(True)
    await running_lane
    assert gates.ended == [0, 1]
    assert log.committed["g"][PLACE] == 2


async def test_what_is_left_is_not_acknowledged() -> None:
    log = filled(2)
    gates = Gates(log)
    gates.gate(0).set_result(False)
    gates.gate(1).set_result(True)
    async with running(WorkerLane(log, gates, 2, {"topics": ["t"], "group_id": "g"})):
        await log.until(lambda: len(gates.ended) == 2)
    assert "g" not in log.committed


async def test_an_error_of_the_handler_ends_the_lane() -> None:
    async def fail(record: ConsumerRecord) -> bool:
        raise ValueError("broken")

    lane = WorkerLane(filled(1), fail, 2, {"topics": ["t"], "group_id": "g"})
    with pytest.raises(ValueError, match="broken"):
        await lane.run()


async def test_a_lane_that_was_stopped_before_it_began_ends_at_once() -> None:
    log = filled(1)
    lane = WorkerLane(log, Gates(log), 1, {"topics": ["t"]})
    lane.stop()
    await lane.ready()
    await lane.run()


async def test_a_partition_that_moves_is_acknowledged_by_its_new_owner_only() -> None:
    log = MemoryLog(partition_count=2)
    log.write("t", b"a", partition=0)
    log.write("t", b"b", partition=1)
    old, new = Gates(log), Gates(log)
    lane = WorkerLane(log, old, 4, {"topics": ["t"], "group_id": "g"})
    other = WorkerLane(log, new, 4, {"topics": ["t"], "group_id": "g"})
    async with running(lane):
        await log.until(lambda: len(old.begun) == 2)
        async with running(other):
            await log.until(lambda: len(new.begun) == 1)
            old.gate(0).set_result(True)
            await log.until(lambda: len(old.ended) == 2)
            assert set(log.committed["g"]) == {TopicPartition("t", 0)}
            new.gate(0).set_result(True)
            await log.until(lambda: TopicPartition("t", 1) in log.committed["g"])


def test_a_window_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError):
        WorkerLane(MemoryLog(), Gates(MemoryLog()), 0, {"topics": ["t"]})


async def test_a_partition_that_comes_back_does_not_wait_for_what_was_begun_before() -> None:
    log = MemoryLog(partition_count=2)
    log.write("t", b"a", partition=1)
    calls: list[asyncio.Future[bool]] = []

    async def handle(record: ConsumerRecord) -> bool:
        calls.append(asyncio.get_running_loop().create_future())
        log.notify()
        return await calls[-1]

    async def leave_it(record: ConsumerRecord) -> bool:
        return False

    async with running(WorkerLane(log, handle, 4, {"topics": ["t"], "group_id": "g"})):
        await log.until(lambda: len(calls) == 1)
        async with running(WorkerLane(log, leave_it, 4, {"topics": ["t"], "group_id": "g"})):
            await log.until(lambda: log.assigned_count == 3)
        await log.until(lambda: len(calls) == 2)
        calls[1].set_result(True)
        await log.until(lambda: log.committed.get("g", {}).get(TopicPartition("t", 1)) == 1)
        calls[0].set_result(True)
