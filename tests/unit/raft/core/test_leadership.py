"""A leader's office without an election around it: membership, transfer, reads."""

from random import Random

import pytest

from odradek.raft.core.config import RaftConfig
from odradek.raft.core.leadership import Leadership
from odradek.raft.core.log_view import LogView
from odradek.raft.core.membership import Membership
from odradek.raft.core.messages import (
    AppendAccepted,
    AppendRejected,
    AppendRequest,
    HeartbeatResponse,
    Message,
    ReadIndexAccepted,
    ReadIndexRequest,
    SnapshotProgress,
    TimeoutNow,
)
from odradek.raft.core.quorum import Configuration
from odradek.raft.core.read_index import PendingReads
from odradek.raft.core.types import CONFIGURATION, NO_NODE, NOOP, NORMAL, Entry

CONFIG = RaftConfig(election_timeout_ms=1000, heartbeat_interval_ms=100)
TERM = 3


class Office:
    """Node 1 leads; its own disk is always in time."""

    def __init__(self, *voters: int, is_recorded: bool = True) -> None:
        self.log = LogView(0, 0, [])
        self.membership = Membership(Configuration(frozenset(voters)), is_recorded)
        self.office = Leadership(1, TERM, CONFIG, self.log, self.membership, 0)
        self.writes = 0
        self.sync()

    def sync(self) -> None:
        self.writes += 1
        self.log.take_unwritten(self.writes)
        self.log.on_durable(self.writes)
        self.office.maybe_commit(0)

    def accept(self, *members: int, index: int | None = None, now_ms: int = 0) -> None:
        """These members hold everything (or everything up to `index`)."""
        self.sync()
        list(self.office.replication.appends(None))
        for member in members:
            self.office.on_answer(AppendAccepted(member, 1, TERM, index or self.log.last_index), now_ms)
        self.sync()

    def receivers(self) -> list[int]:
        appends = self.office.replication.appends(None)
        return sorted({item.to for item in appends if isinstance(item, AppendRequest)})

    @property
    def configuration(self) -> Configuration:
        return self.membership.configuration


def joint(new: set[int], old: set[int], learners: set[int] = frozenset()) -> Configuration:  # type: ignore[assignment]
    return Configuration(frozenset(new), frozenset(old), frozenset(learners))


def test_the_first_leader_writes_down_who_takes_part() -> None:
    subject = Office(1, 2, 3, is_recorded=False)
    assert subject.log.entries(1, 1, 1)[0].kind == CONFIGURATION and subject.membership.index == 1
    assert Office(1, 2, 3).log.entries(1, 1, 1) == [Entry(TERM, NOOP, b"")]


def test_a_change_waits_for_an_entry_of_the_own_term_and_for_the_one_before() -> None:
    subject = Office(1, 2, 3)
    assert not subject.office.change_membership([1, 2], [], 0)
    subject.accept(2)
    assert subject.office.change_membership([1, 2, 3], [4], 0)
    assert not subject.office.change_membership([1, 2, 3], [5], 0)
    subject.accept(2)
    assert subject.office.change_membership([1, 2, 3], [5], 0)


def test_a_change_to_what_is_there_writes_nothing() -> None:
    subject = Office(1, 2, 3)
    subject.accept(2)
    assert subject.office.change_membership([3, 2, 1], [], 0) and subject.log.last_index == 1


def test_voters_change_through_a_joint_configuration_that_both_majorities_must_commit() -> None:
    subject = Office(1, 2, 3)
    subject.accept(2, 3)
    assert subject.office.change_membership([1, 4, 5], [], 0)
    assert subject.configuration == joint({1, 4, 5}, {1, 2, 3})
    assert subject.receivers() == [2, 3, 4, 5]
    subject.accept(2, 3, index=2)
    assert subject.log.commit == 1
    subject.accept(4, index=2)
    assert subject.log.commit == 2 and subject.configuration == Configuration(frozenset({1, 4, 5}))
    # Only the new ones count from here on, also for the entry that says so.
    subject.accept(2, 3, index=3)
    assert subject.log.commit == 2
    subject.accept(5, index=3)
    assert subject.log.commit == 3


def test_learners_get_everything_and_never_count() -> None:
    subject = Office(1, 2, 3)
    subject.accept(2, 3)
    subject.office.change_membership([1, 2, 3], [8, 9], 0)
    assert subject.receivers() == [2, 3, 8, 9]
    subject.accept(8, 9)
    assert subject.log.commit == 1
    subject.accept(3)
    assert subject.log.commit == 2
    assert subject.office.replication.has_quorum(900)
    subject.office.on_answer(HeartbeatResponse(8, 1, TERM), 1500)
    subject.office.on_answer(HeartbeatResponse(9, 1, TERM), 1500)
    assert not subject.office.replication.has_quorum(1500)


def test_removed_members_are_told_and_then_forgotten() -> None:
    subject = Office(1, 2, 3)
    subject.accept(2, 3)
    subject.office.change_membership([1, 2], [], 0)
    subject.accept(2, 3)
    subject.accept(2)
    assert subject.log.commit == 3 and sorted(subject.office.replication.progress) == [2, 3]
    subject.accept(3)
    list(subject.office.replication.appends(None))
    beats = list(subject.office.on_timer(100))
    assert [beat.to for beat in beats] == [2]


def test_a_removed_member_that_does_not_answer_is_forgotten_after_an_election_timeout() -> None:
    subject = Office(1, 2, 3)
    subject.accept(2)
    subject.office.change_membership([1, 2], [], 0)
    subject.accept(2)
    subject.accept(2)
    for now_ms in range(100, 1001, 100):
        assert [beat.to for beat in subject.office.on_timer(now_ms)] == [2, 3], now_ms
        subject.office.on_answer(HeartbeatResponse(2, 1, TERM), now_ms)
    assert [beat.to for beat in subject.office.on_timer(1100)] == [2]


def test_who_is_removed_and_comes_back_begins_anew_only_when_it_was_forgotten() -> None:
    subject = Office(1, 2, 3)
    subject.accept(2, 3)
    subject.office.change_membership([1, 2], [], 0)
    subject.accept(2)
    subject.accept(2)
    known = subject.office.replication.progress[3]
    assert subject.office.change_membership([1, 2], [3], 0)
    subject.accept(2)
    assert subject.office.replication.progress[3] is known
    for now_ms in range(100, 3000, 100):
        assert 3 in [beat.to for beat in subject.office.on_timer(now_ms)]


def test_a_leader_that_removed_itself_goes_when_that_is_committed_and_says_who_should_lead() -> None:
    subject = Office(1, 2, 3)
    subject.accept(2, 3)
    subject.office.change_membership([2, 3], [], 0)
    subject.accept(2, 3, index=2)
    assert subject.configuration == Configuration(frozenset({2, 3})) and not subject.office.is_over
    # Its own copy does not count any more.
    subject.accept(3, index=3)
    assert subject.log.commit == 2 and not subject.office.is_over
    subject.accept(2, index=3)
    assert subject.office.is_over
    assert list(subject.office.handover()) == [TimeoutNow(1, 2, TERM)]


def test_a_successor_is_asked_once_it_holds_everything_and_proposals_wait() -> None:
    subject = Office(1, 2, 3)
    subject.accept(2, 3)
    assert subject.office.propose([b"a"])
    assert subject.office.begin_transfer(3, 50)
    assert not subject.office.propose([b"b"]) and not subject.office.change_membership([1], [], 50)
    assert list(subject.office.handover()) == []
    subject.accept(3)
    assert list(subject.office.handover()) == [TimeoutNow(1, 3, TERM)]
    assert list(subject.office.handover()) == []
    # The word may have been lost: it is repeated with the next heartbeat.
    list(subject.office.on_timer(100))
    assert list(subject.office.handover()) == [TimeoutNow(1, 3, TERM)]
    assert subject.office.begin_transfer(3, 60) and not subject.office.begin_transfer(2, 60)


def test_a_transfer_is_given_up_after_an_election_timeout() -> None:
    subject = Office(1, 2, 3)
    subject.accept(2)
    subject.office.begin_transfer(3, 50)
    list(subject.office.on_timer(1049))
    assert subject.office.transfer_to == 3 and subject.office.next_deadline == 1000
    list(subject.office.on_timer(1050))
    assert subject.office.transfer_to == NO_NODE and subject.office.propose([b"b"])


@pytest.mark.parametrize("to", [1, 4, 9])
def test_no_transfer_to_oneself_a_learner_or_a_stranger(to: int) -> None:
    subject = Office(1, 2, 3)
    subject.accept(2)
    subject.office.change_membership([1, 2, 3], [4], 0)
    subject.accept(2)
    assert not subject.office.begin_transfer(to, 0)


def serve(subject: Office, own: int | None, pending: PendingReads) -> list[Message]:
    return list(subject.office.serve_reads(own, pending))


def test_reads_wait_for_the_first_entry_of_the_term() -> None:
    """Before that the leader does not know how much its predecessors had committed."""
    subject, pending = Office(1, 2, 3), PendingReads(Random(1))
    subject.office.on_read_request(ReadIndexRequest(3, 1, TERM, 77))
    assert serve(subject, None, pending) == []
    subject.accept(2)
    own = pending.open(500)
    questions = serve(subject, pending.take_open(), pending)
    assert [(message.to, message.read_round) for message in questions] == [(2, 1), (3, 1)]  # type: ignore[union-attr]
    subject.office.on_answer(HeartbeatResponse(2, 1, TERM, 1), 0)
    assert serve(subject, None, pending) == [ReadIndexAccepted(1, 3, TERM, 77, 1)]
    assert [(result.read_id, result.index) for result in pending.take_results()] == [(own, 1)]


def test_too_many_reads_are_refused() -> None:
    subject, pending = Office(1, 2, 3), PendingReads(Random(1))
    subject.office.reads._waiting_max = 1
    assert subject.office.on_read_request(ReadIndexRequest(3, 1, TERM, 77))
    assert not subject.office.on_read_request(ReadIndexRequest(3, 1, TERM, 78))
    own = pending.open(500)
    serve(subject, pending.take_open(), pending)
    assert [(result.read_id, result.index) for result in pending.take_results()] == [(own, None)]


def test_answers_of_those_who_left_mean_nothing() -> None:
    subject = Office(1, 2, 3)
    for answer in (
        AppendAccepted(9, 1, TERM, 1),
        AppendRejected(9, 1, TERM, 1, 0, 0, False),
        HeartbeatResponse(9, 1, TERM, 1),
        SnapshotProgress(9, 1, TERM, 1, 1),
    ):
        subject.office.on_answer(answer, 0)
    assert subject.log.commit == 0 and 9 not in subject.office.replication.progress


def test_the_uncommitted_tail_is_bounded_by_its_proposals() -> None:
    subject = Office(1, 2, 3)
    subject.accept(2)
    half = b"x" * (CONFIG.uncommitted_bytes_max // 2 + 1)
    assert subject.office.propose([half]) and not subject.office.propose([half])
    subject.accept(2)
    assert subject.office.propose([half])
    assert subject.log.entries(3, 3, 1)[0].kind == NORMAL


def lose(subject: Office, member: int, held: int = 0) -> None:
    """`member` says that it lost its log, and that it holds the leader's entries up to `held` again."""
    held_term = subject.log.term_at(held)
    assert held_term is not None
    subject.office.on_answer(AppendRejected(member, 1, TERM, held, held, held_term, True), 0)


@pytest.mark.parametrize(("voters", "enough"), [(2, 0), (3, 1), (4, 1), (5, 2), (6, 2), (7, 3)])
def test_who_lost_its_log_counts_again_once_the_others_rule_out_that_it_promised_anything(
    voters: int, enough: int
) -> None:
    """It may have voted for a newer leader: any majority with that vote has to meet the others that were asked."""
    subject = Office(*range(1, voters + 1))
    others = list(range(3, voters + 1))
    subject.accept(*others, 2)
    lose(subject, 2)
    # An entry younger than the loss settles it; older ones prove nothing.
    assert subject.log.last_index == 2
    subject.sync()
    lose(subject, 2, held=2)
    for count, other in enumerate(others):
        progress = subject.office.replication.progress[2]
        assert bool(progress.whole_after) == (count < enough), count
        subject.office.on_answer(AppendAccepted(other, 1, TERM, 2), 0)
    assert not subject.office.replication.progress[2].whole_after


def test_who_lost_its_log_neither_counts_nor_hears_of_commitment_until_then() -> None:
    subject = Office(1, 2, 3)
    subject.accept(2, 3)
    subject.office.propose([b"a"])
    lose(subject, 2)
    subject.sync()
    # Late, from before the loss.
    subject.office.on_answer(AppendAccepted(2, 1, TERM, 2), 0)
    assert subject.log.commit == 1
    told = [item for item in subject.office.replication.appends(None) if isinstance(item, AppendRequest)]
    assert [(item.to, item.commit) for item in told if item.to == 2] == [(2, 0)]
    lose(subject, 2, held=3)
    assert [item.to for item in subject.office.replication.appends(None)] == []
    subject.office.on_answer(AppendAccepted(3, 1, TERM, 3), 0)
    assert subject.log.commit == 3
    told = [item for item in subject.office.replication.appends(None) if isinstance(item, AppendRequest)]
    assert [(item.to, item.commit) for item in told if item.to == 2] == [(2, 3)]
    subject.office.propose([b"b"])
    subject.sync()
    subject.office.on_answer(AppendAccepted(2, 1, TERM, 4), 0)
    assert subject.log.commit == 4


def test_word_of_a_loss_that_comes_late_does_not_shut_out_who_counts_again() -> None:
    subject = Office(1, 2, 3)
    subject.accept(2, 3)
    lose(subject, 2)
    subject.sync()
    lose(subject, 2, held=2)
    subject.accept(3, index=2)
    # It was told, and counts; what it had said before, in answer to a heartbeat, arrives only now.
    lose(subject, 2, held=2)
    assert subject.office.replication.progress[2].whole_after == 3
    subject.sync()
    subject.office.on_answer(AppendAccepted(2, 1, TERM, 2), 0)
    assert subject.log.commit == 2
    # It goes on from there, though it counts only from the entry that is younger than the word.
    appends = [item for item in subject.office.replication.appends(None) if isinstance(item, AppendRequest)]
    assert [(item.prev_index, len(item.entries)) for item in appends if item.to == 2] == [(2, 1)]
    subject.office.on_answer(AppendAccepted(2, 1, TERM, 3), 0)
    assert subject.log.commit == 3 and not subject.office.replication.progress[2].whole_after
