"""The segments of one log, oldest first: lookup by offset, roll, and taking segments off either end.

Decides: which segment holds an offset, and when the active one is full. Does not decide which ones retention
takes (`retention`) nor when their files go (`log_dirs`).

Invariants: there is always an active segment, the last; base offsets grow; every closed segment ends at or
before the next one's base. At most `MAX_LOADED` closed segments keep indexes and a file open. Source:
Kafka's LogSegments and LogSegment.shouldRoll.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from operator import attrgetter
from typing import Final

from odradek.storage.disk import Buffer, Disk
from odradek.storage.log_config import LogConfig
from odradek.storage.offset_index import ENTRY_SIZE as OFFSET_ENTRY_SIZE
from odradek.storage.segment import MAX_RELATIVE_OFFSET, Segment
from odradek.storage.time_index import ENTRY_SIZE as TIME_ENTRY_SIZE

MAX_LOADED: Final = 4
_base_offset = attrgetter("base_offset")


def must_roll(
    segment: Segment,
    config: LogConfig,
    size: int,
    last_offset: int,
    max_timestamp: int,
    now_ms: int,
    jitter_ms: int = 0,
) -> bool:
    """Whether `size` bytes that end with `last_offset` need a new segment. `max_timestamp`: of these bytes,
    in ms.

    Age counts from the first record's timestamp to the new one's; records without one use the clock.
    """
    used = segment.size
    if not used:
        return False
    if used + size > config.segment_bytes or last_offset - segment.base_offset > MAX_RELATIVE_OFFSET:
        return True
    if (
        len(segment.offsets) >= config.segment_index_bytes // OFFSET_ENTRY_SIZE
        or len(segment.times) >= config.segment_index_bytes // TIME_ENTRY_SIZE - 1
    ):
        return True
    return segment_age(segment, max_timestamp, now_ms) + jitter_ms > config.max_segment_ms


def segment_age(segment: Segment, max_timestamp: int, now_ms: int) -> int:
    """Milliseconds that the segment has been waiting to be rolled."""
    first = segment.look_up_first_timestamp()
    if first >= 0 and max_timestamp >= 0:
        return max_timestamp - first
    return now_ms - (now_ms if segment.created_ms is None else segment.created_ms)


class Segments:
    """See the module."""

    __slots__ = ("_list", "_loaded", "active", "directory", "disk")

    def __init__(self, disk: Disk, directory: str, segments: list[Segment]) -> None:
        assert segments, f"{directory}: a log without a segment"
        self.disk = disk
        self.directory = directory
        self._list = segments
        self._loaded: list[Segment] = []
        self.active = segments[-1]

    def __len__(self) -> int:
        return len(self._list)

    def __iter__(self) -> Iterator[Segment]:
        return iter(self._list)

    def __getitem__(self, index: int) -> Segment:
        return self._list[index]

    @property
    def size(self) -> int:
        """Bytes in all data files. Raises DiskError."""
        return sum(segment.size for segment in self._list)

    def all(self) -> list[Segment]:
        """Oldest first."""
        return list(self._list)

    def number_of(self, offset: int) -> int:
        """Number of the segment that holds `offset`, of the first one for offsets before all."""
        return max(0, bisect_right(self._list, offset, key=_base_offset) - 1)

    def read(self, offset: int, max_bytes: int, end_offset: int, min_one_batch: bool) -> Buffer:
        """See `Segment.read`; goes on to the next segment where one holds nothing from `offset` on."""
        active = self.active
        if offset >= active.base_offset:
            return active.read(offset, max_bytes, end_offset, min_one_batch)
        data: Buffer = b""
        for number in range(self.number_of(offset), len(self._list)):
            segment = self._list[number]
            if segment.base_offset >= end_offset:
                break
            self.use(segment)
            data = segment.read(offset, max_bytes, end_offset, min_one_batch)
            # Empty before the segment's end means that nothing fits, not that there is nothing.
            if len(data) or segment.locate(offset) < segment.size:
                break
        return data

    def use(self, segment: Segment) -> None:
        """Count a closed segment as loaded, and let go of the one that was loaded longest ago."""
        if segment is self.active or segment.is_loaded:
            return
        self._loaded.append(segment)
        if len(self._loaded) > MAX_LOADED:
            oldest = self._loaded.pop(0)
            if oldest is not self.active:
                oldest.unload()

    def roll(self, base_offset: int, now_ms: int) -> Segment:
        """Begin a new active segment; the old one stays loaded for readers just behind the end."""
        old = self.active
        old.next_offset = base_offset
        self._loaded.append(old)
        if len(self._loaded) > MAX_LOADED:
            self._loaded.pop(0).unload()
        self.active = Segment.create(self.disk, self.directory, base_offset, now_ms)
        self._list.append(self.active)
        return self.active

    def take_oldest(self, count: int) -> list[Segment]:
        """Remove the oldest `count` from the log; their files are still there, and closed."""
        assert count < len(self._list), f"{self.directory}: taking {count} of {len(self._list)} segments"
        taken = self._list[:count]
        del self._list[:count]
        self._forget(taken)
        return taken

    def take_from(self, offset: int) -> list[Segment]:
        """Remove the segments that begin after `offset`, except the first; their files are closed."""
        keep = max(1, bisect_right(self._list, offset, key=_base_offset))
        taken = self._list[keep:]
        del self._list[keep:]
        self._forget(taken)
        self.active = self._list[-1]
        if self.active in self._loaded:
            self._loaded.remove(self.active)
        return taken

    def replace_all(self, base_offset: int, now_ms: int) -> list[Segment]:
        """Start over with one empty segment; the removed ones, closed."""
        taken = self._list
        self._forget(taken)
        self.active = Segment.create(self.disk, self.directory, base_offset, now_ms)
        self._list = [self.active]
        return taken

    def _forget(self, segments: list[Segment]) -> None:
        for segment in segments:
            if segment in self._loaded:
                self._loaded.remove(segment)
            segment.unload()

    def close(self) -> None:
        """Give back every descriptor."""
        for segment in self._list:
            segment.unload()
        self._loaded.clear()
