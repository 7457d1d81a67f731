"""The producer state against a model that keeps every batch and decides from the whole history."""

from __future__ import annotations

from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from odradek.proto.kafka.errors import ErrorCode
from odradek.proto.kafka.record_batch import CONTROL, MAX_SEQUENCE, TRANSACTIONAL, BatchHeader, EndTxnMarker
from odradek.storage.producer_state import CompletedTxn, Duplicate, ProducerState

TIME = 1_700_000_000_000


class Step(NamedTuple):
    """One attempt: a data batch, or a marker (`records` 0)."""

    pid: int
    epoch: int
    #: Relative to the next sequence of the producer; often right, sometimes not.
    skew: int
    records: int
    transactional: bool
    commit: bool
    high_watermark_lag: int


steps = st.lists(
    st.builds(
        Step,
        pid=st.integers(1, 3),
        epoch=st.sampled_from([0, 0, 0, 0, 1, 1, 2]),
        skew=st.sampled_from([0, 0, 0, 0, 0, -1, 1, -2, -3, -5, -8, 4]),
        records=st.sampled_from([1, 1, 2, 3, 0]),
        transactional=st.sampled_from([False, False, True]),
        commit=st.booleans(),
        high_watermark_lag=st.integers(0, 4),
    ),
    max_size=40,
)
#: Where sequences begin: the wrap must not be special.
starts = st.sampled_from([0, 1, MAX_SEQUENCE - 1, MAX_SEQUENCE, MAX_SEQUENCE - 6])


def header(step: Step, offset: int, sequence: int) -> BatchHeader:
    last = max(step.records - 1, 0)
    attributes = (
        (TRANSACTIONAL | CONTROL) if step.records == 0 else TRANSACTIONAL if step.transactional else 0
    )
    return BatchHeader(
        offset, 49, 0, 2, 0, attributes, last, TIME, TIME + offset, step.pid, step.epoch, sequence, last + 1
    )


class Model:
    """The whole history, and nothing else."""

    def __init__(self) -> None:
        self.log: list[tuple[BatchHeader, EndTxnMarker | None]] = []

    def batches_of_current_epoch(self, pid: int) -> tuple[int | None, list[BatchHeader]]:
        """The epoch last written by the producer, and its data batches since that epoch began."""
        mine = [(h, m) for h, m in self.log if h.producer_id == pid]
        if not mine:
            return None, []
        epoch = mine[-1][0].producer_epoch
        recent: list[BatchHeader] = []
        for h, m in reversed(mine):
            if h.producer_epoch != epoch:
                break
            if m is None:
                recent.insert(0, h)
        return epoch, recent

    def open_txn(self, pid: int) -> int | None:
        first = None
        for h, m in self.log:
            if h.producer_id == pid:
                if m is not None:
                    first = None
                elif h.is_transactional and first is None:
                    first = h.base_offset
        return first

    def check(self, h: BatchHeader) -> Duplicate | ErrorCode | None:
        epoch, batches = self.batches_of_current_epoch(h.producer_id)
        if epoch is None:
            return None
        if h.producer_epoch < epoch:
            return ErrorCode.INVALID_PRODUCER_EPOCH
        if h.producer_epoch > epoch:
            expected = 0
        else:
            for old in batches[-5:]:
                if (old.base_sequence, old.last_sequence) == (h.base_sequence, h.last_sequence):
                    return Duplicate(old.base_offset, old.last_offset, old.max_timestamp)
            expected = (batches[-1].last_sequence + 1) % (MAX_SEQUENCE + 1) if batches else 0
        if h.base_sequence != expected:
            return ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER
        if self.open_txn(h.producer_id) is not None and not h.is_transactional:
            return ErrorCode.INVALID_TXN_STATE
        return None

    def undecided(self) -> list[int]:
        open_txns = [self.open_txn(pid) for pid in {h.producer_id for h, _ in self.log}]
        return sorted(first for first in open_txns if first is not None)

    def unstable(self, high_watermark: int) -> int | None:
        candidates = self.undecided()
        for index, (h, m) in enumerate(self.log):
            if m is not None and h.base_offset >= high_watermark:
                before = Model()
                before.log = self.log[:index]
                first = before.open_txn(h.producer_id)
                if first is not None:
                    candidates.append(first)
        return min(candidates, default=None)


@given(steps, starts)
def test_against_the_whole_history(attempts: list[Step], start: int) -> None:
    state, model = ProducerState(), Model()
    next_sequence: dict[tuple[int, int], int] = {}
    offset = high_watermark = 0
    for step in attempts:
        sequence = next_sequence.get((step.pid, step.epoch), start if step.epoch == 0 else 0)
        h = header(step, offset, -1 if step.records == 0 else (sequence + step.skew) % (MAX_SEQUENCE + 1))
        if step.records == 0:
            marker = EndTxnMarker(step.commit, 0)
            epoch, _ = model.batches_of_current_epoch(step.pid)
            if epoch is not None and step.epoch < epoch:
                assert state.check_marker(h, marker) == ErrorCode.INVALID_PRODUCER_EPOCH
                continue
            assert state.check_marker(h, marker) is None
            first = model.open_txn(step.pid)
            model.log.append((h, marker))
            completed = state.update(h, marker)
            if first is None:
                assert completed is None
            else:
                stable = min(model.undecided(), default=offset + 1)
                assert completed == CompletedTxn(step.pid, first, offset, not step.commit, stable)
        else:
            verdict = model.check(h)
            assert state.check(h) == verdict
            if verdict is not None:
                continue
            model.log.append((h, None))
            assert state.update(h) is None
            next_sequence[step.pid, step.epoch] = (h.last_sequence + 1) % (MAX_SEQUENCE + 1)
        offset = h.last_offset + 1
        high_watermark = max(high_watermark, offset - step.high_watermark_lag)
        state.on_high_watermark(high_watermark)
        assert state.first_undecided_offset == min(model.undecided(), default=None)
        assert state.first_unstable_offset == model.unstable(high_watermark)


def replayed(log: list[tuple[BatchHeader, EndTxnMarker | None]], state: ProducerState) -> ProducerState:
    for h, m in log:
        state.update(h, m)
    return state


@given(steps, st.integers(0, 40), st.integers(0, 100))
def test_a_snapshot_and_the_rest_of_the_log_are_the_same_state(
    attempts: list[Step], split: int, cut: int
) -> None:
    log: list[tuple[BatchHeader, EndTxnMarker | None]] = []
    offset = 0
    for step in attempts:
        marker = EndTxnMarker(step.commit, 0) if step.records == 0 else None
        log.append((header(step, offset, -1 if marker else offset), marker))
        offset = log[-1][0].last_offset + 1
    whole = replayed(log, ProducerState())
    resumed = ProducerState()
    assert resumed.load_snapshot(replayed(log[:split], ProducerState()).snapshot()) is None
    replayed(log[split:], resumed)
    assert resumed.active_producers() == whole.active_producers()
    assert resumed.first_undecided_offset == whole.first_undecided_offset

    kept = [(h, m) for h, m in log if h.last_offset < cut]
    if whole.truncate_to(cut):
        assert kept == log
    else:
        assert len(whole) == 0
