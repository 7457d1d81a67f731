"""The leader's book-keeping and the follower's answers, without terms and roles around them."""

import pytest

from odradek.raft.core.config import RaftConfig
from odradek.raft.core.log_view import LogView
from odradek.raft.core.membership import Membership
from odradek.raft.core.messages import AppendRejected, AppendRequest
from odradek.raft.core.progress import ProgressState
from odradek.raft.core.quorum import Configuration
from odradek.raft.core.ready import ChunkToSend
from odradek.raft.core.replication import Replication
from odradek.raft.core.types import NORMAL, Entry, SnapshotMeta

CONFIG = RaftConfig(
    election_timeout_ms=1000, heartbeat_interval_ms=100, append_bytes_max=25, inflight_appends_max=2
)


def entries(*terms: int) -> list[Entry]:
    return [Entry(term, NORMAL, b"0123456789") for term in terms]


def office(log: LogView, term: int = 3, voters: int = 3) -> Replication:
    return Replication(
        1, term, Membership(Configuration(frozenset(range(1, voters + 1))), True), CONFIG, log, 0
    )


def sent(replication: Replication, to: int = 2) -> list[tuple[int, int]]:
    """(prev index, number of entries) of the appends that leave for one follower."""
    return [
        (message.prev_index, len(message.entries))
        for message in replication.appends(None)
        if isinstance(message, AppendRequest) and message.to == to
    ]


def test_one_probe_then_a_window_of_messages_of_bounded_size() -> None:
    log = LogView(0, 0, entries(1))
    replication = office(log)
    log.append(entries(3, 3, 3, 3, 3, 3, 3))
    assert sent(replication) == [(1, 2)]
    assert sent(replication) == []
    replication.progress[2].on_accepted(3)
    assert sent(replication) == [(3, 2), (5, 2)]
    replication.progress[2].on_accepted(5)
    assert sent(replication) == [(7, 1)]


def test_an_entry_larger_than_the_limit_travels_alone() -> None:
    log = LogView(0, 0, [])
    replication = office(log)
    log.append([Entry(3, NORMAL, b"x" * 1000), Entry(3, NORMAL, b"")])
    assert sent(replication) == [(0, 1)]


def test_news_of_the_commit_index_goes_out_once() -> None:
    log = LogView(0, 0, entries(1))
    replication = office(log)
    log.append(entries(3))
    list(replication.appends(None))
    replication.progress[2].on_accepted(2)
    assert sent(replication) == []
    log.commit_to(2)
    assert sent(replication) == [(2, 0)]
    assert sent(replication) == []


def test_a_heartbeat_promises_no_more_than_the_follower_holds() -> None:
    log = LogView(0, 0, entries(1, 1, 1))
    log.commit_to(3)
    replication = office(log)
    replication.progress[2].on_accepted(2)
    assert [(beat.to, beat.commit) for beat in replication.heartbeats(140, 0)] == [(2, 2), (3, 0)]
    # On the grid that all groups of a node share.
    assert replication.next_deadline == 200


def test_an_answer_to_a_heartbeat_finds_out_about_lost_appends() -> None:
    log = LogView(0, 0, entries(1))
    replication = office(log)
    log.append(entries(3))
    list(replication.appends(None))
    replication.progress[2].on_accepted(1)
    assert sent(replication) == [(1, 1)]
    replication.on_heartbeat_response(2)
    assert sent(replication) == [(2, 0)]
    replication.on_rejected(AppendRejected(2, 1, 3, 2, 1, 1, False))
    assert sent(replication) == [(1, 1)]


def test_only_the_own_term_is_committed_by_counting() -> None:
    log = LogView(0, 0, entries(1, 2))
    replication = office(log)
    replication.progress[2].on_accepted(2)
    assert replication.committable_index() == 0
    log.append(entries(3))
    replication.progress[2].on_accepted(3)
    assert replication.committable_index() == 0
    log.take_unwritten(1)
    log.on_durable(1)
    assert replication.committable_index() == 3


@pytest.mark.parametrize(
    ("voters", "answers", "expected"), [(4, 1, False), (4, 2, True), (5, 1, False), (5, 2, True)]
)
def test_check_quorum(voters: int, answers: int, expected: bool) -> None:
    replication = office(LogView(0, 0, []), voters=voters)
    for voter in range(2, 2 + answers):
        replication.progress[voter].contact_ms = 900
    assert replication.has_quorum(1000) is expected
    assert replication.quorum_deadline_ms == (1900 if expected else 1000)


def test_who_needs_compacted_entries_gets_the_snapshot() -> None:
    log = LogView(5, 2, entries(3))
    replication = office(log)
    replication.progress[2].next_index = 4
    meta = SnapshotMeta(5, 2, 1000, Configuration(frozenset({1, 2, 3})))
    chunks = [item for item in replication.appends(meta) if isinstance(item, ChunkToSend)]
    assert [(chunk.to, chunk.index, chunk.index_term, chunk.offset) for chunk in chunks] == [(2, 5, 2, 0)]
    assert replication.progress[2].state == ProgressState.SNAPSHOT
    assert [item for item in replication.appends(meta) if isinstance(item, ChunkToSend)] == []
