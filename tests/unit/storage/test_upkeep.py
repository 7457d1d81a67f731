"""Roll and deletion: whole before and after every step."""

from __future__ import annotations

from tests.unit.storage.kit import NOW_MS, SMALL, Storage, append

from odradek.storage.disk import DiskError
from odradek.storage.log import PartitionLog
from odradek.storage.log_config import LogConfig
from odradek.storage.upkeep import drop_old_segments, roll


def _log(storage: Storage, count: int) -> PartitionLog:
    log = storage.open()
    for _ in range(count):
        append(log, value=b"v" * 100)
    return log


def test_roll() -> None:
    storage = Storage()
    log = _log(storage, 2)
    local = log.load(NOW_MS)
    assert local is not None
    for _ in range(2):  # the second finds an empty segment and does nothing
        roll(local, log._producers, NOW_MS)
        assert [segment.base_offset for segment in local.segments] == [0, 2]
    assert storage.disk.exists("data/t-0/00000000000000000000.timeindex")
    assert storage.disk.exists("data/t-0/00000000000000000002.log")
    assert append(log).base_offset == 2


def test_everything_old_goes_and_the_end_stays() -> None:
    storage = Storage()
    log = _log(storage, 20)
    local = log.load(NOW_MS)
    assert local is not None
    config = LogConfig(retention_ms=10, file_delete_delay_ms=5)
    start, _ = drop_old_segments(local, log._producers, config, 0, 20, NOW_MS + 1000)
    assert (start, len(local.segments), local.active.base_offset) == (20, 1, 20)
    storage.kill()
    log = storage.open()
    assert (log.log_start_offset, log.log_end_offset) == (20, 20)


def test_a_crash_between_any_two_steps_leaves_a_whole_log() -> None:
    for n in range(1, 200):
        storage = Storage()
        log = _log(storage, 12)
        storage.flush()
        local = log.load(NOW_MS)
        assert local is not None
        storage.memory.fail_call(n)
        try:
            drop_old_segments(local, log._producers, LogConfig(retention_ms=10), 0, 12, NOW_MS + 1000)
        except DiskError:
            pass
        else:
            break
        for crash in (storage.kill, storage.crash):
            storage.memory.heal()
            crash()
            log = storage.open(SMALL)
            assert log.log_end_offset == 12, f"call {n}"
    assert n > 20
