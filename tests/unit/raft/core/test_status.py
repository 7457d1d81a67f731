"""What the leader and the others say about a group."""

from random import Random

from odradek.raft.core.config import RaftConfig
from odradek.raft.core.log_view import LogView
from odradek.raft.core.messages import (
    AppendAccepted,
    Heartbeat,
    HeartbeatResponse,
    PreVoteResponse,
    VoteResponse,
)
from odradek.raft.core.progress import ProgressState
from odradek.raft.core.raft import Raft
from odradek.raft.core.status import MemberStatus, status_of
from odradek.raft.core.types import HardState, Role

CONFIG = RaftConfig(election_timeout_ms=1000, heartbeat_interval_ms=100)


def node() -> Raft:
    return Raft(1, [1, 2, 3], CONFIG, Random(1), LogView(0, 0, []), HardState(), None, 0)


def settle(raft: Raft, now_ms: int) -> None:
    while (ready := raft.ready()) is not None:
        raft.on_durable(ready.number, now_ms)


def test_a_follower_knows_the_leader_and_itself() -> None:
    raft = node()
    assert status_of(raft, 0).leader_id is None
    raft.step(Heartbeat(2, 1, 7, 0), 0)
    status = status_of(raft, 0)
    assert (status.role, status.term, status.leader_id, status.members) == (Role.FOLLOWER, 7, 2, ())
    assert sorted(status.configuration.voters) == [1, 2, 3]


def test_a_leader_knows_how_far_everyone_is_and_when_it_last_heard_of_them() -> None:
    raft = node()
    raft.on_timer(5000)
    raft.step(PreVoteResponse(2, 1, 1, True), 5000)
    settle(raft, 5000)
    raft.step(VoteResponse(2, 1, 1, True), 5000)
    settle(raft, 5000)
    raft.step(AppendAccepted(2, 1, 1, 1), 5010)
    settle(raft, 5010)
    raft.propose([b"a"], 5020)
    settle(raft, 5020)
    raft.step(HeartbeatResponse(2, 1, 1), 5050)
    status = status_of(raft, 5060)
    assert (status.commit_index, status.applied_index, status.last_index) == (1, 1, 2)
    assert status.members == (
        MemberStatus(1, True, 2, ProgressState.REPLICATE, 5060, 5060),
        MemberStatus(2, True, 1, ProgressState.REPLICATE, 5050, 5010),
        MemberStatus(3, True, 0, ProgressState.PROBE, None, None),
    )
    # Reaching where the leader's log ended at an earlier contact proves being level then.
    raft.propose([b"b"], 5070)
    raft.step(AppendAccepted(2, 1, 1, 2), 5080)
    assert [member.last_caught_up_ms for member in status_of(raft, 5090).members] == [5090, 5050, None]
    raft.step(AppendAccepted(2, 1, 1, 3), 5085)
    assert [member.last_caught_up_ms for member in status_of(raft, 5090).members] == [5090, 5085, None]
