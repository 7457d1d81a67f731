"""Reads: whose word confirms which round, and which answer belongs to which read."""

from random import Random

from odradek.raft.core.quorum import Configuration
from odradek.raft.core.read_index import PendingReads, ReadResult, ReadRounds

THREE = Configuration(frozenset({1, 2, 3}))


def rounds(*readers: int, commit: int = 7) -> ReadRounds:
    """A round of node 1 for these readers; the id of a read is ten times its reader."""
    subject = ReadRounds(1, 100)
    for reader in readers:
        assert subject.gather(reader, 10 * reader)
    assert subject.begin(commit)
    return subject


def test_a_quorum_confirms_all_reads_of_a_round_at_the_commit_index_of_its_beginning() -> None:
    subject = rounds(1, 3)
    assert subject.take_confirmed(THREE) == []
    subject.on_acknowledged(2, 1)
    assert subject.take_confirmed(THREE) == [(1, 10, 7), (3, 30, 7)]
    assert subject.take_confirmed(THREE) == []


def test_a_word_from_before_the_round_confirms_nothing() -> None:
    """A leader that was deposed meanwhile would answer with what was true before."""
    subject = rounds(1)
    subject.on_acknowledged(2, 1)
    subject.take_confirmed(THREE)
    subject.gather(1, 11)
    assert subject.begin(9)
    subject.on_acknowledged(3, 1)
    assert subject.take_confirmed(THREE) == []
    subject.on_acknowledged(3, 2)
    assert subject.take_confirmed(THREE) == [(1, 11, 9)]


def test_a_later_word_confirms_earlier_rounds_too() -> None:
    subject = rounds(1)
    subject.gather(2, 20)
    subject.begin(8)
    subject.on_acknowledged(2, 2)
    subject.on_acknowledged(2, 1)
    assert subject.take_confirmed(THREE) == [(1, 10, 7), (2, 20, 8)]


def test_both_halves_of_a_joint_configuration_must_confirm_and_learners_do_not_count() -> None:
    joint = Configuration(frozenset({1, 2, 3}), frozenset({1, 4, 5}), frozenset({9}))
    subject = rounds(1)
    for learner_or_half in (9, 2, 3):
        subject.on_acknowledged(learner_or_half, 1)
    assert subject.take_confirmed(joint) == []
    subject.on_acknowledged(5, 1)
    assert subject.take_confirmed(joint) == [(1, 10, 7)]


def test_a_leader_that_is_no_voter_any_more_does_not_count_itself() -> None:
    subject = rounds(1)
    others = Configuration(frozenset({2, 3}))
    subject.on_acknowledged(2, 1)
    assert subject.take_confirmed(others) == []
    subject.on_acknowledged(3, 1)
    assert subject.take_confirmed(others) == [(1, 10, 7)]


def test_one_voter_is_its_own_quorum() -> None:
    assert rounds(1).take_confirmed(Configuration(frozenset({1}))) == [(1, 10, 7)]


def test_waiting_reads_are_bounded() -> None:
    subject = ReadRounds(1, 2)
    assert [subject.gather(1, number) for number in (1, 2, 3)] == [True, True, False]
    subject.begin(0)
    assert not subject.gather(1, 4)
    subject.take_confirmed(Configuration(frozenset({1})))
    assert subject.gather(1, 4) and subject.begin(0) and not subject.begin(0)


def test_reads_of_one_turn_share_an_id_and_later_ones_do_not() -> None:
    subject = PendingReads(Random(1))
    first = subject.open(100)
    assert subject.open(105) == first and subject.has_news
    assert subject.take_open() == first and subject.take_open() is None and not subject.has_news
    assert subject.open(110) == first + 1


def test_ids_do_not_repeat_after_a_restart() -> None:
    assert PendingReads(Random(1)).open(0) != PendingReads(Random(2)).open(0)


def test_the_first_answer_counts() -> None:
    subject = PendingReads(Random(1))
    read_id = subject.open(100)
    subject.take_open()
    subject.finish(read_id, 5)
    subject.finish(read_id, 9)
    subject.finish(read_id + 7, 9)
    assert subject.take_results() == [ReadResult(read_id, 5)] and subject.take_results() == []


def test_what_is_not_answered_in_time_fails() -> None:
    subject = PendingReads(Random(1))
    first = subject.open(100)
    subject.take_open()
    second = subject.open(120)
    assert subject.next_deadline == 100
    subject.on_timer(99)
    assert not subject.take_results()
    subject.on_timer(100)
    assert subject.take_results() == [ReadResult(first, None)] and subject.next_deadline == 120
    subject.on_timer(500)
    assert subject.take_results() == [ReadResult(second, None)] and subject.take_open() is None


def test_all_fail_when_nobody_is_left_to_ask() -> None:
    subject = PendingReads(Random(1))
    first = subject.open(100)
    subject.take_open()
    second = subject.open(100)
    subject.fail_all()
    assert subject.take_results() == [ReadResult(first, None), ReadResult(second, None)]
    assert subject.next_deadline is None and subject.take_open() is None
