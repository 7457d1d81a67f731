"""A disk in memory that loses, tears and fails on demand: the disk of tests and of the simulator.

Decides: what a power cut leaves behind. Two states are kept, what processes see and what is durable. `sync`
carries a file's bytes over, `sync_dir` the names of one directory (a synced file whose name was never
synced is lost: stricter than ext4). Name changes that are not synced survive in their order, or not:
`crash` keeps a prefix of them.

Faults, all of them set by plain attributes and methods:
* `fail_call(n)`: the nth call from now on fails, `calls` counts them; with `sticky` all later ones do as
  well. A failing append leaves half of its bytes behind; a failing sync loses what it should have kept, as
  Linux does (the pages are marked clean), although processes go on seeing it.
* `capacity`: bytes in all files together; an append beyond it raises DiskFullError.
* `flip_bit(path, position)`: bit rot, in both states.
* `begin(sync)`: a sync that takes time, and covers only what was written before it began.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from random import Random
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

_TAKES_ROOM: Final = frozenset({"append", "create", "makedirs"})
_PAGE: Final = 512
"""Unit in which unsynced bytes are torn."""
_NOTHING_REACHED_IT: Final = 5
"""The kind of end at which a file is as its last sync left it, truncations included; 4 is all of it."""


class _Node:
    """Content of a file, whatever its name. `stable`: how many leading bytes are the same in both states."""

    __slots__ = ("begun", "data", "durable", "modified_ms", "stable")

    def __init__(self) -> None:
        self.data = bytearray()
        self.durable = bytearray()
        self.stable = 0
        self.modified_ms = 0
        self.begun: list[_BegunSync] = []

    def changed_from(self, offset: int) -> None:
        """Bytes from `offset` on are others than they were."""
        self.stable = min(self.stable, offset)
        for sync in self.begun:
            if offset < sync.limit:
                sync.limit, sync.is_disturbed = offset, True

    def make_durable(self, lose: bool) -> None:
        """`lose`: nothing was written, so the disk has what it had there before, and nothing where nothing was."""
        if lose:
            del self.durable[len(self.data) :]
            self.durable += bytes(len(self.data) - len(self.durable))
        else:
            del self.durable[self.stable :]
            self.durable += memoryview(self.data)[self.stable :]
        self.stable = len(self.data)

    def after_crash(self, rng: Random | None) -> None:
        self.begun.clear()
        kind = _NOTHING_REACHED_IT if rng is None else rng.randrange(_NOTHING_REACHED_IT + 1)
        if rng is not None and kind != _NOTHING_REACHED_IT:
            tail = bytearray(memoryview(self.data)[self.stable :])
            if kind == 0:
                tail.clear()
            elif kind == 1:
                del tail[rng.randint(0, len(tail)) :]
            elif kind == 2:  # pages reach the disk in any order: some are zero
                for start in range(0, len(tail), _PAGE):
                    if rng.random() < 0.5:
                        size = min(_PAGE, len(tail) - start)
                        tail[start : start + size] = bytes(size)
            elif kind == 3 and tail:  # a page was being written
                start = rng.randrange(0, len(tail), _PAGE)
                size = min(_PAGE, len(tail) - start)
                tail[start : start + size] = rng.randbytes(size)
            del self.durable[self.stable :]
            self.durable += tail
        self.data = bytearray(self.durable)
        self.stable = len(self.data)


class _BegunSync:
    """A sync of one file that is under way; it carries over the bytes below `limit`."""

    __slots__ = ("_node", "is_disturbed", "limit")

    def __init__(self, node: _Node) -> None:
        self._node = node
        self.limit = len(node.data)
        self.is_disturbed = False
        node.begun.append(self)

    def complete(self) -> None:
        node = self._node
        if self not in node.begun:
            return  # the power was cut
        node.begun.remove(self)
        if self.is_disturbed:
            if self.limit > node.stable:
                node.durable[node.stable : self.limit] = node.data[node.stable : self.limit]
                node.stable = self.limit
        elif self.limit >= node.stable:
            del node.durable[node.stable :]
            node.durable += memoryview(node.data)[node.stable : self.limit]
            node.stable = self.limit


class MemoryFile:
    """A file of `MemoryDisk`."""

    __slots__ = ("_disk", "_node", "closed", "path")

    def __init__(self, disk: MemoryDisk, path: str, node: _Node) -> None:
        self._disk = disk
        self._node = node
        self.path = path
        self.closed = False

    @property
    def size(self) -> int:
        return len(self._node.data)

    @size.setter
    def size(self, value: int) -> None:
        raise AttributeError("the size follows from the content")

    def append(self, buffers: Sequence[Buffer]) -> int:
        """See `File.append`."""
        node = self._node
        data = b"".join(buffers)
        self._touch("append", lambda: node.data.extend(data[: len(data) // 2]))
        disk = self._disk
        if disk.capacity is not None and disk.used_bytes + len(data) > disk.capacity:
            raise DiskFullError(self.path, "no space left")
        node.data += data
        node.modified_ms = disk.now_ms
        return len(node.data)

    def pread(self, offset: int, length: int) -> bytes:
        """See `File.pread`."""
        self._touch("pread")
        return bytes(memoryview(self._node.data)[offset : offset + length])

    def pwrite(self, offset: int, data: Buffer) -> None:
        """See `File.pwrite`."""
        self._touch("pwrite")
        node = self._node
        assert offset + len(data) <= len(node.data), (
            f"{offset}+{len(data)} beyond {len(node.data)} in {self.path}"
        )
        node.data[offset : offset + len(data)] = data
        node.changed_from(offset)

    def truncate(self, size: int) -> None:
        """See `File.truncate`."""
        self._touch("truncate")
        node = self._node
        assert size <= len(node.data), f"truncating {self.path} of {len(node.data)} to {size}"
        del node.data[size:]
        node.changed_from(size)

    def sync(self) -> None:
        """See `File.sync`."""
        self._disk.sync_node(self.path, self._node)

    def close(self) -> None:
        """See `File.close`."""
        self.closed = True

    def _touch(self, operation: str, on_failure: Callable[[], None] | None = None) -> None:
        assert not self.closed, f"{self.path} is used after close"
        self._disk.count(operation, self.path, on_failure)


class _MemoryLock:
    __slots__ = ("_held", "_path")

    def __init__(self, held: set[str], path: str) -> None:
        self._held = held
        self._path = path

    def release(self) -> None:
        self._held.discard(self._path)


_Names = dict[str, _Node | None]
_Change = Callable[[_Names], None]


def _add_name(path: str, node: _Node | None, names: _Names) -> None:
    names[path] = node


def _move_name(old: str, new: str, names: _Names) -> None:
    for path in [path for path in names if path == old or path.startswith(f"{old}/")]:
        names[new + path[len(old) :]] = names.pop(path)


def _drop_name(path: str, names: _Names) -> None:
    for name in [name for name in names if name == path or name.startswith(f"{path}/")]:
        del names[name]


def _is_below(root: str, parents: frozenset[str]) -> bool:
    return any(parent == root or parent.startswith(f"{root}/") for parent in parents)


class MemoryDisk:
    """See the module. `now_ms` dates the files; set it as the test's time goes on."""

    def __init__(self, capacity: int | None = None) -> None:
        self.capacity = capacity
        self.calls = 0
        self.syncs = 0
        self.now_ms = 0
        self.log: list[str] | None = None  # operations with their paths, when set to a list
        self._fail_at: int | None = None
        self._sticky = False
        self._full = False
        self._locks: set[str] = set()
        # path -> content, None for a directory; and the same as a power cut would leave it
        self._names: _Names = {}
        self._durable: _Names = {}
        self._pending: list[tuple[frozenset[str], _Change]] = []
        self._moved: set[str] = set()  # directories that moved away or were removed, not durably yet
        self._begun: list[_BegunSync] | None = None

    # faults

    def fail_call(self, n: int, *, sticky: bool = False, full: bool = False) -> None:
        """The nth call from now (1: the next) raises DiskError, DiskSyncError when it is a sync.

        With `full` it raises DiskFullError without an effect, if it is a call that takes room.
        """
        self._fail_at = self.calls + n
        self._sticky = sticky
        self._full = full

    def heal(self) -> None:
        """No more failing calls."""
        self._fail_at = None

    def begin(self, sync: Callable[[], None]) -> Callable[[], None]:
        """Call `sync`, and have what it syncs become durable only when the returned callable is called.

        Names are durable at once. A crash in between leaves the bytes as a sync that never ended does. Raises what
        `sync` raises.
        """
        begun: list[_BegunSync] = []
        self._begun = begun
        try:
            sync()
        finally:
            self._begun = None

        def complete() -> None:
            for each in begun:
                each.complete()

        return complete

    def durable(self, path: str) -> bytes | None:
        """What a power cut would leave of a file for certain; None without a name that is sure to be there."""
        node = self._durable.get(path)
        return None if node is None else bytes(node.durable)

    def crash(self, rng: Random | None = None) -> None:
        """Cut the power. Without `rng` only what is durable is left; with it, any part of the rest too."""
        kept = 0 if rng is None else rng.randint(0, len(self._pending))
        for _, change in self._pending[:kept]:
            change(self._durable)
        self._pending.clear()
        self._moved.clear()
        self._names.clear()
        for path in sorted(self._durable):  # a directory comes before what it holds
            parent = path.rpartition("/")[0]
            if parent in ("", ".") or parent in self._names:
                node = self._names[path] = self._durable[path]
                if node is not None:
                    node.after_crash(rng)
        self._durable = dict(self._names)
        self._locks.clear()
        self.heal()

    def flip_bit(self, path: str, position: int, bit: int = 0) -> None:
        """Rot: also what was durable changes."""
        node = self._file(path)
        node.data[position] ^= 1 << bit
        if position < node.stable:
            node.durable[position] ^= 1 << bit

    def count(self, operation: str, path: str, on_failure: Callable[[], None] | None = None) -> None:
        """Note one call; raises when it is its turn to fail, after `on_failure`."""
        self.calls += 1
        if self.log is not None:
            self.log.append(f"{operation} {path}")
        failing = self._fail_at
        if failing is not None and (self.calls == failing or (self._sticky and self.calls > failing)):
            if self._full:
                if operation not in _TAKES_ROOM:
                    return
                raise DiskFullError(path, f"injected: no room for {operation}, call {self.calls}")
            if on_failure is not None:
                on_failure()
            kind = DiskSyncError if operation.startswith("sync") else DiskError
            raise kind(path, f"injected failure of {operation}, call {self.calls}")

    @property
    def used_bytes(self) -> int:
        return sum(len(node.data) for node in self._names.values() if node is not None)

    # the port

    def open(self, path: str, *, create: bool = False) -> MemoryFile:
        """See `Disk.open`."""
        node = self._names.get(path)
        self.count("create" if create and path not in self._names else "open", path)
        if node is None:
            if path in self._names:
                raise DiskError(path, "is a directory")
            if not create:
                raise MissingFileError(path, "no such file")
            self._require_parent(path)
            node = _Node()
            node.modified_ms = self.now_ms
            self._apply([path], partial(_add_name, path, node))
        return MemoryFile(self, path, node)

    def read(self, path: str) -> bytes:
        """See `Disk.read`."""
        self.count("read", path)
        return bytes(self._file(path).data)

    def stat(self, path: str) -> Entry:
        """See `Disk.stat`."""
        self.count("stat", path)
        node = self._file(path)
        return Entry(len(node.data), node.modified_ms)

    def exists(self, path: str) -> bool:
        """See `Disk.exists`."""
        self.count("exists", path)
        return path in self._names

    def listdir(self, path: str) -> list[str]:
        """See `Disk.listdir`."""
        self.count("listdir", path)
        self._require_directory(path)
        prefix = f"{path}/"
        skip = len(prefix)
        return [name[skip:] for name in self._names if name.startswith(prefix) and "/" not in name[skip:]]

    def makedirs(self, path: str) -> None:
        """See `Disk.makedirs`."""
        self.count("makedirs", path)
        parts = path.split("/")
        for depth in range(1, len(parts) + 1):
            name = "/".join(parts[:depth])
            if name and name not in self._names:
                self._apply([name], partial(_add_name, name, None))
            elif name and self._names[name] is not None:
                raise DiskError(path, "is a file")

    def rename(self, old: str, new: str) -> None:
        """See `Disk.rename`."""
        self.count("rename", old)
        if old not in self._names:
            raise MissingFileError(old, "no such file")
        self._require_parent(new)
        self._apply_to_tree(old, [old, new], partial(_move_name, old, new))

    def remove(self, path: str) -> None:
        """See `Disk.remove`."""
        self.count("remove", path)
        if path in self._names:
            self._apply([path], partial(_drop_name, path))

    def remove_tree(self, path: str) -> None:
        """See `Disk.remove_tree`."""
        self.count("remove_tree", path)
        if path in self._names:
            self._apply_to_tree(path, [path], partial(_drop_name, path))

    def sync_dir(self, path: str) -> None:
        """See `Disk.sync_dir`."""
        self.count("sync_dir", path)
        path = "" if path == "." else path
        self.syncs += 1
        self._require_directory(path)
        wanted = {path}
        if path in self._moved:
            # Directories are known by their names here. Where the one that had the name before is still to leave it,
            # it has to leave first, or it would get what is made durable now.
            wanted.add(path.rpartition("/")[0])
        self._moved = {moved for moved in self._moved if moved.rpartition("/")[0] not in wanted}
        left: list[tuple[frozenset[str], _Change]] = []
        for parents, change in self._pending:
            if wanted & parents:
                change(self._durable)
            else:
                left.append((parents, change))
        self._pending = left

    def sync_file(self, path: str) -> None:
        """See `Disk.sync_file`."""
        self.sync_node(path, self._file(path))

    def sync_volume(self, path: str) -> bool:
        """See `Disk.sync_volume`: all of this disk is one volume."""
        self.count("sync_volume", path)
        for name, node in list(self._names.items()):
            if node is not None:
                self.sync_node(name, node)
        for _, change in self._pending:
            change(self._durable)
        self._pending = []
        self._moved.clear()
        return True

    def lock(self, path: str) -> _MemoryLock:
        """See `Disk.lock`."""
        self.count("lock", path)
        if path in self._locks:
            raise DiskLockedError(path, "held by another process")
        self._locks.add(path)
        return _MemoryLock(self._locks, path)

    def space(self, path: str) -> tuple[int, int]:
        """See `Disk.space`."""
        self.count("space", path)
        total = self.capacity if self.capacity is not None else 1 << 40
        return total, total - self.used_bytes

    def sync_node(self, path: str, node: _Node) -> None:
        """Make the content of a file durable."""
        self.count("sync", path, lambda: node.make_durable(lose=True))
        self.syncs += 1
        if self._begun is not None:
            self._begun.append(_BegunSync(node))
        else:
            node.make_durable(lose=False)

    def _file(self, path: str) -> _Node:
        node = self._names.get(path)
        if node is None:
            raise MissingFileError(path, "no such file")
        return node

    def _require_directory(self, path: str) -> None:
        if path not in ("", ".") and (path not in self._names or self._names[path] is not None):
            raise MissingFileError(path, "no such directory")

    def _require_parent(self, path: str) -> None:
        self._require_directory(path.rpartition("/")[0])

    def _apply_to_tree(self, root: str, paths: Sequence[str], change: _Change) -> None:
        """A directory goes with what was changed in it before: that must not happen to a later one of its name."""
        if self._names[root] is None:
            self._moved.add(root)
        inner = [entry for entry in self._pending if _is_below(root, entry[0])]
        if inner:
            self._pending = [entry for entry in self._pending if not _is_below(root, entry[0])]
            for _, earlier in inner:
                self._pending.append((frozenset(path.rpartition("/")[0] for path in paths), earlier))
        self._apply(paths, change)

    def _apply(self, paths: Sequence[str], change: _Change) -> None:
        change(self._names)
        self._pending.append((frozenset(path.rpartition("/")[0] for path in paths), change))
