"""What images do to a node: lead, follow, let go."""

from collections.abc import AsyncIterator, Collection

import pytest
from tests.unit.node.partition.cluster import ClusterWorld, batch

from odradek.proto.kafka.errors import ErrorCode
from odradek.storage.disk import DiskError
from odradek.storage.log_config import LogConfig


@pytest.fixture
async def cluster() -> AsyncIterator[ClusterWorld]:
    world = ClusterWorld()
    yield world
    world.stop()


def led_by_others(cluster: ClusterWorld, node_id: int) -> int:
    return sum(len(source) for source in cluster.nodes[node_id].replication.fetchers._sources.values())


async def test_each_node_follows_what_the_others_lead(cluster: ClusterWorld) -> None:
    cluster.create(partitions=6)
    await cluster.until(lambda: all(led_by_others(cluster, one) == 4 for one in cluster.nodes))
    assert all(len(node.replication.fetchers) == 2 for node in cluster.nodes.values())


async def test_thousands_of_new_partitions_touch_no_disk_and_leave_the_loop_free(
    cluster: ClusterWorld,
) -> None:
    calls = {one: disk.calls for one, disk in cluster.disks.items()}
    cluster.create(partitions=3_000)
    opened = cluster.nodes[1].replicas.opened()
    assert len(opened) == 0, "nothing of it happens at once"
    await cluster.until(lambda: len(opened) == 3_000, ms_per_turn=1)
    await cluster.until(lambda: led_by_others(cluster, 1) == 2_000)
    assert {one: disk.calls for one, disk in cluster.disks.items()} == calls
    assert all(partition.log.is_blank for partition in opened.values())


async def test_a_partition_that_moves_away_is_deleted_here(cluster: ClusterWorld) -> None:
    cluster.create()
    leader = cluster.nodes[1]
    await cluster.until(lambda: len(leader.fetches._parked_followers) == 2)
    await cluster.result(leader.produce(batch()))
    begun = leader.produce(batch())
    cluster.change(replicas=(2, 3), isr=(2, 3), leader=2)
    assert (await cluster.result(begun)).error is ErrorCode.NOT_LEADER_OR_FOLLOWER
    assert leader.replicas.get("t", 0) is None and not leader.dirs.on_disk()
    assert leader.replicas.find("t", 0) is ErrorCode.NOT_LEADER_OR_FOLLOWER
    assert await cluster.result(cluster.nodes[2].produce(batch()))


async def test_what_moved_away_while_a_node_was_down_is_deleted_when_it_comes_back(
    cluster: ClusterWorld,
) -> None:
    cluster.create("moved")
    cluster.create("kept")
    for name in ("moved", "kept"):
        await cluster.until(lambda: all(node.replicas.opened() for node in cluster.nodes.values()))
        await cluster.result(cluster.nodes[1].produce(batch(), name))
    cluster.crash(3)
    cluster.change("moved", replicas=(1, 2), isr=(1, 2))
    node = cluster.restart(3)
    assert node.dirs.on_disk() == [("kept", 0)]


async def test_what_nobody_knows_stays_on_disk(cluster: ClusterWorld) -> None:
    cluster.create()
    await cluster.until(lambda: len(cluster.nodes[1].fetches._parked_followers) == 2)
    await cluster.result(cluster.nodes[1].produce(batch()))
    cluster.crash(3)
    cluster.delete()
    assert cluster.restart(3).dirs.on_disk() == [("t", 0)]


async def test_a_replica_that_is_added_copies_the_log_and_joins(cluster: ClusterWorld) -> None:
    cluster.create(replicas=(1, 2))
    leader = cluster.nodes[1]
    await cluster.until(lambda: len(leader.fetches._parked_followers) == 1)
    for _ in range(5):
        await cluster.result(leader.produce(batch(3)))
    cluster.change(replicas=(1, 2, 3))
    await cluster.until(lambda: set(cluster.place().isr) == {1, 2, 3})
    assert cluster.nodes[3].content() == leader.content()


async def test_a_deleted_topic_is_gone_and_one_of_its_name_begins_empty(cluster: ClusterWorld) -> None:
    cluster.create()
    await cluster.until(lambda: len(cluster.nodes[1].fetches._parked_followers) == 2)
    await cluster.result(cluster.nodes[1].produce(batch(4)))
    begun = cluster.nodes[1].produce(batch())
    cluster.delete()
    assert (await cluster.result(begun)).error is ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    assert all(not node.dirs.on_disk() for node in cluster.nodes.values())
    assert all(len(node.replication.fetchers) == 0 for node in cluster.nodes.values())
    cluster.create()
    await cluster.until(lambda: all(node.replicas.get("t", 0) for node in list(cluster.nodes.values())[1:]))
    assert (await cluster.result(cluster.nodes[1].produce(batch()))).base_offset == 0


async def test_without_a_leader_nobody_is_followed(cluster: ClusterWorld) -> None:
    cluster.create()
    await cluster.until(lambda: led_by_others(cluster, 2) == 1)
    cluster.change(leader=-1)
    assert len(cluster.nodes[2].replication.fetchers) == 0
    assert cluster.nodes[1].replicas.find("t", 0) is ErrorCode.NOT_LEADER_OR_FOLLOWER
    cluster.elect(3, (3,))
    await cluster.until(lambda: led_by_others(cluster, 2) == 1)


async def test_settings_reach_open_replicas(cluster: ClusterWorld) -> None:
    cluster.create()
    await cluster.until(lambda: led_by_others(cluster, 2) == 1)
    cluster.nodes[1].replicas.find("t", 0)
    cluster.configure("t", LogConfig(min_insync_replicas=3))
    assert cluster.nodes[1].partition().replica.min_insync_replicas == 3
    assert cluster.nodes[2].partition().log.config.min_insync_replicas == 3


async def test_a_new_leader_lets_its_followers_go_that_wait_for_other_partitions(
    cluster: ClusterWorld,
) -> None:
    cluster.create(partitions=3)
    for node in cluster.nodes.values():
        await cluster.until(lambda node=node: len(node.fetches._parked_followers) == 2)  # type: ignore[misc]
    await cluster.settle()
    expected: list[Collection[int]] = []
    serve = cluster.nodes[2].replication.assignments.on_expected
    assert serve is not None

    def hear(followers: Collection[int]) -> None:
        expected.append(set(followers))
        serve(followers)

    cluster.nodes[2].replication.assignments.on_expected = hear
    cluster.elect(2, (2, 3, 1), index=0)
    assert expected == [{1, 3}]
    result = await cluster.result(cluster.nodes[2].produce(batch()))
    assert result.error is ErrorCode.NONE, "nobody had to wait for a long poll to end"


async def test_a_log_that_cannot_be_opened_is_tried_again() -> None:
    cluster = ClusterWorld(log_config=LogConfig(min_insync_replicas=1))
    cluster.create()
    leader = cluster.nodes[1]
    await cluster.until(lambda: len(leader.fetches._parked_followers) == 2)
    await cluster.result(leader.produce(batch()))
    cluster.crash(3)
    cluster.disks[3].fail_call(12, full=True)
    cluster.restart(3)
    cluster.disks[3].heal()
    cluster.elect(1, (1, 2))
    for _ in range(3):
        cluster.pass_time(1_100)
        await cluster.settle()
    await cluster.until(lambda: led_by_others(cluster, 3) == 1, ms_per_turn=5)
    cluster.stop()


async def test_a_log_in_a_failed_directory_is_not_tried_again() -> None:
    cluster = ClusterWorld()
    node = cluster.nodes[3]
    node.dirs.dirs[0].fail(DiskError("d", "broken"))
    cluster.create()
    await cluster.settle()
    assignments = node.replication.assignments
    assert not assignments._failed_to_open and not assignments._to_open
    assert node.replicas.get("t", 0) is None
    cluster.stop()
