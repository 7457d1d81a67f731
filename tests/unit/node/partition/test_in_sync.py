"""In-sync sets in a cluster: who leaves, who comes back, and who may not."""

from collections.abc import AsyncIterator

import pytest
from tests.unit.node.partition.cluster import ClusterWorld, batch

from odradek.proto.kafka.errors import ErrorCode

LAG_MS = 30_000


@pytest.fixture
async def cluster() -> AsyncIterator[ClusterWorld]:
    world = ClusterWorld()
    world.create()
    parked = world.nodes[1].fetches._parked_followers
    await world.until(lambda: sum(map(len, parked.values())) == 2)
    yield world
    world.stop()


async def test_a_silent_follower_leaves_and_comes_back_when_it_has_caught_up(cluster: ClusterWorld) -> None:
    cluster.part(1, 3)
    waiting = cluster.nodes[1].produce(batch(), timeout_ms=10**6)
    await cluster.settle()
    cluster.pass_time(LAG_MS - 1)
    await cluster.settle()
    assert cluster.place().isr == (1, 2, 3) and not waiting.done
    cluster.pass_time(20)
    assert (await cluster.result(waiting)).error is ErrorCode.NONE
    assert cluster.place().isr == (1, 2)
    cluster.heal()
    await cluster.until(lambda: set(cluster.place().isr) == {1, 2, 3})
    assert cluster.nodes[3].content() == cluster.nodes[1].content()


async def test_an_idle_partition_is_not_looked_at(cluster: ClusterWorld) -> None:
    deadlines = cluster.nodes[1].replication.in_sync._deadlines
    assert len(deadlines) == 0
    await cluster.result(cluster.nodes[1].produce(batch()))
    await cluster.settle()
    assert len(deadlines) == 1
    cluster.pass_time(LAG_MS + 10)
    assert len(deadlines) == 0 and cluster.place().isr == (1, 2, 3)


async def test_an_idle_follower_that_is_cut_off_stays_because_it_has_everything(
    cluster: ClusterWorld,
) -> None:
    cluster.part(1, 3)
    cluster.pass_time(10 * LAG_MS)
    await cluster.settle()
    assert cluster.place().isr == (1, 2, 3)


async def test_a_fenced_follower_joins_when_it_is_unfenced(cluster: ClusterWorld) -> None:
    cluster.fence(3)
    cluster.change(isr=(1, 2))
    await cluster.result(cluster.nodes[1].produce(batch()))
    await cluster.until(lambda: cluster.nodes[3].partition().log.log_end_offset == 1)
    await cluster.settle()
    assert cluster.place().isr == (1, 2)
    cluster.fence(3, fenced=False)
    await cluster.until(lambda: set(cluster.place().isr) == {1, 2, 3})


async def test_a_follower_from_before_its_restart_does_not_join(cluster: ClusterWorld) -> None:
    """Its fetches are those of a registration that is over (KIP-903)."""
    cluster.change(isr=(1, 2))
    await cluster.until(lambda: len(cluster.place().isr) == 3)
    broker = cluster.image.brokers[3]
    cluster.deaf.add(3)
    cluster.agree(brokers={**cluster.image.brokers, 3: type(broker)(broker.epoch + 1)})
    cluster.now_ms += 2 * LAG_MS
    cluster.change(isr=(1, 2))
    await cluster.result(cluster.nodes[1].produce(batch()))
    await cluster.until(lambda: cluster.nodes[3].partition().log.log_end_offset == 1)
    await cluster.settle()
    assert cluster.place().isr == (1, 2)
    cluster.listen(3)
    await cluster.result(cluster.nodes[1].produce(batch()))
    await cluster.until(lambda: len(cluster.place().isr) == 3)


async def test_a_refused_proposal_is_made_again_when_it_may_be_taken(cluster: ClusterWorld) -> None:
    cluster.deaf.add(1)  # the leader does not know that 3 is fenced
    cluster.fence(3)
    cluster.change(isr=(1, 2))
    leader = cluster.nodes[1].partition()
    cluster.now_ms += 1
    leader.replica.become_leader(cluster.place(), 0, 0, cluster.now_ms)
    cluster.nodes[1].replication.in_sync.reconsider(leader)
    await cluster.until(lambda: leader.replica.proposal is None)
    assert cluster.place().isr == (1, 2)
    cluster.fence(3, fenced=False)
    cluster.pass_time(600)
    await cluster.until(lambda: set(cluster.place().isr) == {1, 2, 3})


async def test_while_the_controller_is_away_both_sets_count(cluster: ClusterWorld) -> None:
    cluster.part(1, 3)
    cluster.cut_from_controller.add(1)
    waiting = cluster.nodes[1].produce(batch(), timeout_ms=10**6)
    await cluster.settle()
    cluster.pass_time(LAG_MS + 20)
    await cluster.settle(200)
    assert cluster.nodes[1].partition().replica.proposal is not None and not waiting.done
    cluster.cut_from_controller.clear()
    assert (await cluster.result(waiting)).error is ErrorCode.NONE
    assert cluster.place().isr == (1, 2)


async def test_a_new_leader_looks_after_those_who_do_not_fetch_from_it(cluster: ClusterWorld) -> None:
    """What it found in its log is seen by consumers though nobody appends any more."""
    cluster.cut_from_controller.add(1)
    cluster.part(1, 3)
    cluster.nodes[1].produce(batch(), timeout_ms=10**6)
    await cluster.until(lambda: cluster.nodes[2].partition().durable_end_offset == 1)
    cluster.part(2, 3)
    cluster.elect(2, (1, 2, 3))
    await cluster.settle(200)
    leader = cluster.nodes[2].partition()
    assert leader.replica.high_watermark == 0
    cluster.pass_time(LAG_MS + 20)
    await cluster.settle(200)
    assert set(cluster.place().isr) == {1, 2} and leader.replica.high_watermark == 1


async def test_who_lags_is_looked_at_again_when_an_image_has_overtaken_the_proposal(
    cluster: ClusterWorld,
) -> None:
    """Nothing more is appended, because everybody waits for what was."""
    cluster.part(1, 3)
    cluster.cut_from_controller.add(1)
    waiting = cluster.nodes[1].produce(batch(), timeout_ms=10**6)
    await cluster.settle()
    cluster.pass_time(LAG_MS + 20)
    leader = cluster.nodes[1].partition()
    assert leader.replica.proposal is not None
    cluster.change(isr=(1, 3))  # the controller has taken out another one meanwhile
    cluster.cut_from_controller.clear()
    await cluster.settle(200)
    for _ in range(3):
        cluster.pass_time(LAG_MS + 20)
        await cluster.settle(200)
    assert (await cluster.result(waiting)).error is ErrorCode.NONE
    assert cluster.place().isr == (1, 2)
