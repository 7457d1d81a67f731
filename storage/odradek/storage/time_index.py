"""The time index of one segment: the largest timestamp so far, and the batch that has it.

Decides: entry layout and lookups. As for the offset index, the file follows at roll, close and checkpoint.

An entry (T, O) says: no record up to the batch that ends with offset O is newer than T, and that batch has a
record of T. In `<base offset>.timeindex`: T as int64, O - base offset as int32, big-endian, 12 bytes.
Invariants: T grows strictly, O does not shrink. Source: Kafka's TimeIndex (KIP-33).
"""

from __future__ import annotations

import struct
from array import array
from bisect import bisect_left
from typing import Final

_ENTRY: Final = struct.Struct(">qI")
ENTRY_SIZE: Final = _ENTRY.size


class TimeIndex:
    """Entries in memory, the first `written` of which are in the file."""

    __slots__ = ("_offsets", "_timestamps", "base_offset", "written")

    def __init__(self, base_offset: int) -> None:
        self.base_offset = base_offset
        self.written = 0
        self._timestamps = array("q")
        self._offsets = array("I")

    def __len__(self) -> int:
        return len(self._timestamps)

    def maybe_append(self, timestamp: int, last_offset: int) -> None:
        """Note the largest timestamp so far (ms) unless the newest entry has it; -1 is no timestamp."""
        if timestamp < 0:
            return
        if not self._timestamps or timestamp > self._timestamps[-1]:
            self._timestamps.append(timestamp)
            self._offsets.append(last_offset - self.base_offset)

    def lookup(self, timestamp: int) -> int:
        """An offset at or before the first record with `timestamp` or a newer one."""
        found = bisect_left(self._timestamps, timestamp) - 1
        return self.base_offset + self._offsets[found] if found >= 0 else self.base_offset

    @property
    def last_entry(self) -> tuple[int, int] | None:
        """(timestamp, last offset of its batch) of the newest entry."""
        if not self._timestamps:
            return None
        return self._timestamps[-1], self.base_offset + self._offsets[-1]

    def truncate_offsets(self, end_offset: int) -> None:
        """Forget entries of batches that end at or after `end_offset`."""
        keep = bisect_left(self._offsets, max(0, end_offset - self.base_offset))
        del self._timestamps[keep:]
        del self._offsets[keep:]
        self.written = min(self.written, keep)

    def encode(self, start: int = 0) -> bytes:
        """File content of the entries from number `start` on."""
        return b"".join(map(_ENTRY.pack, self._timestamps[start:], self._offsets[start:]))

    @classmethod
    def decode(cls, base_offset: int, data: bytes) -> TimeIndex | None:
        """The index in a file of this content, or None if it cannot be one."""
        if len(data) % ENTRY_SIZE:
            return None
        index = cls(base_offset)
        last_timestamp, last_offset = -1, 0
        for timestamp, offset in _ENTRY.iter_unpack(data):
            if timestamp <= last_timestamp or offset < last_offset:
                return None
            index._timestamps.append(timestamp)
            index._offsets.append(offset)
            last_timestamp, last_offset = timestamp, offset
        index.written = len(index)
        return index

    @staticmethod
    def decode_entry(base_offset: int, data: bytes) -> tuple[int, int] | None:
        """(timestamp, offset) of one entry's bytes; None if there are not enough."""
        if len(data) != ENTRY_SIZE:
            return None
        timestamp, offset = _ENTRY.unpack(data)
        return timestamp, base_offset + offset
