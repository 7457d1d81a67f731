"""Fail the Nth disk call, for all N: nothing that was acknowledged is lost, and the log opens again.

The scenario goes through everything that writes: the first append, rolls, a snapshot, a truncation, DeleteRecords,
retention, a clean end and a new start. It is run once to count its calls, then once for each of them.
"""

from __future__ import annotations

from random import Random

import pytest
from tests.unit.storage.kit import NOW_MS, Storage, batch

from odradek.proto.kafka.errors import ErrorCode
from odradek.proto.kafka.record_batch import iter_headers
from odradek.storage.disk import DiskError
from odradek.storage.log import PartitionLog
from odradek.storage.log_config import LogConfig

CONFIG = LogConfig(segment_bytes=400, index_interval_bytes=100, retention_bytes=900, file_delete_delay_ms=10)


class Scenario:
    """What a node does, noting what it acknowledged: everything below `acknowledged` was reported as flushed."""

    def __init__(self) -> None:
        self.storage = Storage()
        self.acknowledged = 0
        self.start = 0
        self.refused = 0

    def run(self) -> None:
        log = self._use()
        for _ in range(9):
            self._append(log)
        log.truncate_to(7)
        self.acknowledged = min(self.acknowledged, 7)  # whatever became of it
        self._append(log)
        if log.advance_log_start_offset(3) == ErrorCode.NONE:
            self.start = 3
        self.storage.dirs.run_maintenance(NOW_MS + 400_000)
        self._append(log)
        self.storage.dirs.run_maintenance(NOW_MS + 800_000)
        self.start = max(self.start, log.log_start_offset)
        try:
            self.storage.restart()
        except DiskError:
            return
        log = self._use()
        self._append(log)
        self._append(log)

    def _use(self) -> PartitionLog:
        log = self.storage.open(CONFIG)
        log.flush_listener = self._on_flushed
        return log

    def _on_flushed(self, log: PartitionLog) -> None:
        self.acknowledged = log.flushed_offset

    def _append(self, log: PartitionLog) -> None:
        end = log.log_end_offset
        data = batch(1, value=b"v" * 60, producer=(5, 0, end))
        result = log.append_as_leader(data, 0, NOW_MS)
        if result.error == ErrorCode.NONE:
            assert result.base_offset == end
            self.storage.flush()
        else:
            assert result.error == ErrorCode.KAFKA_STORAGE_ERROR, result
            assert log.is_offline or log.log_end_offset == end
            self.refused += 1


def _count_calls() -> tuple[int, int]:
    scenario = Scenario()
    before = scenario.storage.memory.calls
    scenario.run()
    assert scenario.acknowledged > 9 and not scenario.refused
    return before, scenario.storage.memory.calls


STARTED, CALLS = _count_calls()


def _offsets(log: PartitionLog) -> list[int]:
    offset = log.log_start_offset
    found: list[int] = []
    while offset < log.log_end_offset:
        data = log.read(offset, 1000, log.log_end_offset)
        assert not isinstance(data, ErrorCode), data
        headers = [header for _, header in iter_headers(data)]
        assert headers
        found += [header.base_offset for header in headers]
        offset = headers[-1].last_offset + 1
    return found


def _check(scenario: Scenario, rng: Random | None) -> None:
    scenario.storage.crash(rng)
    log = scenario.storage.open(CONFIG)
    end = log.log_end_offset
    assert not scenario.storage.dirs.dirs[0].error
    assert end >= scenario.acknowledged, f"acknowledged {scenario.acknowledged}, found {end}"
    assert log.log_start_offset <= max(scenario.start, log.log_start_offset)
    assert _offsets(log) == list(range(log.log_start_offset, end))
    result = log.append_as_leader(batch(1), 0, NOW_MS)
    assert (result.error, result.base_offset) == (ErrorCode.NONE, end)


def test_the_scenario_does_a_lot() -> None:
    assert CALLS - STARTED > 150


@pytest.mark.parametrize("torn", [False, True])
def test_a_failing_call_loses_nothing_acknowledged(torn: bool) -> None:
    for n in range(1, CALLS - STARTED + 1):
        scenario = Scenario()
        scenario.storage.memory.fail_call(n)
        try:
            scenario.run()
        except DiskError as error:
            pytest.fail(f"call {n} came out of the log: {error}")
        _check(scenario, Random(n) if torn else None)


def test_a_disk_that_stays_broken_loses_nothing_acknowledged() -> None:
    for n in range(1, CALLS - STARTED + 1):
        scenario = Scenario()
        scenario.storage.memory.fail_call(n, sticky=True)
        scenario.run()
        _check(scenario, Random(n))


def test_a_full_disk_stops_nothing_for_good() -> None:
    refused = 0
    for n in range(1, CALLS - STARTED + 1):
        scenario = Scenario()
        scenario.storage.memory.fail_call(n, full=True)
        scenario.run()
        assert not scenario.storage.failures, f"call {n}: {scenario.storage.failures}"
        refused += scenario.refused
        _check(scenario, Random(n))
    assert refused > 10


def test_a_failed_sync_is_not_repeated() -> None:
    for n in range(1, CALLS - STARTED + 1):
        scenario = Scenario()
        memory = scenario.storage.memory
        memory.log = []
        memory.fail_call(n)
        scenario.run()
        failed = memory.log[n - 1]
        if failed.startswith("sync "):
            rest = [*memory.log[n:], "lock data/.lock"]  # where the next process begins, or the end
            same_process = rest[: rest.index("lock data/.lock")]
            again = [call for call in same_process if call.startswith("sync ")]
            assert not again, f"call {n}: {again} after {failed}"
