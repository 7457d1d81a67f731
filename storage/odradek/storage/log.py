"""The log of one partition: append, read, flush, truncate, and what is known about what it holds.

Decides: the order of an append (validate, producer check, roll, write, take in), when an append is submitted to the
flusher, and what an I/O error means for the caller. Does not decide who may append or read up to where (the
replica), nor when maintenance runs (`log_dirs`); `local_log` owns the files.

Invariants: log_start_offset <= log_end_offset, flushed_offset <= log_end_offset. Nothing of an append that failed is
visible. An append is one positional write into the page cache; it is durable when `flush_listener` reports a
`flushed_offset` past it. A log loads itself at its first use and holds nothing before; one that was never written
has no directory, and need not be loaded to be known as empty.

Errors are values: a full disk gives KAFKA_STORAGE_ERROR (retriable) and changes nothing; any other failure takes the
whole log directory offline, and from then on every call gives that error. Damage found while reading gives
CORRUPT_MESSAGE. Source: Kafka's UnifiedLog; KIP-101, KIP-107, KIP-320.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from odradek.proto.kafka.errors import ErrorCode
from odradek.storage.append_result import UNAVAILABLE, AppendResult, refused
from odradek.storage.batch_validator import Rejected, validate, validate_follower
from odradek.storage.disk import Buffer, DiskError
from odradek.storage.epoch_checkpoint import StoredEpochs
from odradek.storage.leader_epoch_cache import EpochEndOffset
from odradek.storage.local_log import LocalLog
from odradek.storage.log_config import LogConfig
from odradek.storage.log_dir import LogDir
from odradek.storage.producer_snapshots import StoredProducers
from odradek.storage.producer_state import ActiveProducer, GapJudge
from odradek.storage.recovery import load_log
from odradek.storage.retention import NEVER
from odradek.storage.segments import Segments, must_roll
from odradek.storage.timestamps import TimestampOffset, find_newest, find_timestamp
from odradek.storage.upkeep import drop_old_segments, roll, roll_jitter_ms

__all__ = ["AppendResult", "PartitionLog"]

log = logging.getLogger(__name__)
_NONE: Final = ErrorCode.NONE
_STORAGE_ERROR: Final = ErrorCode.KAFKA_STORAGE_ERROR
_PRODUCER_CHECK_MS: Final = 600_000
_Search = Callable[[Segments], TimestampOffset | None]


class PartitionLog:
    """See the module. All calls come from the loop thread; times are wall clock ms."""

    __slots__ = (
        "_epochs",
        "_is_released",
        "_is_scheduled",
        "_jitter_ms",
        "_local",
        "_producers",
        "_retention_checked_ms",
        "_start",
        "config",
        "durable_gating",
        "flush_listener",
        "high_watermark",
        "home",
        "name",
        "partition",
        "topic",
        "topic_id",
    )

    _epochs: StoredEpochs
    _producers: StoredProducers

    def __init__(self, home: LogDir, topic: str, partition: int, topic_id: bytes, config: LogConfig) -> None:
        self.home = home
        self.topic = topic
        self.partition = partition
        self.topic_id = topic_id
        self.name = f"{topic}-{partition}"
        self.flush_listener: Callable[[PartitionLog], None] | None = None
        self.high_watermark = home.high_watermarks.get(self.name, -1)
        """Set by the replica (-1: never): retention stays below it, and the checkpoint keeps it."""
        self._local: LocalLog | None = None
        self._start = 0
        self._is_released = self._is_scheduled = False
        self._retention_checked_ms = 0
        self._configure(config)

    def _configure(self, config: LogConfig) -> None:
        self.config = config
        self.durable_gating = config.flush_messages == 1
        """Whether an append may be acknowledged only once `flushed_offset` has passed it."""
        self._jitter_ms = roll_jitter_ms(self.topic, self.partition, config)

    # state

    @property
    def path(self) -> str:
        return f"{self.home.path}/{self.name}"

    @property
    def is_loaded(self) -> bool:
        return self._local is not None

    @property
    def is_blank(self) -> bool:
        """Whether it is not on disk: all its offsets are 0, and it need not be loaded to say so."""
        return self._local is None and self.name not in self.home.names

    def _found(self) -> LocalLog | None:
        """The log, loaded; None for a blank or an offline one."""
        return None if self.is_blank else self.load()

    @property
    def is_offline(self) -> bool:
        """Whether the log is gone or its directory has failed; offsets say nothing then."""
        return self._is_released or self.home.error is not None

    @property
    def log_start_offset(self) -> int:
        """First offset that may be read."""
        return 0 if self._local is None and self._found() is None else self._start

    @property
    def log_end_offset(self) -> int:
        """Offset of the next record."""
        local = self._local or self._found()
        return local.end_offset if local is not None else 0

    @property
    def flushed_offset(self) -> int:
        """Every record below it is on stable storage."""
        local = self._local or self._found()
        return local.flushed_offset if local is not None else 0

    @property
    def size_bytes(self) -> int:
        """Bytes of all segments, from the files if the log is not loaded. Raises DiskError."""
        return self._local.segments.size if self._local is not None else self.home.partition_size(self.name)

    @property
    def latest_epoch(self) -> int:
        """Leader epoch of the last batch, -1 if there is none."""
        return self._epochs.cache.latest_epoch if self._found() is not None else -1

    @property
    def first_undecided_offset(self) -> int | None:
        """First offset of the oldest transaction without a marker."""
        return self._producers.state.first_undecided_offset if self._found() is not None else None

    def epoch_at(self, offset: int) -> int:
        """Leader epoch of the record at `offset`, -1 if unknown."""
        return self._epochs.cache.epoch_for(offset) if self._found() is not None else -1

    def end_offset_for_epoch(self, epoch: int) -> EpochEndOffset:
        """(epoch, end offset): the largest known epoch not above `epoch`, and where it ends; (-1, -1)."""
        end = self.log_end_offset
        nothing = EpochEndOffset(-1, -1)
        return nothing if self._local is None else self._epochs.cache.end_offset_for(epoch, end)

    def active_producers(self) -> list[ActiveProducer]:
        """Every known producer id."""
        return self._producers.state.active_producers() if self._found() is not None else []

    # life

    def load(self, now_ms: int = 0) -> LocalLog | None:
        """Load and recover, if that was not done; None if the log is offline. May have to scan."""
        home = self.home
        if home.error is not None or self._is_released:
            return None
        if self._local is not None:
            return self._local
        try:
            found = load_log(home, self.name, self.topic_id, self.config.index_interval_bytes, now_ms)
            local = LocalLog(home, found.segments, self.topic_id, found.is_new, self._on_flush)
            if not found.names_are_synced:
                local.sync_names()
            epochs = StoredEpochs(found.epochs)
            if not found.epochs_are_saved:
                epochs.save(local)
        except DiskError as error:
            self.home.on_error(error)
            return None
        self._epochs = epochs
        self._producers = StoredProducers(found.producers, found.snapshot_offset)
        self._start = found.log_start_offset
        self.high_watermark = min(self.high_watermark, local.end_offset)  # it may be that of a deleted log
        self._local, local.damaged_offset = local, found.damaged_offset
        self._retention_checked_ms = now_ms
        self._schedule_retention(now_ms)
        return local

    def mend(self) -> bool:
        """Cut damaged bytes and all that follows, for its leader has them; False when nothing was cut."""
        local = self._found()
        if local is None or local.damaged_offset < 0:
            return False
        try:
            self.home.on_truncated(self.name, local.damaged_offset)  # it is checked, and cut, from there
        except DiskError as error:
            self.home.on_error(error)
        self._unload()
        return self.load() is not None

    def update_config(self, config: LogConfig) -> None:
        """Use other settings from now on."""
        self._configure(config)
        if self._local is not None:
            if self.durable_gating and self._local.needs_flush:
                self._local.submit()
            self._schedule(0)

    def checkpoint(self) -> None:
        """Let the indexes, and from time to time a producer snapshot, follow the log. Raises DiskError."""
        local = self._local
        if local is not None:
            local.active.write_indexes()
            if self._producers.is_due:
                self._producers.save(local)

    def close(self, *, submit: bool = True) -> None:
        """Write what a clean start needs and let go; durable when the flusher, or the volume, is synced. DiskError."""
        local = self._local
        if local is None or self.home.error is not None:
            return
        try:
            if local.has_directory and self._producers.offset != local.end_offset:
                local.finish_active()
                self._producers.save(local)
                self._epochs.save(local, durable=True)
        finally:
            local.close(submit=submit)

    def release(self) -> None:
        """Let go of a log that is being deleted, for ever: its name may belong to another topic's log by now."""
        self._is_released = True
        self.flush_listener = None
        self._unload()

    def _unload(self) -> None:
        if self._local is not None:
            self._local.abandon()
            self._local = None

    # append

    def append_as_leader(
        self,
        records: bytearray | memoryview | None,
        leader_epoch: int,
        now_ms: int,
        produce_version: int = 13,
        patience: GapJudge | None = None,
    ) -> AppendResult:
        """Append a produced batch, stamped in place: `records` is writable. `patience`: `ProducerState.check`."""
        local = self._local
        if local is None or self.home.error is not None:
            local = self.load(now_ms)
            if local is None:
                return UNAVAILABLE
        config = self.config
        data = records or bytearray()
        found = validate(data, config, local.end_offset, leader_epoch, now_ms, produce_version)
        if isinstance(found, Rejected):
            return AppendResult(found.error, record_errors=found.record_errors, error_message=found.message)
        buffer, header, base_offset, last_offset, max_timestamp, append_time_ms = found
        is_idempotent = header.producer_id >= 0
        if is_idempotent:
            verdict = self._producers.state.check(header, patience=patience)
            if verdict is not None:
                return refused(verdict, config, self._start)
        size = len(buffer)
        try:
            self._make_room(local, size, last_offset, max_timestamp, now_ms)
            if leader_epoch != self._epochs.cache.latest_epoch:
                self._epochs.assign(local, leader_epoch, base_offset)
            local.append(buffer, base_offset, last_offset, max_timestamp, config.index_interval_bytes)
        except DiskError as error:
            return AppendResult(self.home.on_error(error), error_message=error.reason)
        if is_idempotent:
            self._producers.state.update(header, None, now_ms)
        self._after_append(local, size, now_ms)
        return AppendResult(_NONE, base_offset, last_offset, append_time_ms, self._start)

    def append_as_follower(self, records: Buffer, now_ms: int) -> AppendResult:
        """Append whole batches fetched from the leader, with its offsets; a cut-off tail is left out.

        Batches that are here already are refused with INVALID_RECORD; `base_offset` is -1 if there was no batch.
        """
        local = self.load(now_ms)
        if local is None:
            return UNAVAILABLE
        found = validate_follower(records)
        if isinstance(found, Rejected):
            return AppendResult(found.error, error_message=found.message)
        if not found.headers:
            return AppendResult(_NONE, log_start_offset=self._start)
        headers = [header for _, header in found.headers]
        first, last = headers[0], headers[-1]
        if first.base_offset < local.end_offset:
            message = f"offset {first.base_offset} comes after {local.end_offset - 1}"
            return AppendResult(ErrorCode.INVALID_RECORD, error_message=message)
        newest = max(header.max_timestamp for header in headers)
        try:
            self._make_room(local, found.size, last.last_offset, newest, now_ms)
            for header in headers:
                if header.partition_leader_epoch > self._epochs.cache.latest_epoch:
                    self._epochs.assign(local, header.partition_leader_epoch, header.base_offset)
            local.append_all(memoryview(records)[: found.size], headers, self.config.index_interval_bytes)
        except DiskError as error:
            return AppendResult(self.home.on_error(error), error_message=error.reason)
        self._producers.take_in(records, found.headers, now_ms)
        self._after_append(local, found.size, now_ms)
        return AppendResult(_NONE, first.base_offset, last.last_offset, -1, self._start)

    def _make_room(self, local: LocalLog, size: int, last_offset: int, newest: int, now_ms: int) -> None:
        """An active segment with a file and room for the batch. Raises DiskError, nothing changed then."""
        if must_roll(local.active, self.config, size, last_offset, newest, now_ms, self._jitter_ms):
            roll(local, self._producers, now_ms)
        if local.active.file is None:
            local.open_active()

    def _after_append(self, local: LocalLog, size: int, now_ms: int) -> None:
        self._producers.on_appended(size)
        self.home.on_appended(self, size)
        if self.durable_gating:
            local.submit()
        else:
            due_ms = local.submit_if_due(self.config, now_ms)
            if due_ms < NEVER:
                self._schedule(due_ms)
        if not self._is_scheduled:
            self._schedule_retention(now_ms)

    def _on_flush(self) -> None:
        if self.flush_listener is not None:
            self.flush_listener(self)

    # read

    def read(
        self, offset: int, max_bytes: int, end_offset: int, min_one_batch: bool = True
    ) -> Buffer | ErrorCode:
        """Whole batches from the one that holds `offset` on, in at most `max_bytes`, all below `end_offset`.

        With `min_one_batch` the first comes even if it is larger (KIP-74). The answer ends at a segment's end.
        """
        local = self._local
        if local is None or self.home.error is not None:
            local = self.load()
            if local is None:
                return _STORAGE_ERROR
        end = local.end_offset
        if not self._start <= offset <= end:
            return ErrorCode.OFFSET_OUT_OF_RANGE
        try:
            return local.segments.read(offset, max_bytes, min(end_offset, end), min_one_batch)
        except DiskError as error:
            return self.home.on_error(error)

    def offset_for_timestamp(self, timestamp: int) -> TimestampOffset | ErrorCode | None:
        """The first record whose timestamp is `timestamp` (ms) or later; None if there is none."""
        return self._search(lambda segments: find_timestamp(segments, timestamp, self._start))

    def max_timestamp_offset(self) -> TimestampOffset | ErrorCode | None:
        """The first record with the largest timestamp; None if there is no record."""
        return self._search(lambda segments: find_newest(segments, self._start))

    def _search(self, find: _Search) -> TimestampOffset | ErrorCode | None:
        local = self.load()
        if local is None:
            return _STORAGE_ERROR
        try:
            return find(local.segments)
        except DiskError as error:
            return self.home.on_error(error)

    # both ends

    def truncate_to(self, offset: int) -> ErrorCode:
        """Drop every batch that reaches `offset` or beyond. The end may come out lower than `offset`."""
        local = self.load()
        if local is None or offset >= local.end_offset:
            return _STORAGE_ERROR if local is None else _NONE
        return self.truncate_fully_to(offset) if offset <= self._start else self._truncate(local, offset)

    def truncate_fully_to(self, offset: int) -> ErrorCode:
        """Drop everything and go on, empty, at `offset`: the leader's log starts after this one ends."""
        local = self.load()
        return _STORAGE_ERROR if local is None else self._truncate(local, offset, fully=True)

    def _truncate(self, local: LocalLog, offset: int, *, fully: bool = False) -> ErrorCode:
        try:
            if fully:
                local.truncate_fully_to(offset)
                self._set_start(local, offset)
            else:
                local.truncate_to(offset)
            end = local.end_offset
            if self._start > end:
                self._set_start(local, end)
            self._epochs.truncate_from_end(local, end)
            self._producers.on_truncated(local, self._start, fully=fully)
            self.home.on_truncated(self.name, end)
            local.submit()
        except DiskError as error:
            # Half a truncation is what a crash leaves as well: the next use recovers from the files, and syncs them.
            self._unload()
            self.home.is_synced = False
            return self.home.on_error(error)
        return _NONE

    def advance_log_start_offset(self, offset: int) -> ErrorCode:
        """Records below `offset` are gone; their segments go at the next maintenance. OFFSET_OUT_OF_RANGE."""
        local = self.load()
        if local is None:
            return _STORAGE_ERROR
        if offset > local.end_offset:
            return ErrorCode.OFFSET_OUT_OF_RANGE
        if offset > self._start:
            try:
                self._set_start(local, offset)
            except DiskError as error:
                return self.home.on_error(error)
            self._schedule(0)
        return _NONE

    def _set_start(self, local: LocalLog, offset: int) -> None:
        self._epochs.truncate_from_start(local, offset)  # this alone can fail; nothing is changed then
        self._start = offset
        self._producers.state.advance_log_start_offset(offset)
        self.home.on_log_start_offset(self.name, offset)

    # maintenance

    def _schedule(self, due_ms: int) -> None:
        self._is_scheduled = True
        self.home.schedule(self, due_ms)

    def _schedule_retention(self, now_ms: int) -> None:
        local = self._local
        if local is not None and local.end_offset > self._start:
            checked_ms = max(now_ms, self._retention_checked_ms)
            self._schedule(checked_ms + self.home.retention_check_interval_ms)

    def run_maintenance(self, now_ms: int) -> int:
        """Do what is due: flush, retention, producers that expired. When to come again (ms)."""
        self._is_scheduled = False
        local = self._local
        home = self.home
        if local is None or home.error is not None:
            return NEVER
        if local.flush_due_ms <= now_ms:
            local.submit()
        self._producers.state.expire(now_ms, home.producer_expiration_ms)
        try:
            due = self._run_retention(local, now_ms)
        except DiskError as error:
            self.home.on_error(error)
            due = now_ms + home.retention_check_interval_ms
        expiry = self._producers.state.next_deadline(home.producer_expiration_ms)
        if expiry is not None:
            due = min(due, max(expiry, now_ms + _PRODUCER_CHECK_MS))
        due = min(due, local.flush_due_ms)
        self._is_scheduled = due < NEVER
        return due

    def _run_retention(self, local: LocalLog, now_ms: int) -> int:
        """Delete what is no longer wanted; when to look again. Raises DiskError."""
        interval = self.home.retention_check_interval_ms
        next_check_ms = self._retention_checked_ms + interval
        config = self.config
        if now_ms >= next_check_ms:
            self._retention_checked_ms = now_ms
        elif self._start <= local.segments[0].base_offset:
            return next_check_ms
        else:  # records were deleted by offset: only what lies below goes now, age and size have their own time
            config = replace(config, retention_ms=-1, retention_bytes=-1)
        first, limit = self._start, self.high_watermark
        start, again_ms = drop_old_segments(local, self._producers, config, first, limit, now_ms)
        if start > first:
            log.info("%s: records below offset %d are deleted", self.path, start)
            self._start = start  # whatever fails now, they are gone
            self._set_start(local, start)
        due_ms = next_check_ms if config is not self.config else max(again_ms, now_ms + interval)
        return NEVER if local.end_offset <= start else due_ms

    def visit(self, now_ms: int) -> None:
        """Load a log that nobody uses if its files are so old or so large that retention may want some."""
        try:
            if self.home.may_have_expired(self.name, self.config, now_ms) and self.load(now_ms):
                self._retention_checked_ms = 0
                self._schedule(now_ms)
        except DiskError as error:
            self.home.on_error(error)
