"""Which leader epoch began at which offset: what followers and consumers compare histories by.

Decides: the epoch of an offset and the end offset of an epoch. Does not decide: when to truncate, or
where the checkpoint lives. Pure.

Invariants: epochs and start offsets both ascend strictly. An entry is made by the first batch of its
epoch, never by becoming leader alone, so every entry has records unless they were deleted.

Source: KIP-101, KIP-320; LeaderEpochFileCache and LeaderEpochCheckpointFile of Kafka 4.3. The
checkpoint is text: a version line `0`, a line with the number of entries, and `<epoch> <start offset>`
lines.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from typing import Final, NamedTuple

UNDEFINED_EPOCH: Final = -1
UNDEFINED_OFFSET: Final = -1
_VERSION: Final = "0"


class EpochEntry(NamedTuple):
    epoch: int
    start_offset: int


class EpochEndOffset(NamedTuple):
    """The answer to "where does this epoch end?": the largest epoch not above it, and its end (exclusive)."""

    epoch: int
    end_offset: int


class CorruptCheckpoint(NamedTuple):
    """The checkpoint text cannot be used; the cache has to be rebuilt from the log."""

    reason: str


class LeaderEpochCache:
    """The epochs of one partition log."""

    __slots__ = ("_epochs", "_starts")

    def __init__(self, entries: Iterable[EpochEntry] = ()) -> None:
        self._epochs: list[int] = []
        self._starts: list[int] = []
        for epoch, start_offset in entries:
            self.assign(epoch, start_offset)

    @property
    def entries(self) -> list[EpochEntry]:
        """All entries, oldest first."""
        return [EpochEntry(epoch, start) for epoch, start in zip(self._epochs, self._starts, strict=True)]

    @property
    def latest_epoch(self) -> int:
        """Epoch of the newest entry, or -1."""
        return self._epochs[-1] if self._epochs else UNDEFINED_EPOCH

    def assign(self, epoch: int, start_offset: int) -> bool:
        """The batch at `start_offset` has `epoch`. True when that made an entry, to be checkpointed.

        Entries that contradict the new one (an epoch or an offset not below it) are what a former
        leader wrote and this log no longer holds: they go.
        """
        epochs, starts = self._epochs, self._starts
        if epochs and epochs[-1] == epoch and starts[-1] <= start_offset:
            return False
        if epoch < 0 or start_offset < 0:
            return False
        keep = min(bisect_left(epochs, epoch), bisect_left(starts, start_offset))
        del epochs[keep:], starts[keep:]
        epochs.append(epoch)
        starts.append(start_offset)
        return True

    def epoch_for(self, offset: int) -> int:
        """Leader epoch of the record at `offset`, or -1 when it lies before the first entry."""
        index = bisect_right(self._starts, offset) - 1
        return self._epochs[index] if index >= 0 else UNDEFINED_EPOCH

    def previous_epoch(self, epoch: int) -> int:
        """The largest known epoch below `epoch`, or -1."""
        index = bisect_left(self._epochs, epoch) - 1
        return self._epochs[index] if index >= 0 else UNDEFINED_EPOCH

    def start_offset_of(self, epoch: int) -> int:
        """Start offset of exactly this epoch, or -1."""
        index = bisect_left(self._epochs, epoch)
        if index < len(self._epochs) and self._epochs[index] == epoch:
            return self._starts[index]
        return UNDEFINED_OFFSET

    def end_offset_for(self, epoch: int, log_end_offset: int) -> EpochEndOffset:
        """The largest known epoch that is not above `epoch`, and the offset at which the next one begins.

        The latest epoch ends at the log end. An epoch above it is unknown: (-1, -1). An epoch below the
        first ends, itself, where the first begins.
        """
        epochs, starts = self._epochs, self._starts
        if epoch < 0 or not epochs or epoch > epochs[-1]:
            return EpochEndOffset(UNDEFINED_EPOCH, UNDEFINED_OFFSET)
        index = bisect_right(epochs, epoch)
        if index == len(epochs):
            return EpochEndOffset(epoch, log_end_offset)
        return EpochEndOffset(epochs[index - 1] if index else epoch, starts[index])

    def truncate_from_end(self, end_offset: int) -> bool:
        """The log now ends at `end_offset`: entries that begin there or later go.

        True when there were any.
        """
        keep = bisect_left(self._starts, max(end_offset, 0))
        if keep == len(self._starts):
            return False
        del self._epochs[keep:], self._starts[keep:]
        return True

    def truncate_from_start(self, start_offset: int) -> bool:
        """The log now starts at `start_offset`: epochs that end before it go, its own one starts there.

        True when that changed anything.
        """
        index = bisect_right(self._starts, start_offset) - 1
        if index < 0 or (index == 0 and self._starts[0] == start_offset):
            return False
        del self._epochs[:index], self._starts[:index]
        self._starts[0] = start_offset
        return True

    def clear(self) -> None:
        self._epochs.clear()
        self._starts.clear()

    def encode(self) -> bytes:
        """The entries as the text of `leader-epoch-checkpoint`."""
        lines = [_VERSION, str(len(self._epochs))]
        lines += [f"{epoch} {start}" for epoch, start in zip(self._epochs, self._starts, strict=True)]
        return ("\n".join(lines) + "\n").encode()


def decode(text: bytes) -> LeaderEpochCache | CorruptCheckpoint:
    """A cache from the text of a checkpoint file."""
    try:
        lines = text.decode("ascii").splitlines()
        if text and not text.endswith(b"\n"):
            return CorruptCheckpoint("cut off")
        if not lines or lines[0].strip() != _VERSION:
            return CorruptCheckpoint(f"version {lines[0]!r}" if lines else "empty")
        rows = [line.split() for line in lines[2:] if line.strip()]
        if int(lines[1]) != len(rows):
            return CorruptCheckpoint(f"{len(rows)} entries where {lines[1]} are declared")
        entries = [EpochEntry(int(epoch), int(start)) for epoch, start in rows]
    except (ValueError, IndexError) as error:
        return CorruptCheckpoint(str(error))
    cache = LeaderEpochCache(entries)
    if cache.entries != entries:
        return CorruptCheckpoint("epochs or offsets do not ascend")
    return cache
