"""All log directories of a node, and the logs in them.

Decides: in which directory a new log goes, which log has a name now, and which logs are looked after when.
Does not decide anything inside a log (`log`) nor when it is called: the caller owns the timer and asks
`next_deadline_ms`.

A directory that could not be opened at the start may hold any partition: while there is one, a partition that no
other directory has is offline rather than made anew, empty, somewhere else, unless the caller knows that it is new.

Nothing here grows with the number of partitions except what each one needs: opening a node lists each
directory once, opening a log makes one object, and maintenance touches only logs that are due. Logs that
were not used since the node started have no deadline; a cursor over the names on disk visits a few of them per
call, so that old data also goes from partitions nobody touches.

Invariants: one log object per topic and partition; a log that belonged to another topic id is moved aside
before one with the new id is loaded, so a recreated topic never sees old records. Source: Kafka's
LogManager; KIP-112.
"""

from __future__ import annotations

import heapq
import itertools
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from odradek.storage.disk import Disk, DiskError, DiskFullError, DiskLockedError
from odradek.storage.flusher import FlusherFactory, Post, ThreadFlusher
from odradek.storage.future_log import FutureLog
from odradek.storage.log import PartitionLog
from odradek.storage.log_config import LogConfig
from odradek.storage.log_dir import LogDir, moved_name
from odradek.storage.retention import NEVER

log = logging.getLogger(__name__)

_REMOVALS_PER_CALL: Final = 64
_VISIT_INTERVAL_MS: Final = 1000
_VISITS_PER_CYCLE: Final = 300
"""All logs that are not loaded are visited in about this many intervals."""
_MIN_VISITS: Final = 4


class DescribedDir(NamedTuple):
    """One log directory for DescribeLogDirs: bytes, and `(topic, partition, bytes)` of its logs. `futures` are the
    logs that are being moved here: `(topic, partition, bytes, records that are missing)`."""

    path: str
    online: bool
    total_bytes: int
    usable_bytes: int
    partitions: list[tuple[str, int, int]]
    futures: Sequence[tuple[str, int, int, int]] = ()


class LogDirs:
    """See the module. All calls come from the loop thread."""

    def __init__(
        self,
        disk: Disk,
        paths: Sequence[str],
        post: Post,
        *,
        flusher: FlusherFactory = ThreadFlusher,
        on_log_dir_failure: Callable[[LogDir, DiskError], None] | None = None,
        retention_check_interval_ms: int = 300_000,
        producer_expiration_ms: int = 86_400_000,
    ) -> None:
        """`post` runs a callable on the loop thread soon; `on_log_dir_failure` is called once a directory."""
        assert paths, "a node without a log directory"
        self._disk = disk
        self._on_log_dir_failure = on_log_dir_failure
        self.on_deadline: Callable[[int], None] | None = None
        """Hears of every deadline (ms) earlier than all before it."""
        self.find: Callable[[str, int], PartitionLog | None] | None = None
        """Opens the log of a topic and partition that is on disk, with its id and config; None for an unknown one."""
        self._logs: dict[tuple[str, int], PartitionLog] = {}
        self._futures: dict[tuple[str, int], FutureLog] = {}
        self._due: list[tuple[int, int, PartitionLog]] = []
        self._due_ms: dict[PartitionLog, list[int]] = {}
        """Times at which a log is in `_due`, the earliest last."""
        self._order = itertools.count()
        self._next_visit_ms = NEVER
        self._visits: Iterator[tuple[LogDir, str]] = iter(())
        self.dirs = [LogDir(disk, path, self._schedule) for path in paths]
        for home in self.dirs:
            home.retention_check_interval_ms = retention_check_interval_ms
            home.producer_expiration_ms = producer_expiration_ms
            home.on_failure = self._failed
            home.flusher = flusher(home.path, post, home.fail)

    # life

    def start(self, now_ms: int) -> None:
        """Take the directories. DiskLockedError if another process has one; a broken one goes offline."""
        for home in self.dirs:
            try:
                home.open(now_ms)
            except DiskLockedError:
                self.release_locks()
                raise
            except DiskError as error:
                home.is_unknown = True
                home.fail(error)
        for home in self.dirs:
            self._settle_moves(home, now_ms)
        self._next_visit_ms = now_ms + _VISIT_INTERVAL_MS

    def _settle_moves(self, home: LogDir, now_ms: int) -> None:
        """A complete copy becomes the log where that is gone; see `finish_move`."""
        try:
            for directory in home.moved:
                name = moved_name(directory)
                if any(name in other.names for other in self.dirs):
                    home.refuse(directory, now_ms)
                elif not any(other.is_unknown for other in self.dirs):
                    log.info("%s was moved to %s when the last process ended", name, home.path)
                    home.adopt(directory)
                # Otherwise the log may be in the directory that cannot be read now: a later start decides.
        except DiskError as error:
            home.fail(error)

    def release_locks(self) -> None:
        """Let go of the directories without closing anything: for a start that failed."""
        for home in self.dirs:
            home.release_lock()

    def close(self) -> None:
        """Flush and close every log, and leave the marks of a clean end."""
        for future in self._futures.values():
            future.stop()
        self._futures.clear()
        for home in self.dirs:
            try:
                home.close([entry for entry in self._logs.values() if entry.home is home])
            except DiskFullError as error:
                log.warning("no clean end of %s: %s", home.path, error)
            except DiskError as error:
                home.fail(error)
            home.release_lock()
        self._logs.clear()
        self._due.clear()
        self._due_ms.clear()

    def _failed(self, home: LogDir, error: DiskError) -> None:
        log.error("log directory %s is offline: %s", home.path, error)
        for key, future in list(self._futures.items()):
            if home is future.target or home is future.source.home:
                del self._futures[key]
                future.stop()
        if self._on_log_dir_failure is not None:
            self._on_log_dir_failure(home, error)

    # logs

    def __len__(self) -> int:
        return len(self._logs)

    def get(self, topic: str, partition: int) -> PartitionLog | None:
        """The log, if it was opened."""
        return self._logs.get((topic, partition))

    def on_disk(self) -> list[tuple[str, int]]:
        """Topic and partition of every log that has a directory, opened or not."""
        return [_key(name) for home in self.dirs if home.error is None for name in home.names]

    def where(self, topic: str, partition: int) -> tuple[str, bool] | None:
        """The path of the directory of a log that was opened or is on disk, and whether it is on disk."""
        found = self._logs.get((topic, partition))
        if found is not None:
            return found.home.path, not found.is_blank
        home = self._home_of(f"{topic}-{partition}")
        return None if home is None else (home.path, True)

    def logs_in(self, home: LogDir) -> list[PartitionLog]:
        """Every opened log of a directory."""
        return [entry for entry in self._logs.values() if entry.home is home]

    def open(
        self,
        topic: str,
        partition: int,
        topic_id: bytes,
        config: LogConfig,
        path: str | None = None,
        *,
        is_new: bool = False,
    ) -> PartitionLog:
        """The log of a partition, found or new; it loads at its first use.

        A new one goes to the log directory `path`, or to the one with the fewest logs. A log of another
        topic id that has the name gives way. Unless `is_new` says that the partition never had records here, one
        that is not found while a directory's names are unknown is offline, for it may be there.
        """
        key = (topic, partition)
        found = self._logs.get(key)
        if found is not None:
            if found.topic_id == topic_id:
                return found
            self.delete(topic, partition, 0)
        name = f"{topic}-{partition}"
        home = self._home_of(name)
        if home is None:
            unknown = None if is_new else next((home for home in self.dirs if home.is_unknown), None)
            home = unknown or self._choose(path)
        opened = PartitionLog(home, topic, partition, topic_id, config)
        home.log_count += 1
        self._logs[key] = opened
        return opened

    def _home_of(self, name: str) -> LogDir | None:
        """The directory that has the log, None if there is none; of several the online one with the most bytes."""
        homes = [home for home in self.dirs if name in home.names]
        if len(homes) < 2:
            return homes[0] if homes else None
        sizes = {}
        for home in homes:
            try:
                sizes[home] = -1 if home.error is not None else home.partition_size(name)
            except DiskError as error:
                home.fail(error)
                sizes[home] = -1
        chosen = max(homes, key=lambda home: sizes[home])
        paths = ", ".join(f"{home.path} ({sizes[home]} bytes)" for home in homes)
        log.error("%s is in several log directories, %s: only that in %s is used", name, paths, chosen.path)
        return chosen

    def _choose(self, path: str | None) -> LogDir:
        for home in self.dirs:
            if home.path == path:
                return home
        online = [home for home in self.dirs if home.error is None]
        return min(online or self.dirs, key=lambda home: home.log_count)

    def last_high_watermark(self, topic: str, partition: int) -> int:
        """What the last checkpoint knows of a log, for whoever must not load it; -1 for nothing.

        One that is nowhere on disk was never written.
        """
        name = f"{topic}-{partition}"
        is_known = True
        for home in self.dirs:
            if name in home.names:
                return home.high_watermarks.get(name, -1)
            is_known &= not home.is_unknown
        return 0 if is_known else -1

    def delete(self, topic: str, partition: int, now_ms: int = 0) -> None:
        """The partition is no longer here: its directory is renamed now, and removed some time later."""
        found = self._logs.pop((topic, partition), None)
        self.cancel_move(topic, partition)
        name = f"{topic}-{partition}"
        home = found.home if found is not None else self._home_of(name)
        if home is None:
            return
        unique = "0" * 32
        delay_ms = 60_000
        if found is not None:
            found.release()
            self._due_ms.pop(found, None)
            home.log_count -= 1
            unique = found.topic_id.hex()
            delay_ms = found.config.file_delete_delay_ms
        try:
            home.discard(name, unique, now_ms + delay_ms, found)
        except DiskError as error:
            home.fail(error)

    def describe(self, wanted: Iterable[tuple[str, int]] | None = None) -> list[DescribedDir]:
        """Every directory, with the logs asked for (None: all); looks at the files of logs not loaded.

        Logs on disk are there whether they were opened or not.
        """
        keys = set(wanted) if wanted is not None else None
        described = []
        for home in self.dirs:
            try:
                described.append(self._describe(home, keys))
            except DiskError as error:
                home.fail(error)
                described.append(DescribedDir(home.path, False, -1, -1, []))
        return described

    def _describe(self, home: LogDir, wanted: set[tuple[str, int]] | None) -> DescribedDir:
        if home.error is not None:
            return DescribedDir(home.path, False, -1, -1, [])
        total, usable = self._disk.space(home.path)
        keys = wanted
        if keys is None:
            opened = [key for key, entry in self._logs.items() if entry.home is home]
            keys = {_key(name) for name in home.names}.union(opened)
        partitions = []
        for topic, partition in sorted(keys):
            entry = self._logs.get((topic, partition))
            name = f"{topic}-{partition}"
            if entry is not None and entry.home is home:
                partitions.append((topic, partition, entry.size_bytes))
            elif name in home.names:
                partitions.append((topic, partition, home.partition_size(name)))
        futures = [
            (topic, partition, future.size_bytes, future.offset_lag())
            for (topic, partition), future in sorted(self._futures.items(), key=lambda item: item[0])
            if future.target is home and (wanted is None or (topic, partition) in wanted)
        ]
        return DescribedDir(home.path, True, total, usable, partitions, futures)

    # moves

    def future(self, topic: str, partition: int) -> FutureLog | None:
        """The move of a log that is under way."""
        return self._futures.get((topic, partition))

    def begin_move(self, source: PartitionLog, target: LogDir, unique: str) -> FutureLog:
        """Move a log to another directory: to be stepped until `finish_move` can end it. One at a time per log."""
        key = (source.topic, source.partition)
        assert key not in self._futures, f"{source.name} is being moved"
        assert target is not source.home, f"{source.name} is in {target.path}"
        future = self._futures[key] = FutureLog(source, target, unique)
        return future

    def cancel_move(self, topic: str, partition: int) -> None:
        """Give up a move, if there is one, and remove what was copied."""
        future = self._futures.pop((topic, partition), None)
        if future is not None:
            try:
                future.give_up()
            except DiskError as error:
                future.target.fail(error)

    def place(self, source: PartitionLog, target: LogDir) -> PartitionLog:
        """A log that is not on disk is to be in another directory: what takes its place from now on."""
        assert source.is_blank, f"{source.name} is on disk in {source.home.path}"
        self.cancel_move(source.topic, source.partition)
        source.release()
        return self._replace(source, target)

    def _replace(self, source: PartitionLog, target: LogDir) -> PartitionLog:
        self._due_ms.pop(source, None)
        source.home.log_count -= 1
        target.log_count += 1
        placed = PartitionLog(target, source.topic, source.partition, source.topic_id, source.config)
        self._logs[source.topic, source.partition] = placed
        return placed

    def finish_move(self, future: FutureLog, now_ms: int) -> PartitionLog:
        """The copy becomes the log: what takes its place from now on. Blocks for about a dozen small syncs.

        A crash leaves one of the two: the old log until its directory is renamed, from then on the copy, which is
        complete and marked by then. Nothing is appended in between, so they hold the same.

        Raises SourceGoneError, and DiskError after the directory at fault went offline or, where it is full, the move
        was given up.
        """
        source, target = future.source, future.target
        key, name, home = (source.topic, source.partition), source.name, source.home
        assert self._futures.get(key) is future, f"{name} is not being moved"
        try:
            future.complete()
            target.expect(name, source.log_end_offset, source.log_start_offset, source.high_watermark)
        except DiskError as error:
            self.on_move_failed(future, error)
            raise
        self._futures.pop(key)
        future.stop()
        source.release()
        try:
            delay_ms = source.config.file_delete_delay_ms
            home.discard(name, source.topic_id.hex(), now_ms + delay_ms, source)
            self._disk.sync_dir(home.path)
        except DiskError as error:
            home.fail(error)  # which of the two is the log is seen at the next start
            raise
        try:
            target.adopt(future.directory)
        except DiskError as error:
            target.fail(error)
        target.clean_names.add(name)
        moved = self._replace(source, target)
        moved.load(now_ms)
        return moved

    def on_move_failed(self, future: FutureLog, error: DiskError) -> None:
        """An error while a log was copied: the directory at fault goes offline, unless it is only full."""
        if not isinstance(error, DiskFullError):
            at_target = error.path == future.target.path or error.path.startswith(f"{future.target.path}/")
            (future.target if at_target else future.source.home).fail(error)
        self.cancel_move(future.source.topic, future.source.partition)

    # maintenance

    def _schedule(self, entry: PartitionLog, due_ms: int) -> None:
        times = self._due_ms.setdefault(entry, [])
        if times and times[-1] <= due_ms:
            return  # it is looked after before that, and asks again then
        times.append(due_ms)
        if self.on_deadline is not None and (not self._due or due_ms < self._due[0][0]):
            self.on_deadline(due_ms)
        heapq.heappush(self._due, (due_ms, next(self._order), entry))

    def next_deadline_ms(self) -> int:
        """When `run_maintenance` has something to do; `retention.NEVER` for never."""
        due = min(self._next_visit_ms, self._due[0][0] if self._due else NEVER)
        for home in self.dirs:
            if home.error is None:
                due = min(due, home.next_deadline_ms(NEVER))
        return due

    def run_maintenance(self, now_ms: int) -> None:
        """Look after the logs that are due, the checkpoints, and a few logs that nobody uses."""
        due = self._due
        while due and due[0][0] <= now_ms:
            _, _, entry = heapq.heappop(due)
            times = self._due_ms.get(entry)
            if times is None:
                continue  # deleted
            times.pop()
            if not times:
                del self._due_ms[entry]
            if self._logs.get((entry.topic, entry.partition)) is entry:
                again_ms = entry.run_maintenance(now_ms)
                if again_ms < NEVER:
                    self._schedule(entry, max(again_ms, now_ms + 1))
        if now_ms >= self._next_visit_ms:
            self._next_visit_ms = now_ms + _VISIT_INTERVAL_MS
            self._visit_some(now_ms)
        for home in self.dirs:
            if home.error is None:
                try:
                    home.run_maintenance(now_ms, _REMOVALS_PER_CALL)
                except DiskFullError as error:
                    log.warning("checkpoints of %s are late: %s", home.path, error)
                except DiskError as error:
                    home.fail(error)

    def _visit_some(self, now_ms: int) -> None:
        count = max(_MIN_VISITS, sum(len(home.names) for home in self.dirs) // _VISITS_PER_CYCLE)
        visited = list(itertools.islice(self._visits, count))
        for home, name in visited:
            if name not in home.names or home.error is not None:
                continue  # gone since the list was made
            key = _key(name)
            entry = self._logs.get(key)
            if entry is None and self.find is not None:
                entry = self.find(*key)
            if entry is not None and entry.home is home and not entry.is_loaded:
                entry.visit(now_ms)
        if len(visited) < count:
            self._visits = iter([(home, name) for home in self.dirs for name in home.names])


def _key(name: str) -> tuple[str, int]:
    topic, _, partition = name.rpartition("-")
    return topic, int(partition)
