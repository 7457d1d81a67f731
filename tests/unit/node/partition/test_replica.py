"""Leadership, fencing and the high watermark of one replica."""

from dataclasses import dataclass

import pytest

from odradek.node.partition.isr import IsrAnswer, IsrOutcome, IsrProposal
from odradek.node.partition.replica import Replica
from odradek.proto.kafka.errors import ErrorCode

LAG_MS = 100


@dataclass(frozen=True)
class Place:
    leader: int = 1
    leader_epoch: int = 5
    isr: tuple[int, ...] = (1,)
    replicas: tuple[int, ...] = (1,)
    partition_epoch: int = 0
    eligible_leader_replicas: tuple[int, ...] = ()
    directories: tuple[bytes, ...] = ()


def leader(end: int = 0) -> Replica:
    replica = Replica(node_id=1)
    replica.become_leader(Place(), end, end, 0)
    return replica


def leader_of_three(end: int = 0, isr: tuple[int, ...] = (1, 2, 3), min_insync: int = 1) -> Replica:
    replica = Replica(1, min_insync)
    replica.on_loaded(end, end, 0)
    replica.become_leader(Place(isr=isr, replicas=(1, 2, 3)), end, end, 0)
    return replica


def fetch(replica: Replica, broker_id: int, offset: int, now_ms: int = 0, epoch: int = 7) -> bool:
    return replica.on_follower_fetch(broker_id, offset, 0, now_ms, epoch)


def join(replica: Replica, broker_id: int, now_ms: int = 0, *, eligible: bool = True) -> IsrProposal | None:
    return replica.propose_join(broker_id, 70, now_ms, LAG_MS, eligible=eligible)


def accepted(replica: Replica, proposal: IsrProposal) -> IsrAnswer:
    return IsrAnswer(ErrorCode.NONE, proposal.isr, replica.leader_epoch, replica.partition_epoch + 1)


# -- alone


def test_the_high_watermark_follows_what_is_durable_not_what_is_appended() -> None:
    replica = leader()
    assert not replica.on_local_append(10, 0, durable=False)
    assert replica.high_watermark == 0
    assert replica.on_flushed(7)
    assert replica.high_watermark == 7
    assert not replica.on_flushed(7)
    assert replica.on_flushed(10)


def test_a_topic_that_does_not_wait_for_its_sync_advances_at_once() -> None:
    replica = leader(end=3)
    assert replica.high_watermark == 3
    assert replica.on_local_append(10, 0, durable=True)
    assert replica.high_watermark == 10


@pytest.mark.parametrize(
    ("epoch", "expected"),
    [
        (-1, ErrorCode.NONE),
        (5, ErrorCode.NONE),
        (4, ErrorCode.FENCED_LEADER_EPOCH),
        (6, ErrorCode.UNKNOWN_LEADER_EPOCH),
    ],
)
def test_fencing_by_leader_epoch(epoch: int, expected: ErrorCode) -> None:
    assert leader().check_leader_epoch(epoch) is expected


def test_a_replica_that_does_not_lead_says_so() -> None:
    assert Replica(node_id=1).check_leader_epoch(-1) is ErrorCode.NOT_LEADER_OR_FOLLOWER


def test_a_follower_is_fenced_before_it_says_that_it_does_not_lead() -> None:
    replica = Replica(node_id=1)
    replica.become_follower(Place(leader=2, replicas=(1, 2)))
    assert replica.check_leader_epoch(4) is ErrorCode.FENCED_LEADER_EPOCH
    assert replica.check_leader_epoch(6) is ErrorCode.UNKNOWN_LEADER_EPOCH
    assert replica.check_leader_epoch(5) is ErrorCode.NOT_LEADER_OR_FOLLOWER
    assert replica.check_epoch(5) is ErrorCode.NONE


def test_going_back_is_a_bug() -> None:
    replica = leader(end=3)
    with pytest.raises(AssertionError):
        replica.on_local_append(2, 0, durable=False)
    with pytest.raises(AssertionError):
        replica.become_leader(Place(leader_epoch=4), 3, 3, 0)


# -- with followers


def test_the_high_watermark_is_what_everyone_in_sync_has() -> None:
    replica = leader_of_three()
    replica.on_local_append(10, 0, durable=False)
    assert not fetch(replica, 2, 10) and not fetch(replica, 3, 6)
    assert replica.high_watermark == 0, "the leader's own disk has not confirmed anything"
    assert replica.on_flushed(10) and replica.high_watermark == 6
    assert fetch(replica, 3, 10) and replica.high_watermark == 10


def test_nothing_advances_before_every_member_was_heard_of() -> None:
    replica = leader_of_three(end=5)
    assert replica.high_watermark == 0
    assert not fetch(replica, 2, 5)
    assert fetch(replica, 3, 5) and replica.high_watermark == 5


def test_the_high_watermark_does_not_wait_for_whoever_is_out_of_sync() -> None:
    replica = leader_of_three(isr=(1, 2))
    replica.on_local_append(10, 0, durable=True)
    fetch(replica, 3, 0)
    assert fetch(replica, 2, 10) and replica.high_watermark == 10


def test_under_min_isr_the_high_watermark_stands_still() -> None:
    replica = leader_of_three(isr=(1,), min_insync=2)
    assert not replica.on_local_append(10, 0, durable=True)
    assert not replica.has_enough_replicas and replica.high_watermark == 0
    assert replica.set_min_insync_replicas(1) and replica.high_watermark == 10


def test_min_isr_asks_for_no_more_replicas_than_there_are() -> None:
    replica = Replica(1, 3)
    replica.become_leader(Place(isr=(1, 2), replicas=(1, 2)), 0, 0, 0)
    assert replica.has_enough_replicas


def test_a_follower_joins_when_it_reaches_the_high_watermark_and_counts_from_the_proposal_on() -> None:
    replica = leader_of_three(isr=(1, 2))
    replica.on_local_append(10, 0, durable=True)
    fetch(replica, 2, 10)
    fetch(replica, 3, 9)
    assert replica.high_watermark == 10 and join(replica, 3) is None, "one record short"
    fetch(replica, 3, 10)
    proposal = join(replica, 3)
    assert proposal is not None and proposal.isr == (1, 2, 3)
    assert [member.broker_epoch for member in proposal.members] == [70, 7, 7]
    assert join(replica, 3) is None, "one proposal at a time"
    replica.on_local_append(12, 0, durable=True)
    assert not fetch(replica, 2, 12), "the maximal ISR has 3 in it already"
    assert replica.on_proposal_answered(proposal, accepted(replica, proposal)) is IsrOutcome.APPLIED
    assert replica.isr == (1, 2, 3) and replica.partition_epoch == 1
    assert fetch(replica, 3, 12)


def test_a_follower_with_less_than_the_leader_began_with_does_not_join() -> None:
    replica = Replica(1)
    replica.on_loaded(10, 10, 4)  # it knew of 4 when it was elected, with 10 in its log
    replica.become_leader(Place(isr=(1, 2), replicas=(1, 2, 3)), 10, 10, 0)
    fetch(replica, 3, 6)
    assert join(replica, 3) is None
    fetch(replica, 3, 10)
    assert join(replica, 3) is not None


def test_whoever_is_not_eligible_does_not_join() -> None:
    replica = leader_of_three(isr=(1, 2))
    fetch(replica, 3, 0)
    assert join(replica, 3, eligible=False) is None
    assert join(replica, 3, eligible=True) is not None


def test_the_high_watermark_waits_for_a_follower_that_is_about_to_join() -> None:
    replica = leader_of_three(isr=(1,))
    replica.on_local_append(10, 0, durable=True)
    fetch(replica, 2, 4)
    replica.on_local_append(20, 0, durable=True)
    fetch(replica, 2, 10, now_ms=5)  # all there was when it asked before
    assert join(replica, 2, now_ms=5) is None and replica.high_watermark == 20
    replica.on_local_append(30, 5, durable=True)
    assert replica.high_watermark == 20
    fetch(replica, 2, 20, now_ms=6)
    assert join(replica, 2, now_ms=6) is not None


def test_a_follower_that_wanted_to_join_and_stopped_is_let_go() -> None:
    replica = leader_of_three(isr=(1,))
    replica.on_local_append(10, 0, durable=True)
    fetch(replica, 2, 4)
    fetch(replica, 2, 9, now_ms=1)
    replica.followers[2].caught_up_ms = 1
    assert join(replica, 2, now_ms=1) is None and replica.followers[2].is_joining
    replica.on_local_append(20, 1, durable=True)
    assert replica.high_watermark == 10
    assert replica.lag_deadline_ms(LAG_MS) == 102
    assert replica.propose_shrink(70, 102, LAG_MS) is None
    assert replica.advance() and replica.high_watermark == 20


def test_silence_leads_out_of_the_isr() -> None:
    replica = leader_of_three()
    for follower in (2, 3):
        fetch(replica, follower, 0, now_ms=0)
    assert replica.lag_deadline_ms(LAG_MS) is None
    replica.on_local_append(10, 50, durable=True)
    assert replica.lag_deadline_ms(LAG_MS) == 151
    fetch(replica, 2, 10, now_ms=60)
    assert replica.propose_shrink(70, 150, LAG_MS) is None
    proposal = replica.propose_shrink(70, 151, LAG_MS)
    assert proposal is not None and proposal.isr == (1, 2)
    assert not replica.advance(), "until the controller says so, 3 counts"
    replica.on_proposal_answered(proposal, accepted(replica, proposal))
    assert not replica.advance(), "until the image says that nobody else is eligible, 3 may be elected"
    replica.become_leader(Place(isr=(1, 2), replicas=(1, 2, 3), partition_epoch=1), 10, 10, 151)
    assert replica.high_watermark == 10


def test_a_follower_that_keeps_up_with_a_moving_end_is_not_late() -> None:
    replica = leader_of_three(isr=(1, 2))
    fetch(replica, 2, 0, now_ms=0)
    for now_ms in range(10, 500, 10):
        replica.on_local_append(now_ms, now_ms, durable=True)
        fetch(replica, 2, now_ms - 10, now_ms)
    assert replica.propose_shrink(70, 500, LAG_MS) is None


@pytest.mark.parametrize(
    ("error", "outcome", "stands"),
    [
        (ErrorCode.INELIGIBLE_REPLICA, IsrOutcome.REFUSED, False),
        (ErrorCode.OPERATION_NOT_ATTEMPTED, IsrOutcome.REFUSED, False),
        (ErrorCode.INVALID_UPDATE_VERSION, IsrOutcome.WAIT_FOR_IMAGE, True),
        (ErrorCode.FENCED_LEADER_EPOCH, IsrOutcome.WAIT_FOR_IMAGE, True),
        (ErrorCode.NEW_LEADER_ELECTED, IsrOutcome.WAIT_FOR_IMAGE, True),
        (ErrorCode.UNKNOWN_SERVER_ERROR, IsrOutcome.RETRY, True),
    ],
)
def test_answers_of_the_controller(error: ErrorCode, outcome: IsrOutcome, stands: bool) -> None:
    replica = leader_of_three(isr=(1, 2))
    fetch(replica, 3, 0)
    proposal = join(replica, 3)
    assert proposal is not None
    assert replica.on_proposal_answered(proposal, IsrAnswer(error)) is outcome
    assert replica.is_maximal_member(3) is stands
    assert replica.isr == (1, 2)


def test_an_image_settles_a_proposal_and_an_answer_that_comes_later_is_nothing_to_it() -> None:
    replica = leader_of_three(isr=(1, 2))
    fetch(replica, 3, 0)
    proposal = join(replica, 3)
    assert proposal is not None
    answer = accepted(replica, proposal)
    replica.become_leader(Place(isr=(1, 2, 3), replicas=(1, 2, 3), partition_epoch=1), 0, 0, 0)
    assert replica.proposal is None and replica.isr == (1, 2, 3)
    assert replica.on_proposal_answered(proposal, answer) is IsrOutcome.OUTDATED


def test_an_image_older_than_an_answer_is_outdated() -> None:
    replica = leader_of_three(isr=(1, 2))
    fetch(replica, 3, 0)
    proposal = join(replica, 3)
    assert proposal is not None
    replica.on_proposal_answered(proposal, accepted(replica, proposal))
    assert replica.is_outdated(Place(isr=(1, 2), replicas=(1, 2, 3), partition_epoch=0))


def test_a_new_leader_epoch_forgets_what_followers_had() -> None:
    replica = leader_of_three(end=5)
    fetch(replica, 2, 5)
    assert replica.become_leader(Place(leader_epoch=6, isr=(1, 2, 3), replicas=(1, 2, 3)), 5, 5, 9)
    assert replica.followers[2].log_end_offset == -1
    assert not replica.become_leader(Place(leader_epoch=6, isr=(1, 2, 3), replicas=(1, 2, 3)), 5, 5, 9)


def test_a_replica_that_is_added_is_followed_up_and_one_that_is_removed_is_not() -> None:
    replica = leader_of_three()
    replica.become_leader(Place(isr=(1, 2, 3), replicas=(1, 2, 3, 4), partition_epoch=1), 0, 0, 0)
    fetch(replica, 4, 0)
    proposal = join(replica, 4)
    assert proposal is not None and proposal.isr == (1, 2, 3, 4)
    replica.become_leader(Place(isr=(1, 2), replicas=(1, 2), partition_epoch=2), 0, 0, 0)
    assert list(replica.followers) == [2]


@pytest.mark.parametrize(
    ("broker_id", "broker_epoch", "leader_epoch", "expected"),
    [
        (2, 7, 5, ErrorCode.NONE),
        (2, 8, 5, ErrorCode.NONE),
        (2, -1, 5, ErrorCode.NONE),
        (2, 6, 5, ErrorCode.NOT_LEADER_OR_FOLLOWER),
        (9, 7, 5, ErrorCode.UNKNOWN_LEADER_EPOCH),
        (9, 7, -1, ErrorCode.NOT_LEADER_OR_FOLLOWER),
    ],
)
def test_whose_fetch_is_a_replicas(
    broker_id: int, broker_epoch: int, leader_epoch: int, expected: ErrorCode
) -> None:
    replica = leader_of_three()
    fetch(replica, 2, 0, epoch=7)
    assert replica.check_follower(broker_id, broker_epoch, leader_epoch) is expected


# -- following


def follower(end: int = 10, high_watermark: int = 5) -> Replica:
    replica = Replica(1)
    replica.on_loaded(end, end, high_watermark)
    replica.become_follower(Place(leader=2, isr=(1, 2), replicas=(1, 2)))
    return replica


def test_a_follower_knows_as_much_of_the_high_watermark_as_it_has() -> None:
    replica = follower()
    assert replica.on_replicated(10, 8, durable=False) and replica.high_watermark == 8
    assert replica.on_replicated(12, 20, durable=False) and replica.high_watermark == 12
    assert not replica.on_replicated(12, 3, durable=False) and replica.high_watermark == 12
    assert not replica.on_flushed(11) and replica.durable_end_offset == 11


def test_a_truncation_below_the_high_watermark_is_a_loss() -> None:
    assert not follower().on_truncated(5)
    replica = follower()
    assert replica.on_truncated(4) and replica.high_watermark == 4 == replica.durable_end_offset


def test_a_change_of_leader_is_news_once() -> None:
    replica = follower()
    place = Place(leader=3, leader_epoch=6, isr=(1, 3), replicas=(1, 2, 3))
    assert replica.become_follower(place) and not replica.become_follower(place)


def test_the_low_watermark_is_the_smallest_start() -> None:
    replica = leader_of_three()
    replica.on_follower_fetch(2, 0, 3, 0, 7)
    assert replica.low_watermark((2, 3), 5) == -1
    assert replica.low_watermark((2,), 5) == 3
    assert replica.low_watermark((), 5) == 5


# -- what the controller knows otherwise


def test_what_an_eligible_replica_lacks_is_not_committed_whatever_this_node_takes_for_the_minimum() -> None:
    replica = leader_of_three(isr=(1, 2), min_insync=1)
    fetch(replica, 2, 0)
    replica.on_local_append(10, 50, durable=True)
    place = Place(isr=(1,), replicas=(1, 2, 3), partition_epoch=1, eligible_leader_replicas=(2,))
    replica.become_leader(place, 10, 10, 60)
    assert not replica.has_enough_replicas and replica.high_watermark == 0
    replica.become_leader(Place(isr=(1,), replicas=(1, 2, 3), partition_epoch=2), 10, 10, 70)
    assert replica.has_enough_replicas and replica.high_watermark == 10


def test_a_smaller_isr_is_trusted_only_with_the_image_that_tells_who_became_eligible() -> None:
    """The minimum was raised, and the answer to a proposal overtook the image that would have said so."""
    replica = leader_of_three(isr=(1, 2), min_insync=1)
    fetch(replica, 2, 0)
    replica.on_local_append(10, 50, durable=True)
    proposal = replica.propose_shrink(70, 151, LAG_MS)
    assert proposal is not None and proposal.isr == (1,)
    replica.on_proposal_answered(proposal, accepted(replica, proposal))
    assert not replica.advance() and replica.high_watermark == 0
    place = Place(isr=(1,), replicas=(1, 2, 3), partition_epoch=1, eligible_leader_replicas=(2,))
    replica.become_leader(place, 10, 10, 152)
    assert replica.high_watermark == 0
