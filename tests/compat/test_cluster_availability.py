"""What is left of the service while nodes are down: refused with Kafka's codes, or right."""

from __future__ import annotations

import pytest
from tests.compat import wire
from tests.compat.clusters import Cluster, until
from tests.compat.conftest import replicated_topic

pytestmark = pytest.mark.timeout(180)
NOT_LEADER, TIMED_OUT, NOT_ENOUGH_REPLICAS, NOT_ENOUGH_AFTER_APPEND = 6, 7, 19, 20


def write(
    cluster: Cluster, node: int, topic: str, value: bytes, timeout_ms: int = 30_000
) -> wire.PartitionOffset:
    body = wire.produce_body({topic: [0]}, wire.record_batch([value]), timeout_ms=timeout_ms)
    with cluster.nodes[node].connect(60) as connection:
        (result,) = wire.produced(connection.call(wire.PRODUCE, 3, body))
    return result


def read(cluster: Cluster, node: int, topic: str) -> bytes:
    with cluster.nodes[node].connect(30) as connection:
        error, _, records = wire.fetch(connection, topic, 0, 0)
    assert error == 0
    return records


def test_too_few_in_sync_replicas_refuse_to_write_and_let_read(cluster: Cluster) -> None:
    topic = replicated_topic(cluster, configs={"min.insync.replicas": "3"})
    leader = cluster.leader_of(topic)
    assert write(cluster, leader, topic, b"first").error == 0
    gone = next(node for node in cluster.nodes if node != leader)
    cluster.kill(gone)

    def in_sync() -> list[int]:
        (partition,) = cluster.view([topic], leader).topics[topic]
        return partition.isr

    until(lambda: gone not in in_sync(), 60, "the killed node out of the ISR")
    assert write(cluster, leader, topic, b"refused").error == NOT_ENOUGH_REPLICAS
    assert b"first" in read(cluster, leader, topic)
    cluster.start([gone])
    cluster.await_in_sync({topic: 1}, 3)
    leader = cluster.leader_of(topic)
    assert write(cluster, leader, topic, b"second").error == 0
    records = read(cluster, leader, topic)
    assert b"second" in records and b"refused" not in records


def test_one_of_three_acknowledges_nothing_and_lets_read(cluster: Cluster) -> None:
    """No quorum: the in-sync set cannot be changed, so nothing may be acknowledged by the last node alone."""
    topic = replicated_topic(cluster, configs={"min.insync.replicas": "2"})
    leader = cluster.leader_of(topic)
    assert write(cluster, leader, topic, b"first").error == 0
    others = [node for node in cluster.nodes if node != leader]
    cluster.kill(*others)
    for _ in range(3):
        error = write(cluster, leader, topic, b"alone", timeout_ms=1500).error
        assert error in (NOT_LEADER, TIMED_OUT, NOT_ENOUGH_REPLICAS, NOT_ENOUGH_AFTER_APPEND)
    records = read(cluster, leader, topic)
    assert b"first" in records and b"alone" not in records
    cluster.start(others)
    cluster.await_in_sync({topic: 1}, 3)
    leader = cluster.leader_of(topic)
    assert write(cluster, leader, topic, b"second").error == 0
    assert b"second" in read(cluster, leader, topic)


def test_topics_made_through_any_node_are_known_to_all(cluster: Cluster) -> None:
    names = []
    for node, server in cluster.nodes.items():
        names.append(f"made-by-{node}")
        with server.connect(30) as connection:
            assert wire.create_topics(connection, {names[-1]: 3}, replication=3)[names[-1]][0] == 0
    cluster.await_in_sync(dict.fromkeys(names, 3), 3)
    for node in cluster.nodes:
        view = cluster.view(names, node)
        assert all(len(set(part.replicas)) == 3 for name in names for part in view.topics[name])
        assert {part.leader for name in names for part in view.topics[name]} == set(cluster.nodes)
