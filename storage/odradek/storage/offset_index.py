"""The offset index of one segment: where in the log file to begin looking for an offset.

Decides: entry layout and lookups. Does not decide when an entry is due (`segment`) nor when the file is
written: entries live in two arrays and the file only follows at roll, close and checkpoint, for it can
always be rebuilt from the log.

An entry is (last offset of a batch - base offset, position of that batch), both big-endian int32: 8 bytes in
`<base offset>.index`. Invariant: both columns grow strictly. The file is never preallocated.
Source: Kafka's OffsetIndex.
"""

from __future__ import annotations

import sys
from array import array
from bisect import bisect_left, bisect_right
from typing import Final

ENTRY_SIZE: Final = 8


class OffsetIndex:
    """Entries in memory, the first `written` of which are in the file."""

    __slots__ = ("_offsets", "_positions", "base_offset", "written")

    def __init__(self, base_offset: int) -> None:
        self.base_offset = base_offset
        self.written = 0
        self._offsets = array("I")
        self._positions = array("I")

    def __len__(self) -> int:
        return len(self._offsets)

    def append(self, last_offset: int, position: int) -> None:
        """Note that the batch which ends with `last_offset` begins at `position`."""
        self._offsets.append(last_offset - self.base_offset)
        self._positions.append(position)

    def lookup(self, offset: int) -> int:
        """A position at or before the batch that holds `offset`, or the batch after it if none does."""
        # The batch of an entry ends with the entry's offset, so an equal one may be used, a larger one not.
        found = bisect_right(self._offsets, offset - self.base_offset) - 1
        return self._positions[found] if found >= 0 else 0

    def batch_beyond(self, offset: int) -> int | None:
        """Position of the first indexed batch that ends at `offset` or later; None if no entry says so."""
        found = bisect_left(self._offsets, max(0, offset - self.base_offset))
        return self._positions[found] if found < len(self._positions) else None

    def position_before(self, position: int) -> int:
        """The largest indexed position that is at most `position`; 0 if there is none."""
        found = bisect_right(self._positions, position) - 1
        return self._positions[found] if found >= 0 else 0

    @property
    def last_entry(self) -> tuple[int, int] | None:
        """(last offset, position) of the newest entry."""
        if not self._offsets:
            return None
        return self.base_offset + self._offsets[-1], self._positions[-1]

    def truncate_positions(self, size: int) -> None:
        """Forget entries of batches at or after byte `size` of the log."""
        keep = bisect_left(self._positions, size)
        del self._offsets[keep:]
        del self._positions[keep:]
        self.written = min(self.written, keep)

    def encode(self, start: int = 0) -> bytes:
        """File content of the entries from number `start` on."""
        pairs = array("I", bytes(ENTRY_SIZE * (len(self._offsets) - start)))
        pairs[0::2] = self._offsets[start:]
        pairs[1::2] = self._positions[start:]
        if sys.byteorder == "little":
            pairs.byteswap()
        return pairs.tobytes()

    @classmethod
    def decode(cls, base_offset: int, data: bytes, log_size: int) -> OffsetIndex | None:
        """The index in a file of this content; None if it cannot belong to a log of `log_size` bytes."""
        if len(data) % ENTRY_SIZE:
            return None
        pairs = array("I", data)
        if sys.byteorder == "little":
            pairs.byteswap()
        index = cls(base_offset)
        index._offsets = pairs[0::2]
        index._positions = pairs[1::2]
        index.written = len(index)
        if not index or (
            _grows(index._offsets) and _grows(index._positions) and index._positions[-1] < log_size
        ):
            return index
        return None


def _grows(column: array[int]) -> bool:
    # Strict growth means that sorting changes nothing and nothing is there twice; both run in C.
    values = column.tolist()
    return values == sorted(values) and len(set(values)) == len(values)
