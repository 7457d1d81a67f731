import pytest

from odradek.node.partition.replica import Replica
from odradek.proto.kafka.errors import ErrorCode


def leader(end: int = 0) -> Replica:
    replica = Replica(node_id=1)
    replica.become_leader(leader_epoch=5, isr=(1,), log_end_offset=end, durable_end_offset=end)
    return replica


def test_the_high_watermark_follows_what_is_durable_not_what_is_appended() -> None:
    replica = leader()
    assert not replica.on_local_append(10, durable=False)
    assert replica.high_watermark == 0
    assert replica.on_flushed(7)
    assert replica.high_watermark == 7
    assert not replica.on_flushed(7)
    assert replica.on_flushed(10)


def test_a_topic_that_does_not_wait_for_its_sync_advances_at_once() -> None:
    replica = leader(end=3)
    assert replica.high_watermark == 3
    assert replica.on_local_append(10, durable=True)
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


def test_going_back_is_a_bug() -> None:
    replica = leader(end=3)
    with pytest.raises(AssertionError):
        replica.on_local_append(2, durable=False)
    with pytest.raises(AssertionError):
        replica.become_leader(4, (1,), 3, 3)
