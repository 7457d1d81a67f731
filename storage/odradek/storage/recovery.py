"""Loading a log: what its directory holds, and what of it survived.

Decides: which bytes are kept after a crash, from where they are checked, and how indexes, leader epochs and
producer state are brought up to them. Does not decide when a log is loaded (`log`, at first use).

After a clean end nothing is scanned but the headers behind the last index entry of the active segment, and
the producer state comes from the snapshot at the log end. After a crash every segment that reaches past the
recovery point is checked, from the last index entry before that point on: headers, order of offsets, CRC.
The first batch that is not whole ends the log: the file is cut there, and later segments are removed. So does a
closed segment that ends before the next one begins: its batches are gone, and whatever came after them was not
acknowledged, for they would have been synced first. The
indexes from there on are made anew, and what was found is synced: from here on it counts as flushed. An epoch file
that is missing, damaged or contradicts the batches is rebuilt from all headers, a missing snapshot from those after
the last good one. A snapshot knows one batch per producer: up to four more come from the headers before it, so that
after a clean end a producer's retries are recognized as well as before.

What lies before the recovery point was synced and whole once, and whatever is wrong with it now is rot: nothing is cut
there for a wrong checksum, since this may be the only replica. (A batch whose length has rotted ends the log even so,
if it lies behind the last index entry: nobody can say where the next one begins.) It is looked for all the same, in the
youngest bytes of the logs that are loaded first (64 MiB of a directory), and told as `damaged_offset`, so that a
follower can fetch it again.

Source: Kafka's LogLoader and LogSegment.recover; "Protocol-Aware Recovery" (Alagappan and others, FAST 2018).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from odradek.proto.kafka.record_batch import (
    HEADER_SIZE,
    LOG_OVERHEAD,
    MAGIC,
    BatchHeader,
    EndTxnMarker,
    InvalidBatchError,
    compute_crc,
    parse_end_txn_marker,
    parse_header,
)
from odradek.storage.checkpoints import LEADER_EPOCHS, PARTITION_METADATA, decode_partition_metadata
from odradek.storage.disk import Buffer, Disk, MissingFileError
from odradek.storage.leader_epoch_cache import CorruptCheckpoint, LeaderEpochCache, decode
from odradek.storage.log_dir import STRAY_SUFFIX, LogDir
from odradek.storage.producer_state import ProducerState
from odradek.storage.segment import CorruptSegmentError, Segment, segment_name
from odradek.storage.segments import Segments

log = logging.getLogger(__name__)

_SCAN_BYTES: Final = 1 << 20
SEGMENT_FILES: Final = (".log", ".index", ".timeindex", ".txnindex")
_REFILL_BYTES: Final = 1 << 20
_REFILL_SEGMENTS: Final = 2
_LEFTOVERS: Final = (".deleted", ".cleaned", ".tmp")
_MIN_BATCH_LENGTH: Final = HEADER_SIZE - LOG_OVERHEAD


class LoadedLog(NamedTuple):
    """State of a log after loading; `is_new`: it has no directory yet."""

    segments: Segments
    epochs: LeaderEpochCache
    producers: ProducerState
    log_start_offset: int
    epochs_are_saved: bool
    """Whether the epoch file says the same as `epochs`."""
    snapshot_offset: int
    """Offset of the newest producer snapshot, -1 for none."""
    is_new: bool
    cut_bytes: int
    names_are_synced: bool = True
    """False after a kill: files may be there whose names a power cut would still take."""
    damaged_offset: int = -1
    """Where the first batch is that was synced once and is not whole any more; -1 for none that was found."""


class _Listing(NamedTuple):
    bases: list[int]
    snapshots: list[int]
    has_epochs: bool


def load_log(home: LogDir, name: str, topic_id: bytes, interval: int, now_ms: int) -> LoadedLog:
    """Load the log in `home`'s directory `name`; an empty one if there is none. Raises DiskError."""
    path = f"{home.path}/{name}"
    listing = _list(home, name, topic_id)
    start = home.log_start_offsets.get(name, 0)
    if listing is None or not listing.bases:
        segment = Segment.create(home.disk, path, start, now_ms)
        segments = Segments(home.disk, path, [segment])
        return LoadedLog(segments, LeaderEpochCache(), ProducerState(), start, True, -1, listing is None, 0)
    loader = _Loader(home, name, listing, interval)
    home.clean_names.discard(name)
    loaded = loader.load(start)
    home.suspects.discard(name)
    return loaded


def _list(home: LogDir, name: str, topic_id: bytes) -> _Listing | None:
    """What is in the directory; None if there is none, or if it belonged to another topic of that name."""
    if name not in home.names:
        return None
    path = f"{home.path}/{name}"
    try:
        files = home.disk.listdir(path)
    except MissingFileError:
        home.forget(name, None)
        return None
    if PARTITION_METADATA in files:
        found = decode_partition_metadata(home.disk.read(f"{path}/{PARTITION_METADATA}"))
        if found is not None and found != topic_id:
            moved = home.move_away(name, found.hex(), STRAY_SUFFIX)
            log.warning("%s held another topic's log (id %s); kept as %s", path, found.hex(), moved)
            home.forget(name, None)
            return None
    for file in files:
        if file.endswith(_LEFTOVERS):
            home.disk.remove(f"{path}/{file}")
    bases = {_number(file, ".log") for file in files} - {None}
    for file in files:
        stem = file.partition(".")[0]
        if file.endswith(SEGMENT_FILES) and stem.isdecimal() and int(stem) not in bases:
            home.disk.remove(f"{path}/{file}")
    snapshots = [number for file in files if (number := _number(file, ".snapshot")) is not None]
    return _Listing(
        sorted(base for base in bases if base is not None), sorted(snapshots), LEADER_EPOCHS in files
    )


def _number(file: str, suffix: str) -> int | None:
    stem = file.removesuffix(suffix)
    return int(stem) if stem != file and stem.isdecimal() else None


class _Loader:
    """One load of one log."""

    def __init__(self, home: LogDir, name: str, listing: _Listing, interval: int) -> None:
        self._home = home
        self._disk: Disk = home.disk
        self._path = f"{home.path}/{name}"
        self._listing = listing
        self._interval = interval
        self._clean = name in home.clean_names
        self._is_suspect = name in home.suspects
        self._is_synced = home.is_synced
        self._recovery_point = home.recovery_points.get(name, 0)
        self._cut_bytes = 0
        self._must_sync_names = False
        self._epochs_are_stale = False
        self._epochs = LeaderEpochCache()
        self._segments: list[Segment] = []

    def load(self, log_start_offset: int) -> LoadedLog:
        bases = self._listing.bases
        ends = [*bases[1:], bases[-1]]
        self._segments = [Segment(self._disk, self._path, base, end) for base, end in zip(bases, ends)]
        file = self._read_epochs()
        damaged_offset = -1 if self._clean else self._find_damage()
        self._recover_segments()
        if self._must_sync_names:
            self._disk.sync_dir(self._path)
        end = self._segments[-1].next_offset
        start = min(max(log_start_offset, self._segments[0].base_offset), end)
        self._epochs.truncate_from_end(end)
        if (
            file is None
            or self._epochs_are_stale
            or self._epochs.epoch_for(start) < 0
            or not self._epochs_fit(end)
        ):
            # The file may know of a deletion that the log start offset on disk does not.
            self._rebuild_epochs()
        snapshots = self._usable_snapshots(end)
        producers = load_producers(self._disk, self._path, self._segments, snapshots, start)
        newest = snapshots[-1] if snapshots else -1
        for segment in self._segments[:-1]:
            segment.unload()
        segments = Segments(self._disk, self._path, self._segments)
        return LoadedLog(
            segments,
            self._epochs,
            producers,
            start,
            file == self._epochs.encode(),
            newest,
            False,
            self._cut_bytes,
            self._clean or self._is_synced or self._must_sync_names,
            damaged_offset,
        )

    # rot

    def _find_damage(self) -> int:
        """The base offset of the first batch before the recovery point that is not whole, among the youngest bytes."""
        found = -1
        for segment in reversed(self._segments):
            if segment.base_offset >= self._recovery_point:
                continue
            if self._home.unchecked_bytes <= 0:
                break
            is_active = segment is self._segments[-1]
            limit = self._recovery_point if is_active else min(self._recovery_point, segment.next_offset)
            position = max(0, segment.open().size - self._home.unchecked_bytes)
            if position:
                segment.load()
                position = segment.offsets.position_before(position)
            self._home.unchecked_bytes -= segment.size - position
            end = _end_of_whole_batches(segment, position)
            # Where the index itself is wrong, no batch begins at that position, and nothing can be said.
            if end < limit and (end > segment.base_offset or not position):
                found = end
            if not is_active:
                segment.unload()
        if found >= 0:
            log.error("%s: what was synced at offset %d is damaged", self._path, found)
        return found

    # segments

    def _recover_segments(self) -> None:
        segments = self._segments
        active = segments[-1]
        if self._clean:
            active.load()
            active.open_end()
            return
        for number, segment in enumerate(segments):
            if segment is not active and segment.next_offset <= self._recovery_point:
                continue
            limit = segment.next_offset
            start, cut = self._recover(segment)
            if segment.next_offset > self._recovery_point or cut:
                if self._is_suspect:
                    segment.rewrite(start)
                if cut or not self._is_synced:
                    segment.open().sync()  # a killed process leaves what it wrote in the page cache alone
                    self._must_sync_names = True
            if segment is active:
                return
            if cut or segment.next_offset != limit:
                self._must_sync_names = True  # or the segments dropped here come back behind new records
                self._drop_after(number)
                return
            segment.next_offset = limit
            segment.finish_indexes()
            segment.write_indexes()
            segment.unload()

    def _recover(self, segment: Segment) -> tuple[int, int]:
        """Check the segment behind the recovery point and cut what is not whole: (from where, bytes cut off)."""
        position = segment.start_recovery(self._recovery_point)
        end = self._scan(segment, position)
        if end == position and position:  # what the index says of this place is wrong, or it has rotted
            position = segment.start_recovery(0)
            end = self._scan(segment, 0)
        cut = segment.size - end
        if cut:
            log.warning(
                "%s: cut %d bytes behind offset %d: no whole batch follows",
                *(segment.log_path, cut, segment.next_offset),
            )
            segment.cut(end)
            self._cut_bytes += cut
        return position, cut

    def _scan(self, segment: Segment, position: int) -> int:
        """Take in all whole batches from `position` on; where they end."""
        is_first, start = True, position
        for at, header in scan_checked(segment, position, self._recovery_point):
            if header.base_offset != segment.next_offset and (at != start or not start):
                break  # no log is compacted: each batch begins where the one before ends
            segment.note(at, header, self._interval)
            if is_first and self._epochs.epoch_for(header.base_offset) != header.partition_leader_epoch:
                # The file is replaced without a sync; a power cut may have brought back an older one, which
                # knows nothing of batches that are not looked at here.
                self._epochs_are_stale = True
            is_first = False
            self._assign_epoch(header)
            position = at + header.size
        return position

    def _drop_after(self, number: int) -> None:
        end = self._segments[number].next_offset
        for segment in self._segments[number + 1 :]:
            log.warning("%s: removed, for the segment before it ends at %d", segment.log_path, end)
            self._cut_bytes += segment.size
            segment.unload()
            for suffix in SEGMENT_FILES:
                self._disk.remove(f"{segment.path}{suffix}")
        del self._segments[number + 1 :]

    # leader epochs

    def _read_epochs(self) -> bytes | None:
        """The content of the file, None if it cannot be used."""
        if not self._listing.has_epochs:
            return None
        data = self._disk.read(f"{self._path}/{LEADER_EPOCHS}")
        found = decode(data)
        if isinstance(found, CorruptCheckpoint):
            log.warning("%s/%s: %s; rebuilt from the batches", self._path, LEADER_EPOCHS, found.reason)
            return None
        self._epochs = found
        return data

    def _assign_epoch(self, header: BatchHeader) -> None:
        if header.partition_leader_epoch > self._epochs.latest_epoch:
            self._epochs.assign(header.partition_leader_epoch, header.base_offset)

    def _rebuild_epochs(self) -> None:
        self._epochs.clear()
        for segment in self._segments:
            for _, header in segment.scan(0):
                self._assign_epoch(header)

    def _epochs_fit(self, end: int) -> bool:
        """Whether every entry begins and ends with batches of its epoch. A file that was cut off may still be text.

        A clean end has synced the file. What lies between two batches of one epoch has that epoch too.
        """
        entries = [] if self._clean else self._epochs.entries
        first = self._segments[0].base_offset
        for number, (epoch, start) in enumerate(entries):
            stop = entries[number + 1].start_offset if number + 1 < len(entries) else end
            if stop <= first:
                continue
            try:
                if self._epoch_at(max(start, first)) != epoch or self._epoch_at(stop - 1) != epoch:
                    return False
            except CorruptSegmentError as error:
                # Batches that cannot be walked through say nothing of their epochs, and would make a worse file.
                log.warning("%s: %s", self._path, error)
        return True

    def _epoch_at(self, offset: int) -> int:
        """Of the batch that holds the offset, or of the next one; -1 when there is none."""
        for segment in reversed(self._segments):
            if segment.base_offset <= offset:
                found = segment.open().pread(segment.locate(offset), HEADER_SIZE)
                return parse_header(found).partition_leader_epoch if len(found) == HEADER_SIZE else -1
        return -1

    # producers

    def _usable_snapshots(self, end: int) -> list[int]:
        snapshots = list(self._listing.snapshots)
        while snapshots and snapshots[-1] > end:
            self._disk.remove(f"{self._path}/{segment_name(snapshots.pop())}.snapshot")
        return snapshots


def load_producers(
    disk: Disk, path: str, segments: Sequence[Segment], snapshots: Sequence[int], log_start_offset: int
) -> ProducerState:
    """Producer state at the end of `segments`: the newest good one of `snapshots` and what follows it.

    `snapshots` are offsets, ascending, none past the end. Raises DiskError.
    """
    producers = ProducerState()
    replay_from = log_start_offset
    for offset in reversed(snapshots):
        file = f"{path}/{segment_name(offset)}.snapshot"
        damage = producers.load_snapshot(disk.read(file), log_start_offset)
        if damage is None:
            replay_from = offset
            if len(producers):
                producers.refill(_headers_before(segments, offset, log_start_offset))
            break
        log.warning("%s: %s; producers come from the batches before it", file, damage.reason)
    for segment in segments:
        if segment.next_offset > replay_from and segment.size:
            position = 0 if segment.base_offset >= replay_from else segment.locate(replay_from)
            for at, header in segment.scan(position):
                if header.producer_id >= 0 and header.last_offset >= replay_from:
                    producers.update(header, _read_marker(segment, at, header))
    return producers


def _headers_before(segments: Sequence[Segment], end: int, log_start_offset: int) -> list[BatchHeader]:
    """Headers of the last batches below `end`, oldest first: about 1 MiB of the log, from two segments at most.

    Raises DiskError.
    """
    found: list[BatchHeader] = []
    budget = _REFILL_BYTES
    for segment in [segment for segment in segments if segment.base_offset < end][
        : -_REFILL_SEGMENTS - 1 : -1
    ]:
        stop = segment.size if segment.next_offset <= end else segment.locate(end)
        start = segment.offsets.position_before(max(0, stop - budget))
        headers = []
        for at, header in segment.scan(start):
            if at >= stop:
                break
            if header.producer_id >= 0 and header.base_offset >= log_start_offset:
                headers.append(header)
        found = headers + found
        budget -= stop
        if budget <= 0:
            break
    return found


def _read_marker(segment: Segment, position: int, header: BatchHeader) -> EndTxnMarker | None:
    return parse_marker(segment.read_batch(position, header), 0, header) if header.is_control else None


def parse_marker(records: Buffer, position: int, header: BatchHeader) -> EndTxnMarker | None:
    """The transaction marker in the batch at `position`; None for a data batch or one that cannot be read."""
    if not header.is_control:
        return None
    try:
        return parse_end_txn_marker(records, position)
    except InvalidBatchError as error:
        log.warning("control batch at offset %d: %s", header.base_offset, error)
        return None


def _end_of_whole_batches(segment: Segment, position: int) -> int:
    """The offset after the last batch from the position on that is whole and intact.

    The checksum does not cover a batch's offset, but each begins where the one before ends, as in `_scan`.
    """
    end = segment.base_offset
    for at, header in scan_checked(segment, position):
        if header.base_offset != end and (at != position or not position):
            break
        end = header.last_offset + 1
    return end


def scan_checked(
    segment: Segment, position: int, synced_offset: int = 0
) -> Iterator[tuple[int, BatchHeader]]:
    """Position and header of each batch from `position` on, up to the first that is not whole and intact.

    Below `synced_offset` the checksum does not end it: what was synced is rot, not a torn tail, if it is wrong now.
    """
    file = segment.open()
    size = segment.size
    while size - position >= HEADER_SIZE:
        chunk = file.pread(position, min(_SCAN_BYTES, size - position))
        at = 0
        while len(chunk) - at >= HEADER_SIZE:
            header = parse_header(chunk, at)
            if (
                not _MIN_BATCH_LENGTH <= header.batch_length <= size - position - at - LOG_OVERHEAD
                or header.magic != MAGIC
                or header.last_offset_delta < 0
            ):
                return
            if header.size > len(chunk) - at:
                break
            if header.base_offset >= synced_offset and compute_crc(chunk, at, header.size) != header.crc:
                return
            yield position + at, header
            at += header.size
        if not at:  # a batch larger than a chunk
            header = parse_header(chunk)
            batch = file.pread(position, header.size)
            if len(batch) < header.size:
                return
            if header.base_offset >= synced_offset and compute_crc(batch, 0, header.size) != header.crc:
                return
            yield position, header
            at = header.size
        position += at
