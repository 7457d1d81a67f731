"""What is left of the service while nodes are down: refused with Kafka's codes, or right."""

from __future__ import annotations

import pytest
from tests.compat import wire
from tests.compat.clusters import Cluster, make_topic, until
from tests.compat.conftest import replicated_topic

pytestmark = pytest.mark.timeout(180)
NOT_LEADER, TIMED_OUT, NOT_ENOUGH_REPLICAS, NOT_ENOUGH_AFTER_APPEND = 6, 7, 19, 20
UNTIL_ALL_ARE_IN_SYNC = (NOT_LEADER, NOT_ENOUGH_REPLICAS, NOT_ENOUGH_AFTER_APPEND)


def write(
    cluster: Cluster, node: int, topic: str, value: bytes, timeout_ms: int = 30_000
) -> wire.PartitionOffset:
    body = wire.produce_body({topic: [0]}, wire.record_batch([value]), timeout_ms=timeout_ms)
    with cluster.nodes[node].connect(60) as connection:
        (result,) = wire.produced(connection.call(wire.PRODUCE, 3, body))
    return result


def write_to_leader(
    cluster: Cluster, topic: str, value: bytes, passing: tuple[int, ...] = (NOT_LEADER,)
) -> tuple[int, int]:
    """The leader, and the error that it answered; asked again while that is one of those that pass."""
    told: list[int] = []

    def look() -> tuple[int, int] | None:
        leader = cluster.leader_of(topic)
        error = write(cluster, leader, topic, value).error
        told.append(error)
        return None if error in passing else (leader, error)

    return until(look, 30, lambda: f"another answer than {told}")


def read(cluster: Cluster, node: int, topic: str) -> bytes:
    with cluster.nodes[node].connect(30) as connection:
        error, _, records = wire.fetch(connection, topic, 0, 0)
    assert error == 0
    return records


def test_too_few_in_sync_replicas_refuse_to_write_and_let_read(cluster: Cluster) -> None:
    topic = replicated_topic(cluster, configs={"min.insync.replicas": "3"})
    leader, error = write_to_leader(cluster, topic, b"first", UNTIL_ALL_ARE_IN_SYNC)
    assert error == 0
    gone = next(node for node in cluster.nodes if node != leader)
    cluster.kill(gone)

    def is_gone() -> bool:
        view = cluster.maybe_view([topic], leader)
        if view is None:
            return False
        (partition,) = view.topics[topic]
        return gone not in partition.isr

    until(is_gone, 60, "the killed node out of the ISR")
    leader, error = write_to_leader(cluster, topic, b"refused")
    assert error == NOT_ENOUGH_REPLICAS
    assert b"first" in read(cluster, leader, topic)
    cluster.start([gone])
    cluster.await_in_sync({topic: 1}, 3)
    leader, error = write_to_leader(cluster, topic, b"second", UNTIL_ALL_ARE_IN_SYNC)
    assert error == 0
    records = read(cluster, leader, topic)
    assert b"second" in records and b"refused" not in records


def test_one_of_three_acknowledges_nothing_and_lets_read(cluster: Cluster) -> None:
    """No quorum: the in-sync set cannot be changed, so nothing may be acknowledged by the last node alone."""
    topic = replicated_topic(cluster, configs={"min.insync.replicas": "2"})
    leader, error = write_to_leader(cluster, topic, b"first")
    assert error == 0
    others = [node for node in cluster.nodes if node != leader]
    cluster.kill(*others)
    for _ in range(3):
        error = write(cluster, leader, topic, b"alone", timeout_ms=1500).error
        assert error in (NOT_LEADER, TIMED_OUT, NOT_ENOUGH_REPLICAS, NOT_ENOUGH_AFTER_APPEND)
    records = read(cluster, leader, topic)
    assert b"first" in records and b"alone" not in records
    cluster.start(others)
    cluster.await_in_sync({topic: 1}, 3)
    leader, error = write_to_leader(cluster, topic, b"second")
    assert error == 0
    assert b"second" in read(cluster, leader, topic)


def test_topics_made_through_any_node_are_known_to_all(cluster: Cluster) -> None:
    names = []
    for node, server in cluster.nodes.items():
        names.append(f"made-by-{node}")
        with server.connect(60) as connection:
            make_topic(connection, names[-1], 3)
    cluster.await_in_sync(dict.fromkeys(names, 3), 3)
    for node in cluster.nodes:

        def all_lead(node: int = node) -> bool:
            view = cluster.maybe_view(names, node)
            if view is None:
                return False
            parts = [part for name in names for part in view.topics[name]]
            assert all(len(set(part.replicas)) == 3 for part in parts)
            return {part.leader for part in parts} == set(cluster.nodes)

        until(all_lead, 60, f"leaders at all nodes, as node {node} sees it")
