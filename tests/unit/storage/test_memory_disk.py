"""The disk of the tests must itself be right: what a power cut keeps, and what a failed sync loses."""

from __future__ import annotations

from random import Random

import pytest

from odradek.storage.disk import DiskError, DiskFullError, DiskLockedError, DiskSyncError, MissingFileError
from odradek.storage.memory_disk import MemoryDisk


def _disk() -> MemoryDisk:
    disk = MemoryDisk()
    disk.makedirs("d")
    disk.sync_dir("")
    return disk


def test_only_what_is_synced_survives() -> None:
    disk = _disk()
    file = disk.open("d/f", create=True)
    file.append([b"one"])
    file.sync()
    file.append([b"two"])
    disk.sync_dir("d")
    disk.crash()
    assert disk.read("d/f") == b"one"


def test_a_name_needs_its_own_sync() -> None:
    disk = _disk()
    disk.open("d/f", create=True).sync()
    disk.crash()
    assert disk.listdir("d") == []


def test_a_file_is_lost_with_its_directory() -> None:
    disk = MemoryDisk()
    disk.makedirs("d/e")
    disk.open("d/e/f", create=True).sync()
    disk.sync_dir("d/e")
    disk.crash()
    assert not disk.exists("d/e/f") and not disk.exists("d")


def test_renames_and_removals_are_undone_by_a_crash() -> None:
    disk = _disk()
    disk.open("d/f", create=True).sync()
    disk.sync_dir("d")
    disk.rename("d/f", "d/g")
    disk.crash()
    assert disk.listdir("d") == ["f"]
    disk.remove("d/f")
    disk.crash()
    assert disk.listdir("d") == ["f"]
    disk.rename("d/f", "d/g")
    disk.sync_dir("d")
    disk.crash()
    assert disk.listdir("d") == ["g"]


def test_truncation_needs_a_sync() -> None:
    disk = _disk()
    file = disk.open("d/f", create=True)
    file.append([b"0123456789"])
    file.sync()
    disk.sync_dir("d")
    file.truncate(4)
    file.append([b"new"])
    disk.crash()
    assert disk.read("d/f") == b"0123456789"
    file = disk.open("d/f")
    file.truncate(4)
    file.append([b"new"])
    file.sync()
    disk.crash()
    assert disk.read("d/f") == b"0123new"


def test_a_torn_tail_keeps_what_is_synced() -> None:
    seen = set()
    for seed in range(200):
        disk = _disk()
        file = disk.open("d/f", create=True)
        file.append([b"a" * 700])
        file.sync()
        disk.sync_dir("d")
        file.append([b"b" * 1500])
        disk.crash(Random(seed))
        data = disk.read("d/f")
        assert data.startswith(b"a" * 700)
        tail = data[700:]
        kept = "nothing" if not tail else "all" if len(tail) == 1500 else "part"
        seen.add(kept if not tail.strip(b"b") else "zeros" if not tail.strip(b"\0b") else "garbage")
    assert seen == {"nothing", "zeros", "garbage", "all", "part"}


def test_a_failed_sync_loses_for_good_what_processes_still_see() -> None:
    disk = _disk()
    file = disk.open("d/f", create=True)
    disk.sync_dir("d")
    file.append([b"abc"])
    disk.fail_call(1)
    with pytest.raises(DiskSyncError):
        file.sync()
    assert file.pread(0, 3) == b"abc"
    file.sync()
    disk.crash()
    assert disk.read("d/f") == b"\0\0\0"


def test_a_failed_sync_leaves_what_the_disk_had_in_that_place() -> None:
    disk = _disk()
    file = disk.open("d/f", create=True)
    disk.sync_dir("d")
    file.append([b"abc"])
    file.sync()
    file.append([b"def"])
    file.pwrite(0, b"x")
    disk.fail_call(1)
    with pytest.raises(DiskSyncError):
        file.sync()
    assert file.pread(0, 6) == b"xbcdef"
    disk.crash()
    assert disk.read("d/f") == b"abc\0\0\0"


def test_the_nth_call_fails() -> None:
    disk = _disk()
    file = disk.open("d/f", create=True)
    disk.fail_call(2)
    file.append([b"abcd"])
    with pytest.raises(DiskError):
        file.append([b"efgh"])
    assert file.pread(0, 10) == b"abcdef", "half of it may be there"
    disk.fail_call(1, sticky=True)
    for _ in range(3):
        with pytest.raises(DiskError):
            file.pread(0, 1)
    disk.heal()
    assert file.pread(0, 1) == b"a"


def test_full() -> None:
    disk = MemoryDisk(capacity=10)
    disk.makedirs("d")
    file = disk.open("d/f", create=True)
    file.append([b"01234567"])
    with pytest.raises(DiskFullError):
        file.append([b"89a"])
    assert file.size == 8
    assert disk.space("d") == (10, 2)
    file.truncate(0)
    file.append([b"0123456789"])


def test_rot_and_locks_and_missing() -> None:
    disk = _disk()
    file = disk.open("d/f", create=True)
    file.append([b"aaaa"])
    file.sync()
    disk.sync_dir("d")
    disk.flip_bit("d/f", 1)
    disk.crash()
    assert disk.read("d/f") == b"a`aa"
    lock = disk.lock("d/.lock")
    with pytest.raises(DiskLockedError):
        disk.lock("d/.lock")
    lock.release()
    disk.lock("d/.lock")
    for call in (disk.open, disk.read, disk.stat, disk.sync_file):
        with pytest.raises(MissingFileError):
            call("d/none")
    with pytest.raises(MissingFileError):
        disk.open("none/f", create=True)
    disk.remove_tree("d")
    assert not disk.exists("d/f")


def test_what_was_changed_in_a_directory_that_is_gone_does_not_happen_to_the_next_of_its_name() -> None:
    disk = MemoryDisk()
    disk.makedirs("data/t")
    disk.sync_dir("data")
    disk.open("data/t/old", create=True)
    disk.rename("data/t", "data/gone")
    disk.makedirs("data/t")
    disk.open("data/t/new", create=True)
    disk.sync_dir("data/t")
    disk.sync_dir("data")
    disk.sync_dir("")
    disk.crash()
    assert disk.listdir("data/t") == ["new"]


def test_a_sync_that_takes_time_covers_what_was_written_before_it_began() -> None:
    disk = _disk()
    file = disk.open("d/f", create=True)
    disk.sync_dir("d")
    file.append([b"one"])
    complete = disk.begin(file.sync)
    file.append([b"two"])
    assert disk.durable("d/f") == b""
    complete()
    assert disk.durable("d/f") == b"one"
    disk.crash()
    assert disk.read("d/f") == b"one"


def test_a_sync_that_the_power_cut_met_has_not_happened() -> None:
    disk = _disk()
    file = disk.open("d/f", create=True)
    disk.sync_dir("d")
    file.append([b"one"])
    complete = disk.begin(file.sync)
    disk.crash()
    complete()
    assert disk.read("d/f") == disk.durable("d/f") == b""


def test_what_changes_under_a_sync_is_not_covered_by_it() -> None:
    disk = _disk()
    file = disk.open("d/f", create=True)
    disk.sync_dir("d")
    file.append([b"0123456789"])
    file.sync()
    file.append([b"abc"])
    complete = disk.begin(file.sync)
    file.pwrite(4, b"X")
    complete()
    assert disk.durable("d/f") == b"0123456789"
    complete = disk.begin(file.sync)
    file.truncate(6)
    file.append([b"yz"])
    complete()
    assert disk.durable("d/f") == b"0123X56789"
    file.sync()
    assert disk.durable("d/f") == b"0123X5yz"
    assert disk.durable("d/g") is None


def test_a_truncation_may_be_undone_by_a_power_cut() -> None:
    seen: set[bytes] = set()
    for seed in range(30):
        disk = _disk()
        file = disk.open("d/f", create=True)
        disk.sync_dir("d")
        file.append([b"0123456789"])
        file.sync()
        file.truncate(6)
        disk.crash(Random(seed))
        seen.add(disk.read("d/f"))
    assert seen == {b"0123456789", b"012345"}
