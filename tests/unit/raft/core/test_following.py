"""What a follower does with the leader's words."""

from odradek.raft.core.config import RaftConfig
from odradek.raft.core.following import Following, answer_append
from odradek.raft.core.log_view import LogView
from odradek.raft.core.membership import Membership, encode_configuration
from odradek.raft.core.messages import (
    AppendAccepted,
    AppendRejected,
    AppendRequest,
    Heartbeat,
    HeartbeatResponse,
    SnapshotChunk,
)
from odradek.raft.core.quorum import Configuration
from odradek.raft.core.types import CONFIGURATION, NORMAL, Entry, SnapshotMeta

CONFIG = RaftConfig()
MEMBERSHIP = Membership(Configuration(frozenset({1, 2})), True)


def entries(*terms: int) -> list[Entry]:
    return [Entry(term, NORMAL, b"0123456789") for term in terms]


def request(prev_index: int, prev_term: int, commit: int, *terms: int) -> AppendRequest:
    return AppendRequest(1, 2, 3, prev_index, prev_term, commit, tuple(entries(*terms)))


def test_the_commit_index_follows_only_what_the_request_proved() -> None:
    log = LogView(0, 0, entries(1, 1, 1))
    assert answer_append(log, MEMBERSHIP, request(1, 1, 3), log_lost=False) == AppendAccepted(2, 1, 3, 1)
    assert log.commit == 1
    assert answer_append(log, MEMBERSHIP, request(1, 1, 3, 3), log_lost=False) == AppendAccepted(2, 1, 3, 2)
    assert (log.commit, log.last_index) == (2, 2)


def test_a_rejection_changes_nothing() -> None:
    log = LogView(0, 0, entries(1, 1))
    answer = answer_append(log, MEMBERSHIP, request(2, 3, 2, 3), log_lost=True)
    assert answer == AppendRejected(2, 1, 3, 2, 2, 1, True)
    assert (log.commit, log.last_index) == (0, 2)


def following(log: LogView, damaged: bool = False) -> Following:
    return Following(CONFIG, log, MEMBERSHIP, None, damaged)


def test_what_an_append_brings_is_in_force_and_what_it_replaces_is_not() -> None:
    log, membership = LogView(0, 0, []), Membership(Configuration(frozenset({1, 2})), True)
    three, four = (Configuration(frozenset(range(1, count + 1))) for count in (3, 4))
    change = Entry(1, CONFIGURATION, encode_configuration(three))
    answer_append(log, membership, AppendRequest(1, 2, 1, 0, 0, 0, (*entries(1), change)), log_lost=False)
    assert (membership.configuration, membership.index) == (three, 2)
    # The same again, late: it says nothing about what follows.
    other = Entry(1, CONFIGURATION, encode_configuration(four))
    answer_append(log, membership, AppendRequest(1, 2, 1, 2, 1, 0, (other,)), log_lost=False)
    answer_append(log, membership, AppendRequest(1, 2, 1, 0, 0, 0, (*entries(1), change)), log_lost=False)
    assert membership.configuration == four
    # Another leader's entries in their place.
    answer_append(log, membership, request(1, 1, 0, 3), log_lost=False)
    assert (membership.configuration, membership.index) == (Configuration(frozenset({1, 2})), 0)


def test_a_damaged_log_accepts_and_confirms_nothing_until_the_leader_says_that_it_counts() -> None:
    """It may have forgotten that it voted for a newer leader, and what it acknowledged to that one."""
    log = LogView(0, 0, entries(1))
    subject = following(log, damaged=True)
    # Not even the commit index of a heartbeat is taken: it speaks of what this node held before.
    assert subject.answer(Heartbeat(1, 2, 3, 1, 9)) == AppendRejected(2, 1, 3, 1, 1, 1, True)
    assert log.commit == 0
    assert subject.answer(request(1, 1, 1, 3)) == AppendRejected(2, 1, 3, 1, 2, 3, True)
    assert subject.damaged and log.commit == 1
    assert subject.answer(request(0, 0, 0)) == AppendRejected(2, 1, 3, 0, 1, 1, True)
    assert subject.answer(request(2, 3, 2)) == AppendAccepted(2, 1, 3, 2)
    assert not subject.damaged
    assert subject.answer(Heartbeat(1, 2, 3, 2, 9)) == HeartbeatResponse(2, 1, 3, 9)


def test_a_damaged_log_is_not_whole_with_a_snapshot_alone() -> None:
    log = LogView(0, 0, [])
    subject = Following(CONFIG, log, Membership(MEMBERSHIP.configuration, False), None, True)
    chunk = SnapshotChunk(1, 2, 3, 9, 3, MEMBERSHIP.configuration, 3, 0, b"abc")
    assert subject.answer(chunk) == AppendRejected(2, 1, 3, 9, 9, 3, True) and subject.damaged
    assert subject.answer(chunk) == AppendRejected(2, 1, 3, 9, 9, 3, True)
    subject.answer(request(9, 3, 8))
    assert subject.damaged
    assert subject.answer(request(9, 3, 9)) == AppendAccepted(2, 1, 3, 9) and not subject.damaged


def test_a_snapshot_brings_its_configuration() -> None:
    log, membership = LogView(0, 0, entries(1)), Membership(Configuration(frozenset({1, 2})), False)
    subject = Following(CONFIG, log, membership, None, False)
    joint = Configuration(frozenset({1, 2}), frozenset({1, 3}), frozenset({3}))
    answer = subject.answer(SnapshotChunk(1, 2, 3, 9, 2, joint, 3, 0, b"abc"))
    assert answer == AppendAccepted(2, 1, 3, 9) and membership.configuration == joint
    assert subject.snapshot == SnapshotMeta(9, 2, 3, joint)
    installed = subject.take_installed()
    assert installed is not None and installed.configuration == joint and subject.take_installed() is None


def test_a_snapshot_that_exceeds_the_limit_is_not_answered() -> None:
    subject = following(LogView(0, 0, []))
    huge = CONFIG.snapshot_bytes_max + 1
    assert subject.answer(SnapshotChunk(1, 2, 3, 9, 2, MEMBERSHIP.configuration, huge, 0, b"abc")) is None


def test_a_stored_snapshot_lets_go_of_the_log_before_it_but_not_of_its_configuration() -> None:
    three = Configuration(frozenset({1, 2, 3}))
    log, membership = LogView(0, 0, []), Membership(Configuration(frozenset({1, 2})), False)
    subject = Following(CONFIG, log, membership, None, False)
    change = Entry(3, CONFIGURATION, encode_configuration(three))
    subject.answer(AppendRequest(1, 2, 3, 0, 0, 3, (*entries(3), change, *entries(3))))
    log.take_committed(1 << 20)
    subject.on_snapshot_stored(SnapshotMeta(3, 3, 5, three), keep_from=3)
    assert (log.base_index, membership.configuration, membership.at(2)) == (2, three, three)
    subject.on_snapshot_stored(SnapshotMeta(2, 3, 5, three), keep_from=3)
    assert subject.snapshot == SnapshotMeta(3, 3, 5, three)
