"""A partition log against a list of batches: any order of appends, reads, rolls, truncations, deletions, retention,
clean restarts, killed processes and power cuts with torn tails.

What must hold: what was flushed is there after every crash, byte for byte; what is there is a prefix of what was
appended; offsets, producers, epochs and timestamps are those of the batches that are there.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.unit.storage.kit import NOW_MS, Storage, batch

from odradek.proto.kafka.errors import ErrorCode
from odradek.proto.kafka.record_batch import iter_headers, iter_records, stamp
from odradek.storage.log import PartitionLog
from odradek.storage.log_config import LogConfig
from odradek.storage.timestamps import TimestampOffset

CONFIG = LogConfig(
    segment_bytes=1000, index_interval_bytes=120, retention_ms=10_000, file_delete_delay_ms=1000
)
PRODUCERS = (11, 12)


@dataclass(frozen=True)
class Kept:
    """A batch of the model."""

    base: int
    last: int
    data: bytes
    timestamp: int
    epoch: int
    producer: tuple[int, int] | None  # (id, first sequence)


def _place(found: TimestampOffset | ErrorCode | None) -> tuple[int, int] | None:
    assert not isinstance(found, ErrorCode)
    return None if found is None else (found.timestamp, found.offset)


class LogMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.storage = Storage()
        self.log: PartitionLog = self.storage.open(CONFIG)
        self.batches: list[Kept] = []
        self.start = 0
        self.flushed = 0
        self.now_ms = NOW_MS
        self.epoch = 0
        self.must_flush = False

    @property
    def end(self) -> int:
        return self.batches[-1].last + 1 if self.batches else self.floor

    floor = 0

    @initialize()
    def begin(self) -> None:
        self.log.load(self.now_ms)

    # what clients do

    @rule(
        count=st.integers(1, 4),
        size=st.sampled_from([0, 10, 150]),
        age=st.integers(0, 9_000),
        producer=st.sampled_from([None, *PRODUCERS]),
        codec=st.sampled_from([0, 0, 0, 1]),
    )
    def append(self, count: int, size: int, age: int, producer: int | None, codec: int) -> None:
        timestamp = self.now_ms - age
        identity = None
        if producer is not None:
            identity = (producer, 0, self.next_sequence(producer))
        data = batch(count, timestamp=timestamp, value=b"v" * size, producer=identity, codec=codec)
        result = self.log.append_as_leader(data, self.epoch, self.now_ms)
        assert result.error == ErrorCode.NONE, result
        assert (result.base_offset, result.duplicate) == (self.end, False)
        kept = Kept(
            result.base_offset, result.last_offset, bytes(data), timestamp + count - 1, self.epoch,
            None if identity is None else (identity[0], identity[2]),
        )  # fmt: skip
        self.batches.append(kept)

    def next_sequence(self, producer: int) -> int:
        entry = self.log._producers.state.entry(producer)  # the oracle for it is `producers_are_known`
        return 0 if entry is None else entry.last_sequence + 1

    @precondition(lambda self: any(kept.producer and kept.base >= self.start for kept in self.batches))
    @rule()
    def append_again(self) -> None:
        kept = next(kept for kept in reversed(self.batches) if kept.producer)
        again = bytearray(kept.data)
        stamp(again, 0, 0, -1)
        result = self.log.append_as_leader(again, self.epoch, self.now_ms)
        assert (result.error, result.duplicate, result.base_offset) == (ErrorCode.NONE, True, kept.base)

    @precondition(lambda self: self.end > self.start)
    @rule(data=st.data(), max_bytes=st.sampled_from([0, 1, 100, 300, 1000, 100_000]), min_one=st.booleans())
    def read(self, data: st.DataObject, max_bytes: int, min_one: bool) -> None:
        offset = data.draw(st.integers(self.start, self.end - 1))
        end = data.draw(st.integers(offset, self.end))
        found = self.log.read(offset, max_bytes, end, min_one)
        assert not isinstance(found, ErrorCode)
        wanted = [kept for kept in self.batches if kept.last >= offset and kept.last < end]
        size = 0
        taken = b""
        for kept in wanted:
            if size + len(kept.data) > max_bytes and not (min_one and not taken):
                break
            taken += kept.data
            size += len(kept.data)
        # A read may stop early, at a segment's end, but not with nothing, and it may not skip.
        assert taken.startswith(bytes(found)), f"{len(found)} bytes are not those at {offset}"
        assert bool(len(found)) == bool(taken)

    @rule(offset=st.integers(-2, 2))
    def read_out_of_range(self, offset: int) -> None:
        wanted = self.start + offset if offset < 0 else self.end + offset + 1
        assert self.log.read(wanted, 100, self.end) == ErrorCode.OFFSET_OUT_OF_RANGE

    @rule(data=st.data())
    def search(self, data: st.DataObject) -> None:
        timestamp = data.draw(st.integers(self.now_ms - 9_100, self.now_ms + 10))
        found = self.log.offset_for_timestamp(timestamp)
        records = [
            record
            for kept in self.batches
            for record in iter_records(kept.data)
            if record.offset >= self.start
        ]
        expected = next(((r.timestamp, r.offset) for r in records if r.timestamp >= timestamp), None)
        assert _place(found) == expected
        newest = self.log.max_timestamp_offset()
        best = max((r.timestamp for r in records), default=None)
        first = next(((r.timestamp, r.offset) for r in records if r.timestamp == best), None)
        assert _place(newest) == first

    # what the cluster does

    @rule()
    def next_epoch(self) -> None:
        self.epoch += 1

    @precondition(lambda self: self.end > self.start)
    @rule(data=st.data())
    def truncate(self, data: st.DataObject) -> None:
        offset = data.draw(st.integers(self.start, self.end))
        assert self.log.truncate_to(offset) == ErrorCode.NONE
        if offset <= self.start:
            self.batches.clear()
            self.floor = self.start = offset
        else:
            self.batches = [kept for kept in self.batches if kept.last < offset]
            if not self.batches:
                self.floor = self.log.log_end_offset
                assert self.floor <= offset
            self.start = min(self.start, self.end)
        self.flushed = min(self.flushed, self.end)
        self.must_flush = True

    @precondition(lambda self: self.end > self.start)
    @rule(data=st.data())
    def delete_records(self, data: st.DataObject) -> None:
        offset = data.draw(st.integers(self.start, self.end))
        assert self.log.advance_log_start_offset(offset) == ErrorCode.NONE
        self.start = offset

    # what time does

    @rule(step_ms=st.sampled_from([1, 4_000, 400_000]))
    def pass_time(self, step_ms: int) -> None:
        self.now_ms += step_ms
        self.storage.memory.now_ms = self.now_ms
        self.storage.dirs.run_maintenance(self.now_ms)
        start = self.log.log_start_offset
        assert start >= self.start
        for kept in self.batches:
            if self.start <= kept.last < start:
                assert kept.timestamp + CONFIG.retention_ms < self.now_ms, "retention took what is not old"
        self.start = start
        self.forget_deleted()

    def forget_deleted(self) -> None:
        """Batches below the start of the first segment are gone from the files."""
        first = self.log._local.segments[0].base_offset if self.log._local else 0
        if self.batches and self.batches[-1].last < first:
            self.floor = first
        self.batches = [kept for kept in self.batches if kept.base >= first]

    @rule()
    def flush(self) -> None:
        self.storage.flush()
        self.flushed = self.end
        self.must_flush = False
        assert self.log.flushed_offset == self.end

    @rule()
    def checkpoint(self) -> None:
        """New recovery points: after a crash, what is before them is taken as it is."""
        self.storage.dirs.dirs[0].save_recovery_points()

    @rule()
    def restart(self) -> None:
        self.storage.restart()
        self.reopen()
        self.flushed = self.end
        self.must_flush = False

    @rule()
    def kill(self) -> None:
        if self.must_flush:
            self.flush()
        known = self.start
        self.storage.kill()
        self.reopen(known)
        self.flushed = self.end

    @rule(seed=st.none() | st.integers(0, 1 << 30))
    def cut_power(self, seed: int | None) -> None:
        if self.must_flush:
            # An older end may come back after a truncation that was not flushed; the replica deals with that.
            self.flush()
        known = self.start
        self.storage.crash(None if seed is None else Random(seed))
        self.log = self.storage.open(CONFIG)
        end = self.log.log_end_offset
        assert self.flushed <= end <= self.end, f"flushed {self.flushed}, found {end}, appended {self.end}"
        self.batches = [kept for kept in self.batches if kept.last < end]
        if not self.batches:
            self.floor = end
        self.reopen(known)
        self.flushed = self.end

    def reopen(self, start: int | None = None) -> None:
        self.log = self.storage.open(CONFIG)
        found = self.log.log_start_offset
        # The start is on disk from the maintenance after it moved on; a crash before that brings records back.
        assert found == self.start if start is None else found <= max(start, self.log.log_end_offset)
        self.start = found
        self.forget_deleted()

    # what must hold

    @invariant()
    def offsets_agree(self) -> None:
        log = self.log
        assert log.log_end_offset == self.end
        assert log.log_start_offset == self.start
        assert self.flushed <= log.flushed_offset <= self.end

    @invariant()
    def bytes_agree(self) -> None:
        found = b""
        offset = self.start
        while offset < self.end:
            data = self.log.read(offset, 5000, self.end)
            assert not isinstance(data, ErrorCode)
            headers = [header for _, header in iter_headers(data)]
            assert headers, f"nothing at {offset} of {self.end}"
            offset = headers[-1].last_offset + 1
            found += bytes(data)
        assert found == b"".join(kept.data for kept in self.batches if kept.last >= self.start)

    @invariant()
    def producers_are_known(self) -> None:
        self.log.load()
        state = self.log._producers.state
        for producer in PRODUCERS:
            known = [kept for kept in self.batches if kept.producer and kept.producer[0] == producer]
            entry = state.entry(producer)
            if known and known[-1].last >= self.start:
                assert known[-1].producer is not None
                last = known[-1].producer[1] + known[-1].last - known[-1].base
                assert entry is not None and entry.last_sequence == last
                assert entry.last_offset == known[-1].last

    @invariant()
    def epochs_agree(self) -> None:
        for kept in self.batches:
            if kept.base >= self.start:
                assert self.log.epoch_at(kept.base) == kept.epoch
        if self.batches and self.batches[-1].last >= self.start:
            assert self.log.latest_epoch == self.batches[-1].epoch


TestLogMachine = LogMachine.TestCase
TestLogMachine.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)
