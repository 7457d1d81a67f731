"""One log directory: clean ends, recovery points, and what a failed sync leaves for the next process."""

from __future__ import annotations

import pytest
from tests.unit.storage.kit import NOW_MS, SMALL, Storage, append

from odradek.storage.checkpoints import CLEAN_SHUTDOWN, LOG_START_OFFSETS, RECOVERY_POINTS
from odradek.storage.disk import DiskError, DiskFullError, DiskSyncError
from odradek.storage.failed_sync import FAILED_SYNC
from odradek.storage.log_dir import CHECKPOINT_INTERVAL_MS, MANY_LOGS, RETRY_MS
from odradek.storage.retention import NEVER

MARK = f"data/{CLEAN_SHUTDOWN}"


def test_the_mark_of_a_clean_end_is_there_only_while_no_log_is_open() -> None:
    storage = Storage()
    append(storage.open())
    assert not storage.disk.exists(MARK)
    storage.dirs.close()
    assert storage.disk.exists(MARK)
    storage.dirs = storage._start()
    assert not storage.disk.exists(MARK)
    assert storage.dirs.dirs[0].clean_names == {"t-0"}
    storage.crash()
    assert not storage.dirs.dirs[0].clean_names, "the removal of the mark survives a power cut"


def test_a_clean_end_survives_a_power_cut() -> None:
    storage = Storage()
    append(storage.open(), 3)
    storage.dirs.close()
    storage.crash()
    assert storage.dirs.dirs[0].clean_names == {"t-0"}
    assert storage.open().log_end_offset == 3


def test_recovery_points_follow_what_was_appended() -> None:
    storage = Storage()
    home = storage.dirs.dirs[0]
    log, idle = storage.open(), storage.open(topic="idle")
    append(log, 3)
    assert idle.log_end_offset == 0
    assert home.next_deadline_ms(NEVER) == NEVER, "few bytes are quickly checked"
    storage.flush()
    append(log, 2)
    home.on_appended(log, 64 << 20)
    assert home.next_deadline_ms(NEVER) == NOW_MS + CHECKPOINT_INTERVAL_MS
    home.run_maintenance(NOW_MS + CHECKPOINT_INTERVAL_MS, 1)
    assert storage.disk.read(f"data/{RECOVERY_POINTS}") == b"0\n1\nt 0 3\n", "only what is flushed"
    assert home.next_deadline_ms(NEVER) == NEVER


def test_points_of_logs_that_are_not_opened_are_kept() -> None:
    storage = Storage()
    append(storage.open(), 3)
    append(storage.open(topic="other"), 4)
    storage.restart()
    append(storage.open(), 1)
    storage.restart()
    assert storage.dirs.dirs[0].recovery_points == {"t-0": 4, "other-0": 4}


def test_a_truncation_takes_the_recovery_point_along() -> None:
    storage = Storage()
    append(storage.open(), 3)
    append(storage.open(), 3)
    storage.restart()
    storage.open().truncate_to(3)
    assert storage.disk.read(f"data/{RECOVERY_POINTS}") == b"0\n1\nt 0 3\n"


def test_removals_have_a_budget_and_an_order() -> None:
    storage = Storage()
    home = storage.dirs.dirs[0]
    for number, due in enumerate((30, 10, 20)):
        storage.disk.open(f"data/{number}.deleted", create=True)
        home.remove_later(due, f"data/{number}.deleted")
    assert home.next_deadline_ms(NEVER) == 10
    home.run_maintenance(25, 1)
    assert sorted(storage.disk.listdir("data")) == ["0.deleted", "2.deleted"]
    home.run_maintenance(25, 5)
    assert home.next_deadline_ms(NEVER) == 30


def test_failing_is_for_good_and_told_once() -> None:
    storage = Storage()
    home = storage.dirs.dirs[0]
    first = DiskError("data/x", "broken")
    home.fail(first)
    home.fail(DiskError("data/y", "too"))
    assert (home.error, len(storage.failures)) == (first, 1)
    assert not storage.disk.exists(f"data/{FAILED_SYNC}")


def test_a_failed_sync_warns_the_next_process_until_every_log_is_written_again() -> None:
    storage = Storage()
    append(storage.open())
    append(storage.open(topic="other"))
    storage.flush()
    storage.dirs.dirs[0].fail(DiskSyncError("data/x", "broken"))
    storage.kill()
    home = storage.dirs.dirs[0]
    assert home.suspects == {"t-0", "other-0"}
    assert storage.open().log_end_offset == 1
    storage.dirs.close()
    assert not storage.disk.exists(MARK), "a log was not looked at: it must not count as clean"
    storage.dirs = storage._start()
    assert storage.dirs.dirs[0].suspects == {"t-0", "other-0"}
    assert storage.open().log_end_offset == storage.open(topic="other").log_end_offset == 1
    storage.dirs.close()
    assert storage.disk.exists(MARK) and not storage.disk.exists(f"data/{FAILED_SYNC}")


def test_names_of_partitions_only() -> None:
    storage = Storage()
    for name in ("t-0", "a-b-12", "no", "x-y", "gone-0.00-delete", "t-1-future"):
        storage.disk.makedirs(f"data/{name}")
    storage.kill()
    home = storage.dirs.dirs[0]
    assert home.names == {"t-0", "a-b-12"}
    assert sorted(path for _, path in home.removals) == ["data/gone-0.00-delete", "data/t-1-future"]
    assert storage.open(SMALL).log_end_offset == 0, "an empty directory is an empty log"


@pytest.mark.parametrize("count", [MANY_LOGS, MANY_LOGS + 1])
def test_a_clean_end_of_many_logs_is_as_durable_as_that_of_few(count: int) -> None:
    storage = Storage()
    for partition in range(count):
        append(storage.open(partition=partition), 2)
    storage.memory.log = []
    storage.dirs.close()
    syncs = [call for call in storage.memory.log if call == "sync_volume data"]
    assert len(syncs) == (2 if count > MANY_LOGS else 0)
    storage.crash()
    assert len(storage.dirs.dirs[0].clean_names) == count
    for partition in range(count):
        log = storage.open(partition=partition)
        assert (log.log_end_offset, log.latest_epoch) == (2, 0)


@pytest.mark.parametrize("which", [0, -1])
def test_a_sync_that_fails_at_the_end_leaves_no_mark(which: int) -> None:
    fails: list[int] = []
    for call in (0, 1):  # once to find its number, once to let it fail
        storage = Storage()
        for partition in range(MANY_LOGS + 1):
            append(storage.open(partition=partition))
        storage.memory.log = []
        if call:
            storage.memory.fail_call(fails[which])
        storage.dirs.close()
        fails = [number for number, name in enumerate(storage.memory.log, 1) if name == "sync_volume data"]
        assert storage.disk.exists(MARK) == (not call)
    assert len(storage.failures) == 1


def _with_checkpoints(count: int = 1) -> Storage:
    """Logs whose checkpoints say: start 3, recovery point 4."""
    storage = Storage()
    for partition in range(count):
        append(storage.open(partition=partition), 4)
        storage.open(partition=partition).advance_log_start_offset(3)
    storage.restart()
    return storage


def test_checkpoints_of_a_deleted_log_do_not_outlive_it() -> None:
    storage = _with_checkpoints()
    storage.dirs.delete("t", 0, NOW_MS)
    append(storage.open(), 5)
    storage.kill()
    log = storage.open()
    assert (log.log_start_offset, log.log_end_offset) == (0, 5)


def test_checkpoints_of_a_log_that_was_set_aside_do_not_outlive_it() -> None:
    storage = _with_checkpoints()
    other = storage.dirs.open("t", 0, bytes(reversed(range(16))), SMALL)
    append(other, 5)
    storage.kill()
    log = storage.dirs.open("t", 0, bytes(reversed(range(16))), SMALL)
    assert (log.log_start_offset, log.log_end_offset) == (0, 5)


def test_checkpoints_of_a_log_whose_deletion_was_interrupted_do_not_outlive_it() -> None:
    storage = _with_checkpoints()
    storage.dirs.delete("t", 0, NOW_MS)
    for _ in range(2):
        storage.kill()
    append(storage.open(), 5)
    storage.kill()
    assert storage.open().log_start_offset == 0


def test_many_deleted_logs_are_one_write_of_the_checkpoints() -> None:
    storage = _with_checkpoints(20)
    for partition in range(20):
        storage.dirs.delete("t", partition, NOW_MS)
    storage.memory.log = []
    for partition in range(20):
        append(storage.open(partition=partition))
    names = [call for call in storage.memory.log if "rename" in call and "checkpoint" in call]
    assert len([call for call in names if "data/t-" not in call]) == 3


def test_checkpoints_follow_a_deletion_at_the_next_maintenance() -> None:
    storage = _with_checkpoints()
    storage.dirs.delete("t", 0, NOW_MS)
    storage.dirs.run_maintenance(NOW_MS)
    for name in (RECOVERY_POINTS, LOG_START_OFFSETS):
        assert storage.disk.read(f"data/{name}") == b"0\n0\n"


def test_what_a_full_disk_refused_is_written_later() -> None:
    storage = Storage()
    home = storage.dirs.dirs[0]
    append(storage.open(), 4)
    storage.flush()
    storage.open().advance_log_start_offset(3)
    home.on_appended(storage.open(), 64 << 20)
    storage.memory.capacity = storage.memory.used_bytes
    now = NOW_MS + CHECKPOINT_INTERVAL_MS
    with pytest.raises(DiskFullError):
        home.run_maintenance(now, 1)
    assert home.next_deadline_ms(NEVER) > NOW_MS, "no spinning"
    storage.memory.capacity = None
    home.run_maintenance(now + RETRY_MS, 1)
    assert storage.disk.read(f"data/{LOG_START_OFFSETS}") == b"0\n1\nt 0 3\n"
    home.run_maintenance(now + CHECKPOINT_INTERVAL_MS, 1)
    assert storage.disk.read(f"data/{RECOVERY_POINTS}") == b"0\n1\nt 0 4\n"


@pytest.mark.parametrize("count", [4, MANY_LOGS + 1])
def test_a_full_disk_at_the_end_does_not_keep_the_other_logs_from_being_flushed(count: int) -> None:
    storage = Storage()
    logs = [storage.open(partition=partition) for partition in range(count)]
    for log in logs:
        append(log, 2)
    storage.memory.capacity = storage.memory.used_bytes
    storage.dirs.close()
    assert not storage.failures and not storage.disk.exists(MARK)
    storage.memory.capacity = None
    storage.crash()
    for partition in range(count):
        assert storage.open(partition=partition).log_end_offset == 2


def test_removals_go_on_when_there_is_no_room_for_checkpoints() -> None:
    storage = _with_checkpoints()
    storage.dirs.delete("t", 0, NOW_MS)
    storage.memory.capacity = 0
    storage.dirs.run_maintenance(NOW_MS + SMALL.file_delete_delay_ms)
    storage.memory.capacity = None
    assert not storage.failures
    assert not [name for name in storage.disk.listdir("data") if name.endswith("-delete")]
    storage.dirs.run_maintenance(NOW_MS + SMALL.file_delete_delay_ms)
    assert storage.disk.read(f"data/{LOG_START_OFFSETS}") == b"0\n0\n"
