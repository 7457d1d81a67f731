"""Metrics and health of three nodes: each series once, and a node that lost its cluster says so."""

from __future__ import annotations

import http.client
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer
from tests.compat.clusters import Cluster, OdradekFromFile, until
from tests.compat.servers import HOST, quiet_ports

pytestmark = pytest.mark.timeout(180)

PARTITIONS = 6
ONCE = ("kafka_topic_partition", "kafka_consumergroup", "kafka_topic_partitions", "kafka_brokers")


@pytest.fixture(scope="module")
def ports() -> dict[int, int]:
    return dict(zip((1, 2, 3), quiet_ports(3), strict=True))


@pytest.fixture(scope="module")
def cluster(ports: dict[int, int], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder: Path = tmp_path_factory.mktemp("cluster-metrics")
    own = {node: {"odradek.http.listener": f"{HOST}:{port}"} for node, port in ports.items()}
    with Cluster(OdradekFromFile(), folder, own=own) as found:
        found.start()
        found.create_topic("orders", PARTITIONS)
        found.await_in_sync({"orders": PARTITIONS}, 3)
        yield found


def get(port: int, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection(HOST, port, timeout=30)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def samples(port: int) -> dict[str, float]:
    status, text = get(port, "/metrics")
    assert status == 200
    lines = (line for line in text.splitlines() if not line.startswith("#"))
    return {name: float(number) for name, number in (line.rsplit(" ", 1) for line in lines)}


def test_each_series_of_the_cluster_comes_from_one_node(cluster: Cluster, ports: dict[int, int]) -> None:
    producer = Producer({"bootstrap.servers": cluster.bootstrap})
    for number in range(PARTITIONS * 10):
        producer.produce("orders", b"x", partition=number % PARTITIONS)
    assert producer.flush(30) == 0
    settings = {"group.id": "readers", "auto.offset.reset": "earliest", "enable.auto.commit": False}
    consumer = Consumer({"bootstrap.servers": cluster.bootstrap} | settings)
    consumer.subscribe(["orders"])
    read = 0
    while read < PARTITIONS * 10:
        messages = consumer.consume(100, 1.0)
        read += sum(message.error() is None for message in messages)
    consumer.commit(asynchronous=False)

    def are_all_told() -> bool:
        """A follower hears of the commit a moment after the client."""
        told = [samples(port) for port in ports.values()]
        names = Counter(
            name for each in told for name in each if name.startswith(ONCE) and "_sum" not in name
        )
        assert not [name for name, count in names.items() if count > 1]
        return sum(name.startswith("kafka_consumergroup_lag{") for name in names) == PARTITIONS

    until(are_all_told, 20, "the lag of every partition")
    told = [samples(port) for port in ports.values()]
    consumer.close()
    every = {name: number for each in told for name, number in each.items() if name.startswith(ONCE)}
    for index in range(PARTITIONS):
        partition = f'partition="{index}",topic="orders"'
        assert every[f"kafka_topic_partition_current_offset{{{partition}}}"] == 10
        assert every[f"kafka_topic_partition_in_sync_replica{{{partition}}}"] == 3
        lag = f'kafka_consumergroup_lag{{consumergroup="readers",topic="orders",partition="{index}"}}'
        assert every[lag] == 0
    assert every["kafka_brokers"] == 3
    assert every['kafka_consumergroup_members{consumergroup="readers"}'] == 1

    def in_all(name: str) -> float:
        return sum(each[name] for each in told)

    assert in_all("kafka_server_replicamanager_leadercount") == PARTITIONS
    assert in_all("kafka_server_replicamanager_partitioncount") == PARTITIONS * 3
    assert in_all("kafka_server_replicamanager_underreplicatedpartitions") == 0
    assert in_all("kafka_controller_kafkacontroller_activecontrollercount") == 1
    assert in_all("kafka_server_brokertopicmetrics_messagesin_total") == PARTITIONS * 10
    bytes_in = in_all("kafka_server_brokertopicmetrics_bytesin_total")
    assert in_all("kafka_server_brokertopicmetrics_replicationbytesin_total") == 2 * bytes_in
    assert in_all('odradek_raft_is_leader{group="0"}') == 1


def test_a_node_without_its_cluster_is_alive_and_not_ready(cluster: Cluster, ports: dict[int, int]) -> None:
    for port in ports.values():
        assert get(port, "/healthz/ready") == (200, "ok\n")
    cluster.kill(2, 3)
    until(lambda: get(ports[1], "/healthz/ready")[0] == 503, 30, "not ready")
    status, reason = get(ports[1], "/healthz/ready")
    assert status == 503 and len(reason.splitlines()) == 1
    assert get(ports[1], "/healthz/live") == (200, "ok\n")
    assert samples(ports[1])["odradek_node_ready"] == 0
    cluster.start([2, 3])
    for port in ports.values():
        until(lambda port=port: get(port, "/healthz/ready")[0] == 200, 30, "ready again")  # type: ignore[misc]
