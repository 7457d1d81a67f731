"""The real disk: bounded descriptors, all-or-nothing appends, and syncs from another thread."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from odradek.storage.disk import (
    DiskError,
    DiskFullError,
    DiskLockedError,
    DiskSyncError,
    MissingFileError,
    replace_file,
)
from odradek.storage.os_disk import OsDisk


def test_append_read_truncate(tmp_path: Path) -> None:
    disk = OsDisk()
    file = disk.open(f"{tmp_path}/f", create=True)
    assert file.append([b"abc", memoryview(b"def"), bytearray(b"gh")]) == 8
    assert file.append([b"ij"]) == 10
    assert file.pread(2, 4) == b"cdef"
    assert file.pread(8, 100) == b"ij"
    file.pwrite(1, b"X")
    file.truncate(3)
    assert file.append([b"z"]) == 4
    file.sync()
    file.close()
    file.close()
    assert disk.read(f"{tmp_path}/f") == b"aXcz"
    assert disk.open(f"{tmp_path}/f").size == 4
    assert disk.stat(f"{tmp_path}/f").size == 4


def test_more_buffers_than_one_call_takes(tmp_path: Path) -> None:
    file = OsDisk().open(f"{tmp_path}/f", create=True)
    assert file.append([b"x%03d" % (i % 1000) for i in range(5000)]) == 20_000
    assert file.pread(4 * 4321, 4) == b"x321"


def test_descriptors_are_bounded_and_come_back(tmp_path: Path) -> None:
    disk = OsDisk(max_open_files=5)
    files = [disk.open(f"{tmp_path}/{i}", create=True) for i in range(50)]
    for round_ in range(3):
        for i, file in enumerate(files):
            file.append([b"%d" % i])
            file.sync()
            assert disk.open_files <= 5
            assert file.pread(0, 100) == b"%d" % i * (round_ + 1)
    for file in files:
        file.close()
    assert disk.open_files == 0


def test_closed_files_do_not_pile_up(tmp_path: Path) -> None:
    disk = OsDisk()
    for _ in range(1000):
        disk.open(f"{tmp_path}/f", create=True).close()
    assert len(disk._order) < 200


def test_a_file_in_use_is_evicted_last(tmp_path: Path) -> None:
    disk = OsDisk(max_open_files=3)
    busy = disk.open(f"{tmp_path}/busy", create=True)
    for i in range(20):
        busy.pread(0, 1)
        disk.open(f"{tmp_path}/{i}", create=True)
        assert busy.is_open or i < 3


def test_a_descriptor_is_not_closed_under_a_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = OsDisk(max_open_files=1)
    file = disk.open(f"{tmp_path}/f", create=True)
    file.append([b"x"])
    entered, go_on = threading.Event(), threading.Event()
    synced: list[int] = []

    def slow_sync(fd: int) -> None:
        entered.set()
        assert go_on.wait(10)
        os.fstat(fd)  # fails if it was closed meanwhile
        synced.append(fd)

    monkeypatch.setattr("odradek.storage.os_disk._sync_descriptor", slow_sync)
    thread = threading.Thread(target=file.sync)
    thread.start()
    assert entered.wait(10)
    other = disk.open(f"{tmp_path}/g", create=True)  # would evict it
    assert file.is_open
    file.close()
    assert disk.open_files == 2, "closing waits for the sync"
    go_on.set()
    thread.join()
    assert synced and disk.open_files == 1
    other.close()


def test_a_closed_or_evicted_file_is_synced_by_name(tmp_path: Path) -> None:
    disk = OsDisk()
    file = disk.open(f"{tmp_path}/f", create=True)
    file.append([b"x"])
    file.close()
    file.sync()
    disk.remove(f"{tmp_path}/f")
    file.sync()  # nothing left to sync
    gone = disk.open(f"{tmp_path}/g", create=True)
    gone._close_descriptor()
    os.unlink(f"{tmp_path}/g")
    with pytest.raises(DiskSyncError):
        gone.sync()


class _Failing:
    """Stands in for a system call: writes some bytes, then fails with an error number."""

    def __init__(self, call: Any, code: int, *, after: int) -> None:
        self._call = call
        self._code = code
        self._left = after

    def __call__(self, fd: int, data: Any, offset: int) -> int:
        if not self._left:
            raise OSError(self._code, os.strerror(self._code))
        part = bytes(data)[: self._left]
        self._left -= len(part)
        return int(self._call(fd, part, offset))


@pytest.mark.parametrize(("code", "kind"), [(errno.ENOSPC, DiskFullError), (errno.EIO, DiskError)])
def test_a_failing_append_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, kind: type[DiskError]
) -> None:
    file = OsDisk().open(f"{tmp_path}/f", create=True)
    file.append([b"before"])
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", _Failing(os.pwrite, code, after=3))
        with pytest.raises(kind) as raised:
            file.append([b"0123456789"])
    assert type(raised.value) is kind
    assert (file.size, os.path.getsize(f"{tmp_path}/f")) == (6, 6)
    file.append([b"!"])
    assert file.pread(0, 100) == b"before!"


def test_a_short_write_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = OsDisk().open(f"{tmp_path}/f", create=True)
    real = os.pwrite
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", lambda fd, data, offset: real(fd, bytes(data)[:3], offset))
        assert file.append([b"0123456789"]) == 10
    assert file.pread(0, 100) == b"0123456789"


def test_errors_have_their_kinds(tmp_path: Path) -> None:
    disk = OsDisk()
    missing = f"{tmp_path}/no/such"
    for call in (disk.open, disk.read, disk.stat, disk.listdir, disk.sync_dir, disk.sync_file):
        with pytest.raises(MissingFileError):
            call(missing)
    disk.remove(missing)
    disk.remove_tree(missing)
    assert not disk.exists(missing)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DiskError):
        disk.makedirs(f"{tmp_path}/file/below")


def test_directories(tmp_path: Path) -> None:
    disk = OsDisk()
    disk.makedirs(f"{tmp_path}/a/b")
    disk.makedirs(f"{tmp_path}/a/b")
    replace_file(disk, f"{tmp_path}/a/b/f", b"one")
    replace_file(disk, f"{tmp_path}/a/b/f", b"two")
    assert disk.listdir(f"{tmp_path}/a/b") == ["f"]
    disk.rename(f"{tmp_path}/a/b", f"{tmp_path}/a/c")
    assert disk.read(f"{tmp_path}/a/c/f") == b"two"
    disk.remove_tree(f"{tmp_path}/a")
    assert disk.listdir(str(tmp_path)) == []
    total, usable = disk.space(str(tmp_path))
    assert 0 < usable <= total


def test_a_directory_has_one_owner(tmp_path: Path) -> None:
    disk = OsDisk()
    lock = disk.lock(f"{tmp_path}/.lock")
    with pytest.raises(DiskLockedError):
        OsDisk().lock(f"{tmp_path}/.lock")
    lock.release()
    lock.release()
    OsDisk().lock(f"{tmp_path}/.lock").release()
