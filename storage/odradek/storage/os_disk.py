"""The disk of the operating system, with a bounded number of open descriptors.

Decides: which descriptors stay open. A file is opened at its first use and closed behind the scenes when more
than `max_open_files` are open: second-chance order, a file that was used since the last look or has unsynced
bytes is passed over once. Files are evicted only by the thread that opens files; `sync`, which other
threads call, pins the descriptor it works on, and opens one of its own where the file's was evicted (the
kernel reports a failed writeback to the first descriptor that asks after it, also to a new one).

Durability: `fdatasync`, or F_FULLFSYNC where there is no `fdatasync` (macOS), because its `fsync` does not
empty the drive's cache.
"""

from __future__ import annotations

import errno
import fcntl
import os
import sys
import threading
from collections import deque
from collections.abc import Sequence
from typing import Final

from odradek.storage.disk import (
    Buffer,
    DiskError,
    DiskFullError,
    DiskLockedError,
    DiskSyncError,
    Entry,
    MissingFileError,
)

DEFAULT_MAX_OPEN_FILES: Final = 4096
_MAX_VECTOR: Final = 1024
"""Buffers in one pwritev: IOV_MAX of Linux."""

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE})
"""Out of something that may be there again later; nothing was done."""

_HAS_PWRITEV: Final = hasattr(os, "pwritev")
_FULL_SYNC: Final[int | None] = getattr(fcntl, "F_FULLFSYNC", None)


def _translate(path: str, error: OSError) -> DiskError:
    reason = error.strerror or str(error)
    if error.errno in _FULL:
        return DiskFullError(path, reason)
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return MissingFileError(path, reason)
    return DiskError(path, reason)


def _sync_descriptor(fd: int) -> None:
    if _FULL_SYNC is None:
        os.fdatasync(fd)
    else:
        fcntl.fcntl(fd, _FULL_SYNC)


class OsFile:
    """A file of `OsDisk`; `size` is kept here, nobody else writes the file."""

    __slots__ = ("_close_asked", "_dirty", "_disk", "_fd", "_pins", "_used", "closed", "path", "size")

    def __init__(self, disk: OsDisk, path: str, fd: int, size: int) -> None:
        self._disk = disk
        self._fd = fd
        self._pins = 0
        self._used = True
        self._dirty = False
        self._close_asked = False
        self.closed = False
        self.path = path
        self.size = size

    def append(self, buffers: Sequence[Buffer]) -> int:
        """See `File.append`. One system call in the normal case."""
        fd = self._fd
        if fd < 0:
            fd = self._disk.reopen(self)
        self._used = self._dirty = True
        size = self.size
        try:
            if len(buffers) == 1:
                wanted = len(buffers[0])
                written = os.pwrite(fd, buffers[0], size)
            else:
                wanted = sum(map(len, buffers))
                written = _pwritev(fd, buffers, size)
            if written != wanted:
                self._write_rest(fd, b"".join(buffers), written)
        except OSError as error:
            raise self._undo(fd, error) from error
        self.size = size = size + wanted
        return size

    def _write_rest(self, fd: int, data: bytes, written: int) -> None:
        """A short write: the disk is nearly full, a signal came, or there were very many buffers."""
        view = memoryview(data)
        while written < len(data):
            written += os.pwrite(fd, view[written:], self.size + written)

    def _undo(self, fd: int, error: OSError) -> DiskError:
        try:
            os.ftruncate(fd, self.size)
        except OSError as second:
            return DiskError(self.path, f"{error.strerror}, and cutting back: {second.strerror}")
        return _translate(self.path, error)

    def pread(self, offset: int, length: int) -> bytes:
        """See `File.pread`."""
        fd = self._fd
        if fd < 0:
            fd = self._disk.reopen(self)
        self._used = True
        try:
            data = os.pread(fd, length, offset)
            if len(data) < length and offset + len(data) < self.size:
                data += self._read_rest(fd, offset + len(data), length - len(data))
        except OSError as error:
            raise _translate(self.path, error) from error
        return data

    def _read_rest(self, fd: int, offset: int, length: int) -> bytes:
        parts = []
        while length > 0:
            part = os.pread(fd, length, offset)
            if not part:
                break
            parts.append(part)
            offset += len(part)
            length -= len(part)
        return b"".join(parts)

    def pwrite(self, offset: int, data: Buffer) -> None:
        """See `File.pwrite`."""
        assert offset + len(data) <= self.size, f"{offset}+{len(data)} beyond {self.size} in {self.path}"
        fd = self._fd if self._fd >= 0 else self._disk.reopen(self)
        self._used = True
        try:
            written = 0
            while written < len(data):
                written += os.pwrite(fd, memoryview(data)[written:], offset + written)
        except OSError as error:
            raise _translate(self.path, error) from error

    def truncate(self, size: int) -> None:
        """See `File.truncate`."""
        fd = self._fd if self._fd >= 0 else self._disk.reopen(self)
        try:
            os.ftruncate(fd, size)
        except OSError as error:
            raise _translate(self.path, error) from error
        self.size = size

    def sync(self) -> None:
        """See `File.sync`. Any thread."""
        fd = self.hold()
        try:
            if fd >= 0:
                _sync_descriptor(fd)
        except OSError as error:
            raise DiskSyncError(self.path, error.strerror or str(error)) from error
        finally:
            self.let_go(fd)

    def hold(self) -> int:
        """A descriptor to sync, which stays open until `let_go`; -1 for a file that is closed and gone."""
        with self._disk.lock_descriptors:
            fd = self._fd
            self._pins += 1
            self._dirty = False
        if fd >= 0:
            return fd
        try:
            return os.open(self.path, os.O_RDWR)
        except FileNotFoundError as error:
            if self.closed:
                return -1
            self.let_go(-1)
            raise DiskSyncError(self.path, str(error)) from error
        except OSError as error:
            self.let_go(-1)
            raise DiskSyncError(self.path, error.strerror or str(error)) from error

    def let_go(self, fd: int) -> None:
        """The descriptor of a `hold` is not needed any more."""
        with self._disk.lock_descriptors:
            if fd >= 0 and fd != self._fd:
                os.close(fd)
            self._pins -= 1
            if self._close_asked and not self._pins:
                self._close_descriptor()

    def close(self) -> None:
        """See `File.close`."""
        with self._disk.lock_descriptors:
            self.closed = True
            if self._pins:
                self._close_asked = True
            else:
                self._close_descriptor()

    def evict(self) -> bool:
        """Close the descriptor if nothing holds it; whether it is closed. With `lock_descriptors` held."""
        if self._pins:
            return False
        self._close_descriptor()
        return True

    def second_chance(self) -> bool:
        """Whether the file was used since the last call, or has something to sync."""
        used, self._used = self._used or self._dirty, False
        return used

    @property
    def is_open(self) -> bool:
        return self._fd >= 0

    def attach(self, fd: int) -> None:
        """Use `fd` from now on."""
        self._fd = fd

    def _close_descriptor(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)
            self._disk.open_files -= 1


def _pwritev(fd: int, buffers: Sequence[Buffer], offset: int) -> int:
    if _HAS_PWRITEV and len(buffers) <= _MAX_VECTOR:
        return os.pwritev(fd, buffers, offset)
    return os.pwrite(fd, b"".join(buffers), offset)


class _OsLock:
    __slots__ = ("_fd",)

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def release(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


class OsDisk:
    """The real disk. `open_files` is the number of descriptors in use now."""

    def __init__(self, max_open_files: int = DEFAULT_MAX_OPEN_FILES) -> None:
        self.max_open_files = max_open_files
        self.open_files = 0
        self.lock_descriptors = threading.Lock()
        self._order: deque[OsFile] = deque()

    def open(self, path: str, *, create: bool = False) -> OsFile:
        """See `Disk.open`."""
        try:
            fd = self._open_descriptor(path, os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if create else 0))
            size = os.fstat(fd).st_size
        except OSError as error:
            raise _translate(path, error) from error
        file = OsFile(self, path, fd, size)
        order = self._order
        order.append(file)
        if len(order) > 2 * self.open_files + 64:  # files that were closed are still in line
            self._order = deque(other for other in order if other.is_open)
        return file

    def reopen(self, file: OsFile) -> int:
        """A descriptor for a file whose own was evicted."""
        assert not file.closed, f"{file.path} is used after close"
        try:
            fd = self._open_descriptor(file.path, os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            raise _translate(file.path, error) from error
        file.attach(fd)
        self._order.append(file)
        return fd

    def _open_descriptor(self, path: str, flags: int) -> int:
        if self.open_files >= self.max_open_files:
            self._evict()
        fd = os.open(path, flags, 0o644)
        with self.lock_descriptors:
            self.open_files += 1
        return fd

    def _evict(self) -> None:
        """Close descriptors until one more fits; two rounds at most, for some may be pinned."""
        order = self._order
        with self.lock_descriptors:
            count = len(order)
            for looked in range(2 * count):
                if self.open_files < self.max_open_files:
                    return
                file = order.popleft()
                if file.is_open and ((looked < count and file.second_chance()) or not file.evict()):
                    order.append(file)

    def read(self, path: str) -> bytes:
        """See `Disk.read`."""
        try:
            with open(path, "rb") as file:
                return file.read()
        except OSError as error:
            raise _translate(path, error) from error

    def stat(self, path: str) -> Entry:
        """See `Disk.stat`."""
        try:
            found = os.stat(path)
        except OSError as error:
            raise _translate(path, error) from error
        return Entry(found.st_size, found.st_mtime_ns // 1_000_000)

    def exists(self, path: str) -> bool:
        """See `Disk.exists`."""
        try:
            os.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            raise _translate(path, error) from error
        return True

    def listdir(self, path: str) -> list[str]:
        """See `Disk.listdir`."""
        try:
            return os.listdir(path)
        except OSError as error:
            raise _translate(path, error) from error

    def makedirs(self, path: str) -> None:
        """See `Disk.makedirs`."""
        try:
            os.makedirs(path, exist_ok=True)
        except OSError as error:
            raise _translate(path, error) from error

    def rename(self, old: str, new: str) -> None:
        """See `Disk.rename`."""
        try:
            os.replace(old, new)
        except OSError as error:
            raise _translate(old, error) from error

    def remove(self, path: str) -> None:
        """See `Disk.remove`."""
        try:
            os.unlink(path)
        except FileNotFoundError:
            return
        except OSError as error:
            raise _translate(path, error) from error

    def remove_tree(self, path: str) -> None:
        """See `Disk.remove_tree`."""
        import shutil  # brings in the archive modules, which start-up does not need

        try:
            shutil.rmtree(path)
        except FileNotFoundError:
            return
        except OSError as error:
            raise _translate(path, error) from error

    def sync_volume(self, path: str) -> bool:
        """See `Disk.sync_volume`. Linux: syncfs(2), which reports failed writebacks since 5.8."""
        if sys.platform != "linux":
            return False
        import ctypes  # here, because a clean start needs none of it

        syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
        if syncfs is None:
            return False
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise _translate(path, error) from error
        try:
            if syncfs(fd) != 0:
                raise DiskSyncError(path, os.strerror(ctypes.get_errno()))
        finally:
            os.close(fd)
        return True

    def sync_dir(self, path: str) -> None:
        """See `Disk.sync_dir`. Any thread."""
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise MissingFileError(path, str(error)) from error
        except OSError as error:
            raise DiskSyncError(path, error.strerror or str(error)) from error
        try:
            os.fsync(fd)
        except OSError as error:
            raise DiskSyncError(path, error.strerror or str(error)) from error
        finally:
            os.close(fd)

    def sync_file(self, path: str) -> None:
        """See `Disk.sync_file`. Any thread."""
        try:
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise MissingFileError(path, str(error)) from error
        except OSError as error:
            raise DiskSyncError(path, error.strerror or str(error)) from error
        try:
            _sync_descriptor(fd)
        except OSError as error:
            raise DiskSyncError(path, error.strerror or str(error)) from error
        finally:
            os.close(fd)

    def lock(self, path: str) -> _OsLock:
        """See `Disk.lock`: an advisory lock that ends with the process, however it ends."""
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise _translate(path, error) from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(fd)
            raise DiskLockedError(path, "held by another process") from error
        except OSError as error:
            os.close(fd)
            raise _translate(path, error) from error
        return _OsLock(fd)

    def space(self, path: str) -> tuple[int, int]:
        """See `Disk.space`."""
        try:
            found = os.statvfs(path)
        except OSError as error:
            raise _translate(path, error) from error
        return found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize
