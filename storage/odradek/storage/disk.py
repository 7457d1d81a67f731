"""The port to a disk: what every part that stores something is given instead of `os`.

Decides: the operations, what they promise, and the three ways they fail. Does not decide what is stored
where.

Promises that the callers build on:
* `File.append` is all or nothing: when it raises `DiskFullError` the file is as it was before.
* Nothing written survives a power cut before `File.sync` returned, and no name (new, renamed, removed) before
  `Disk.sync_dir` of its directory returned. Survival without them is possible, in any part and in any order.
* After a failed sync nothing is known about what was written before it; a second sync that succeeds proves
  nothing (the kernel marks the pages clean). Whoever sees `DiskSyncError` gives the directory up.
* One thread uses a disk, except for `File.sync`, `Disk.sync_file` and `Disk.sync_dir`, which any thread may
  call at any time, also on a file that is being closed or whose directory is gone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

Buffer = bytes | bytearray | memoryview


class DiskError(Exception):
    """An operation on `path` failed; the state of the file is unknown unless a subclass says more."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class DiskFullError(DiskError):
    """Out of room or of descriptors: the operation had no effect and may succeed later."""


class DiskSyncError(DiskError):
    """What was written may be lost. Never sync again: go offline and recover from what the disk holds."""


class MissingFileError(DiskError):
    """There is no such file or directory."""


class DiskLockedError(DiskError):
    """Another process holds the lock."""


class Entry(NamedTuple):
    """One file as seen by `Disk.stat`: bytes, and ms since the epoch of the last write."""

    size: int
    modified_ms: int


class Syncable(Protocol):
    """Something that the flusher can make durable. Callable from any thread."""

    def sync(self) -> None:
        """Return when durable. Raises DiskSyncError."""


class File(Protocol):
    """A regular file. It may be closed behind the scenes and reopens itself when it is used."""

    path: str
    size: int

    def append(self, buffers: Sequence[Buffer]) -> int:
        """Write all buffers at the end; the new size. Buffers have items of one byte. Raises DiskError."""

    def pread(self, offset: int, length: int) -> bytes:
        """Bytes from `offset`, fewer than `length` only at the end of the file. Raises DiskError."""

    def pwrite(self, offset: int, data: Buffer) -> None:
        """Overwrite inside the file. Raises DiskError."""

    def truncate(self, size: int) -> None:
        """Cut the file to `size` bytes. Raises DiskError."""

    def sync(self) -> None:
        """Return when everything written so far is durable; also after `close`, unless the file is gone."""

    def close(self) -> None:
        """Give the descriptor back. Idempotent."""


class Lock(Protocol):
    """A directory held by this process."""

    def release(self) -> None:
        """Let others in. Idempotent."""


class Disk(Protocol):
    """A tree of files. Paths are strings, relative to the process or absolute, separated by '/'."""

    def open(self, path: str, *, create: bool = False) -> File:
        """The file at `path`, made if missing and `create`. Raises MissingFileError, DiskError."""

    def read(self, path: str) -> bytes:
        """The whole of a small file. Raises MissingFileError, DiskError."""

    def stat(self, path: str) -> Entry:
        """Raises MissingFileError, DiskError."""

    def exists(self, path: str) -> bool:
        """Whether there is a file or directory. Raises DiskError."""

    def listdir(self, path: str) -> list[str]:
        """Names in a directory, unordered. Raises MissingFileError, DiskError."""

    def makedirs(self, path: str) -> None:
        """Make the directory and its parents; it may exist. Raises DiskError."""

    def rename(self, old: str, new: str) -> None:
        """Atomic, replaces a file at `new`. Open files keep their old path: close them. DiskError."""

    def remove(self, path: str) -> None:
        """Remove a file; a missing one is fine. Raises DiskError."""

    def remove_tree(self, path: str) -> None:
        """Remove a directory with all it holds; a missing one is fine. Raises DiskError."""

    def sync_dir(self, path: str) -> None:
        """Make the names in `path` durable. Raises MissingFileError, DiskSyncError."""

    def sync_file(self, path: str) -> None:
        """Make the content of a file durable that is not open. Raises MissingFileError, DiskSyncError."""

    def sync_volume(self, path: str) -> bool:
        """Make everything durable that was written to the volume of `path`, also by processes that are gone.

        False where the system cannot do that and say how it went. Raises DiskSyncError.
        """

    def lock(self, path: str) -> Lock:
        """Take the lock file at `path` for this process. Raises DiskLockedError, DiskError."""

    def space(self, path: str) -> tuple[int, int]:
        """(total bytes, bytes free for this process) of the volume that holds `path`. Raises DiskError."""


def replace_file(disk: Disk, path: str, data: bytes, *, sync: bool = True) -> None:
    """Give `path` new content such that a crash leaves the old or the new. With `sync` it is durable on
    return.

    Without `sync`, a power cut can also leave the file missing or with any content. Raises DiskError.
    """
    temporary = f"{path}.tmp"
    disk.remove(temporary)
    file = disk.open(temporary, create=True)
    try:
        file.append([data])
        if sync:
            file.sync()
    finally:
        file.close()
    disk.rename(temporary, path)
    if sync:
        disk.sync_dir(path.rpartition("/")[0] or ".")
