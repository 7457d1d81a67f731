"""What a leader knows of a follower, and what answers of the controller mean."""

import pytest

from odradek.node.partition.isr import (
    FollowerProgress,
    IsrMember,
    IsrOutcome,
    IsrProposal,
    lag_deadline_ms,
    outcome_of,
)
from odradek.proto.kafka.errors import ErrorCode

LAG_MS = 100


def test_a_follower_is_caught_up_when_it_asks_for_the_end_or_for_what_was_the_end_when_it_last_asked() -> (
    None
):
    follower = FollowerProgress(2)
    follower.on_fetch(5, 0, leader_end=10, now_ms=1_000, broker_epoch=7)
    assert not follower.is_caught_up(10, 1_000, LAG_MS), "it never had everything"
    follower.on_fetch(10, 0, leader_end=30, now_ms=1_050, broker_epoch=7)
    assert follower.caught_up_ms == 1_000
    assert follower.is_caught_up(30, 1_100, LAG_MS) and not follower.is_caught_up(30, 1_101, LAG_MS)
    follower.on_fetch(30, 2, leader_end=30, now_ms=1_060, broker_epoch=8)
    assert (follower.caught_up_ms, follower.log_start_offset, follower.broker_epoch) == (1_060, 2, 8)


def test_whoever_has_everything_is_never_late() -> None:
    follower = FollowerProgress(2, caught_up_ms=0)
    follower.log_end_offset = 10
    assert follower.is_caught_up(10, 10**9, LAG_MS)
    assert lag_deadline_ms([follower], 10, LAG_MS) is None


def test_the_deadline_is_that_of_the_one_that_is_behind_for_longest() -> None:
    first, second = FollowerProgress(2, caught_up_ms=50), FollowerProgress(3, caught_up_ms=20)
    assert lag_deadline_ms([first, second], 10, LAG_MS) == 121
    second.log_end_offset = 10
    assert lag_deadline_ms([first, second], 10, LAG_MS) == 151


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (ErrorCode.NONE, IsrOutcome.APPLIED),
        (ErrorCode.INELIGIBLE_REPLICA, IsrOutcome.REFUSED),
        (ErrorCode.INVALID_REQUEST, IsrOutcome.WAIT_FOR_IMAGE),
        (ErrorCode.UNKNOWN_TOPIC_ID, IsrOutcome.WAIT_FOR_IMAGE),
        (ErrorCode.NOT_CONTROLLER, IsrOutcome.RETRY),
    ],
)
def test_what_an_answer_means(error: ErrorCode, outcome: IsrOutcome) -> None:
    assert outcome_of(error) is outcome


def test_a_proposal_is_itself_and_names_its_members() -> None:
    proposal, other = (IsrProposal(5, 1, (IsrMember(1, 10), IsrMember(2, -1))) for _ in range(2))
    assert proposal.isr == (1, 2) and proposal != other
