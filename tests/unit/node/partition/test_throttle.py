"""Replication throttles: the bucket, and who is throttled."""

import pytest
from tests.unit.node.app.data_path import Place, World

from odradek.node.partition.partition import Partition
from odradek.node.partition.throttle import UNLIMITED, ReplicationThrottle, TokenBucket
from odradek.storage.log_config import LogConfig


def test_a_bucket_gives_a_second_s_bytes_at_once_and_then_its_rate() -> None:
    bucket = TokenBucket(1_000, 0)
    bucket.take(1_500, 0)
    assert bucket.free_at_ms(0) == 501
    assert bucket.free_at_ms(500) == 501
    assert bucket.free_at_ms(501) == 501
    bucket.take(1, 10_000)
    assert bucket.free_at_ms(10_000) == 10_000


def test_a_rate_of_nothing_gives_nothing() -> None:
    assert TokenBucket(0, 0).free_at_ms(10**6) == UNLIMITED


def throttled(leader: tuple[str, ...] = (), follower: tuple[str, ...] = ()) -> Partition:
    world = World()
    world.topics.known["t"].partitions = [Place(replicas=(1, 2, 3), isr=(1, 2))]
    world.topics.config = LogConfig(
        leader_replication_throttled_replicas=leader, follower_replication_throttled_replicas=follower
    )
    return world.partition()


@pytest.mark.parametrize(
    ("names", "is_held"), [(("*",), True), (("0:1",), True), (("0:2", "1:1"), False), ((), False)]
)
def test_a_leader_holds_back_what_is_named_and_not_in_sync(names: tuple[str, ...], is_held: bool) -> None:
    partition = throttled(leader=names)
    now_ms = 0
    throttle = ReplicationThrottle(1, lambda: now_ms)
    assert throttle.may_send(partition, 3), "no rate, no limit"
    throttle.set_rates(100, UNLIMITED)
    throttle.on_sent(partition, 3, 500)
    assert throttle.may_send(partition, 3) is not is_held
    assert throttle.may_send(partition, 2), "2 is in sync"
    now_ms = 5_000
    assert throttle.may_send(partition, 3)
    throttle.set_rates(UNLIMITED, UNLIMITED)
    assert throttle.may_send(partition, 3)


def test_a_follower_out_of_sync_asks_later() -> None:
    partition = throttled(follower=("0:9",))
    throttle = ReplicationThrottle(9, lambda: 0)
    assert throttle.on_received(partition, 10**6) == 0
    throttle.set_rates(UNLIMITED, 1_000)
    assert throttle.on_received(partition, 3_000) == 2_001
    in_sync = ReplicationThrottle(1, lambda: 0)
    in_sync.set_rates(UNLIMITED, 1)
    assert in_sync.on_received(throttled(follower=("*",)), 3_000) == 0
