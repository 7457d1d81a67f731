"""Metrics and health of three nodes: each series once, and a node that lost its cluster says so."""

from __future__ import annotations

import http.client
import math
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


def in_each() -> dict[str, float]:
    """What the nodes tell of the cluster: each of these comes from one of them."""
    told = {"kafka_brokers": 3.0, 'kafka_consumergroup_members{consumergroup="readers"}': 1.0}
    for index in range(PARTITIONS):
        partition = f'partition="{index}",topic="orders"'
        told[f"kafka_topic_partition_current_offset{{{partition}}}"] = 10
        told[f"kafka_topic_partition_in_sync_replica{{{partition}}}"] = 3
        told[f'kafka_consumergroup_lag{{consumergroup="readers",topic="orders",partition="{index}"}}'] = 0
    return told


def in_all(bytes_in: float) -> dict[str, float]:
    """What the numbers that each node tells of itself come to."""
    return {
        "kafka_server_replicamanager_leadercount": PARTITIONS,
        "kafka_server_replicamanager_partitioncount": PARTITIONS * 3,
        "kafka_server_replicamanager_underreplicatedpartitions": 0,
        "kafka_controller_kafkacontroller_activecontrollercount": 1,
        "kafka_server_brokertopicmetrics_messagesin_total": PARTITIONS * 10,
        "kafka_server_brokertopicmetrics_replicationbytesin_total": 2 * bytes_in,
        'odradek_raft_is_leader{group="0"}': 1,
    }


def differences(told: list[dict[str, float]]) -> list[str]:
    """Series that more than one node tells, and numbers that are not as they should be."""
    names = Counter(name for each in told for name in each if name.startswith(ONCE) and "_sum" not in name)
    found = [f"{name}: told {count} times" for name, count in names.items() if count > 1]
    every = {name: number for each in told for name, number in each.items() if name.startswith(ONCE)}
    found += [
        f"{name}: {every.get(name)}, not {number}"
        for name, number in in_each().items()
        if every.get(name) != number
    ]
    lags = sum(name.startswith("kafka_consumergroup_lag{") for name in names)
    if lags != PARTITIONS:
        found.append(f"the lag of {lags} partitions, not of {PARTITIONS}")

    def total(name: str) -> float:
        """Equal to nothing where a node does not tell it."""
        return sum(each.get(name, math.nan) for each in told)

    expected = in_all(total("kafka_server_brokertopicmetrics_bytesin_total"))
    found += [
        f"{name}: {total(name)} in all, not {number}"
        for name, number in expected.items()
        if total(name) != number
    ]
    return found


def test_each_series_of_the_cluster_comes_from_one_node(cluster: Cluster, ports: dict[int, int]) -> None:
    producer = Producer({"bootstrap.servers": cluster.bootstrap, "enable.idempotence": True})
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

    wrong: list[str] = []

    def is_all_told_once() -> bool:
        """The nodes are asked one after the other, and a follower hears of the commit a moment after the client."""
        wrong[:] = differences([samples(port) for port in ports.values()])
        return not wrong

    until(is_all_told_once, 30, lambda: "each series once, with its number:\n" + "\n".join(wrong))
    consumer.close()


def await_ready(port: int) -> None:
    ready = (200, "ok\n")
    until(lambda: get(port, "/healthz/ready") == ready, 30, lambda: f"{get(port, '/healthz/ready')}")


def test_a_node_without_its_cluster_is_alive_and_not_ready(cluster: Cluster, ports: dict[int, int]) -> None:
    for port in ports.values():
        await_ready(port)
    cluster.kill(2, 3)

    def why_not_ready() -> str | None:
        status, reason = get(ports[1], "/healthz/ready")
        return reason if status == 503 else None

    assert len(until(why_not_ready, 30, "not ready").splitlines()) == 1
    assert get(ports[1], "/healthz/live") == (200, "ok\n")
    assert samples(ports[1])["odradek_node_ready"] == 0
    cluster.start([2, 3])
    for port in ports.values():
        await_ready(port)
