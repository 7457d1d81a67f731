"""One segment of a partition log: a data file and the two indexes beside it.

Decides: where in the file a batch lies, which bytes answer a read, when an index entry is due. Does not
decide when a segment is full (`segments.must_roll`), what is valid (`batch_validator`, `recovery`), or when
it is synced.

The data file is the concatenation of wire batches. Three things find a batch, the densest first: the *tail*
(every one of the newest batches, so that reads at the end and cuts at the high watermark parse nothing), a
few *hints* (where the last reads stopped, so that a reader catching up goes on from there), and the sparse
index, from which headers are walked for at most `index_interval_bytes` and one batch.

A segment costs no descriptor until it is written or read; `size` and `max_timestamp` of a closed one are
looked up when asked for. Source: Kafka's LogSegment.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

from odradek.proto.kafka.record_batch import HEADER_SIZE, BatchHeader, parse_header
from odradek.storage.disk import Buffer, Disk, DiskError, File, MissingFileError
from odradek.storage.offset_index import ENTRY_SIZE as OFFSET_ENTRY_SIZE
from odradek.storage.offset_index import OffsetIndex
from odradek.storage.tail import Tail
from odradek.storage.time_index import ENTRY_SIZE as TIME_ENTRY_SIZE
from odradek.storage.time_index import TimeIndex

MAX_RELATIVE_OFFSET: Final = 0x7FFFFFFF
_MAX_HINTS: Final = 8
_WALK_BYTES: Final = 4096
_SCAN_BYTES: Final = 1 << 20
_PLACE: Final = struct.Struct(">qi11xi")
"""Base offset, batch length, last offset delta: what finding a batch needs of its header."""
_LOG_OVERHEAD: Final = 12
_MIN_BATCH_LENGTH: Final = 49
_EMPTY: Final = b""
_UNKNOWN: Final = -2
"""Largest timestamp that was not looked up yet; -1 is Kafka's "no timestamp"."""


def segment_name(base_offset: int) -> str:
    """File name without extension."""
    return f"{base_offset:020d}"


class CorruptSegmentError(DiskError):
    """The bytes at some position are no batch, or an index leads astray."""


class Segment:
    """Offsets are absolute. `next_offset` is the end; for a closed segment, where the next one begins."""

    __slots__ = (
        "_disk",
        "_hints",
        "_max_timestamp",
        "_offsets",
        "_since_entry",
        "_size",
        "_tail",
        "_times",
        "base_offset",
        "created_ms",
        "file",
        "first_timestamp",
        "max_timestamp_offset",
        "next_offset",
        "path",
    )

    def __init__(self, disk: Disk, directory: str, base_offset: int, next_offset: int) -> None:
        self._disk = disk
        self.path = f"{directory}/{segment_name(base_offset)}"
        self.base_offset = base_offset
        self.next_offset = next_offset
        self.file: File | None = None
        self._size = -1  # not looked up yet
        self._max_timestamp = _UNKNOWN
        self.max_timestamp_offset = base_offset
        self.first_timestamp: int | None = None
        self.created_ms: int | None = None
        self._since_entry = 0
        self._offsets: OffsetIndex | None = None
        self._times: TimeIndex | None = None
        self._tail = Tail()
        self._hints: dict[int, int] = {}

    # life

    @classmethod
    def create(cls, disk: Disk, directory: str, base_offset: int, now_ms: int) -> Segment:
        """An empty segment; its files appear at the first append."""
        segment = cls(disk, directory, base_offset, base_offset)
        segment._size = 0
        segment._max_timestamp = -1
        segment.created_ms = now_ms
        segment.reset_indexes()
        return segment

    @property
    def log_path(self) -> str:
        return f"{self.path}.log"

    @property
    def index_paths(self) -> tuple[str, str]:
        """Files of the offset index and of the time index."""
        return f"{self.path}.index", f"{self.path}.timeindex"

    @property
    def size(self) -> int:
        """Bytes in the data file. Raises DiskError."""
        if self._size < 0:
            self._size = self._disk.stat(self.log_path).size
        return self._size

    @property
    def max_timestamp(self) -> int:
        """Largest record timestamp in ms, -1 for none, from the time index of a closed segment. DiskError."""
        if self._max_timestamp == _UNKNOWN:
            self._look_up_max_timestamp()
        return self._max_timestamp

    def _look_up_max_timestamp(self) -> None:
        data = self._read_or_empty(self.index_paths[1])
        entry = TimeIndex.decode_entry(self.base_offset, data[-TIME_ENTRY_SIZE:])
        if entry is None:  # lost: it comes back from the data
            was_loaded = self.is_loaded
            self.rebuild()
            if not was_loaded:
                self.unload()
        else:
            self._max_timestamp, self.max_timestamp_offset = entry

    @property
    def offsets(self) -> OffsetIndex:
        """The offset index, read when first used."""
        if self._offsets is None:
            self.load()
        assert self._offsets is not None
        return self._offsets

    @property
    def times(self) -> TimeIndex:
        """The time index, read when first used."""
        if self._times is None:
            self.load()
        assert self._times is not None
        return self._times

    @property
    def is_loaded(self) -> bool:
        return self._offsets is not None

    def open(self) -> File:
        """The data file, opened when first used. Raises DiskError."""
        if self.file is None:
            self.file = self._disk.open(self.log_path)
            self._size = self.file.size
        return self.file

    def create_files(self) -> File:
        """Make the data file of a new segment. Raises DiskError."""
        file = self._disk.open(self.log_path, create=True)
        if file.size:  # left by a log that ended before this offset
            file.truncate(0)
        self.file = file
        return file

    def load(self) -> None:
        """Read both indexes; rebuild them from the data if they are missing or cannot be right. DiskError."""
        self.open()
        offsets = OffsetIndex.decode(self.base_offset, self._read_or_empty(self.index_paths[0]), self.size)
        times = TimeIndex.decode(self.base_offset, self._read_or_empty(self.index_paths[1]))
        if offsets is None or times is None or not self._is_right(offsets) or (self.size and not times):
            self.rebuild()
        else:
            self._offsets, self._times = offsets, times

    def _read_or_empty(self, path: str) -> bytes:
        try:
            return self._disk.read(path)
        except MissingFileError:
            return _EMPTY

    def _is_right(self, offsets: OffsetIndex) -> bool:
        """Whether the newest entry leads to the batch that it names."""
        entry = offsets.last_entry
        if entry is None:
            return self.size <= _SCAN_BYTES or self.next_offset == self.base_offset
        data = self.open().pread(entry[1], _PLACE.size)
        if len(data) < _PLACE.size:
            return False
        base, length, delta = _PLACE.unpack(data)
        return bool(base + delta == entry[0] and length >= _MIN_BATCH_LENGTH)

    def rebuild(self, index_interval_bytes: int = _WALK_BYTES) -> None:
        """Make the indexes anew from the headers in the data file. Raises DiskError."""
        self.reset_indexes()
        self._max_timestamp = -1
        for position, header in self.scan(0):
            self.note(position, header, index_interval_bytes)
        self.finish_indexes()
        self._tail.clear()

    def look_up_first_timestamp(self) -> int:
        """Largest timestamp of the first batch in ms; the age of the segment counts from it. DiskError."""
        if self.first_timestamp is None and self.size >= HEADER_SIZE:
            self.first_timestamp = parse_header(self.open().pread(0, HEADER_SIZE)).max_timestamp
        return -1 if self.first_timestamp is None else self.first_timestamp

    def reset_indexes(self) -> None:
        """Empty indexes, to be filled by `note`."""
        self._offsets = OffsetIndex(self.base_offset)
        self._times = TimeIndex(self.base_offset)
        self._since_entry = 0

    def start_recovery(self, recovery_point: int) -> int:
        """Keep of the indexes only what lies before the recovery point; where checking has to begin.
        DiskError.

        That is the batch of the last entry kept; its entry stays, everything after it is for `note` to add.
        """
        size = self.open().size
        offsets = OffsetIndex.decode(self.base_offset, self._read_or_empty(self.index_paths[0]), size)
        times = TimeIndex.decode(self.base_offset, self._read_or_empty(self.index_paths[1]))
        self._tail.clear()
        self.next_offset = self.base_offset
        position = 0
        if offsets is not None and times is not None and recovery_point > self.base_offset:
            position = offsets.lookup(recovery_point - 1)
        if not position or offsets is None or times is None:
            self.reset_indexes()
            self._max_timestamp = -1
            return 0
        offsets.truncate_positions(position + 1)
        entry = offsets.last_entry
        assert entry is not None, f"{self.path}: no index entry at {position}"
        times.truncate_offsets(entry[0] + 1)
        self._max_timestamp, self.max_timestamp_offset = times.last_entry or (-1, self.base_offset)
        self._offsets, self._times, self._since_entry = offsets, times, 0
        return position

    def cut(self, size: int) -> None:
        """Drop the bytes from `size` on, which no index knows. Raises DiskError."""
        self.open().truncate(size)
        self._size = size

    def rewrite(self, position: int) -> None:
        """Write the bytes from `position` on once more, so that the next sync has something to do. DiskError."""
        file = self.open()
        while position < self.size:
            data = file.pread(position, _SCAN_BYTES)
            file.pwrite(position, data)
            position += len(data)

    def unload(self) -> None:
        """Give back descriptor and memory; everything is looked up again when it is used."""
        if self.file is not None:
            self.file.close()
            self.file = None
        self._offsets = self._times = None
        self._hints = {}
        self._tail.clear()

    # writing

    def append(
        self,
        records: Buffer,
        base_offset: int,
        last_offset: int,
        max_timestamp: int,
        index_interval_bytes: int,
    ) -> None:
        """Write one batch at the end. DiskFullError: nothing changed; DiskError: the file is unknown."""
        position = self._size
        file = self.file
        if file is None:
            file = self.open()
        size = file.append((records,))
        self._size = size
        if max_timestamp > self._max_timestamp:
            self._max_timestamp = max_timestamp
            self.max_timestamp_offset = last_offset
        if not position:
            self.first_timestamp = max_timestamp
        since = self._since_entry
        if since > index_interval_bytes:
            self._enter(last_offset, position)
            since = 0
        self._since_entry = since + size - position
        self._tail.add(base_offset, position)
        self.next_offset = last_offset + 1

    def append_all(self, records: Buffer, headers: list[BatchHeader], index_interval_bytes: int) -> None:
        """Write several batches with one call. Errors as for `append`."""
        position = self.size
        self._size = self.open().append((records,))
        for header in headers:
            self.note(position, header, index_interval_bytes)
            position += header.size

    def note(self, position: int, header: BatchHeader, index_interval_bytes: int) -> None:
        """Take a batch that is in the file at `position` into indexes, tail and end."""
        last_offset = header.last_offset
        if header.max_timestamp > self._max_timestamp:
            self._max_timestamp = header.max_timestamp
            self.max_timestamp_offset = last_offset
        if not position:
            self.first_timestamp = header.max_timestamp
        if self._since_entry > index_interval_bytes:
            self._enter(last_offset, position)
            self._since_entry = 0
        self._since_entry += header.size
        self._tail.add(header.base_offset, position)
        self.next_offset = last_offset + 1

    def _enter(self, last_offset: int, position: int) -> None:
        self.offsets.append(last_offset, position)
        self.times.maybe_append(self.max_timestamp, self.max_timestamp_offset)

    def finish_indexes(self) -> None:
        """The last entry of the time index carries the largest timestamp of the whole segment."""
        self.times.maybe_append(self.max_timestamp, self.max_timestamp_offset)

    def write_indexes(self) -> None:
        """Bring the index files up to the entries in memory, without syncing. Raises DiskError."""
        if self._offsets is None or self._times is None or not self._size:
            return
        paths = self.index_paths
        offsets, times = self._offsets, self._times
        self._write_index(paths[0], offsets.written * OFFSET_ENTRY_SIZE, offsets.encode(offsets.written))
        self._write_index(paths[1], times.written * TIME_ENTRY_SIZE, times.encode(times.written))
        offsets.written = len(offsets)
        times.written = len(times)

    def _write_index(self, path: str, kept: int, data: bytes) -> None:
        file = self._disk.open(path, create=True)
        try:
            if file.size > kept:
                file.truncate(kept)
            if data:
                file.append((data,))
        finally:
            file.close()

    def truncate(self, offset: int) -> None:
        """Drop the batch that holds `offset` and all after it. Raises DiskError."""
        position = self.locate(offset)
        if position < self.size:
            self.offsets.truncate_positions(position)
            self._size = position
            self.open().truncate(position)
        self.open_end()
        self.write_indexes()

    def open_end(self) -> None:
        """Find the end from the last index entry on: how a closed segment becomes active. DiskError."""
        entry = self.offsets.last_entry
        start = 0 if entry is None else entry[1]
        self._hints.clear()
        self._tail.clear()
        headers = list(self.scan(start))
        self.next_offset = headers[-1][1].last_offset + 1 if headers else self.base_offset
        self.times.truncate_offsets(self.next_offset)
        self._max_timestamp, self.max_timestamp_offset = self.times.last_entry or (-1, self.base_offset)
        self._since_entry = self.size - start
        for position, header in headers:
            if header.max_timestamp > self.max_timestamp:
                self._max_timestamp, self.max_timestamp_offset = header.max_timestamp, header.last_offset
            self._tail.add(header.base_offset, position)
        if not self._size:
            self.first_timestamp = None

    # reading

    def scan(self, position: int) -> Iterator[tuple[int, BatchHeader]]:
        """Position and header of each batch from `position` on; stops at the first that is not whole."""
        file = self.open()
        size = self.size
        while size - position >= HEADER_SIZE:
            chunk = file.pread(position, min(_SCAN_BYTES, size - position))
            at = 0
            while len(chunk) - at >= HEADER_SIZE:
                header = parse_header(chunk, at)
                if header.batch_length < _MIN_BATCH_LENGTH or header.size > size - position - at:
                    return
                yield position + at, header
                at += header.size
            if not at:
                return
            position += at

    def locate(self, offset: int) -> int:
        """Position of the batch that holds `offset`, or of the next one; `size` at the end. DiskError."""
        tail = self._tail
        if tail.covers(offset):
            return self._size if offset >= self.next_offset else tail.position_of(offset)
        hint = self._hints.get(offset)
        if hint is not None:
            return hint
        return self._walk(self.offsets.lookup(offset), offset)

    def _walk(self, position: int, offset: int) -> int:
        file = self.open()
        size = self.size
        while position < size:
            chunk = file.pread(position, min(_WALK_BYTES, size - position))
            at = 0
            while len(chunk) - at >= _PLACE.size:
                base, length, delta = _PLACE.unpack_from(chunk, at)
                if length < _MIN_BATCH_LENGTH:
                    raise CorruptSegmentError(self.log_path, f"batch length {length} at {position + at}")
                if base + delta >= offset:
                    return position + at
                at += length + _LOG_OVERHEAD
            if not at:
                raise CorruptSegmentError(self.log_path, f"half a batch at {position}")
            position += at
        return size

    def read(self, offset: int, max_bytes: int, end_offset: int, min_one_batch: bool) -> Buffer:
        """Whole batches from the one that holds `offset` on, all below `end_offset`, in at most `max_bytes`.

        With `min_one_batch` the first batch comes whole even if it is larger. Raises DiskError.
        """
        position = self.locate(offset)
        size = self._size
        tail = self._tail
        if end_offset >= self.next_offset:
            end, exact = size, True
        elif tail.covers(end_offset):
            end, exact = tail.position_of(end_offset), True
        else:
            beyond = self.offsets.batch_beyond(end_offset)
            end, exact = (size if beyond is None else beyond), False
        if end <= position:
            return _EMPTY
        stop = position + max_bytes
        if stop >= end:
            stop = end
        elif exact:
            boundary = tail.cut(stop)
            if boundary is None:
                exact = False
            elif boundary <= position:
                return self._read_first(position, end_offset) if min_one_batch else _EMPTY
            else:
                stop = boundary
        if exact:
            return self.open().pread(position, stop - position)
        return self._read_and_cut(position, stop, end_offset, min_one_batch)

    def _read_and_cut(self, position: int, stop: int, end_offset: int, min_one_batch: bool) -> Buffer:
        data = self.open().pread(position, stop - position)
        length = len(data)
        index = self.offsets
        at = max(0, min(index.lookup(end_offset - 1), index.position_before(stop)) - position)
        last = -1
        while length - at >= _PLACE.size:
            base, batch_length, delta = _PLACE.unpack_from(data, at)
            if batch_length < _MIN_BATCH_LENGTH:
                raise CorruptSegmentError(self.log_path, f"batch length {batch_length} at {position + at}")
            if base + delta >= end_offset or at + batch_length + _LOG_OVERHEAD > length:
                break
            last = base + delta
            at += batch_length + _LOG_OVERHEAD
        if not at:
            return self._read_first(position, end_offset) if min_one_batch else _EMPTY
        if last >= 0:
            self._remember(last + 1, position + at)
        return memoryview(data)[:at]

    def _read_first(self, position: int, end_offset: int) -> Buffer:
        file = self.open()
        data = file.pread(position, _PLACE.size)
        if len(data) < _PLACE.size:
            return _EMPTY
        base, length, delta = _PLACE.unpack(data)
        if base + delta >= end_offset:
            return _EMPTY
        if not _MIN_BATCH_LENGTH <= length <= self.size - position - _LOG_OVERHEAD:
            raise CorruptSegmentError(self.log_path, f"batch length {length} at {position}")
        self._remember(base + delta + 1, position + length + _LOG_OVERHEAD)
        return file.pread(position, length + _LOG_OVERHEAD)

    def _remember(self, offset: int, position: int) -> None:
        hints = self._hints
        hints[offset] = position
        if len(hints) > _MAX_HINTS:
            del hints[next(iter(hints))]

    def read_batch(self, position: int, header: BatchHeader) -> bytes:
        """The whole batch at `position`. Raises DiskError."""
        return self.open().pread(position, header.size)
