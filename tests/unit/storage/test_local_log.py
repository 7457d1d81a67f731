"""The files of a log: created in order, durable in order, dropped without a hole."""

from __future__ import annotations

from tests.unit.storage.kit import NOW_MS, SMALL, Storage, append

from odradek.storage.local_log import LocalLog
from odradek.storage.log import PartitionLog


def _local(log: PartitionLog) -> LocalLog:
    local = log.load(NOW_MS)
    assert local is not None
    return local


def test_the_first_append_makes_the_files_and_one_flush_makes_them_durable() -> None:
    storage = Storage()
    log = storage.open()
    assert not _local(log).has_directory
    append(log)
    assert storage.disk.read("data/t-0/partition.metadata").startswith(b"version: 0\ntopic_id: ")
    assert not storage.disk.exists("data/t-0/00000000000000000000.index"), "no index without an entry"
    storage.flush()
    storage.crash()
    assert storage.open().log_end_offset == 1


def test_names_are_durable_before_the_records_in_them_count() -> None:
    storage = Storage()
    log = storage.open()
    for _ in range(20):
        append(log, value=b"v" * 100)
        storage.memory.log = []
        storage.flush()
        syncs = storage.memory.log
        data = [
            number
            for number, call in enumerate(syncs)
            if call.startswith("sync data/t-0/") and ".log" in call
        ]
        assert data and syncs, "every append is followed by a sync of its file"
    storage.crash()
    assert storage.open().log_end_offset == 20


def test_a_segment_that_was_closed_meanwhile_is_still_synced() -> None:
    storage = Storage()
    log = storage.open()
    for _ in range(60):  # more segments than stay open, in one round
        append(log, value=b"v" * 200)
    assert len(_local(log).segments) > 10
    storage.flush()
    assert log.flushed_offset == 60
    storage.crash()
    assert storage.open().log_end_offset == 60


def test_truncation_removes_the_newest_first() -> None:
    storage = Storage()
    log = storage.open()
    for _ in range(20):
        append(log, value=b"v" * 200)
    storage.memory.log = []
    log.truncate_to(1)
    removed = [
        call[-24:-4] for call in storage.memory.log if call.startswith("remove") and call.endswith(".log")
    ]
    assert len(removed) > 3 and removed == sorted(removed, reverse=True)


def test_dropped_segments_are_renamed_and_go_later() -> None:
    storage = Storage()
    log = storage.open()
    for _ in range(20):
        append(log, value=b"v" * 200)
    local = _local(log)
    base = local.segments[2].base_offset
    local.drop_oldest(2, NOW_MS + 500)
    names = storage.disk.listdir("data/t-0")
    assert "00000000000000000000.log.deleted" in names and "00000000000000000000.log" not in names
    assert local.segments[0].base_offset == base
    storage.dirs.dirs[0].run_maintenance(NOW_MS + 500, 100)
    assert not [name for name in storage.disk.listdir("data/t-0") if name.endswith(".deleted")]


def test_an_abandoned_log_hears_nothing_more() -> None:
    storage = Storage()
    log = storage.open()
    heard: list[int] = []
    log.flush_listener = lambda flushed: heard.append(1)
    append(log)
    local = _local(log)
    local.abandon()
    storage.flush()
    assert local.flushed_offset == 0 and not heard


def test_summaries_for_retention() -> None:
    storage = Storage()
    storage.memory.now_ms = 777
    log = storage.open(SMALL)
    append(log, timestamp=-1, value=b"v" * 900)
    append(log, timestamp=NOW_MS)
    first, second = _local(log).summaries()
    assert (first.base_offset, first.end_offset, first.max_timestamp) == (0, 1, 777), "the file's time"
    assert (second.base_offset, second.end_offset, second.max_timestamp) == (1, 2, NOW_MS)
