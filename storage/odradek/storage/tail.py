"""The newest batches of a segment, each with its position: a dense index of the end of the log.

Decides: how many batches are remembered. Consumers that keep up, and cuts at the high watermark, are
answered from here without reading a header. Invariant: the batches are consecutive, the last one is the
last of the segment.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from typing import Final

MAX_BATCHES: Final = 128
"""12 bytes each; half of them are dropped when there would be more."""


class Tail:
    """Base offsets (absolute) and positions (bytes) of batches."""

    __slots__ = ("offsets", "positions")

    def __init__(self) -> None:
        self.offsets = array("q")
        self.positions = array("I")

    def add(self, base_offset: int, position: int) -> None:
        """A batch was added at the end."""
        offsets = self.offsets
        if len(offsets) >= MAX_BATCHES:
            del offsets[: MAX_BATCHES // 2], self.positions[: MAX_BATCHES // 2]
        offsets.append(base_offset)
        self.positions.append(position)

    def covers(self, offset: int) -> bool:
        """Whether the batch that holds `offset` would be among the remembered ones."""
        return bool(self.offsets) and offset >= self.offsets[0]

    def position_of(self, offset: int) -> int:
        """Position of the last batch that begins at or before `offset`, which must be covered."""
        return self.positions[bisect_right(self.offsets, offset) - 1]

    def cut(self, position: int) -> int | None:
        """The last beginning of a batch at or before `position`; None if that lies before the tail."""
        if not self.positions or position < self.positions[0]:
            return None
        return self.positions[bisect_right(self.positions, position) - 1]

    def clear(self) -> None:
        """Forget all; the next batch added begins a new tail."""
        del self.offsets[:], self.positions[:]
