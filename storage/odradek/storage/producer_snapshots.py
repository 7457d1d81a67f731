"""The producer state of a loaded log together with its snapshots on disk.

Decides: when a snapshot is due inside a segment, which old one a new one replaces, and how the state comes
back after a truncation. Does not decide what is in it (`producer_state`).

Invariant: every closed segment has a snapshot as of its end (the name is the next segment's base offset);
at most one more lies inside the active segment. Source: Kafka's ProducerStateManager.
"""

from __future__ import annotations

from typing import Final

from odradek.proto.kafka.record_batch import BatchHeader
from odradek.storage.disk import Buffer
from odradek.storage.local_log import LocalLog
from odradek.storage.producer_state import ProducerState
from odradek.storage.recovery import load_producers, parse_marker
from odradek.storage.segment import segment_name

SNAPSHOT_BYTES: Final = 64 * 1024 * 1024
"""Appended bytes after which a checkpoint writes a snapshot: a crash must not replay a whole segment."""


class StoredProducers:
    """`state` as of the log end; `offset` of the newest snapshot, -1 for none."""

    __slots__ = ("_unsaved_bytes", "offset", "state")

    def __init__(self, state: ProducerState, offset: int) -> None:
        self.state = state
        self.offset = offset
        self._unsaved_bytes = 0

    def on_appended(self, size: int) -> None:
        """The log grew by `size` bytes."""
        self._unsaved_bytes += size

    def take_in(self, records: Buffer, headers: tuple[tuple[int, BatchHeader], ...], now_ms: int) -> None:
        """Batches with their positions in `records` were appended as they came from the leader."""
        for position, header in headers:
            if header.producer_id >= 0:
                self.state.update(header, parse_marker(records, position, header), now_ms)

    @property
    def is_due(self) -> bool:
        """Whether enough was appended since the last snapshot."""
        return self._unsaved_bytes >= SNAPSHOT_BYTES

    def save(self, local: LocalLog) -> None:
        """Write a snapshot as of the log end. Raises DiskError."""
        end, old = local.end_offset, self.offset
        local.write_file(f"{segment_name(end)}.snapshot", self.state.snapshot())
        self.offset = end
        self._unsaved_bytes = 0
        if old >= 0 and old != end and all(segment.base_offset != old for segment in local.segments):
            local.remove_snapshots([old])

    def on_truncated(self, local: LocalLog, log_start_offset: int, *, fully: bool) -> None:
        """The log ends earlier: later snapshots go, a state that has seen more is replayed. DiskError.

        `fully`: nothing of the log is left, so no snapshot is of its history.
        """
        end = local.end_offset
        snapshots = local.snapshots()
        kept = [offset for offset in snapshots if offset <= end and not fully]
        local.remove_snapshots(offset for offset in snapshots if offset not in kept)
        if fully:
            self.state.clear()
        elif not self.state.truncate_to(end):
            segments = local.segments.all()
            self.state = load_producers(local.home.disk, local.path, segments, kept, log_start_offset)
        self.offset = kept[-1] if kept else -1
