"""Three replicas in one process: the whole way from a produce to a follower's disk and back."""

from collections.abc import AsyncIterator

import pytest
from tests.unit.node.partition.cluster import ClusterWorld, batch

from odradek.proto.kafka.errors import ErrorCode


@pytest.fixture
async def cluster() -> AsyncIterator[ClusterWorld]:
    world = ClusterWorld()
    yield world
    world.stop()


async def test_a_produce_is_answered_when_all_in_sync_have_it_on_disk(cluster: ClusterWorld) -> None:
    cluster.create()
    leader = cluster.nodes[1]
    await cluster.until(lambda: len(leader.fetches._parked_followers) == 2)
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


async def test_replicated_bytes_are_counted_on_both_sides(cluster: ClusterWorld) -> None:
    cluster.create()
    leader = cluster.nodes[1]
    await cluster.result(leader.produce(batch(3)))
    told = leader.replicas.traffic.total()
    taken = [cluster.nodes[node_id].replicas.traffic.total() for node_id in (2, 3)]
    assert told.messages_in == 3 and told.bytes_in > 0
    assert [each.replication_bytes_in for each in taken] == [told.bytes_in] * 2
    assert told.replication_bytes_out == 2 * told.bytes_in
    assert (told.bytes_out, told.replication_bytes_in) == (0, 0)
