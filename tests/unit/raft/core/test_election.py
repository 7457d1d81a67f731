"""Deadlines, leases and ballots."""

from random import Random

import pytest

from odradek.raft.core.config import RaftConfig
from odradek.raft.core.election import Election, is_up_to_date, may_vote
from odradek.raft.core.log_view import LogView
from odradek.raft.core.quorum import Configuration, VoteResult
from odradek.raft.core.types import NO_NODE, NORMAL, Entry, HardState

CONFIG = RaftConfig(election_timeout_ms=1000)
THREE = Configuration(frozenset({1, 2, 3}))


def election() -> Election:
    return Election(CONFIG, Random(1), 0)


def test_deadlines_are_drawn_anew_between_one_and_two_timeouts() -> None:
    subject = election()
    drawn = set()
    for now_ms in range(0, 100_000, 1000):
        subject.reset_deadline(now_ms)
        drawn.add(subject.deadline_ms - now_ms)
    assert min(drawn) >= 1000 and max(drawn) < 2000 and len(drawn) > 50


def test_the_same_seed_gives_the_same_deadlines() -> None:
    assert election().deadline_ms == election().deadline_ms


def test_a_lease_lasts_one_timeout_from_the_last_word_of_the_leader() -> None:
    subject = election()
    assert not subject.has_lease(0)
    subject.on_leader_contact(2, 500)
    assert subject.has_lease(1499) and not subject.has_lease(1500)
    subject.on_leader_contact(2, 1400)
    subject.forget_leader()
    assert not subject.has_lease(1400)


def test_the_first_answer_of_a_voter_counts() -> None:
    subject = election()
    subject.begin(0)
    subject.record(2, False)
    subject.record(2, True)
    subject.record(1, True)
    assert subject.result(THREE) == VoteResult.PENDING
    subject.record(3, True)
    assert subject.result(THREE) == VoteResult.WON
    subject.begin(0)
    assert subject.result(THREE) == VoteResult.PENDING


@pytest.mark.parametrize(
    ("vote", "leader", "candidate", "expected"),
    [
        (NO_NODE, NO_NODE, 2, True),
        (2, NO_NODE, 2, True),
        (3, NO_NODE, 2, False),
        (NO_NODE, 3, 2, False),
        (2, 3, 2, True),
        (0, NO_NODE, 2, False),
    ],
)
def test_one_vote_per_term(vote: int, leader: int, candidate: int, expected: bool) -> None:
    assert may_vote(HardState(5, vote), leader, candidate) is expected
    assert not may_vote(HardState(5, vote, 0, damaged=True), leader, candidate)


@pytest.mark.parametrize(
    ("index", "term", "expected"), [(2, 4, True), (9, 3, False), (1, 5, True), (1, 4, False)]
)
def test_the_term_of_the_last_entry_counts_before_the_length(index: int, term: int, expected: bool) -> None:
    log = LogView(0, 0, [Entry(1, NORMAL, b""), Entry(4, NORMAL, b"")])
    assert is_up_to_date(log, index, term) is expected


def test_a_hint_that_the_leader_is_gone_ends_the_lease_and_brings_the_deadline_near() -> None:
    subject = election()
    subject.on_leader_contact(2, 500)
    subject.on_leader_lost(2, 600)
    assert not subject.has_lease(600) and 600 <= subject.deadline_ms < 650
    # Asked too early, or at the same time as another: soon again, until an election timeout has passed.
    for now_ms in (640, 1599):
        subject.begin(now_ms)
        assert now_ms + 50 <= subject.deadline_ms < now_ms + 100
    subject.begin(1600)
    assert subject.deadline_ms >= 2600


def test_last_words_that_arrive_after_the_hint_do_not_undo_it_and_signs_of_life_do() -> None:
    subject = election()
    subject.on_leader_lost(2, 600)
    deadline = subject.deadline_ms
    subject.on_leader_contact(2, 649)
    assert (subject.deadline_ms, subject.has_lease(649)) == (deadline, False)
    subject.on_leader_contact(2, 650)
    assert subject.has_lease(650) and subject.deadline_ms >= 1650
    subject.on_leader_lost(2, 700)
    subject.on_leader_contact(3, 701)
    assert subject.has_lease(701) and subject.deadline_ms >= 1701
    subject.begin(800)
    assert subject.deadline_ms >= 1800


def test_a_voter_that_is_found_brings_the_deadline_near_and_never_puts_it_off() -> None:
    subject = election()
    subject.on_voter_found(200)
    assert 200 <= subject.deadline_ms < 300
    near = subject.deadline_ms
    subject.on_voter_found(290)
    assert subject.deadline_ms == near
