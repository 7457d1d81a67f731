"""Duplicates, gaps and fencing; transactions open, completed, unreplicated; truncation, expiry, snapshots."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from pathlib import Path

import google_crc32c
import pytest

from odradek.proto.kafka.errors import ErrorCode
from odradek.proto.kafka.record_batch import CONTROL, MAX_SEQUENCE, TRANSACTIONAL, BatchHeader, EndTxnMarker
from odradek.storage.producer_entry import FIRST_SPARSE_PRODUCER_ID, CorruptSnapshot
from odradek.storage.producer_state import ActiveProducer, CompletedTxn, Duplicate, ProducerState

TIME = 1_700_000_000_000
DAY = 86_400_000
PID = 7


def batch(
    offset: int,
    sequence: int,
    count: int = 1,
    *,
    pid: int = PID,
    epoch: int = 0,
    time: int = TIME,
    txn: bool = False,
) -> BatchHeader:
    attributes = TRANSACTIONAL if txn else 0
    return BatchHeader(
        offset, 49, 0, 2, 0, attributes, count - 1, time, time, pid, epoch, sequence, count
    )  # fmt: skip


def marker(offset: int, *, pid: int = PID, epoch: int = 0, time: int = TIME) -> BatchHeader:
    return batch(offset, -1, pid=pid, epoch=epoch, time=time)._replace(attributes=TRANSACTIONAL | CONTROL)


COMMIT = EndTxnMarker(True, 1)
ABORT = EndTxnMarker(False, 1)


def state_of(*headers: BatchHeader) -> ProducerState:
    state = ProducerState()
    for header in headers:
        assert state.update(header) is None
    return state


# ---- idempotence


def test_a_batch_without_producer_id_is_none_of_our_business() -> None:
    state = state_of(batch(0, -1, pid=-1))
    assert len(state) == 0
    assert state.check(batch(0, -1, pid=-1)) is None


def test_an_unknown_producer_may_start_anywhere() -> None:
    assert ProducerState().check(batch(0, 12345)) is None


def test_an_unknown_producer_of_transactions_v2_starts_at_zero() -> None:
    assert ProducerState().check(batch(0, 0), first_sequence_is_zero=True) is None
    verdict = ProducerState().check(batch(0, 1), first_sequence_is_zero=True)
    assert verdict == ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER


def test_sequences_go_on_without_gaps() -> None:
    state = state_of(batch(0, 0, 5))
    assert state.check(batch(5, 5, 3)) is None
    for sequence in (4, 6, 100, 0):
        assert state.check(batch(5, sequence, 3)) == ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER


def test_the_last_five_batches_are_recognised() -> None:
    state = state_of(*(batch(10 * i, 2 * i, 2, time=TIME + i) for i in range(6)))
    for i in range(1, 6):
        assert state.check(batch(999, 2 * i, 2)) == Duplicate(10 * i, 10 * i + 1, TIME + i)
    assert state.check(batch(999, 0, 2)) == ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER


def test_a_duplicate_has_both_sequences_in_common() -> None:
    state = state_of(batch(0, 0, 5), batch(5, 5, 5))
    for sequence, count in ((5, 4), (6, 4), (0, 4), (0, 10)):
        assert state.check(batch(10, sequence, count)) == ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER


@pytest.mark.parametrize("last", [MAX_SEQUENCE, 0, 3])
def test_sequences_wrap(last: int) -> None:
    first = (last - 4) & MAX_SEQUENCE
    state = state_of(batch(0, first, 5))
    assert state.check(batch(5, (last + 1) & MAX_SEQUENCE)) is None
    assert state.check(batch(5, first, 5)) == Duplicate(0, 4, TIME)
    assert state.check(batch(5, (last + 2) & MAX_SEQUENCE)) == ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER


def test_an_older_epoch_is_fenced() -> None:
    state = state_of(batch(0, 0, epoch=3))
    assert state.check(batch(1, 1, epoch=2)) == ErrorCode.INVALID_PRODUCER_EPOCH
    # Even with the sequences of a batch that is there.
    assert state.check(batch(1, 0, epoch=2)) == ErrorCode.INVALID_PRODUCER_EPOCH


def test_a_new_epoch_starts_at_zero_and_forgets_the_old_batches() -> None:
    state = state_of(batch(0, 0, 5))
    assert state.check(batch(5, 5, epoch=1)) == ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER
    assert state.check(batch(5, 0, 5, epoch=1)) is None
    state.update(batch(5, 0, 5, epoch=1))
    assert state.check(batch(10, 0, 5, epoch=0)) == ErrorCode.INVALID_PRODUCER_EPOCH
    entry = state.entry(PID)
    assert entry is not None and len(entry.batches) == 1


def test_producers_do_not_know_each_other() -> None:
    state = state_of(batch(0, 0, 5), batch(5, 40, pid=8))
    assert state.check(batch(6, 5)) is None
    assert state.check(batch(6, 41, pid=8)) is None


def test_update_takes_anything_because_a_replica_has_no_say() -> None:
    state = state_of(batch(0, 0), batch(1, 500), batch(2, 3, epoch=5), batch(3, 9, epoch=4))
    assert state.active_producers() == [ActiveProducer(PID, 4, 9, TIME, -1, -1)]


def test_the_producer_silent_longest_is_forgotten_first_unless_in_a_transaction() -> None:
    state = ProducerState(max_producers=3)
    state.update(batch(0, 0, pid=1, txn=True))
    for pid in (2, 3):
        state.update(batch(pid, 0, pid=pid))
    state.update(batch(10, 1, pid=2))
    state.update(batch(11, 0, pid=4))
    assert [producer.producer_id for producer in state.active_producers()] == [1, 2, 4]


# ---- transactions


def test_a_transaction_opens_with_its_first_batch_and_closes_with_its_marker() -> None:
    state = state_of(batch(10, 0, 5, txn=True), batch(15, 5, 5, txn=True))
    assert (state.first_undecided_offset, state.first_unstable_offset) == (10, 10)
    assert state.check(batch(20, 10)) == ErrorCode.INVALID_TXN_STATE
    assert state.check(batch(20, 10, txn=True)) is None
    assert state.update(marker(20), ABORT) == CompletedTxn(PID, 10, 20, True, 21)
    assert state.first_undecided_offset is None
    assert state.check(batch(21, 10)) is None  # the marker took no sequence


def test_a_decided_transaction_holds_back_until_its_marker_is_replicated() -> None:
    state = state_of(batch(10, 0, txn=True))
    state.update(marker(11), COMMIT)
    for high_watermark in (10, 11):
        state.on_high_watermark(high_watermark)
        assert state.first_unstable_offset == 10
    state.on_high_watermark(12)
    assert state.first_unstable_offset is None


def test_overlapping_transactions() -> None:
    state = state_of(batch(0, 0, pid=1, txn=True), batch(1, 0, pid=2, txn=True), batch(2, 0, pid=3, txn=True))
    assert state.update(marker(3, pid=2), ABORT) == CompletedTxn(2, 1, 3, True, 0)
    assert state.update(marker(4, pid=1), COMMIT) == CompletedTxn(1, 0, 4, False, 2)
    assert (state.first_undecided_offset, state.first_unstable_offset) == (2, 0)
    state.on_high_watermark(4)
    assert state.first_unstable_offset == 0
    state.on_high_watermark(5)
    assert state.first_unstable_offset == 2
    assert state.update(marker(5, pid=3), ABORT) == CompletedTxn(3, 2, 5, True, 6)


def test_a_marker_about_nothing_completes_nothing_but_bumps_the_epoch() -> None:
    state = state_of(batch(0, 0))
    assert state.update(marker(1, epoch=1), ABORT) is None
    assert state.check(batch(2, 1)) == ErrorCode.INVALID_PRODUCER_EPOCH
    assert state.check(batch(2, 0, epoch=1)) is None


def test_other_control_batches_change_nothing() -> None:
    state = ProducerState()
    assert state.update(marker(0), None) is None
    assert len(state) == 0


def test_markers_are_judged_by_epoch_and_coordinator() -> None:
    state = ProducerState()
    assert state.check_marker(marker(0), COMMIT) is None
    state.update(batch(0, 0, epoch=2, txn=True))
    assert state.check_marker(marker(1, epoch=1), COMMIT) == ErrorCode.INVALID_PRODUCER_EPOCH
    assert state.check_marker(marker(1, epoch=2), COMMIT) is None
    v2 = state.check_marker(marker(1, epoch=2), COMMIT, transaction_version=2)
    assert v2 == ErrorCode.INVALID_PRODUCER_EPOCH
    assert state.check_marker(marker(1, epoch=3), COMMIT, transaction_version=2) is None
    state.update(marker(1, epoch=3), EndTxnMarker(True, 5))
    assert state.check_marker(marker(2, epoch=3), COMMIT) == ErrorCode.TRANSACTION_COORDINATOR_FENCED
    again = state.check_marker(marker(2, epoch=3), EndTxnMarker(True, 5), transaction_version=2)
    assert again is None


def test_log_start_never_waits_for_what_is_deleted() -> None:
    state = state_of(batch(0, 0, pid=1, txn=True), batch(1, 0, pid=2, txn=True))
    state.update(marker(2, pid=1), COMMIT)
    state.advance_log_start_offset(5)
    assert state.first_unstable_offset == 5
    assert state.check(batch(6, 1, pid=2, txn=True)) is None


# ---- truncation and expiry


def test_truncation_behind_everything_known_is_exact() -> None:
    state = state_of(batch(0, 0, 5))
    assert state.truncate_to(5)
    assert len(state) == 1


def test_truncation_into_what_is_known_forgets_everything() -> None:
    state = state_of(batch(0, 0, 5, txn=True), batch(5, 0, pid=8))
    assert not state.truncate_to(5)
    assert (len(state), state.first_undecided_offset, state.next_deadline(1)) == (0, None, None)


def test_truncation_of_a_marker_forgets_everything() -> None:
    state = state_of(batch(0, 0, txn=True))
    state.update(marker(1), COMMIT)
    assert not state.truncate_to(1)


def test_expiry() -> None:
    state = state_of(batch(0, 0, pid=1), batch(1, 0, pid=2, time=TIME + 10), batch(2, 0, pid=3, txn=True))
    assert state.next_deadline(DAY) == TIME + DAY
    assert state.expire(TIME + DAY - 1, DAY) == 0
    assert state.expire(TIME + DAY, DAY) == 1
    assert state.next_deadline(DAY) == TIME + 10 + DAY
    assert state.expire(TIME + 10 + DAY, DAY) == 1
    assert state.next_deadline(DAY) is None  # the third has a transaction open
    state.update(marker(3, pid=3), COMMIT)
    assert state.next_deadline(DAY) == TIME + DAY
    assert state.expire(TIME + DAY, DAY) == 1


def test_a_producer_of_old_timestamps_does_not_expire_while_it_writes() -> None:
    state = ProducerState()
    state.update(batch(0, 0, time=1000), now_ms=TIME)
    assert state.next_deadline(DAY) == TIME + DAY


# ---- snapshots


def _busy_state() -> ProducerState:
    state = state_of(
        batch(0, 0, 5),
        batch(5, 5, 3),
        batch(8, 3, 2, pid=9, epoch=2, txn=True),
        batch(10, 0, pid=11, txn=True),
    )
    state.update(marker(11, pid=11), EndTxnMarker(False, 6))
    state.update(marker(12, pid=12, epoch=4), EndTxnMarker(True, 2))
    return state


def test_snapshot_bytes_by_hand() -> None:
    state = state_of(batch(8, 3, 2, pid=9, epoch=2, txn=True))
    entry = struct.pack(">qhiqiqiq", 9, 2, 4, 9, 1, TIME, -1, 8)
    body = struct.pack(">i", 1) + entry
    assert state.snapshot() == struct.pack(">hI", 1, google_crc32c.value(body)) + body
    assert ProducerState().snapshot() == struct.pack(">hIi", 1, google_crc32c.value(bytes(4)), 0)


def test_snapshot_round_trip() -> None:
    state = _busy_state()
    copy = state_of(batch(0, 77, pid=99))
    assert copy.load_snapshot(state.snapshot()) is None
    assert copy.active_producers() == state.active_producers()
    assert (copy.first_undecided_offset, copy.next_deadline(0)) == (8, TIME)
    assert copy.check(batch(13, 5, 3)) == Duplicate(5, 7, TIME)
    assert copy.check(batch(13, 8)) is None
    assert (
        copy.check(batch(13, 0, 5)) == ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER
    )  # only the last batch is kept
    assert copy.check(batch(13, 0, pid=12, epoch=4)) is None


def test_open_transactions_come_back_in_the_order_of_their_offsets() -> None:
    state = state_of(batch(3, 0, pid=1, txn=True, time=TIME + 9), batch(5, 0, pid=2, txn=True, time=TIME))
    copy = ProducerState()
    copy.load_snapshot(state.snapshot())
    assert copy.first_undecided_offset == 3


def test_a_damaged_snapshot_leaves_nothing_behind() -> None:
    state = _busy_state()
    assert isinstance(state.load_snapshot(b"rubbish"), CorruptSnapshot)
    assert len(state) == 0


def test_kafka_reads_our_snapshots(tmp_path: Path) -> None:
    libs = os.environ.get("ODRADEK_KAFKA_LIBS")
    java = shutil.which("java")
    if not libs or not java:
        pytest.skip("NOT RUN: set ODRADEK_KAFKA_LIBS to a folder with the jars of Kafka 4.3 and install Java")
    path = tmp_path / "00000000000000000013.snapshot"
    path.write_bytes(_busy_state().snapshot())
    tool = [java, "-cp", f"{libs}/*", "org.apache.kafka.tools.DumpLogSegments", "--files", str(path)]
    output = subprocess.run(tool, capture_output=True, text=True, check=True).stdout
    lines = {line.split()[1]: line for line in output.splitlines() if line.startswith("producerId:")}
    assert set(lines) == {"7", "9", "11", "12"}
    for fact in (
        "producerEpoch: 0",
        "firstSequence: 5",
        "lastSequence: 7",
        "lastOffset: 7",
        "offsetDelta: 2",
    ):
        assert fact in lines["7"]
    assert "currentTxnFirstOffset: OptionalLong[8]" in lines["9"]
    assert "coordinatorEpoch: 6" in lines["11"]
    assert "producerEpoch: 4" in lines["12"]


# ---- the batches that a snapshot leaves out


def test_refill_brings_back_four_batches_and_changes_nothing_else() -> None:
    headers = [batch(10 * i, 2 * i, 2, time=TIME + i) for i in range(8)]
    state = ProducerState()
    assert state.load_snapshot(state_of(*headers).snapshot()) is None
    before = state.snapshot()
    state.refill(headers)
    assert state.snapshot() == before
    for i in range(3, 8):
        assert state.check(batch(999, 2 * i, 2)) == Duplicate(10 * i, 10 * i + 1, TIME + i)
    assert state.check(batch(999, 4, 2)) == ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER
    assert state.check(batch(999, 16, 2)) is None


def test_refill_takes_no_other_epoch_no_gap_and_no_other_producer() -> None:
    last = batch(50, 10, 2, epoch=1)
    for header in (
        batch(40, 8, 2, epoch=0),
        batch(40, 6, 2, epoch=1),
        batch(60, 8, 2, epoch=1),
        batch(40, 8, 2, epoch=1, pid=8),
        batch(40, 8, 2, epoch=1)._replace(attributes=TRANSACTIONAL | CONTROL),
    ):
        state = ProducerState()
        assert state.load_snapshot(state_of(last).snapshot()) is None
        state.refill([header, last])
        entry = state.entry(PID)
        assert entry is not None and len(entry.batches) == 1 and len(state) == 1


def test_refill_counts_across_the_end_of_the_sequences() -> None:
    headers = [batch(0, MAX_SEQUENCE - 1, 2), batch(2, 0, 2)]
    state = ProducerState()
    assert state.load_snapshot(state_of(*headers).snapshot()) is None
    state.refill(headers)
    assert state.check(batch(9, MAX_SEQUENCE - 1, 2)) == Duplicate(0, 1, TIME + 0)


# -- sparse producers

SPARSE = FIRST_SPARSE_PRODUCER_ID + 12345
OUT_OF_ORDER = ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER


def sparse(offset: int, sequence: int, count: int = 1) -> BatchHeader:
    return batch(offset, sequence & MAX_SEQUENCE, count, pid=SPARSE)


def test_a_sparse_producer_may_leave_gaps_and_not_go_back() -> None:
    state = state_of(sparse(0, 5, 2), sparse(2, 100), sparse(3, 1_000_000))
    assert state.check(sparse(-1, 1_000_001)) is None
    assert state.check(sparse(-1, 5_000_000)) is None
    for passed in (0, 6, 7, 99, 101, 999_999):
        assert state.check(sparse(-1, passed)) is OUT_OF_ORDER, passed
    # One that is allocated may not leave any.
    assert state_of(batch(0, 0)).check(batch(-1, 2)) is OUT_OF_ORDER


def test_the_last_batches_of_a_sparse_producer_are_recognised() -> None:
    headers = [sparse(10 * at, 100 * at, 3) for at in range(7)]
    state = state_of(*headers)
    for at, header in enumerate(headers):
        found = state.check(header)
        expected = OUT_OF_ORDER if at < 2 else Duplicate(10 * at, 10 * at + 2, TIME)
        assert found == expected, at
    # The same first number with more or fewer records is another request.
    assert state.check(sparse(-1, 600, 2)) is OUT_OF_ORDER
    assert state.check(sparse(-1, 601, 2)) is OUT_OF_ORDER


def test_a_later_epoch_of_a_sparse_producer_begins_anywhere() -> None:
    state = state_of(sparse(0, MAX_SEQUENCE - 3, 4))
    later = sparse(-1, 2)._replace(producer_epoch=1)
    assert state.check(sparse(-1, 2)) is OUT_OF_ORDER, "numbers do not come round"
    assert state.check(later) is None
    assert state.update(later._replace(base_offset=4)) is None
    assert state.check(sparse(-1, MAX_SEQUENCE - 3, 4)) is ErrorCode.INVALID_PRODUCER_EPOCH


class Asking:
    """Asks everybody, and remembers about whom it was asked."""

    def __init__(self) -> None:
        self.heard: list[tuple[int, int]] = []

    def ask_again(self, header: BatchHeader, last_offset: int) -> bool:
        self.heard.append((header.producer_id, last_offset))
        return True


def test_what_leaves_some_out_may_be_asked_for_again() -> None:
    state, asking = state_of(batch(0, 0, 5)), Asking()
    assert state.check(batch(-1, 5), patience=asking) is None
    assert state.check(batch(-1, 0, 5), patience=asking) == Duplicate(0, 4, TIME)
    assert state.check(batch(-1, 3), patience=asking) is OUT_OF_ORDER, "it goes back: nothing will fill that"
    assert state.check(batch(-1, 3, epoch=-1), patience=asking) is ErrorCode.INVALID_PRODUCER_EPOCH
    assert asking.heard == []
    for ahead in (batch(-1, 6), batch(-1, 3, epoch=1)):
        assert state.check(ahead, patience=asking) is ErrorCode.NOT_LEADER_OR_FOLLOWER
        assert state.check(ahead) is OUT_OF_ORDER
    assert state.check(batch(-1, 3, pid=8), patience=asking) is ErrorCode.NOT_LEADER_OR_FOLLOWER
    assert state.check(batch(-1, 0, pid=8), patience=asking) is None
    assert asking.heard == [(PID, 4), (PID, 4), (8, -1)]


def test_an_unknown_sparse_producer_may_begin_anywhere() -> None:
    assert ProducerState().check(sparse(-1, 77), patience=Asking()) is None


def test_a_snapshot_and_refill_bring_back_sparse_batches_with_their_gaps() -> None:
    headers = [sparse(10 * at, 100 * at, 3) for at in range(7)]
    state = state_of(*headers)
    again = ProducerState()
    assert again.load_snapshot(state.snapshot()) is None
    assert again.check(headers[5]) is OUT_OF_ORDER  # only the last one is in a snapshot
    again.refill(headers[:-1])
    for at, header in enumerate(headers):
        assert again.check(header) == state.check(header), at
