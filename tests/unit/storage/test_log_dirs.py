"""All log directories: which log is where, names that change hands, maintenance that touches only what is due."""

from __future__ import annotations

import pytest
from tests.unit.storage.kit import NOW_MS, SMALL, TOPIC_ID, Storage, append, batch

from odradek.proto.kafka.errors import ErrorCode
from odradek.storage.disk import DiskError, DiskLockedError
from odradek.storage.log import PartitionLog
from odradek.storage.log_config import LogConfig
from odradek.storage.log_dirs import LogDirs
from odradek.storage.memory_disk import MemoryDisk

OTHER_ID = bytes(reversed(range(16)))


def test_one_log_per_partition() -> None:
    storage = Storage()
    log = storage.open()
    assert storage.open() is log
    assert storage.dirs.get("t", 0) is log and storage.dirs.get("t", 1) is None
    assert len(storage.dirs) == 1


def test_ten_thousand_partitions_cost_no_disk_call_each() -> None:
    storage = Storage()
    for partition in range(10_000):
        storage.open(partition=partition)
    before = storage.memory.calls
    for partition in range(10_000):
        assert storage.open(partition=partition).config is SMALL
    storage.dirs.run_maintenance(NOW_MS + 1)
    assert storage.memory.calls == before
    for partition in range(0, 10_000, 100):
        append(storage.open(partition=partition))
    storage.flush()
    storage.kill()
    started = storage.memory.calls
    for partition in range(10_000):
        storage.open(partition=partition)
    assert storage.memory.calls == started, "a start looks into no partition"
    assert storage.open(partition=300).log_end_offset == 1
    assert storage.open(partition=301).log_end_offset == 0


def test_where_a_log_is_opened_or_not() -> None:
    storage = Storage(paths=("a", "b"))
    assert storage.dirs.where("t", 0) is None
    log = storage.open()
    assert storage.dirs.where("t", 0) == (log.home.path, False)
    append(log)
    assert storage.dirs.where("t", 0) == (log.home.path, True)
    storage.restart()
    assert not len(storage.dirs)
    assert storage.dirs.where("t", 0) == (log.home.path, True)
    assert not len(storage.dirs), "nothing was opened by that"


def test_new_logs_spread_and_stay_where_they_are() -> None:
    storage = Storage(paths=("a", "b"))
    for partition in range(10):
        append(storage.open(partition=partition))
    homes = {partition: storage.open(partition=partition).home.path for partition in range(10)}
    assert sorted(homes.values()) == ["a"] * 5 + ["b"] * 5
    placed = storage.dirs.open("x", 0, TOPIC_ID, SMALL, "b")
    assert placed.home.path == "b"
    storage.restart()
    for partition in reversed(range(10)):
        log = storage.open(partition=partition)
        assert (log.home.path, log.log_end_offset) == (homes[partition], 1)


def test_a_broken_directory_leaves_the_other_alone() -> None:
    storage = Storage(paths=("a", "b"))
    first, second = storage.open(partition=0), storage.open(partition=1)
    append(first)
    append(second)
    first.home.fail(DiskError("a", "broken"))
    assert [home for home, _ in storage.failures] == [first.home]
    assert storage.dirs.logs_in(first.home) == [first]
    assert append(second).base_offset == 1
    assert [storage.open(partition=p).home.path for p in range(2, 5)] == ["b"] * 3
    described = storage.dirs.describe()
    assert [entry.online for entry in described] == [False, True]
    storage.dirs.close()
    assert not storage.disk.exists("a/.kafka_cleanshutdown")
    assert storage.disk.exists("b/.kafka_cleanshutdown")


def test_a_deleted_log_is_renamed_at_once_and_removed_later() -> None:
    storage = Storage()
    log = storage.open()
    append(log)
    storage.dirs.delete("t", 0, NOW_MS)
    assert storage.dirs.get("t", 0) is None
    moved = f"data/t-0.{TOPIC_ID.hex()}-delete"
    assert storage.disk.exists(moved) and not storage.disk.exists("data/t-0")
    again = storage.dirs.open("t", 0, OTHER_ID, SMALL)
    assert (append(again).base_offset, again.log_start_offset) == (0, 0)
    storage.dirs.run_maintenance(NOW_MS + SMALL.file_delete_delay_ms - 1)
    assert storage.disk.exists(moved)
    storage.dirs.run_maintenance(NOW_MS + SMALL.file_delete_delay_ms)
    assert not storage.disk.exists(moved)
    storage.flush()
    assert again.flushed_offset == 1, "what was submitted for the old log does not disturb"


def test_a_recreated_topic_pushes_the_old_log_aside() -> None:
    storage = Storage()
    append(storage.open(), 5)
    again = storage.dirs.open("t", 0, OTHER_ID, SMALL)
    assert again.log_end_offset == 0


def test_what_a_stop_left_half_deleted_goes_at_the_start() -> None:
    storage = Storage()
    append(storage.open())
    storage.dirs.delete("t", 0, NOW_MS)
    storage.kill()
    storage.dirs.run_maintenance(NOW_MS)
    assert [name for name in storage.disk.listdir("data") if name.startswith("t-0")] == []


def test_deleting_what_was_never_opened() -> None:
    storage = Storage()
    append(storage.open())
    storage.kill()
    storage.dirs.delete("t", 0, NOW_MS)
    storage.dirs.delete("nothing", 7, NOW_MS)
    assert storage.open().log_end_offset == 0


def test_a_long_topic_name_can_be_deleted() -> None:
    storage = Storage()
    append(storage.open(topic="n" * 249))
    storage.dirs.delete("n" * 249, 0, NOW_MS)
    (moved,) = [name for name in storage.disk.listdir("data") if name.endswith("-delete")]
    assert len(moved) <= 255


def test_two_processes_cannot_share_a_directory() -> None:
    storage = Storage(paths=("a", "b"))
    second = LogDirs(storage.disk, ["c", "b"], lambda step: None)
    with pytest.raises(DiskLockedError):
        second.start(NOW_MS)
    Storage(storage.disk, paths=("c",))  # was let go


def test_a_directory_that_cannot_be_opened_is_offline() -> None:
    disk = MemoryDisk()
    disk.open("broken", create=True)
    failures = []
    dirs = LogDirs(
        disk,
        ["broken", "good"],
        lambda step: None,
        on_log_dir_failure=lambda home, error: failures.append(home.path),
    )
    dirs.start(NOW_MS)
    assert failures == ["broken"]
    assert dirs.open("t", 0, TOPIC_ID, SMALL, is_new=True).home.path == "good"
    dirs.release_locks()


def test_sizes_are_told_of_loaded_and_other_logs() -> None:
    storage = Storage()
    for partition in range(3):
        append(storage.open(partition=partition), value=b"v" * 100)
    size = storage.open().size_bytes
    storage.restart()
    storage.open(partition=0)
    assert storage.open(partition=1).log_end_offset == 1
    (described,) = storage.dirs.describe()
    assert (described.path, described.online) == ("data", True)
    assert described.partitions == [("t", 0, size), ("t", 1, size), ("t", 2, size)]
    (described,) = storage.dirs.describe(frozenset({("t", 1), ("t", 9)}))
    assert described.partitions == [("t", 1, size)]


def test_sizes_are_told_of_logs_that_were_never_opened() -> None:
    storage = Storage(paths=("a", "b"))
    for partition in range(4):
        append(storage.open(partition=partition))
    size = storage.open().size_bytes
    storage.kill()
    storage.open(topic="unwritten")
    first, second = storage.dirs.describe()
    assert first.partitions == [("t", 0, size), ("t", 2, size), ("unwritten", 0, 0)]
    assert second.partitions == [("t", 1, size), ("t", 3, size)]
    first, second = storage.dirs.describe([("t", 3), ("t", 9)])
    assert (first.partitions, second.partitions) == ([], [("t", 3, size)])
    assert len(storage.dirs) == 1


def test_a_partition_that_may_be_in_a_lost_directory_is_offline() -> None:
    storage = Storage(paths=("a", "b"))
    append(storage.open(partition=0), 3)
    append(storage.open(partition=1), 3)
    storage.dirs.close()
    storage.memory.rename("a", "elsewhere")
    storage.memory.open("a", create=True).close()  # no directory: it cannot be opened
    storage.dirs = storage._start()
    assert [home.path for home, _ in storage.failures] == ["a"]
    lost = storage.open(partition=0)
    assert (lost.home.path, lost.is_offline) == ("a", True)
    assert lost.append_as_leader(batch(), 0, NOW_MS).error == ErrorCode.KAFKA_STORAGE_ERROR
    assert lost.read(0, 100, 1) == ErrorCode.KAFKA_STORAGE_ERROR
    assert storage.open(partition=1).log_end_offset == 3
    assert append(storage.dirs.open("new", 0, TOPIC_ID, SMALL, is_new=True)).base_offset == 0


def test_a_log_in_two_directories_is_the_larger_one(caplog: pytest.LogCaptureFixture) -> None:
    storage = Storage(paths=("a",))
    append(storage.open())
    storage.dirs.close()
    other = Storage(storage.disk, paths=("b",))
    append(other.open(), 5)
    other.dirs.close()
    both = Storage(storage.disk, paths=("a", "b"))
    log = both.open()
    assert (log.home.path, log.log_end_offset) == ("b", 5)
    assert "several log directories" in caplog.text


def test_logs_nobody_uses_are_visited_and_their_old_data_goes() -> None:
    storage = Storage()
    config = LogConfig(retention_ms=1000, segment_bytes=1000, file_delete_delay_ms=0)
    for partition in range(20):
        append(storage.open(config, partition=partition))
    storage.restart()
    logs = [storage.open(config, partition=partition) for partition in range(20)]
    now = NOW_MS + 2_000_000
    calls = []
    for _ in range(20):
        before = storage.memory.calls
        now += 1000
        storage.dirs.run_maintenance(now)
        calls.append(storage.memory.calls - before)
    assert all(log.is_loaded for log in logs)
    assert max(calls) < 150, "a few at a time"
    now += 400_000
    storage.dirs.run_maintenance(now)
    assert {(log.log_start_offset, log.log_end_offset) for log in logs} == {(1, 1)}


def test_logs_nobody_has_opened_are_found_and_their_old_data_goes() -> None:
    storage = Storage()
    config = LogConfig(retention_ms=1000, segment_bytes=1000, file_delete_delay_ms=0)
    for partition in range(20):
        append(storage.open(config, partition=partition))
    append(storage.open(config, topic="unknown"))
    storage.kill()
    asked: list[tuple[str, int]] = []

    def find(topic: str, partition: int) -> PartitionLog | None:
        asked.append((topic, partition))
        return storage.open(config, partition=partition) if topic == "t" else None

    storage.dirs.find = find
    now = NOW_MS + 2_000_000
    for _ in range(7):
        before = len(asked)
        now += 1000
        storage.dirs.run_maintenance(now)
        assert len(asked) - before <= 4, "a few at a time"
    assert len(set(asked)) == 21
    now += 400_000
    storage.dirs.run_maintenance(now)
    assert {storage.open(config, partition=p).log_start_offset for p in range(20)} == {1}
    assert storage.dirs.get("unknown", 0) is None


def test_what_is_due_is_remembered_once_per_log() -> None:
    storage = Storage()
    log = storage.open(LogConfig(flush_messages=100, flush_ms=20))
    now = NOW_MS
    for _ in range(200):
        log.append_as_leader(batch(), 0, now)
        log.update_config(log.config)
        now += 50
        storage.dirs.run_maintenance(now)
        storage.flush()
        assert log.flushed_offset == log.log_end_offset
    assert len(storage.dirs._due) < 5
    storage.dirs.delete("t", 0, now)
    storage.dirs.run_maintenance(now + 600_000)
    assert not storage.dirs._due and not storage.dirs._due_ms


def test_young_logs_nobody_uses_stay_unloaded() -> None:
    storage = Storage()
    storage.memory.now_ms = NOW_MS
    for partition in range(20):
        append(storage.open(partition=partition))
    storage.restart()
    logs = [storage.open(partition=partition) for partition in range(20)]
    for step in range(1, 30):
        storage.dirs.run_maintenance(NOW_MS + step * 1000)
    assert not any(log.is_loaded for log in logs)


def test_a_deleted_log_is_not_visited_and_never_touches_its_name_again() -> None:
    storage = Storage()
    for partition in range(20):
        storage.open(LogConfig(), topic="other", partition=partition)
    old = storage.open(LogConfig(retention_bytes=1000))
    append(old)
    now = NOW_MS + 2000
    storage.dirs.run_maintenance(now)  # the cursor makes its list
    storage.dirs.delete("t", 0, now)
    new = storage.dirs.open("t", 0, OTHER_ID, LogConfig())
    for _ in range(50):
        append(new, value=b"x" * 100)
    for _ in range(12):
        now += 1000
        storage.dirs.run_maintenance(now)
    assert old.is_offline and old.load() is None
    assert old.read(0, 100, 1) == ErrorCode.KAFKA_STORAGE_ERROR
    assert old.append_as_leader(batch(), 0, NOW_MS).error == ErrorCode.KAFKA_STORAGE_ERROR
    old.visit(now)
    storage.kill()
    assert storage.dirs.open("t", 0, OTHER_ID, LogConfig()).log_end_offset == 50


def test_deadlines_are_announced() -> None:
    heard: list[int] = []
    disk = MemoryDisk()
    dirs = LogDirs(disk, ["data"], lambda step: None)
    dirs.on_deadline = heard.append
    dirs.start(NOW_MS)
    log = dirs.open("t", 0, TOPIC_ID, LogConfig(flush_messages=100, flush_ms=20))
    append(log)
    assert NOW_MS + 20 in heard
    assert dirs.next_deadline_ms() == NOW_MS + 20
    log.advance_log_start_offset(1)
    assert heard[-1] == 0 == dirs.next_deadline_ms()
    dirs.release_locks()


def test_the_high_watermark_is_kept() -> None:
    storage = Storage()
    log = storage.open()
    append(log, 3)
    log.high_watermark = 2
    storage.restart()
    assert storage.disk.read("data/replication-offset-checkpoint") == b"0\n1\nt 0 2\n"
    assert storage.open().high_watermark == 2


def test_the_last_high_watermark_is_known_without_loading() -> None:
    storage = Storage(paths=("a", "b"))
    log = storage.open()
    append(log)
    storage.flush()
    log.high_watermark = 1
    storage.restart()
    assert storage.dirs.last_high_watermark("t", 0) == 1
    assert storage.dirs.last_high_watermark("t", 1) == 0, "it was never written"
    assert len(storage.dirs) == 0


def test_the_high_watermark_of_another_topic_is_not_believed() -> None:
    storage = Storage()
    append(storage.open(), 3)
    storage.open().high_watermark = 3
    storage.restart()
    log = storage.dirs.open("t", 0, OTHER_ID, SMALL)
    assert log.log_end_offset == 0 and log.high_watermark <= 0


def test_a_full_disk_delays_checkpoints_only() -> None:
    storage = Storage()
    append(storage.open(), 3)
    storage.open().advance_log_start_offset(2)
    storage.memory.capacity = storage.memory.used_bytes
    storage.dirs.run_maintenance(NOW_MS)
    assert not storage.failures
    storage.dirs.close()
    assert not storage.disk.exists("data/.kafka_cleanshutdown")
    storage.memory.capacity = None
    again = Storage(storage.disk)
    log = again.open()
    assert (log.log_end_offset, again.failures) == (3, [])
    assert log.read(2, 100, 3) != ErrorCode.OFFSET_OUT_OF_RANGE
