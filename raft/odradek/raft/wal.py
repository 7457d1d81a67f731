"""The write-ahead log of a node: entries and hard states of all its groups, one fdatasync for all of them.
 Decides what a batch holds, when a file is full, and which files are no longer needed. Does not decide what
is committed. Invariants: everything appended between two `flush` calls is one write; writes are confirmed in
order, and only when synced; a file is removed only when snapshots cover every entry in it and a younger file
repeats all hard states durably; after a failure nothing is written or confirmed any more.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from odradek.storage.disk import Disk, DiskFullError, DiskSyncError, File, replace_file
from odradek.storage.failed_sync import is_warned, leave_warning, lift_warning

from .core.types import Entry, HardState
from .syncer import Syncer
from .wal_format import ENTRIES, Part, encode_batch, entries_parts, hard_state_part, segment_part
from .wal_recovery import GroupRecord, Recovery, Segment, recover

DEFAULT_SEGMENT_BYTES: Final = 16 * 1024 * 1024
_SUFFIX: Final = ".wal"


class WriteListener(Protocol):
    """Whoever appends: a group."""

    def on_durable(self, number: int) -> None:
        """Everything appended with a number up to this one survives a crash."""


@dataclass(slots=True)
class _GroupState:
    """What the start of each file repeats."""

    hard_state: HardState
    last_index: int
    snapshot_index: int = 0


_Confirmation = tuple[WriteListener, int]


class Wal:
    """Use: `open`, `take_group` for each group, then `append` and `flush`. All calls on the loop's thread."""

    def __init__(self, disk: Disk, path: str, node_id: int, syncer: Syncer, segment_bytes: int) -> None:
        self._disk = disk
        self._path = path
        self._node_id = node_id
        self._syncer = syncer
        self._segment_bytes = segment_bytes
        self._segments: deque[Segment] = deque()
        self._file: File | None = None
        self._states: dict[int, _GroupState] = {}
        self._records: dict[int, GroupRecord] = {}
        self._unknown_loss = False
        self._batch = 0
        self._durable_batch = 0
        # The batch that opened the newest file: older files stay until it is durable.
        self._opening_batch = 0
        self._parts: list[Part] = []
        self._confirmations: list[_Confirmation] = []
        self._removing = False
        self.corrupt_frames = 0

    # -- start and end

    def open(self) -> None:
        """Read what is there, cut a torn tail, and make the rest durable. Raises DiskError,
        WalFormatError."""
        disk = self._disk
        disk.makedirs(self._path)
        numbers = sorted(
            int(name[: -len(_SUFFIX)]) for name in disk.listdir(self._path) if name.endswith(_SUFFIX)
        )
        contents = {number: disk.read(self._name(number)) for number in numbers}
        recovery = recover(self._node_id, list(contents.items()))
        kept = {segment.number for segment in recovery.segments}
        for number in numbers:
            if number not in kept:
                disk.remove(self._name(number))
        self._adopt(recovery)
        if is_warned(disk, self._path):
            for segment in recovery.segments:
                replace_file(disk, self._name(segment.number), contents[segment.number][: segment.size])
            lift_warning(disk, self._path)
        for segment in recovery.segments:
            file = disk.open(self._name(segment.number))
            if file.size > segment.size:
                file.truncate(segment.size)
            # Why: a process that died without a power cut leaves writes that look durable and are not yet.
            file.sync()
            if segment is recovery.segments[-1]:
                self._file = file
            else:
                file.close()
        if self._file is None:
            self._open_segment(max(numbers, default=0) + 1, ())
            self._file_sync_now()
        disk.sync_dir(self._path)

    def _adopt(self, recovery: Recovery) -> None:
        self._records = recovery.groups
        self._unknown_loss = recovery.unknown_loss
        self.corrupt_frames = recovery.corrupt_frames
        self._segments.extend(recovery.segments)
        self._batch = self._durable_batch = self._opening_batch = recovery.last_batch
        for group_id, record in recovery.groups.items():
            self._states[group_id] = _GroupState(record.hard_state, record.last_index)

    def _file_sync_now(self) -> None:
        assert self._file is not None
        self._file.sync()
        self._durable_batch = self._batch

    def take_group(self, group_id: int) -> GroupRecord:
        """What the log held of a group when it was opened; handed out once, then forgotten."""
        record = self._records.pop(group_id, None)
        if record is None:
            record = GroupRecord(hard_state_lost=self._unknown_loss)
        self._states.setdefault(group_id, _GroupState(record.hard_state, record.last_index))
        return record

    def close(self) -> None:
        """Write what is pending, and note every group's state, so that later damage to the last writes shows.
        Raises DiskError."""
        if self._file is None:
            return
        self._parts.extend(self._state_parts())
        self.flush()
        self._syncer.close()
        self._file.close()
        self._file = None

    def halt(self, error: Exception) -> None:
        """Give up after a failure: nothing is written any more. What a failed sync left, the next process must not
        trust."""
        if isinstance(error, DiskSyncError):
            leave_warning(self._disk, self._path)
        self._parts.clear()
        self._confirmations.clear()
        if self._file is not None:
            self._file.close()
            self._file = None

    # -- writing

    def append(
        self,
        listener: WriteListener,
        number: int,
        group_id: int,
        hard_state: HardState | None,
        first_index: int,
        prev_term: int,
        entries: Sequence[Entry],
        commit: int,
    ) -> None:
        """Queue one write; `listener.on_durable(number)` confirms it. `entries` replace everything from
        `first_index`."""
        state = self._states[group_id]
        if entries:
            # Entries before the hard state: a crash between the two must not leave a commit index beyond the
            # log.
            self._parts += entries_parts(group_id, first_index, prev_term, entries, commit)
            state.last_index = first_index + len(entries) - 1
        if commit > state.hard_state.commit:
            state.hard_state = state.hard_state._replace(commit=commit)
        if hard_state is not None:
            state.hard_state = hard_state
            self._parts.append(hard_state_part(group_id, hard_state, state.last_index))
        self._confirmations.append((listener, number))

    def note_reset(self, group_id: int, index: int) -> None:
        """A snapshot replaced the group's log: it ends at `index` now."""
        state = self._states[group_id]
        state.last_index = index

    def flush(self) -> None:
        """Write what is queued, as one batch, and ask for the sync. Raises DiskError.

        After a DiskFullError nothing was written, everything is queued as before, and a later call may succeed.
        """
        if not self._parts or self._file is None:
            return
        if self._file.size >= self._segment_bytes:
            self._roll(self._parts)
        else:
            self._write(self._parts)
        self._parts = []
        confirmations, self._confirmations = self._confirmations, []
        batch = self._batch
        self._syncer.submit(self._file.sync, lambda: self._on_synced(batch, confirmations))

    def _write(self, parts: Sequence[Part]) -> None:
        assert self._file is not None
        segment = self._segments[-1]
        segment.size = self._file.append(encode_batch(parts, self._batch + 1, self._durable_batch))
        self._batch += 1
        for part in parts:
            if part.last_index > segment.last_indexes.get(part.group_id, -1) and part.kind == ENTRIES:
                segment.last_indexes[part.group_id] = part.last_index

    def _on_synced(self, batch: int, confirmations: list[_Confirmation]) -> None:
        if self._file is None:
            return
        self._durable_batch = batch
        for listener, number in confirmations:
            listener.on_durable(number)
        if len(self._segments) > 1:
            self._remove_covered()

    # -- files

    def _name(self, number: int) -> str:
        return f"{self._path}/{number:020d}{_SUFFIX}"

    def _state_parts(self) -> list[Part]:
        return [
            hard_state_part(group_id, state.hard_state, state.last_index)
            for group_id, state in self._states.items()
        ]

    def _open_segment(self, number: int, parts: Sequence[Part]) -> None:
        """Start a file with the states of all groups; synced by whoever calls.

        Why in one batch with `parts`: the states speak of entries that may be in `parts`.
        """
        self._file = self._disk.open(self._name(number), create=True)
        self._segments.append(Segment(number, 0))
        self._write([segment_part(self._node_id, number), *self._state_parts(), *parts])
        self._opening_batch = self._batch

    def _roll(self, parts: Sequence[Part]) -> None:
        full = self._file
        assert full is not None
        number = self._segments[-1].number + 1
        try:
            self._open_segment(number, parts)
        except DiskFullError:
            opened, self._file = self._file, full
            if opened is not None and opened is not full:
                opened.close()
            if self._segments[-1].number == number:
                self._segments.pop()
            self._disk.remove(self._name(number))
            raise
        self._syncer.submit(full.sync, full.close)
        self._syncer.submit(self._sync_dir, _nothing)

    def _sync_dir(self) -> None:
        self._disk.sync_dir(self._path)

    def note_snapshot(self, group_id: int, index: int) -> None:
        """A durable snapshot covers the group up to `index`: older entries are not needed any more."""
        state = self._states[group_id]
        state.snapshot_index = max(state.snapshot_index, index)
        self._remove_covered()

    def _remove_covered(self) -> None:
        """Remove the oldest file if nothing needs it, and look again when that is durable. Raises DiskError.

        Why one by one: removals that reach the disk out of order would look like a lost file.
        """
        if self._removing or len(self._segments) < 2 or self._durable_batch < self._opening_batch:
            return
        if self._blocking(self._segments[0]):
            return
        self._removing = True
        self._disk.remove(self._name(self._segments.popleft().number))
        self._syncer.submit(self._sync_dir, self._on_removed)

    def _on_removed(self) -> None:
        self._removing = False
        if self._file is not None:
            self._remove_covered()

    def _blocking(self, segment: Segment) -> list[int]:
        return [
            group_id
            for group_id, index in segment.last_indexes.items()
            if index > self._states[group_id].snapshot_index
        ]

    @property
    def size_bytes(self) -> int:
        return sum(segment.size for segment in self._segments)

    def groups_to_snapshot(self, files_max: int) -> list[int]:
        """Groups whose entries hold the oldest file, once there are more than `files_max` files."""
        return self._blocking(self._segments[0]) if len(self._segments) > files_max else []


def _nothing() -> None:
    """The directory is synced; nobody waits for that alone."""
