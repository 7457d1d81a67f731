"""What the bytes of a write-ahead log say after a crash: pure, bytes in, group states out.
 Decides where a torn tail begins, what is corruption, and what each group may still believe. Invariants: a
frame that a later frame calls durable is never dropped silently, its loss makes every group it may have
belonged to *suspect*; a group's entries are one gapless run, chained by term; files before a gap in the
numbering count as removed (the state of all groups is repeated at the start of each file, so only entries can
be missing, and that shows).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from .core.types import Entry, HardState
from .wal_format import (
    ENTRIES,
    HARD_STATE,
    SEGMENT,
    EntriesRecord,
    Frame,
    check_segment,
    decode_entries,
    decode_frame,
    decode_hard_state,
    find_frame,
)

_UNKNOWN_LAST = 1 << 63


@dataclass(slots=True)
class GroupRecord:
    """One group as the log tells it. `prev_index`/`prev_term`: the entry before `entries`, (0, 0) for a whole
    log."""

    hard_state: HardState = field(default_factory=HardState)
    prev_index: int = 0
    prev_term: int = 0
    entries: list[Entry] = field(default_factory=list)
    # Invariant: the log once durably ended here. Ending earlier means loss, unless a snapshot makes up for
    # it.
    expected_last: int = 0
    hard_state_lost: bool = False
    commit: int = 0

    @property
    def last_index(self) -> int:
        return self.prev_index + len(self.entries)

    @property
    def last_term(self) -> int:
        return self.entries[-1].term if self.entries else self.prev_term

    def add(self, record: EntriesRecord) -> None:
        """Append, or replace from `first_index` on; start a new run where the record does not fit."""
        before, last = record.first_index - 1, self.last_index
        if self.prev_index <= before < last:
            del self.entries[before - self.prev_index :]
            last = before
        if before != last or record.prev_term != self.last_term:
            self.entries = []
            self.prev_index, self.prev_term = before, record.prev_term
        self.entries += record.entries
        self.expected_last = before + len(record.entries)
        # Merged into the hard state at the end: this runs once per write of the whole log.
        self.commit = max(self.commit, record.commit)

    def is_damaged(self, snapshot_index: int) -> bool:
        """Something that was acknowledged is missing, given a snapshot that covers up to `snapshot_index`."""
        return (
            self.hard_state.damaged
            or self.hard_state_lost
            or self.prev_index > snapshot_index
            or max(self.expected_last, self.hard_state.commit) > max(self.last_index, snapshot_index)
        )


@dataclass(slots=True)
class Segment:
    """One file: its number, its intact size in bytes, and the last index it holds per group."""

    number: int
    size: int
    last_indexes: dict[int, int] = field(default_factory=dict)


@dataclass(slots=True)
class Recovery:
    """`segments` are those to keep, in order. `unknown_loss`: a part was lost that may have held any
    group."""

    groups: dict[int, GroupRecord] = field(default_factory=dict)
    segments: list[Segment] = field(default_factory=list)
    last_batch: int = 0
    corrupt_frames: int = 0
    unknown_loss: bool = False


@dataclass(slots=True)
class _Problem:
    """A place where no intact frame of `batch` is; `frame` when its header is intact at least."""

    batch: int
    frame: Frame | None


class _Scan:
    """Walks over the files. A batch counts as a whole; from the first problem on everything waits until it is
    clear what was durable."""

    def __init__(self, recovery: Recovery, node_id: int) -> None:
        self._recovery = recovery
        self._node_id = node_id
        self._waiting: list[tuple[Segment, int, Frame | _Problem]] = []
        self._has_problem = False
        self._durable = 0
        # The batch that the next frame must belong to, None when anything may follow; and the same as a lower
        # bound.
        self._expected: int | None = None
        self._at_least = 1

    def add_file(self, segment: Segment, data: bytes) -> None:
        position = 0
        while position < len(data):
            frame = decode_frame(data, position)
            if frame is None:
                self._add_problem(segment, position, self._at_least, None)
                self._expected = None
                position = find_frame(data, position) or len(data)
                continue
            if self._expected not in (None, frame.batch):
                self._add_problem(segment, position, self._at_least, None)
            self._durable = frame.durable
            self._expected = self._at_least = frame.batch if frame.remaining else frame.batch + 1
            if frame.payload is None:
                self._add_problem(segment, position, frame.batch, frame)
            else:
                self._waiting.append((segment, position, frame))
                if not frame.remaining and not self._has_problem:
                    self._apply_waiting()
            position = frame.end

    def _add_problem(self, segment: Segment, position: int, batch: int, frame: Frame | None) -> None:
        self._has_problem = True
        self._waiting.append((segment, position, _Problem(batch, frame)))

    def _apply_waiting(self) -> None:
        for segment, _, event in self._waiting:
            if isinstance(event, Frame):
                _apply(self._recovery, segment, event, self._node_id)
            else:
                _note_loss(self._recovery, event.frame)
                if event.frame is not None:
                    segment.size = event.frame.end
                    self._recovery.last_batch = event.frame.batch
        self._waiting.clear()

    def finish(self) -> None:
        """Cut at the first batch that is incomplete and was never durable: nothing in it was acknowledged."""
        cut: int | None = None
        if self._waiting:
            last = self._waiting[-1][2]
            cut = last.batch if isinstance(last, Frame) and last.remaining else None
        for _, _, event in self._waiting:
            if isinstance(event, _Problem) and event.batch > self._durable:
                cut = event.batch
                break
        if cut is not None:
            torn = next(at for at, (_, _, event) in enumerate(self._waiting) if event.batch >= cut)
            segment, position, _ = self._waiting[torn]
            del self._waiting[torn:]
            kept = self._recovery.segments
            del kept[kept.index(segment) + 1 :]
            if position == 0:
                kept.remove(segment)
        self._apply_waiting()


def recover(node_id: int, files: Sequence[tuple[int, bytes]]) -> Recovery:
    """Read the log from its files, as (number, content) in order. Raises WalFormatError for a foreign
    file."""
    recovery = Recovery()
    first = max(len(files) - 1, 0)
    while first > 0 and files[first - 1][0] == files[first][0] - 1:
        first -= 1
    scan = _Scan(recovery, node_id)
    for number, data in files[first:]:
        segment = Segment(number, 0)
        recovery.segments.append(segment)
        scan.add_file(segment, data)
    scan.finish()
    for group in recovery.groups.values():
        group.hard_state = group.hard_state._replace(commit=group.commit)
    recovery.segments = [segment for segment in recovery.segments if segment.size]
    return recovery


def _apply(recovery: Recovery, segment: Segment, frame: Frame, node_id: int) -> None:
    segment.size = frame.end
    recovery.last_batch = frame.batch
    payload = frame.payload
    assert payload is not None
    if frame.kind == SEGMENT:
        check_segment(payload, node_id, segment.number)
        return
    group = _group(recovery, frame.group_id)
    if frame.kind == ENTRIES:
        group.add(decode_entries(payload))
        segment.last_indexes[frame.group_id] = max(
            frame.last_index, segment.last_indexes.get(frame.group_id, 0)
        )
    elif frame.kind == HARD_STATE:
        record = decode_hard_state(payload)
        group.hard_state = record.state
        group.commit = max(group.commit, record.state.commit)
        group.hard_state_lost = False
        group.expected_last = record.last_index


def _group(recovery: Recovery, group_id: int) -> GroupRecord:
    group = recovery.groups.get(group_id)
    if group is None:
        group = recovery.groups[group_id] = GroupRecord(hard_state_lost=recovery.unknown_loss)
    return group


def _note_loss(recovery: Recovery, frame: Frame | None) -> None:
    recovery.corrupt_frames += 1
    if frame is None:
        recovery.unknown_loss = True
        for group in recovery.groups.values():
            group.hard_state_lost = True
            group.expected_last = _UNKNOWN_LAST
    elif frame.kind == ENTRIES:
        _group(recovery, frame.group_id).expected_last = frame.last_index
    elif frame.kind == HARD_STATE:
        _group(recovery, frame.group_id).hard_state_lost = True
