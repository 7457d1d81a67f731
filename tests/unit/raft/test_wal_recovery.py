"""Reading the log back, on bytes made by hand: batches, gaps, and what each loss means for a group."""

from odradek.raft.core.types import NORMAL, Entry, HardState
from odradek.raft.wal_format import Part, encode_batch, entries_parts, hard_state_part, segment_part
from odradek.raft.wal_recovery import GroupRecord, Recovery, recover

OPENING = segment_part(1, 1)


def entry_parts(first: int, prev_term: int, *terms: int, group: int = 0, commit: int = 0) -> list[Part]:
    return entries_parts(
        group, first, prev_term, [Entry(term, NORMAL, b"%d" % term) for term in terms], commit
    )


def batch(number: int, *parts: Part, durable: int | None = None) -> bytes:
    return b"".join(encode_batch(parts, number, number - 1 if durable is None else durable))


def read(*batches: bytes) -> Recovery:
    return recover(1, [(1, b"".join(batches))])


def terms(record: GroupRecord) -> list[int]:
    return [entry.term for entry in record.entries]


def test_nothing_is_nothing() -> None:
    assert recover(1, []).groups == {}
    assert recover(1, [(1, b"")]).segments == []


def test_entries_and_states_accumulate() -> None:
    recovery = read(
        batch(1, OPENING),
        batch(2, *entry_parts(1, 0, 1, 1), hard_state_part(0, HardState(1, 2), 2)),
        batch(3, *entry_parts(3, 1, 2, commit=2)),
    )
    record = recovery.groups[0]
    assert (terms(record), record.hard_state, recovery.last_batch) == ([1, 1, 2], HardState(1, 2, 2), 3)
    assert not record.is_damaged(0)
    assert recovery.segments[0].last_indexes == {0: 3}


def test_a_batch_counts_whole_or_not_at_all() -> None:
    second = batch(2, *entry_parts(1, 0, 1), *entry_parts(1, 0, 1, group=5))
    opening = batch(1, OPENING)
    recovery = read(opening, second[:-8])
    assert recovery.groups == {}
    assert (recovery.segments[0].size, recovery.last_batch) == (len(opening), 1)


def test_a_bad_batch_that_was_never_durable_ends_the_log() -> None:
    bad = bytearray(batch(2, *entry_parts(1, 0, 1), durable=1))
    bad[-5] ^= 1
    recovery = read(batch(1, OPENING), bytes(bad), batch(3, *entry_parts(2, 1, 1), durable=1))
    assert recovery.corrupt_frames == 0 and recovery.groups == {}


def test_a_bad_batch_that_was_durable_is_a_loss() -> None:
    bad = bytearray(batch(2, *entry_parts(1, 0, 1)))
    bad[-5] ^= 1
    recovery = read(batch(1, OPENING), bytes(bad), batch(3, *entry_parts(2, 1, 1)))
    assert recovery.corrupt_frames == 1
    assert recovery.groups[0].is_damaged(0) and not recovery.groups[0].is_damaged(1)


def test_a_batch_that_is_missing_is_a_loss() -> None:
    recovery = read(batch(1, OPENING), batch(3, hard_state_part(0, HardState(2), 0)))
    assert recovery.unknown_loss


def test_lost_entries_that_were_replaced_are_no_loss() -> None:
    bad = bytearray(batch(3, *entry_parts(2, 1, 1, 1)))
    bad[-9] ^= 1
    recovery = read(
        batch(1, OPENING), batch(2, *entry_parts(1, 0, 1)), bytes(bad), batch(4, *entry_parts(2, 1, 5))
    )
    assert terms(recovery.groups[0]) == [1, 5] and not recovery.groups[0].is_damaged(0)


def test_a_lost_replacement_shows_in_the_chain_of_terms() -> None:
    """3 (term 1) was replaced by 3 (term 2), and that write is lost: 4 follows, but not on what is left."""
    bad = bytearray(batch(3, *entry_parts(3, 1, 2)))
    bad[-5] ^= 1
    recovery = read(
        batch(1, OPENING), batch(2, *entry_parts(1, 0, 1, 1, 1)), bytes(bad), batch(4, *entry_parts(4, 2, 2))
    )
    record = recovery.groups[0]
    assert record.is_damaged(0) and record.prev_index == 3


def test_a_log_that_starts_after_a_snapshot() -> None:
    recovery = read(batch(1, OPENING), batch(2, *entry_parts(101, 7, 7, 8)))
    record = recovery.groups[0]
    assert (record.prev_index, record.prev_term, record.last_index) == (100, 7, 102)
    assert record.is_damaged(0) and record.is_damaged(99)
    assert not record.is_damaged(100) and not record.is_damaged(500)


def test_a_noted_end_that_is_not_reached_is_a_loss() -> None:
    recovery = read(batch(1, OPENING, hard_state_part(0, HardState(3), 9)))
    assert recovery.groups[0].is_damaged(0) and not recovery.groups[0].is_damaged(9)


def test_damage_that_was_noted_stays_until_it_is_noted_as_healed() -> None:
    noted = [batch(1, OPENING), batch(2, hard_state_part(0, HardState(3, -1, 0, True), 0))]
    assert read(*noted).groups[0].is_damaged(0)
    assert (
        not read(*noted, batch(3, hard_state_part(0, HardState(3, 2, 0, False), 0))).groups[0].is_damaged(0)
    )


def test_files_before_a_gap_in_the_numbers_are_not_read() -> None:
    old = batch(1, OPENING) + batch(2, *entry_parts(1, 0, 1))
    new = batch(9, segment_part(1, 3), hard_state_part(0, HardState(4), 6), *entry_parts(7, 1, 4))
    recovery = recover(1, [(1, old), (3, new)])
    assert [segment.number for segment in recovery.segments] == [3]
    assert recovery.groups[0].prev_index == 6 and recovery.groups[0].is_damaged(0)
