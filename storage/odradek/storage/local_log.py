"""The files of one loaded log, and how far they are flushed.

Decides: which files exist, in which order they are made durable, and what has been handed to the flusher.
Does not decide what is appended or dropped, or when (`log`). Every method may raise DiskError; none of them
judges it.

Invariants: flushed_offset <= submitted offset <= end_offset. What an offset needs (a rolled segment, the
directory entry of a new file, a checkpoint) is submitted before the offset is, so `flushed_offset` never
covers a record that a power cut can take. A generation ends where the log gets shorter: reports of an older
one are ignored. Source: Kafka's LocalLog.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from odradek.proto.kafka.record_batch import BatchHeader
from odradek.storage.checkpoints import PARTITION_METADATA, encode_partition_metadata
from odradek.storage.disk import Buffer, Syncable, replace_file
from odradek.storage.flusher import NameSync
from odradek.storage.log_config import LogConfig
from odradek.storage.log_dir import LogDir
from odradek.storage.recovery import SEGMENT_FILES
from odradek.storage.retention import NEVER, SegmentSummary
from odradek.storage.segment import Segment, segment_name
from odradek.storage.segments import Segments


class LocalLog:
    """See the module. `on_flush` is called on the loop thread when `flushed_offset` has moved."""

    __slots__ = (
        "_generation",
        "_submitted",
        "_unsynced",
        "active",
        "damaged_offset",
        "end_offset",
        "flush_due_ms",
        "flushed_offset",
        "has_directory",
        "home",
        "on_flush",
        "path",
        "segments",
        "topic_id",
    )

    def __init__(
        self, home: LogDir, segments: Segments, topic_id: bytes, is_new: bool, on_flush: Callable[[], None]
    ) -> None:
        self.home = home
        self.path = segments.directory
        self.topic_id = topic_id
        self.segments = segments
        self.active = segments.active
        self.end_offset = self.flushed_offset = self._submitted = self.active.next_offset
        self.has_directory = not is_new
        self.damaged_offset = -1
        """Where bytes begin that were synced once and are not whole any more; -1 for none that is known."""
        self.on_flush = on_flush
        self.flush_due_ms = NEVER
        """When records that are not submitted yet have to be (`flush.ms`)."""
        self._generation = 0
        self._unsynced: list[Syncable] = []

    # writing

    def append(
        self, records: Buffer, base_offset: int, last_offset: int, max_timestamp: int, interval: int
    ) -> None:
        """Write one batch into the active segment, which has a file."""
        self.active.append(records, base_offset, last_offset, max_timestamp, interval)
        self.end_offset = last_offset + 1

    def append_all(self, records: Buffer, headers: list[BatchHeader], interval: int) -> None:
        """Write several batches into the active segment, which has a file."""
        self.active.append_all(records, headers, interval)
        self.end_offset = headers[-1].last_offset + 1

    def open_active(self) -> None:
        """Give the active segment its file, and the log its directory, if they are missing."""
        active = self.active
        if active.file is not None:
            return
        if active.size:
            active.open()
            return
        self.create_directory()
        active.create_files()
        self.sync_names()

    def create_directory(self) -> None:
        """Make the directory of a log that has none."""
        if self.has_directory:
            return
        disk = self.home.disk
        self.home.before_directory(self.path.rpartition("/")[2])
        disk.makedirs(self.path)
        metadata = f"{self.path}/{PARTITION_METADATA}"
        replace_file(disk, metadata, encode_partition_metadata(self.topic_id), sync=False)
        # Synced with the first records: a power cut may undo a deletion, and then it tells whose records these are.
        self._unsynced.append(NameSync(disk, metadata))
        self._unsynced.append(NameSync(disk, self.home.path, is_directory=True))
        self.home.names.add(self.path.rpartition("/")[2])
        self.has_directory = True

    def write_file(self, name: str, data: bytes, *, durable: bool = True) -> None:
        """Replace a small file; durable before the next offset counts as flushed, unless it can be rebuilt."""
        self.create_directory()
        path = f"{self.path}/{name}"
        replace_file(self.home.disk, path, data, sync=False)
        if durable:
            self._unsynced.append(NameSync(self.home.disk, path))
            self.sync_names()

    def sync_names(self) -> None:
        """The names of the log's files are durable before the next offset counts as flushed."""
        self._unsynced.append(NameSync(self.home.disk, self.path, is_directory=True))

    def finish_active(self) -> None:
        """Complete the index files of the active segment, to be closed or rolled."""
        active = self.active
        active.finish_indexes()
        active.write_indexes()
        self._unsynced += [NameSync(self.home.disk, path) for path in active.index_paths]

    def begin_segment(self, now_ms: int) -> None:
        """Roll: the finished active segment is submitted, and a new one begins at the end.

        Its file is made at once: when the older segments go, its name is what tells where the log ends.
        """
        self.active.open()
        self.submit()
        self.active = self.segments.roll(self.end_offset, now_ms)
        self.open_active()

    # flushing

    def submit(self) -> None:
        """Hand everything up to the end to the flusher."""
        flusher = self.home.flusher
        generation = self._generation
        self.flush_due_ms = NEVER
        if self._unsynced:
            for target in self._unsynced:
                flusher.submit(self, self._submitted, generation, target)
            self._unsynced.clear()
        file = self.active.file
        if file is not None:
            end = self._submitted = self.end_offset
            flusher.submit(self, end, generation, file)

    def submit_if_due(self, config: LogConfig, now_ms: int) -> int:
        """Submit after `flush.messages` records; before, a new time by which to submit, NEVER for none."""
        if self.end_offset - self._submitted >= config.flush_messages:
            self.submit()
        elif self.flush_due_ms == NEVER and config.flush_ms < NEVER - now_ms:
            self.flush_due_ms = now_ms + config.flush_ms
            return self.flush_due_ms
        return NEVER

    @property
    def generation(self) -> int:
        """Counts how often the end was cut off: what was read before may have been replaced since."""
        return self._generation

    @property
    def needs_flush(self) -> bool:
        return bool(self._unsynced) or self.flushed_offset < self.end_offset

    def on_flushed(self, end_offset: int, generation: int) -> None:
        """See `FlushedLog.on_flushed`."""
        if generation == self._generation and end_offset > self.flushed_offset:
            self.flushed_offset = end_offset
            self.on_flush()

    def _shorten(self, end: int) -> None:
        self._generation += 1
        self.end_offset = self._submitted = end
        self.flushed_offset = min(self.flushed_offset, end)

    # both ends

    def truncate_to(self, offset: int) -> None:
        """Drop every batch that reaches `offset` or beyond; `end_offset` is where the rest ends."""
        self._remove_now(self.segments.take_from(offset))
        active = self.active = self.segments.active
        if active.size:
            if not active.is_loaded:
                active.load()
            active.truncate(offset)
        self._shorten(active.next_offset)

    def truncate_fully_to(self, offset: int) -> None:
        """Drop everything; the next record gets `offset`."""
        self._remove_now(self.segments.replace_all(offset, 0))
        self.active = self.segments.active
        self._shorten(offset)
        self.open_active()

    def _remove_now(self, segments: list[Segment]) -> None:
        # The newest first: a crash in between must not leave a hole.
        for segment in reversed(segments):
            for suffix in SEGMENT_FILES:
                self.home.disk.remove(f"{segment.path}{suffix}")
        if segments and self.has_directory:
            self.sync_names()

    def drop_oldest(self, count: int, due_ms: int) -> None:
        """Take the oldest segments out of the log; their files are removed at `due_ms`."""
        disk = self.home.disk
        for segment in self.segments.take_oldest(count):
            for suffix in (*SEGMENT_FILES, ".snapshot"):
                path = f"{segment.path}{suffix}"
                if disk.exists(path):
                    disk.rename(path, f"{path}.deleted")
                    self.home.remove_later(due_ms, f"{path}.deleted")
        self.sync_names()

    def remove_snapshots(self, offsets: Iterable[int]) -> None:
        """Remove producer snapshots by their offsets."""
        for offset in offsets:
            self.home.disk.remove(f"{self.path}/{segment_name(offset)}.snapshot")
            self.sync_names()

    def snapshots(self) -> list[int]:
        """Offsets of the producer snapshots on disk, ascending."""
        names = self.home.disk.listdir(self.path) if self.has_directory else []
        stems = [name.removesuffix(".snapshot") for name in names if name.endswith(".snapshot")]
        return sorted(int(stem) for stem in stems if stem.isdecimal())

    def summaries(self) -> list[SegmentSummary]:
        """What retention looks at; a segment without timestamps counts as old as its file."""
        summaries = []
        for segment in self.segments:
            newest = segment.max_timestamp
            if newest < 0 and segment.size:
                newest = self.home.disk.stat(segment.log_path).modified_ms
            summaries.append(SegmentSummary(segment.base_offset, segment.next_offset, segment.size, newest))
        return summaries

    def close(self, *, submit: bool) -> None:
        """Submit what is left, if asked, and give the descriptors back; a closed file is synced all the same."""
        if submit and self.needs_flush:
            self.submit()
        self.segments.close()

    def abandon(self) -> None:
        """Give the descriptors back of a log that is being deleted; nothing of it is reported any more."""
        self._generation += 1
        self.segments.close()
