"""Disks that are replaced, and ids of directories that change: a replica that has caught up again may lead again."""

from __future__ import annotations

import base64
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.compat.audit import assert_exactly_once_in_order
from tests.compat.clusters import Cluster
from tests.compat.conftest import OF_THREE, cluster_flavour, on_kafka, replicated_topic
from tests.compat.load import PARTITIONS, Load

pytestmark = [
    pytest.mark.timeout(180),
    pytest.mark.skipif(on_kafka(), reason="Apache Kafka wants its disks formatted"),
]


@pytest.fixture(scope="module")
def _nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    properties = OF_THREE | {"min.insync.replicas": "2"}
    with Cluster(cluster_flavour(), tmp_path_factory.mktemp("disks"), properties=properties) as cluster:
        yield cluster


@pytest.fixture
def nodes(_nodes: Cluster) -> Cluster:
    """A cluster of our own: other tests' topics need not be fetched again."""
    _nodes.start([node for node in _nodes.nodes if node not in _nodes.running])
    return _nodes


def data_of(cluster: Cluster, node: int) -> Path:
    return cluster.nodes[node].folder / "data"


def change_directory_id(cluster: Cluster, node: int) -> None:
    """One bit of it, in a file without a checksum."""
    path = data_of(cluster, node) / "meta.properties"
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    (at,) = [number for number, line in enumerate(lines) if line.startswith("directory.id=")]
    known = base64.urlsafe_b64decode(lines[at].partition("=")[2] + "==")
    changed = base64.urlsafe_b64encode(bytes([known[0] ^ 1]) + known[1:]).decode().rstrip("=")
    lines[at] = f"directory.id={changed}"
    path.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize("harm", ["another disk", "another id"])
def test_two_nodes_that_were_hurt_one_after_the_other_lead_when_the_third_is_gone(
    nodes: Cluster, harm: str
) -> None:
    topic = replicated_topic(nodes, PARTITIONS)
    load = Load(nodes, topic, per_s=2000, enable_idempotence=True, message_timeout_ms=120_000)
    try:
        for hurt in (1, 2):
            load.reach(len(load.acknowledged) + 500)
            nodes.kill(hurt)
            if harm == "another disk":
                shutil.rmtree(data_of(nodes, hurt))
            else:
                change_directory_id(nodes, hurt)
            nodes.start([hurt])
            nodes.await_in_sync({topic: PARTITIONS}, 3)
        load.reach(len(load.acknowledged) + 500)
        nodes.kill(3)
        for partition in range(PARTITIONS):
            nodes.leader_of(topic, partition, besides=[3], timeout_s=30)
        load.reach(len(load.acknowledged) + 500)
        load.finish(60)
    finally:
        load.abandon()
    assert_exactly_once_in_order(nodes, topic, load)


def test_a_cluster_all_of_whose_directories_have_other_ids_has_everything(nodes: Cluster) -> None:
    topic = replicated_topic(nodes, PARTITIONS)
    load = Load(nodes, topic, per_s=2000, enable_idempotence=True, message_timeout_ms=120_000)
    try:
        load.reach(1000)
        nodes.kill_all()
        for node in nodes.nodes:
            change_directory_id(nodes, node)
        nodes.start()
        nodes.await_in_sync({topic: PARTITIONS}, 3)
        load.reach(len(load.acknowledged) + 500, 60)
        load.finish(60)
    finally:
        load.abandon()
    assert_exactly_once_in_order(nodes, topic, load)
