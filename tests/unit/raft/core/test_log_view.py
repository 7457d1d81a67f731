"""The log in memory: merging, truncation, cursors."""

import pytest

from odradek.raft.core.log_view import LogView
from odradek.raft.core.types import NORMAL, Entry


def entries(*terms: int) -> list[Entry]:
    return [Entry(term, NORMAL, b"%d" % term) for term in terms]


def terms(log: LogView) -> list[int]:
    return [log.term_at(index) or 0 for index in range(log.base_index + 1, log.last_index + 1)]


def test_terms_are_known_from_the_base_to_the_end() -> None:
    log = LogView(3, 2, entries(2, 4))
    assert [log.term_at(index) for index in range(2, 7)] == [None, 2, 2, 4, None]
    assert (log.last_index, log.last_term) == (5, 4)


@pytest.mark.parametrize(
    ("prev_index", "new", "expected"),
    [
        (3, (5,), [1, 1, 2, 5]),
        (2, (2, 5), [1, 1, 2, 5]),
        (2, (3,), [1, 1, 3]),
        (1, (1,), [1, 1, 2]),
        (1, (), [1, 1, 2]),
        (1, (3, 3, 3), [1, 3, 3, 3]),
    ],
)
def test_merge_truncates_only_at_a_conflict(
    prev_index: int, new: tuple[int, ...], expected: list[int]
) -> None:
    log = LogView(0, 0, entries(1, 1, 2))
    log.merge(prev_index, entries(*new))
    assert terms(log) == expected


def test_a_committed_entry_is_never_truncated() -> None:
    log = LogView(0, 0, entries(1, 1, 2))
    log.commit_to(2)
    with pytest.raises(AssertionError, match="drop committed"):
        log.merge(1, entries(3))


def test_what_is_appended_is_durable_when_confirmed() -> None:
    log = LogView(0, 0, [])
    log.append(entries(1, 1))
    assert log.take_unwritten(1) == (1, entries(1, 1))
    log.append(entries(1))
    assert log.take_unwritten(2) == (3, entries(1))
    assert log.take_unwritten(3) == (4, [])
    assert log.durable_index == 0
    log.on_durable(1)
    assert log.durable_index == 2
    log.on_durable(2)
    assert log.durable_index == 3


def test_late_confirmation_does_not_vouch_for_replaced_entries() -> None:
    """(1, term 1) is written, replaced by (1, term 2), and comes back; the first confirmation arrives in
    between."""
    log = LogView(0, 0, [])
    log.merge(0, entries(1))
    log.take_unwritten(1)
    log.merge(0, entries(2))
    log.take_unwritten(2)
    log.merge(0, entries(1))
    log.take_unwritten(3)
    log.on_durable(1)
    assert log.durable_index == 0
    log.on_durable(2)
    assert log.durable_index == 0
    log.on_durable(3)
    assert log.durable_index == 1


def test_committed_entries_are_handed_out_once_and_within_the_limit() -> None:
    log = LogView(0, 0, [Entry(1, NORMAL, b"12345") for _ in range(5)])
    log.commit_to(4)
    assert [len(log.take_committed(11)[1]) for _ in range(3)] == [2, 2, 0]
    log.commit_to(5)
    assert log.take_committed(1) == (5, [Entry(1, NORMAL, b"12345")])


def test_the_commit_index_never_goes_back() -> None:
    log = LogView(0, 0, entries(1, 1, 1))
    assert log.commit_to(2)
    assert not log.commit_to(1)
    assert log.commit == 2
    with pytest.raises(AssertionError):
        log.commit_to(4)


def test_compaction_keeps_the_term_of_the_base() -> None:
    log = LogView(0, 0, entries(1, 2, 3, 3))
    log.commit_to(3)
    log.take_committed(100)
    log.compact(2)
    assert (log.base_index, log.base_term, terms(log)) == (2, 2, [3, 3])
    log.compact(1)
    assert log.base_index == 2
    with pytest.raises(AssertionError):
        log.compact(4)


def test_compaction_beyond_what_was_written() -> None:
    """A quorum of others committed what this node has not even handed to its disk; a snapshot covers it."""
    log = LogView(0, 0, [])
    log.append(entries(1, 1))
    log.commit_to(2)
    log.take_committed(100)
    log.compact(2)
    assert log.take_unwritten(1) == (3, [])
    assert log.durable_index == 2


def test_last_possible_match_skips_newer_terms() -> None:
    log = LogView(2, 1, entries(1, 4, 4, 5))
    assert log.last_possible_match(9, 4) == (5, 4)
    assert log.last_possible_match(9, 3) == (3, 1)
    assert log.last_possible_match(4, 9) == (4, 4)
    assert log.last_possible_match(9, 0) == (2, 1)


def test_tail_start() -> None:
    log = LogView(0, 0, [Entry(1, NORMAL, b"12345") for _ in range(5)])
    assert [log.tail_start(4, size) for size in (0, 5, 11, 100)] == [5, 4, 3, 1]


def test_reset_replaces_everything() -> None:
    log = LogView(0, 0, entries(1, 1))
    log.append(entries(1))
    log.take_unwritten(1)
    log.reset(9, 4)
    assert (log.last_index, log.last_term, log.commit, log.applied, log.durable_index) == (9, 4, 9, 9, 9)
    log.append(entries(5))
    assert log.take_unwritten(2) == (10, entries(5))
    log.on_durable(1)
    assert log.durable_index == 9
