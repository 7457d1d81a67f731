"""A log on its way to another log directory: the copy that becomes the log once it holds everything.

Decides: what is copied when, and when the copy is complete. Does not decide who steps it or how fast (the caller), nor
how the two change places (`log_dirs`).

The files of the log are copied byte by byte into `topic-partition.<unique>-future`, as Kafka names it, while the log is
written and read as before: closed segments, then the active one, again and again as it grows. The copies are synced by
the flusher of their directory. When little is missing, `complete` takes the rest in one go, with what a clean end
writes beside the segments (indexes, leader epochs, producers), and leaves a mark that all is there and durable. That
blocks for about ten small syncs.

Invariants: the copy of a segment is a prefix of it; a copy without the mark is worth nothing, and is removed at the
next start; while the log exists, the mark says nothing either (see `log_dirs.LogDirs.start`). A log that was truncated
is copied anew; segments that retention has dropped go from the copy too.

Source: KIP-113; Kafka's ReplicaAlterLogDirsThread copies records instead.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from odradek.storage.checkpoints import LEADER_EPOCHS, PARTITION_METADATA, encode_partition_metadata
from odradek.storage.disk import DiskError, File, MissingFileError, replace_file
from odradek.storage.flusher import NameSync
from odradek.storage.local_log import LocalLog
from odradek.storage.log import PartitionLog
from odradek.storage.log_dir import FUTURE_SUFFIX, MOVED, LogDir
from odradek.storage.recovery import SEGMENT_FILES
from odradek.storage.segment import Segment, segment_name

NAME_MAX: Final = 255
TAIL_BYTES_MAX: Final = 256 * 1024
"""What may be missing when `complete` is called."""
_CHUNK_BYTES: Final = 256 * 1024
_SYNCED_FILES: Final = (".snapshot", LEADER_EPOCHS)


class SourceGoneError(Exception):
    """The log that was being copied was deleted, or its directory has failed."""


def future_name(name: str, unique: str) -> str:
    """Directory of the copy of the log `name`."""
    return f"{name}.{unique}{FUTURE_SUFFIX}"


class FutureLog:
    """See the module. All calls come from the loop thread."""

    def __init__(self, source: PartitionLog, target: LogDir, unique: str) -> None:
        self.source = source
        self.target = target
        self.directory = future_name(source.name, unique)
        self.path = f"{target.path}/{self.directory}"
        self.is_over = False
        """Whether it was given up, or has become the log."""
        self.on_synced: Callable[[], None] | None = None
        """Hears that everything submitted is durable, and that it is over."""
        self._disk = target.disk
        self._sizes: dict[int, int] = {}  # bytes copied, by the base offset of the segment
        self._file: File | None = None  # of the segment that is being copied
        self._generation = -1
        self._caught_up_at = 0  # where the log ended when the copy had all of it
        self._total = 0
        self._submitted = 0
        self._synced = 0
        self._attempt = 0
        self._is_completing = False

    # what there is

    @property
    def size_bytes(self) -> int:
        """Bytes copied of the segments that are still there."""
        return sum(self._sizes.values())

    @property
    def is_synced(self) -> bool:
        """Everything that was copied is durable."""
        return self._synced == self._total

    def is_ready(self) -> bool:
        """Whether little is missing, and the rest is durable. Raises SourceGoneError, DiskError."""
        local = self._local()
        is_current = self.is_synced and local.generation == self._generation
        return is_current and self.lag_bytes() <= TAIL_BYTES_MAX

    def lag_bytes(self) -> int:
        """Bytes not copied yet. Raises SourceGoneError, DiskError."""
        segments = self._local().segments
        return sum(segment.size - self._sizes.get(segment.base_offset, 0) for segment in segments)

    def offset_lag(self) -> int:
        """Records not copied yet, about; 0 where the log is gone. Raises DiskError."""
        local = None if self.is_over else self.source.load()
        if local is None:
            return 0
        for segment in local.segments:
            copied = self._sizes.get(segment.base_offset, 0)
            if copied < segment.size:
                records = segment.next_offset - segment.base_offset
                reached = segment.base_offset + records * copied // segment.size
                return local.end_offset - max(reached, self._caught_up_at)
        return 0

    # copying

    def step(self, budget: int) -> int:
        """Copy up to `budget` bytes more; how many it were. Raises SourceGoneError, DiskError."""
        local = self._local()
        if local.generation != self._generation:
            self._begin_anew(local)
        self._drop_what_retention_dropped(local)
        copied = 0
        for segment in local.segments:
            copied += self._copy(segment, budget - copied)
            if copied >= budget:
                break
        self._total += copied
        if copied < budget:
            self._caught_up_at = local.end_offset
        return copied

    def _local(self) -> LocalLog:
        local = self.source.load()
        if local is None or self.is_over:
            raise SourceGoneError(self.source.name)
        return local

    def _begin_anew(self, local: LocalLog) -> None:
        self._let_go()
        self._disk.remove_tree(self.path)
        self._disk.makedirs(self.path)
        self._sizes.clear()
        self._caught_up_at = 0
        self._generation = local.generation
        self._attempt += 1

    def _drop_what_retention_dropped(self, local: LocalLog) -> None:
        first = local.segments[0].base_offset
        for base in [base for base in self._sizes if base < first]:
            self._close()
            del self._sizes[base]
            self._disk.remove(f"{self.path}/{segment_name(base)}.log")

    def _copy(self, segment: Segment, budget: int) -> int:
        base, size = segment.base_offset, segment.size
        done = self._sizes.get(base, -1)
        if done == size or budget <= 0:
            return 0
        path = f"{self.path}/{segment_name(base)}.log"
        if self._file is None or self._file.path != path:
            self._close()
            self._file = self._disk.open(path, create=True)
        begun = done = max(done, 0)
        if not size:  # its file may not be there yet
            self._sizes[base] = 0
            return 0
        source = self._disk.open(segment.log_path)
        try:
            while done < size and done - begun < budget:
                data = source.pread(done, min(_CHUNK_BYTES, size - done, budget - done + begun))
                if not data:
                    raise DiskError(segment.log_path, f"ends at {done} of {size} bytes")
                self._file.append((data,))
                done += len(data)
        finally:
            source.close()
            self._sizes[base] = done
        return done - begun

    def _close(self) -> None:
        """The segment that was being copied is whole: it is synced, and closed."""
        if self._file is not None:
            if self._is_completing:
                self._file.sync()
            else:
                self.target.flusher.submit(self, self._submitted, self._attempt, self._file)
        self._let_go()

    def _let_go(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    # syncing

    def submit(self) -> None:
        """Have what was copied made durable; `on_synced` is told."""
        self._submitted = self._total
        names = NameSync(self._disk, self.path, is_directory=True)
        self.target.flusher.submit(self, self._total, self._attempt, self._file or names)

    def on_flushed(self, end_offset: int, generation: int) -> None:
        """See `FlushedLog.on_flushed`."""
        if generation == self._attempt and end_offset > self._synced:
            self._synced = end_offset
        if self.on_synced is not None and self._synced >= self._submitted:
            self.on_synced()

    # the end

    def complete(self) -> None:
        """Everything is here, durable and marked. Only where it `is_ready`.

        Raises SourceGoneError, DiskError; the log goes on as before then, unless the error is its own.
        """
        assert self.is_ready(), f"{self.path}: {self._total - self._synced} bytes may be lost"
        self._is_completing = True
        self.source.close(submit=False)
        self.step(self.lag_bytes() + 1)
        assert self.lag_bytes() == 0, f"{self.path}: {self.lag_bytes()} bytes behind"
        self._close()
        disk, source = self._disk, self.source.path
        for name in self._files(source):
            if not name.endswith(".log") and name.endswith((*SEGMENT_FILES, *_SYNCED_FILES)):
                self._copy_small(f"{source}/{name}", f"{self.path}/{name}", sync=name.endswith(_SYNCED_FILES))
        metadata = encode_partition_metadata(self.source.topic_id)
        replace_file(disk, f"{self.path}/{PARTITION_METADATA}", metadata, sync=False)
        disk.sync_file(f"{self.path}/{PARTITION_METADATA}")
        replace_file(disk, f"{self.path}/{MOVED}", b"")

    def _files(self, directory: str) -> list[str]:
        try:
            return self._disk.listdir(directory)
        except MissingFileError:  # a log that was opened and never written
            return []

    def _copy_small(self, source: str, target: str, *, sync: bool) -> None:
        try:
            data = self._disk.read(source)
        except MissingFileError:
            return
        file = self._disk.open(target, create=True)
        try:
            file.truncate(0)
            file.append((data,))
            if sync:
                file.sync()
        finally:
            file.close()

    def give_up(self) -> None:
        """Nothing is copied any more, and what was is removed soon. Raises DiskError."""
        self.stop()
        self.target.unmark(self.directory)
        self.target.remove_later(0, self.path)

    def stop(self) -> None:
        """Nothing more is copied; what is there is the caller's. `on_synced` hears it too. Idempotent."""
        self.is_over = True
        heard, self.on_synced = self.on_synced, None
        self._let_go()
        if heard is not None:
            heard()
