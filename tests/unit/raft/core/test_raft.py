"""One core against hand-written messages: the traps that Raft implementations are known to fall into."""

from collections.abc import Iterable
from random import Random

import pytest

from odradek.raft.core.config import RaftConfig
from odradek.raft.core.log_view import LogView
from odradek.raft.core.messages import (
    AppendAccepted,
    AppendRejected,
    AppendRequest,
    Heartbeat,
    HeartbeatResponse,
    Message,
    PreVoteRequest,
    PreVoteResponse,
    ReadIndexRequest,
    SnapshotChunk,
    SnapshotProgress,
    VoteRequest,
    VoteResponse,
)
from odradek.raft.core.quorum import Configuration
from odradek.raft.core.raft import Raft
from odradek.raft.core.ready import Ready
from odradek.raft.core.types import CONFIGURATION, NO_NODE, NORMAL, Entry, HardState, Role, SnapshotMeta

CONFIG = RaftConfig(election_timeout_ms=1000, heartbeat_interval_ms=100)
THREE = Configuration(frozenset({1, 2, 3}))


def entries(*terms: int) -> list[Entry]:
    return [Entry(term, NORMAL, b"x") for term in terms]


def node(
    terms: Iterable[int] = (), *, term: int = 1, vote: int = NO_NODE, voters: int = 3, damaged: bool = False
) -> Raft:
    state = HardState(term, vote, 0, damaged)
    return Raft(1, range(1, voters + 1), CONFIG, Random(1), LogView(0, 0, entries(*terms)), state, None, 0)


def role(raft: Raft) -> Role:
    return raft.role


def take(raft: Raft, now_ms: int = 0, *, durable: bool = True) -> list[Ready]:
    """Everything the core wants done; its writes are confirmed at once unless told otherwise."""
    taken = []
    while (ready := raft.ready()) is not None:
        taken.append(ready)
        if durable:
            raft.on_durable(ready.number, now_ms)
    return taken


def now(readies: list[Ready]) -> list[Message]:
    return [message for ready in readies for message in ready.messages_now]


def after(readies: list[Ready]) -> list[Message]:
    return [message for ready in readies for message in ready.messages_after_durable]


def leader(terms: Iterable[int] = (), voters: int = 3, term: int = 2) -> Raft:
    """A leader of `term`, with the empty entry of its term last."""
    raft = node(terms, voters=voters, term=term - 1)
    raft.on_timer(5000)
    for voter in range(2, voters + 1):
        raft.step(PreVoteResponse(voter, 1, term, True), 5000)
    take(raft, 5000)
    for voter in range(2, voters + 1):
        raft.step(VoteResponse(voter, 1, term, True), 5000)
    take(raft, 5000)
    assert role(raft) == Role.LEADER and raft.term == term
    return raft


def test_term_and_vote_are_persisted_together_and_before_the_answer() -> None:
    raft = node(term=1)
    raft.step(VoteRequest(2, 1, 5, 0, 0), 0)
    ready = raft.ready()
    assert ready is not None and ready.hard_state == HardState(5, 2, 0)
    assert ready.messages_now == [] and ready.messages_after_durable == [VoteResponse(1, 2, 5, True)]


def test_one_vote_per_term_also_after_a_restart() -> None:
    raft = node(term=5, vote=2)
    raft.step(VoteRequest(3, 1, 5, 9, 9), 0)
    raft.step(VoteRequest(2, 1, 5, 9, 9), 0)
    assert after(take(raft)) == [VoteResponse(1, 3, 5, False), VoteResponse(1, 2, 5, True)]


def test_a_newer_term_clears_the_vote_of_the_older() -> None:
    raft = node(term=5, vote=2)
    raft.step(VoteRequest(3, 1, 6, 0, 0), 0)
    assert after(take(raft)) == [VoteResponse(1, 3, 6, True)]


def test_no_vote_for_a_shorter_or_older_log() -> None:
    for last_index, last_term, granted in [(2, 2, False), (9, 1, False), (3, 2, True), (1, 3, True)]:
        raft = node([1, 2, 2], term=2)
        raft.step(VoteRequest(2, 1, 3, last_index, last_term), 0)
        assert after(take(raft)) == [VoteResponse(1, 2, 3, granted)]


def test_own_vote_counts_only_when_durable() -> None:
    raft = node(voters=2)
    raft.on_timer(5000)
    raft.step(PreVoteResponse(2, 1, 2, True), 5000)
    readies = take(raft, durable=False)
    raft.step(VoteResponse(2, 1, 2, True), 5000)
    assert role(raft) == Role.CANDIDATE
    raft.on_durable(readies[-1].number, 5000)
    assert role(raft) == Role.LEADER


def test_votes_of_another_term_and_repeated_votes_do_not_count() -> None:
    raft = node(voters=5)
    raft.on_timer(5000)
    for voter in (2, 3):
        raft.step(PreVoteResponse(voter, 1, 2, True), 5000)
    take(raft, 5000)
    raft.step(VoteResponse(2, 1, 1, True), 5000)
    raft.step(VoteResponse(3, 1, 2, True), 5000)
    raft.step(VoteResponse(3, 1, 2, True), 5000)
    assert role(raft) == Role.CANDIDATE
    raft.step(VoteResponse(9, 1, 2, True), 5000)
    assert role(raft) == Role.CANDIDATE
    raft.step(VoteResponse(4, 1, 2, True), 5000)
    assert role(raft) == Role.LEADER


def test_pre_vote_changes_nothing_at_the_voter() -> None:
    raft = node([1], term=4)
    deadline = raft.next_deadline
    raft.step(PreVoteRequest(2, 1, 5, 1, 1), 700)
    readies = take(raft)
    assert now(readies) == [PreVoteResponse(1, 2, 5, True)]
    assert all(ready.hard_state is None for ready in readies)
    assert (raft.term, raft.next_deadline) == (4, deadline)


def test_a_node_that_hears_the_leader_votes_for_nobody_else() -> None:
    """A removed or isolated server that comes back with a high term does not disturb the group."""
    raft = node(term=2)
    raft.step(Heartbeat(3, 1, 2, 0), 0)
    take(raft)
    raft.step(PreVoteRequest(2, 1, 9, 9, 9), 900)
    raft.step(VoteRequest(2, 1, 9, 9, 9), 900)
    readies = take(raft)
    assert now(readies) == [PreVoteResponse(1, 2, 2, False)] and after(readies) == []
    assert raft.term == 2
    raft.step(PreVoteRequest(2, 1, 9, 9, 9), 1000)
    assert now(take(raft)) == [PreVoteResponse(1, 2, 9, True)]


def test_a_refused_candidate_does_not_reset_the_election_deadline() -> None:
    raft = node([1, 1], term=1)
    deadline = raft.next_deadline
    raft.step(VoteRequest(2, 1, 7, 0, 0), 900)
    assert raft.term == 7 and raft.next_deadline == deadline
    raft.step(VoteRequest(3, 1, 7, 2, 1), 900)
    assert raft.next_deadline != deadline


def test_an_old_leader_does_not_reset_the_election_deadline() -> None:
    raft = node(term=5)
    deadline = raft.next_deadline
    raft.step(Heartbeat(2, 1, 4, 0), 900)
    assert raft.next_deadline == deadline
    assert now(take(raft)) == [HeartbeatResponse(1, 2, 5)]


def test_entries_are_acknowledged_only_when_durable() -> None:
    raft = node(term=2)
    raft.step(AppendRequest(2, 1, 2, 0, 0, 0, tuple(entries(1, 2))), 0)
    ready = raft.ready()
    assert ready is not None and (ready.first_index, ready.prev_term, len(ready.entries)) == (1, 0, 2)
    assert ready.messages_now == [] and ready.messages_after_durable == [AppendAccepted(1, 2, 2, 2)]


def test_a_stale_append_truncates_nothing() -> None:
    raft = node([1, 1, 2, 2], term=2)
    raft.step(AppendRequest(2, 1, 2, 1, 1, 0, tuple(entries(1))), 0)
    assert after(take(raft)) == [AppendAccepted(1, 2, 2, 2)]
    assert raft.log.last_index == 4


def test_accepted_means_what_the_request_proved_not_the_own_end() -> None:
    raft = node([1, 1, 1, 1], term=1)
    raft.step(AppendRequest(2, 1, 2, 2, 1, 4, ()), 0)
    assert after(take(raft)) == [AppendAccepted(1, 2, 2, 2)]
    assert raft.log.commit == 2


def test_an_append_below_the_commit_index_is_answered_with_it() -> None:
    raft = node([1, 1, 1], term=1)
    raft.step(AppendRequest(2, 1, 1, 3, 1, 3, ()), 0)
    take(raft)
    raft.step(AppendRequest(2, 1, 1, 0, 0, 0, tuple(entries(1))), 0)
    assert after(take(raft)) == [AppendAccepted(1, 2, 1, 3)]


def test_a_gap_and_a_conflict_are_rejected_with_a_hint() -> None:
    raft = node([1, 1, 3, 3], term=5)
    raft.step(AppendRequest(2, 1, 5, 9, 4, 0, ()), 0)
    raft.step(AppendRequest(2, 1, 5, 4, 2, 0, ()), 0)
    hints = [(m.hint_index, m.hint_term) for m in now(take(raft)) if isinstance(m, AppendRejected)]
    assert hints == [(4, 3), (2, 1)]


def test_a_leader_skips_a_whole_term_at_a_rejection() -> None:
    raft = leader([1, 1, 1, 2, 2], term=3)
    raft.step(AppendRejected(2, 1, 3, 5, 4, 1, False), 5000)
    appends = [m for m in now(take(raft)) if isinstance(m, AppendRequest) and m.to == 2]
    assert [(m.prev_index, m.prev_term, len(m.entries)) for m in appends] == [(3, 1, 3)]


def test_no_commit_by_counting_entries_of_an_older_term() -> None:
    raft = leader([1, 1])
    for voter in (2, 3):
        raft.step(AppendAccepted(voter, 1, 2, 2), 5000)
    assert raft.log.commit == 0
    raft.step(AppendAccepted(2, 1, 2, 3), 5000)
    assert raft.log.commit == 3


def test_a_leader_counts_itself_only_when_durable() -> None:
    raft = leader(voters=2)
    raft.step(AppendAccepted(2, 1, 2, 1), 5000)
    take(raft)
    raft.propose([b"a"], 5000)
    pending = take(raft, durable=False)
    raft.step(AppendAccepted(2, 1, 2, 2), 5000)
    assert raft.log.commit == 1
    raft.on_durable(pending[-1].number, 5000)
    assert raft.log.commit == 2


def test_a_quorum_of_others_commits_while_the_own_disk_is_slow() -> None:
    raft = leader()
    raft.propose([b"a"], 5000)
    take(raft, durable=False)
    for voter in (2, 3):
        raft.step(AppendAccepted(voter, 1, 2, 2), 5000)
    assert raft.log.commit == 2


def test_even_group_needs_more_than_half() -> None:
    raft = leader(voters=4)
    raft.step(AppendAccepted(2, 1, 2, 1), 5000)
    assert raft.log.commit == 0
    raft.step(AppendAccepted(3, 1, 2, 1), 5000)
    assert raft.log.commit == 1


def test_answers_of_an_older_term_are_ignored() -> None:
    raft = leader()
    raft.step(AppendAccepted(2, 1, 1, 9), 5000)
    raft.step(AppendRejected(2, 1, 1, 0, 0, 0, True), 5000)
    assert raft.replication is not None and raft.replication.progress[2].match_index == 0
    assert raft.log.commit == 0


def test_a_deposed_leader_ignores_answers_to_its_office() -> None:
    raft = leader()
    raft.step(Heartbeat(2, 1, 3, 0), 5000)
    raft.step(AppendAccepted(2, 1, 3, 1), 5000)
    assert role(raft) == Role.FOLLOWER and raft.log.commit == 0
    assert raft.propose([b"a"], 5000) is None


def test_a_leader_that_slept_steps_down_before_it_takes_anything() -> None:
    raft = leader()
    assert raft.propose([b"a"], 5999) is not None
    assert raft.propose([b"b"], 6000) is None
    assert role(raft) == Role.FOLLOWER
    raft = leader()
    raft.step(AppendAccepted(2, 1, 2, 1), 9000)
    assert role(raft) == Role.FOLLOWER and raft.log.commit == 0


def test_contact_with_a_quorum_keeps_the_leader() -> None:
    raft = leader()
    raft.step(HeartbeatResponse(3, 1, 2), 5800)
    raft.on_timer(6000)
    assert role(raft) == Role.LEADER
    raft.on_timer(6800)
    assert role(raft) == Role.FOLLOWER


def test_entries_of_one_turn_share_one_message() -> None:
    raft = leader()
    raft.step(AppendAccepted(2, 1, 2, 1), 5000)
    take(raft)
    for data in (b"a", b"b", b"c"):
        raft.propose([data], 5000)
    appends = [m for m in now(take(raft)) if isinstance(m, AppendRequest) and m.to == 2]
    assert [len(m.entries) for m in appends] == [3]


def test_the_uncommitted_tail_is_bounded() -> None:
    config = RaftConfig(proposal_bytes_max=10, uncommitted_bytes_max=25)
    raft = Raft(1, [1], config, Random(1), LogView(0, 0, []), HardState(), None, 0)
    take(raft)
    assert [raft.propose([b"0123456789"], 0) for _ in range(3)] == [2, 3, None]
    take(raft)
    assert raft.propose([b"0123456789"], 0) == 4


def test_one_voter_leads_without_waiting_and_has_no_deadline() -> None:
    raft = Raft(1, [1], CONFIG, Random(1), LogView(0, 0, []), HardState(), None, 0)
    first = raft.ready()
    assert first is not None and first.hard_state == HardState(1, 1, 0)
    assert role(raft) == Role.CANDIDATE
    raft.on_durable(first.number, 0)
    second = raft.ready()
    assert second is not None and [(entry.term, entry.kind) for entry in second.entries] == [
        (1, CONFIGURATION)
    ]
    assert raft.log.commit == 0
    raft.on_durable(second.number, 0)
    assert raft.log.commit == 1 and raft.next_deadline is None


def chunk(sender: int, offset: int, data: bytes, index: int = 9, term: int = 3) -> SnapshotChunk:
    return SnapshotChunk(sender, 1, term, index, 2, THREE, 6, offset, data)


def test_a_snapshot_is_put_together_in_order() -> None:
    raft = node([1], term=3)
    for message in (chunk(2, 3, b"def"), chunk(2, 0, b"abc"), chunk(2, 0, b"abc")):
        raft.step(message, 0)
    offsets = [m.next_offset for m in now(take(raft)) if isinstance(m, SnapshotProgress)]
    assert offsets == [0, 3, 3]
    raft.step(chunk(2, 3, b"def"), 0)
    ready = raft.ready()
    assert ready is not None and ready.snapshot is not None
    assert (ready.snapshot.index, ready.snapshot.term, ready.snapshot.data) == (9, 2, b"abcdef")
    assert ready.messages_after_durable == [AppendAccepted(1, 2, 3, 9)]
    assert (raft.log.base_index, raft.log.last_index, raft.log.commit) == (9, 9, 9)


def test_chunks_of_two_senders_are_never_mixed() -> None:
    raft = node([1], term=3)
    raft.step(chunk(2, 0, b"abc"), 0)
    raft.step(chunk(3, 3, b"DEF", term=4), 0)
    assert raft.log.commit == 0
    raft.step(chunk(3, 0, b"ABC", term=4), 0)
    raft.step(chunk(3, 3, b"DEF", term=4), 0)
    ready = raft.ready()
    assert ready is not None and ready.snapshot is not None and ready.snapshot.data == b"ABCDEF"


def test_a_snapshot_of_what_is_there_only_commits() -> None:
    raft = node([1, 1, 2, 2], term=3)
    raft.step(SnapshotChunk(2, 1, 3, 3, 2, THREE, 1, 0, b"s"), 0)
    ready = raft.ready()
    assert ready is not None and ready.snapshot is None
    assert (raft.log.last_index, raft.log.commit) == (4, 3)


def test_an_old_snapshot_is_answered_with_the_commit_index() -> None:
    raft = node([1, 1, 1], term=3)
    raft.step(Heartbeat(2, 1, 3, 3), 0)
    raft.step(SnapshotChunk(2, 1, 3, 2, 1, THREE, 100, 0, b"s"), 0)
    assert AppendAccepted(1, 2, 3, 3) in after(take(raft))
    assert raft.log.base_index == 0


def test_a_follower_behind_the_base_gets_the_snapshot() -> None:
    raft = leader([1, 1, 1])
    for voter in (2, 3):
        raft.step(AppendAccepted(voter, 1, 2, 4), 5000)
    take(raft)
    raft.on_snapshot_stored(SnapshotMeta(4, 2, 1_000_000, THREE), keep_from=5)
    raft.step(AppendRejected(3, 1, 2, 4, 0, 0, True), 5000)
    chunks = [piece for ready in take(raft) for piece in ready.chunks]
    assert [(piece.to, piece.index, piece.offset, piece.length) for piece in chunks] == [(3, 4, 0, 524_288)]
    raft.step(SnapshotProgress(3, 1, 2, 4, 524_288), 5000)
    chunks = [piece for ready in take(raft) for piece in ready.chunks]
    assert [(piece.offset, piece.length) for piece in chunks] == [(524_288, 475_712)]
    raft.on_snapshot_unreadable(3)
    chunks = [piece for ready in take(raft) for piece in ready.chunks]
    assert chunks == [] or chunks[0].offset == 0


def test_a_damaged_node_neither_votes_nor_campaigns_until_refilled() -> None:
    raft = node([], term=2, damaged=True)
    assert raft.next_deadline is None
    raft.on_timer(99_999)
    raft.step(VoteRequest(2, 1, 3, 9, 9), 99_999)
    raft.step(PreVoteRequest(2, 1, 4, 9, 9), 99_999)
    readies = take(raft)
    assert after(readies) == [VoteResponse(1, 2, 3, False), PreVoteResponse(1, 2, 3, False)]
    raft.step(AppendRequest(2, 1, 3, 4, 1, 2, ()), 0)
    assert now(take(raft)) == [AppendRejected(1, 2, 3, 4, 0, 0, True)]
    raft.step(Heartbeat(2, 1, 3, 4), 0)
    assert now(take(raft)) == [AppendRejected(1, 2, 3, 4, 0, 0, True)]
    raft.step(AppendRequest(2, 1, 3, 0, 0, 2, tuple(entries(1, 1, 3))), 0)
    assert now(take(raft)) == [AppendRejected(1, 2, 3, 0, 3, 3, True)] and raft.hard_state.damaged
    raft.step(AppendRequest(2, 1, 3, 3, 3, 3, ()), 0)
    assert after(take(raft)) == [AppendAccepted(1, 2, 3, 3)]
    assert raft.hard_state == HardState(3, 2, 3, False)


def test_a_disk_that_was_emptied_shows_at_the_first_heartbeat() -> None:
    raft = node([], term=3)
    raft.step(Heartbeat(2, 1, 3, 7), 0)
    readies = take(raft)
    assert now(readies) == [AppendRejected(1, 2, 3, 7, 0, 0, True)]
    assert readies[0].hard_state == HardState(3, NO_NODE, 0, True)
    raft.step(VoteRequest(3, 1, 4, 9, 9), 5000)
    assert after(take(raft, 5000)) == [VoteResponse(1, 3, 4, False)]


def test_messages_for_others_are_ignored() -> None:
    raft = node(term=1)
    raft.step(Heartbeat(2, 3, 9, 0), 0)
    raft.step(Heartbeat(1, 1, 9, 0), 0)
    assert raft.term == 1 and take(raft) == []


def test_a_leader_that_is_not_known_here_yet_is_followed_and_no_stranger_ends_an_office() -> None:
    """The sender of a request may know a newer configuration; an answer of a removed node means nothing."""
    raft = node(term=1)
    raft.step(Heartbeat(7, 1, 9, 0), 0)
    assert (raft.term, raft.leader_id) == (9, 7)
    raft = leader()
    for stranger in (
        HeartbeatResponse(7, 1, 9),
        AppendAccepted(7, 1, 9, 1),
        ReadIndexRequest(7, 1, 9, 1),
        VoteResponse(7, 1, 9, False),
        PreVoteRequest(7, 1, 9, 9, 9),
        VoteRequest(7, 1, 9, 9, 9),
    ):
        raft.step(stranger, 5000)
    assert (role(raft), raft.term) == (Role.LEADER, 2)


def test_two_leaders_in_one_term_stop_the_node() -> None:
    raft = leader()
    with pytest.raises(AssertionError, match="two leaders"):
        raft.step(Heartbeat(2, 1, 2, 0), 5000)


def test_a_torn_commit_index_does_not_point_beyond_the_log() -> None:
    raft = Raft(1, [1, 2, 3], CONFIG, Random(1), LogView(0, 0, entries(1, 1)), HardState(1, 2, 9), None, 0)
    assert raft.log.commit == 2


def test_a_voter_that_is_found_brings_the_first_election_near_and_disturbs_no_leader() -> None:
    raft = node()
    raft.on_voter_found(0)
    deadline = raft.next_deadline
    assert deadline is not None and deadline < 100
    raft.step(Heartbeat(2, 1, 1, 0), 50)
    raft.on_voter_found(60)
    assert raft.next_deadline is not None and raft.next_deadline >= 1050
