from __future__ import annotations

from tests.unit.node.controller.image_world import ImageWorld

from odradek.node.app.cluster_health import ClusterHealth, health_of
from odradek.node.controller.image import MetadataImage


def test_a_whole_cluster() -> None:
    world = ImageWorld()
    world.create("t", (1, 2, 3), (2, 3, 1))
    world.create("u", (3,))
    health = health_of(world.image, lambda topic: 2)
    assert health == ClusterHealth(3, 0, 0, 0, {1: 1, 2: 1, 3: 1}, {1: 2, 2: 2, 3: 3})


def test_partitions_in_need() -> None:
    world = ImageWorld(min_isr=3)
    world.create("t", (1, 2, 3), (3, 1))
    world.create("u", (3,))
    world.fence(3)
    health = health_of(world.image, {"t": 2, "u": 1}.__getitem__)
    assert (health.leaderless, health.under_replicated) == (1, 3)
    # t-0 has two in sync, which is enough; t-1 has one of two; u-0 has none.
    assert health.under_min_in_sync == 2
    assert health.leaders == {1: 2}


def test_a_partition_may_have_no_leader_though_somebody_is_in_sync() -> None:
    world = ImageWorld()
    world.create("t", (1,))
    world.put("t", 0, leader=-1)
    health = health_of(world.image, lambda topic: 1)
    assert (health.leaderless, health.under_replicated, health.leaders) == (1, 0, {})


def test_more_than_the_replicas_there_are_is_not_asked_for() -> None:
    world = ImageWorld()
    world.create("t", (1,))
    assert health_of(world.image, lambda topic: 2).under_min_in_sync == 0


def test_an_empty_cluster() -> None:
    assert health_of(MetadataImage(), lambda topic: 1) == ClusterHealth(0, 0, 0, 0, {}, {})
