"""One entry of `log.dirs`: its checkpoints, its flusher, and whether it can still be trusted.

Decides: what is remembered about the logs in it that are not loaded, and when the checkpoint files are due.
Does not decide anything about a single log (`log`) or about several directories (`log_dirs`).

What the checkpoint files say of a log that is deleted must never be believed of a later one of the same name: it
is taken out of them before a log of such a name gets its directory, or at the next maintenance. One write
serves all names that were deleted meanwhile.

Invariants: once `error` is set it stays until the process ends, nothing in the directory is acknowledged or
answered again and nothing is synced again. `.kafka_cleanshutdown` is on disk only while no log is open.

A failed sync leaves a warning (`failed_sync`); where it is found, recovery writes all that it checks once more before
it syncs.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from odradek.proto.kafka.errors import ErrorCode
from odradek.storage.checkpoints import (
    CLEAN_SHUTDOWN,
    HIGH_WATERMARKS,
    LOG_START_OFFSETS,
    RECOVERY_POINTS,
    read_offsets,
    write_offsets,
)
from odradek.storage.disk import (
    Disk,
    DiskError,
    DiskFullError,
    DiskSyncError,
    Lock,
    MissingFileError,
    replace_file,
)
from odradek.storage.failed_sync import is_warned, leave_warning, lift_warning
from odradek.storage.flusher import LogFlusher
from odradek.storage.log_config import LogConfig
from odradek.storage.segment import CorruptSegmentError

if TYPE_CHECKING:
    from odradek.storage.log import PartitionLog

logger = logging.getLogger(__name__)

LOCK_FILE: Final = ".lock"
CHECKED_BYTES: Final = 64 << 20  # half a second when batches are small
DELETE_SUFFIX: Final = "-delete"
STRAY_SUFFIX: Final = "-stray"
FUTURE_SUFFIX: Final = "-future"
MOVED: Final = ".odradek-moved"
"""In the copy of a log that holds everything: it may become the log once that is gone. See `future_log`."""
CHECKPOINT_BYTES: Final = 64 * 1024 * 1024
"""Appended bytes that make new recovery points due: what a start after `kill -9` may have to scan."""
CHECKPOINT_INTERVAL_MS: Final = 60_000
RETRY_MS: Final = 1000
"""After which a checkpoint that found the disk full is tried again."""
MANY_LOGS: Final = 64
"""Loaded logs from which on a clean end syncs the volume once instead of each file."""
_MAX_NAME: Final = 255


class LogDir:
    """See the module. Partition names are those of their directories, `topic-3`."""

    def __init__(self, disk: Disk, path: str, schedule: Callable[[PartitionLog, int], None]) -> None:
        self.disk = disk
        self.path = path
        self.schedule = schedule
        """Asks for `log.run_maintenance` at a time (ms)."""
        self.flusher: LogFlusher  # set by LogDirs, which chooses the kind
        self.error: DiskError | None = None
        self.on_failure: Callable[[LogDir, DiskError], None] | None = None
        self.names: set[str] = set()
        self.moved: list[str] = []
        """Complete copies that a process left which ended before they became logs."""
        self.is_unknown = False
        """Whether it failed before `names` were known: any log may be in it."""
        self.log_count = 0
        self.clean_names: set[str] = set()
        """Logs that were closed cleanly and have not been touched since."""
        self.suspects: set[str] = set()
        """Logs that may be in the page cache alone, until they are loaded."""
        self.is_synced = False
        """Whether everything that was here at the start is durable."""
        self.unchecked_bytes = CHECKED_BYTES
        """So many are still looked at for rot below the recovery points."""
        self.recovery_points: dict[str, int] = {}
        self.log_start_offsets: dict[str, int] = {}
        self.high_watermarks: dict[str, int] = {}
        self.removals: list[tuple[int, str]] = []
        self.retention_check_interval_ms = 300_000
        self.producer_expiration_ms = 86_400_000
        self._lock: Lock | None = None
        self._changed: dict[PartitionLog, None] = {}
        self._changed_bytes = 0
        self._start_offsets_due_ms: int | None = None
        self._stale_names: set[str] = set()
        """Logs that are gone, and still in the checkpoint files."""
        self._saved_ms = 0

    def open(self, now_ms: int) -> None:
        """Lock the directory and read what is known about its logs; looks into none. Raises DiskError."""
        disk = self.disk
        self._create()
        self._lock = disk.lock(f"{self.path}/{LOCK_FILE}")
        for name in disk.listdir(self.path):
            if name.endswith(FUTURE_SUFFIX) and disk.exists(f"{self.path}/{name}/{MOVED}"):
                self.moved.append(name)
            elif name.endswith((DELETE_SUFFIX, FUTURE_SUFFIX)):
                self.removals.append((now_ms, f"{self.path}/{name}"))
            elif name.rpartition("-")[2].isdecimal():
                self.names.add(name)
        self.recovery_points = read_offsets(disk, f"{self.path}/{RECOVERY_POINTS}")
        self.log_start_offsets = read_offsets(disk, f"{self.path}/{LOG_START_OFFSETS}")
        self.high_watermarks = read_offsets(disk, f"{self.path}/{HIGH_WATERMARKS}")
        known = self.names.union(map(moved_name, self.moved))
        for gone in {*self.recovery_points, *self.log_start_offsets, *self.high_watermarks} - known:
            self._forget_offsets(gone)  # killed between the deletion and the write of the checkpoints
        self._saved_ms = now_ms
        marker = f"{self.path}/{CLEAN_SHUTDOWN}"
        if disk.exists(marker):
            self.clean_names = set(self.names)
            disk.remove(marker)
        if is_warned(disk, self.path):
            self.suspects = set(self.names)
        disk.sync_dir(self.path)  # for the mark's removal, and for what a killed process has made
        if self.names and not self.clean_names and not self.suspects:
            # A killed process leaves what it wrote in the page cache alone: once for all logs, not log by log.
            self.is_synced = disk.sync_volume(self.path)

    def _create(self) -> None:
        """Make the directory, durably, with whatever is missing above it."""
        missing = []
        path = self.path
        while path and not self.disk.exists(path):
            missing.append(path)
            path = path.rpartition("/")[0]
        if missing:
            self.disk.makedirs(self.path)
        for made in missing:
            self.disk.sync_dir(made.rpartition("/")[0] or ("/" if made.startswith("/") else "."))

    def fail(self, error: DiskError) -> None:
        """Take the directory offline. Idempotent."""
        if self.error is None:
            self.error = error
            if isinstance(error, DiskSyncError):
                leave_warning(self.disk, self.path)
            if self.on_failure is not None:
                self.on_failure(self, error)

    def on_error(self, error: DiskError) -> ErrorCode:
        """What an error of one log means for its caller: damage concerns the log alone, a full disk passes."""
        if isinstance(error, CorruptSegmentError):
            logger.error("%s", error)
            return ErrorCode.CORRUPT_MESSAGE
        if not isinstance(error, DiskFullError):
            self.fail(error)
        return ErrorCode.KAFKA_STORAGE_ERROR

    # what logs report

    def on_appended(self, log: PartitionLog, size: int) -> None:
        """`log` grew since its last checkpoint."""
        self._changed[log] = None
        self._changed_bytes += size

    def on_log_start_offset(self, name: str, offset: int) -> None:
        """The start of a log moved; on disk at the next maintenance."""
        self.log_start_offsets[name] = offset
        if self._start_offsets_due_ms is None:
            self._start_offsets_due_ms = 0

    def on_truncated(self, name: str, end_offset: int) -> None:
        """A log got shorter: what is appended now must be checked after a crash. Raises DiskError."""
        if self.recovery_points.get(name, 0) > end_offset:
            self.recovery_points[name] = end_offset
            write_offsets(self.disk, f"{self.path}/{RECOVERY_POINTS}", self.recovery_points)

    def forget(self, name: str, log: PartitionLog | None) -> None:
        """The log of that name is deleted, or was another topic's; the checkpoint files follow soon."""
        if log is not None:
            self._changed.pop(log, None)
        self.names.discard(name)
        self.suspects.discard(name)
        self.clean_names.discard(name)
        self._forget_offsets(name)

    def _forget_offsets(self, name: str) -> None:
        for offsets in (self.recovery_points, self.log_start_offsets, self.high_watermarks):
            if offsets.pop(name, None) is not None:
                self._stale_names.add(name)

    def before_directory(self, name: str) -> None:
        """A log is about to get its directory: no older one of that name is in the checkpoints. DiskError."""
        if name in self._stale_names:
            self._drop_stale()

    def _drop_stale(self) -> None:
        self._write_all()
        self._write_start_offsets()
        self._stale_names.clear()

    def expect(self, name: str, end_offset: int, log_start_offset: int, high_watermark: int) -> None:
        """The log `name` is about to come here, durable up to its end; the checkpoints know it. Raises DiskError."""
        self.recovery_points[name] = end_offset
        self.log_start_offsets[name] = log_start_offset
        if high_watermark >= 0:
            self.high_watermarks[name] = high_watermark
        self._drop_stale()

    def adopt(self, directory: str) -> None:
        """A complete copy becomes the log, durably. Raises DiskError."""
        name = moved_name(directory)
        self.disk.rename(f"{self.path}/{directory}", f"{self.path}/{name}")
        self.disk.sync_dir(self.path)
        self.names.add(name)
        self.disk.remove(f"{self.path}/{name}/{MOVED}")

    def refuse(self, directory: str, now_ms: int) -> None:
        """A complete copy is not needed: the log is where it was. It is removed soon. Raises DiskError."""
        name = moved_name(directory)
        if name not in self.names:
            self._forget_offsets(name)
        self.unmark(directory)
        self.remove_later(now_ms, f"{self.path}/{directory}")

    def unmark(self, directory: str) -> None:
        """The copy in `directory` is none any more, not even after a power cut. Raises DiskError."""
        mark = f"{self.path}/{directory}/{MOVED}"
        if self.disk.exists(mark):
            self.disk.remove(mark)
            self.disk.sync_dir(f"{self.path}/{directory}")

    def move_away(self, name: str, unique: str, suffix: str) -> str:
        """Rename a partition's directory so that no log has it any more; the new path. Raises DiskError."""
        ending = f".{unique}{suffix}"
        topic, _, partition = name.rpartition("-")
        keep = _MAX_NAME - len(ending) - len(partition) - 1
        moved = f"{self.path}/{topic[:keep]}-{partition}{ending}"
        if self.disk.exists(moved):
            self.disk.remove_tree(moved)
        self.disk.rename(f"{self.path}/{name}", moved)
        return moved

    def discard(self, name: str, unique: str, due_ms: int, log: PartitionLog | None = None) -> None:
        """The log of that name is deleted: renamed now, if it has a directory, and removed at `due_ms`. DiskError."""
        try:
            if name in self.names and self.error is None:
                self.remove_later(due_ms, self.move_away(name, unique, DELETE_SUFFIX))
        finally:
            self.forget(name, log)

    def next_deadline_ms(self, never: int) -> int:
        """When `run_maintenance` has something to do."""
        due = self.removals[0][0] if self.removals else never
        if self._start_offsets_due_ms is not None:
            due = min(due, self._start_offsets_due_ms)
        if self._changed_bytes >= CHECKPOINT_BYTES:
            due = min(due, self._saved_ms + CHECKPOINT_INTERVAL_MS)
        return due

    def run_maintenance(self, now_ms: int, budget: int) -> None:
        """Remove up to `budget` files or directories, and write the checkpoints that are due. DiskError."""
        # Removals first: where the disk is full, they make the room that the checkpoints need.
        while self.removals and self.removals[0][0] <= now_ms and budget:
            _, path = self.removals.pop(0)
            budget -= 1
            if path.rpartition("/")[2].endswith((DELETE_SUFFIX, FUTURE_SUFFIX)):
                self.disk.remove_tree(path)
            else:
                self.disk.remove(path)
        if self._start_offsets_due_ms is not None and self._start_offsets_due_ms <= now_ms:
            # A full disk must neither lose this nor make it spin.
            self._start_offsets_due_ms = now_ms + RETRY_MS
            self._write_start_offsets()
        if self._stale_names:
            self._drop_stale()
        if self._changed_bytes >= CHECKPOINT_BYTES and now_ms >= self._saved_ms + CHECKPOINT_INTERVAL_MS:
            self._saved_ms = now_ms
            self.save_recovery_points()

    def remove_later(self, due_ms: int, path: str) -> None:
        """Remove a file or directory that nothing uses any more."""
        self.removals.append((due_ms, path))
        if len(self.removals) > 1 and self.removals[-2][0] > due_ms:
            self.removals.sort()

    def save_recovery_points(self) -> None:
        """Recovery points and high watermarks of the logs that changed, and the files. Raises DiskError."""
        for log in self._changed:
            log.checkpoint()
            self._remember(log, log.flushed_offset)
        self._write_all()
        self._changed.clear()
        self._changed_bytes = 0

    def _remember(self, log: PartitionLog, flushed_offset: int) -> None:
        self.recovery_points[log.name] = flushed_offset
        self.log_start_offsets[log.name] = log.log_start_offset
        if log.high_watermark >= 0:
            self.high_watermarks[log.name] = log.high_watermark

    def _write_start_offsets(self) -> None:
        write_offsets(self.disk, f"{self.path}/{LOG_START_OFFSETS}", self.log_start_offsets)
        self._start_offsets_due_ms = None

    def _write_all(self) -> None:
        write_offsets(self.disk, f"{self.path}/{RECOVERY_POINTS}", self.recovery_points)
        write_offsets(self.disk, f"{self.path}/{HIGH_WATERMARKS}", self.high_watermarks)

    def close(self, logs: Sequence[PartitionLog]) -> None:
        """Flush and close the logs, write the checkpoints and the mark of a clean end. Raises DiskError.

        DiskFullError: all logs are closed and flushed, but the end is not a clean one.
        """
        is_many = False
        full: DiskFullError | None = None
        try:
            if self.error is None:
                loaded = sum(log.is_loaded for log in logs)
                # Many logs are made durable together: most of it now, while their last files are still to come.
                is_many = loaded > MANY_LOGS and self.disk.sync_volume(self.path)
                for log in logs:
                    try:
                        log.close(submit=not is_many)
                    except DiskFullError as error:
                        full = full or error
        finally:
            self.flusher.close()
        if self.error is None and not self.flusher.failed:
            if is_many:
                self.disk.sync_volume(self.path)
            if full is not None:
                raise full
            for log in logs:
                if log.is_loaded:
                    self._remember(log, log.log_end_offset)
            self._write_all()
            self._write_start_offsets()
            if not self.suspects:
                lift_warning(self.disk, self.path)
                replace_file(self.disk, f"{self.path}/{CLEAN_SHUTDOWN}", b"")
        self.release_lock()

    def release_lock(self) -> None:
        """Let other processes have the directory. Idempotent."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def partition_size(self, name: str) -> int:
        """Bytes in the data files of a log that need not be loaded. Raises DiskError."""
        return self.partition_age(name)[1]

    def may_have_expired(self, name: str, config: LogConfig, now_ms: int) -> bool:
        """Whether retention may want something of a log that is not loaded, by its files. DiskError."""
        if not config.is_deleted or (config.retention_ms < 0 and config.retention_bytes < 0):
            return False
        oldest_ms, size = self.partition_age(name)
        is_old = 0 <= config.retention_ms < now_ms - oldest_ms
        return size > 0 and (is_old or 0 <= config.retention_bytes < size)

    def partition_age(self, name: str) -> tuple[int, int]:
        """(ms of the oldest segment's last write, bytes of all) of a log that is not loaded. DiskError."""
        path = f"{self.path}/{name}"
        try:
            files = self.disk.listdir(path) if name in self.names else []
        except MissingFileError:
            return 0, 0
        found = [self.disk.stat(f"{path}/{file}") for file in sorted(files) if file.endswith(".log")]
        return (found[0].modified_ms if found else 0), sum(entry.size for entry in found)


def moved_name(directory: str) -> str:
    """The log whose copy is in `directory`."""
    return directory.rpartition(".")[0]
