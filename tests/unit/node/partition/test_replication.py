"""Three replicas in one process: the whole way from a produce to a follower's disk and back, and its stories."""

from collections.abc import AsyncIterator

import pytest
from tests.unit.node.partition.cluster import ClusterWorld, batch

from odradek.node.partition.replication_config import ReplicationConfig
from odradek.proto.kafka.errors import ErrorCode
from odradek.proto.kafka.messages.fetch import FetchRequest
from odradek.storage.log_config import LogConfig


@pytest.fixture
async def cluster() -> AsyncIterator[ClusterWorld]:
    world = ClusterWorld()
    yield world
    world.stop()


async def following(cluster: ClusterWorld, leader: int = 1, followers: int = 2, ms_per_turn: int = 0) -> None:
    """All followers wait for records of the leader."""
    parked = cluster.nodes[leader].fetches._parked_followers
    await cluster.until(lambda: sum(map(len, parked.values())) == followers, ms_per_turn)


async def test_a_produce_is_answered_when_all_in_sync_have_it_on_disk(cluster: ClusterWorld) -> None:
    cluster.create()
    leader = cluster.nodes[1]
    await following(cluster)
    result = await cluster.result(leader.produce(batch(3)))
    assert result.error is ErrorCode.NONE and result.base_offset == 0
    for node in cluster.nodes.values():
        log = node.partition().log
        assert log.flushed_offset == log.log_end_offset == 3
        assert node.content() == leader.content()


async def test_an_idle_follower_waits_and_asks_nothing(cluster: ClusterWorld) -> None:
    cluster.create(partitions=3)
    await cluster.settle()
    asked = len(cluster.requests)
    await cluster.settle(500)
    assert len(cluster.requests) == asked


async def test_acks_1_is_answered_by_the_disk_of_the_leader_alone(cluster: ClusterWorld) -> None:
    cluster.create()
    await following(cluster)
    cluster.part(1, 2)
    cluster.part(1, 3)
    leader = cluster.nodes[1]
    everyone = leader.produce(batch())
    assert (await cluster.result(leader.produce(batch(), acks=1))).error is ErrorCode.NONE
    assert (await cluster.result(leader.produce(batch(), acks=0))).error is ErrorCode.NONE
    assert leader.partition().replica.high_watermark == 0 and not everyone.done
    cluster.heal()
    assert (await cluster.result(everyone)).error is ErrorCode.NONE


async def test_nothing_is_acknowledged_that_a_power_cut_of_all_nodes_takes_back(
    cluster: ClusterWorld,
) -> None:
    cluster.create()
    await following(cluster)
    await cluster.result(cluster.nodes[1].produce(batch(5)))
    content = cluster.nodes[1].content()
    for node_id in (1, 2, 3):
        cluster.crash(node_id)
    for node_id in (1, 2, 3):
        cluster.restart(node_id)
    cluster.elect(2, (2, 3, 1))
    await following(cluster, leader=2)
    await cluster.until(lambda: cluster.nodes[2].partition().replica.high_watermark == 5)
    assert all(node.content() == content for node in cluster.nodes.values())
    cluster.pass_time(600)  # the answers of the long polls tell the followers
    await cluster.until(lambda: cluster.nodes[3].partition().replica.high_watermark == 5)


async def test_a_deposed_leader_drops_what_nobody_else_had(cluster: ClusterWorld) -> None:
    cluster.create()
    await following(cluster)
    await cluster.result(cluster.nodes[1].produce(batch(2, b"both")))
    cluster.part(1, 2)
    cluster.part(1, 3)
    lost = cluster.nodes[1].produce(batch(3, b"lost"))
    await cluster.settle()
    cluster.elect(2, (2, 3))
    assert (await cluster.result(lost)).error is ErrorCode.NOT_LEADER_OR_FOLLOWER
    await cluster.result(cluster.nodes[2].produce(batch(1, b"new")))
    cluster.heal()
    await cluster.until(lambda: 1 in cluster.place().isr)
    assert cluster.nodes[1].content() == cluster.nodes[2].content()
    assert cluster.nodes[1].partition().log.latest_epoch == 1


async def test_an_idempotent_producer_is_recognised_by_the_next_leader(cluster: ClusterWorld) -> None:
    cluster.create()
    await following(cluster)
    first = batch(2, producer_id=7, sequence=0)
    await cluster.result(cluster.nodes[1].produce(bytearray(first)))
    cluster.crash(1)
    cluster.elect(2, (2, 3))
    await following(cluster, leader=2, followers=1)
    again = await cluster.result(cluster.nodes[2].produce(bytearray(first)))
    assert (again.error, again.base_offset, again.duplicate) == (ErrorCode.NONE, 0, True)
    following_batch = await cluster.result(cluster.nodes[2].produce(batch(1, producer_id=7, sequence=2)))
    assert following_batch.base_offset == 2
    gap = await cluster.result(cluster.nodes[2].produce(batch(1, producer_id=7, sequence=9)))
    assert gap.error is ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER


async def test_a_later_batch_is_not_taken_before_an_earlier_one_that_was_refused(
    cluster: ClusterWorld,
) -> None:
    """A client takes the success of the later one for that of both."""
    cluster.create()
    await following(cluster)
    cluster.pass_time(5_000)
    leader = cluster.nodes[1]

    async def produce(sequence: int) -> ErrorCode:
        return (await cluster.result(leader.produce(batch(1, producer_id=7, sequence=sequence)))).error

    leader.lease.held = False
    assert await produce(0) is ErrorCode.NOT_LEADER_OR_FOLLOWER
    leader.lease.held = True
    assert await produce(1) is ErrorCode.NOT_LEADER_OR_FOLLOWER, "it was under way behind the first"
    assert [await produce(0), await produce(1)] == [ErrorCode.NONE, ErrorCode.NONE]
    leader.lease.held = False
    assert await produce(2) is ErrorCode.NOT_LEADER_OR_FOLLOWER
    leader.lease.held = True
    assert await produce(3) is ErrorCode.NOT_LEADER_OR_FOLLOWER, "out of order, and no reason for a new epoch"
    assert [await produce(2), await produce(3)] == [ErrorCode.NONE, ErrorCode.NONE]
    cluster.elect(2, (2, 3))
    leader = cluster.nodes[2]
    await following(cluster, leader=2)
    other = batch(1, producer_id=8, sequence=1)
    assert (await cluster.result(leader.produce(bytearray(other)))).error is ErrorCode.NOT_LEADER_OR_FOLLOWER
    cluster.pass_time(2_000)
    assert (await cluster.result(leader.produce(other))).error is ErrorCode.NONE, (
        "it was forgotten, as it seems"
    )


async def test_what_stayed_with_the_old_leader_is_awaited_by_every_new_one(cluster: ClusterWorld) -> None:
    """Called out of order, a client begins a new epoch, and may double what it has under way elsewhere."""
    cluster.create()
    await following(cluster)

    async def produce(node: int, sequence: int, producer_id: int = 7) -> ErrorCode:
        data = batch(1, producer_id=producer_id, sequence=sequence)
        return (await cluster.result(cluster.nodes[node].produce(data))).error

    assert [await produce(1, sequence) for sequence in range(3)] == [ErrorCode.NONE] * 3
    cluster.pass_time(5_000)
    assert await produce(1, 4) is ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER, "it has written to this leader"
    for leader in (2, 1, 2):
        cluster.elect(leader, (1, 2, 3))
        await following(cluster, leader=leader)
        cluster.pass_time(5_000)
        assert await produce(leader, 4) is ErrorCode.NOT_LEADER_OR_FOLLOWER, leader
    cluster.pass_time(2_000)
    assert await produce(2, 4) is ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER, "nothing comes to fill it"
    assert [await produce(2, 3), await produce(2, 4)] == [ErrorCode.NONE, ErrorCode.NONE]


async def test_below_min_insync_replicas_nothing_is_taken_and_what_waits_is_told(
    cluster: ClusterWorld,
) -> None:
    cluster.create()
    await following(cluster)
    cluster.part(1, 2)
    cluster.part(1, 3)
    waiting = cluster.nodes[1].produce(batch())
    cluster.now_ms += 40_000
    cluster.change(isr=(1,))
    assert (await cluster.result(waiting)).error is ErrorCode.NOT_ENOUGH_REPLICAS_AFTER_APPEND
    refused = await cluster.result(cluster.nodes[1].produce(batch()))
    assert refused.error is ErrorCode.NOT_ENOUGH_REPLICAS
    assert (await cluster.result(cluster.nodes[1].produce(batch(), acks=1))).error is ErrorCode.NONE
    assert cluster.nodes[1].partition().replica.high_watermark == 0
    cluster.heal()
    await cluster.until(lambda: len(cluster.place().isr) == 3)
    assert (await cluster.result(cluster.nodes[1].produce(batch()))).error is ErrorCode.NONE


async def test_a_node_without_its_lease_acknowledges_nothing(cluster: ClusterWorld) -> None:
    cluster.create()
    await following(cluster)
    leader = cluster.nodes[1]
    begun = leader.produce(batch())
    leader.lease.held = False
    assert (await cluster.result(begun)).error is ErrorCode.NOT_LEADER_OR_FOLLOWER
    assert (await cluster.result(leader.produce(batch()))).error is ErrorCode.NOT_LEADER_OR_FOLLOWER
    leader.lease.held = True
    assert (await cluster.result(leader.produce(batch()))).error is ErrorCode.NONE


async def test_a_leader_that_has_not_heard_of_its_successor_acknowledges_nothing(
    cluster: ClusterWorld,
) -> None:
    cluster.create()
    await following(cluster)
    cluster.deaf.add(1)
    cluster.elect(2, (2, 3))
    begun = cluster.nodes[1].produce(batch(1, b"stale"))
    await cluster.settle(300)
    assert not begun.done, "its followers follow another"
    await cluster.result(cluster.nodes[2].produce(batch(1, b"right")))
    cluster.listen(1)
    assert (await cluster.result(begun)).error is ErrorCode.NOT_LEADER_OR_FOLLOWER
    await cluster.until(lambda: cluster.nodes[1].content() == cluster.nodes[2].content())


async def test_a_follower_that_hears_of_a_new_leader_first_asks_until_that_one_knows(
    cluster: ClusterWorld,
) -> None:
    cluster.create()
    await following(cluster)
    cluster.deaf.add(2)
    cluster.elect(2, (2, 3))
    await cluster.settle(200)
    cluster.listen(2)
    await following(cluster, leader=2, ms_per_turn=1)
    assert (await cluster.result(cluster.nodes[2].produce(batch()))).error is ErrorCode.NONE


async def test_relaxed_topics_do_not_wait_for_any_disk() -> None:
    cluster = ClusterWorld(log_config=LogConfig(min_insync_replicas=2, flush_messages=1000))
    cluster.create()
    await following(cluster)
    assert (await cluster.result(cluster.nodes[1].produce(batch(3)))).error is ErrorCode.NONE
    assert cluster.nodes[2].partition().log.flushed_offset == 0
    cluster.stop()


async def test_the_records_of_one_produce_cost_one_fetch_of_each_follower_in_flight(
    cluster: ClusterWorld,
) -> None:
    cluster.create(partitions=30)
    await cluster.until(lambda: all(len(node.replicas.opened()) == 30 for node in cluster.nodes.values()))
    await cluster.settle(200)
    asked = len(cluster.requests)
    await cluster.result(cluster.nodes[1].produce(batch()))
    await cluster.settle()
    assert len(cluster.requests) - asked == 2
    fetches = [message for _, _, message in cluster.requests[asked:] if isinstance(message, FetchRequest)]
    mentioned = [one for fetch in fetches for topic in fetch.topics for one in topic.partitions]
    assert [one.fetch_offset for one in mentioned] == [1, 1]


async def test_consumers_in_a_rack_are_sent_to_the_replica_there() -> None:
    cluster = ClusterWorld(config=ReplicationConfig(is_rack_aware=True))
    cluster.agree(
        brokers={
            one: type(broker)(broker.epoch, rack=f"r{one}") for one, broker in cluster.image.brokers.items()
        }
    )
    cluster.create()
    await following(cluster)
    await cluster.result(cluster.nodes[1].produce(batch(2)))
    near, own = (
        cluster.nodes[1].replication.preferred_replica(cluster.nodes[1].partition(), rack, 0)
        for rack in ("r3", "r1")
    )
    assert (near, own) == (3, -1)
    # Followers hear of the high watermark without waiting for records.
    await cluster.until(lambda: cluster.nodes[3].partition().replica.high_watermark == 2)
    cluster.stop()
