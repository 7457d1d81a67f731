"""KIP-392: whom a consumer had better read from."""

from odradek.node.partition.replica_selector import ReplicaView, select

LEADER = ReplicaView(1, "a", 0, 100, 0)


def test_the_leader_comes_first_in_its_own_rack() -> None:
    assert select("a", LEADER, [ReplicaView(2, "a", 0, 100, 0)], 50) == 1


def test_a_replica_in_the_rack_that_holds_the_offset() -> None:
    near = ReplicaView(2, "b", 10, 60, 0)
    assert select("b", LEADER, [near, ReplicaView(3, "c", 0, 100, 0)], 50) == 2
    assert select("b", LEADER, [near], 9) == 1
    assert select("b", LEADER, [near], 61) == 1
    assert select("nowhere", LEADER, [near], 50) == 1


def test_of_several_the_one_with_most() -> None:
    views = [ReplicaView(2, "b", 0, 90, 5), ReplicaView(3, "b", 0, 95, 1), ReplicaView(4, "b", 0, 95, 2)]
    assert select("b", LEADER, views, 50) == 4
