"""Aims become nodes when the fault starts; a majority that cannot serve is told."""

from __future__ import annotations

from random import Random

from tests.unit.jepsen.nemesis.fakes import FakeCluster

from odradek.jepsen.nemesis.targets import Target, minority, told


def test_the_leader_of_the_moment_is_struck() -> None:
    cluster = FakeCluster(leads=2)
    assert Target("leader", (1,), ["t/0"]).found(cluster, Random(1)) == (2,)
    assert Target("controller", (1,)).found(cluster, Random(1)) == (2,)
    assert cluster.asked == ["t/0", "controller"]


def test_without_a_leader_the_plan_decides() -> None:
    cluster = FakeCluster(leads=None)
    assert Target("leader", (1,), ["t/0"]).found(cluster, Random(1)) == (1,)
    assert Target("controller", (3,)).found(cluster, Random(1)) == (3,)
    assert Target("leader", (1,), []).found(FakeCluster(leads=2), Random(1)) == (1,)


def test_other_aims_are_the_plan() -> None:
    cluster = FakeCluster(leads=2)
    assert Target("order", (3, 1, 2), ["t/0"]).found(cluster, Random(1)) == (3, 1, 2)
    assert cluster.asked == []


def test_a_majority_is_told() -> None:
    assert told(FakeCluster(3), [3]) == {"nodes": [3]}
    assert told(FakeCluster(3), [3, 1]) == {"nodes": [1, 3], "majority": True}
    assert told(FakeCluster(4), [1, 2]) == {"nodes": [1, 2], "majority": True}
    assert told(FakeCluster(5), [1, 2]) == {"nodes": [1, 2]}


def test_minorities() -> None:
    assert [minority(size) for size in range(1, 8)] == [1, 1, 1, 1, 2, 2, 3]
