"""What a follower does with the leader's words."""

from odradek.raft.core.following import answer_append
from odradek.raft.core.log_view import LogView
from odradek.raft.core.membership import Membership
from odradek.raft.core.messages import (
    AppendAccepted,
    AppendRejected,
    AppendRequest,
)
from odradek.raft.core.quorum import Configuration
from odradek.raft.core.types import NORMAL, Entry

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
