"""Kafka's tools take controllers out of the quorum and bring them back, one of them with an empty disk."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.compat import confluent
from tests.compat.clusters import Cluster, until
from tests.compat.conftest import cluster_flavour, on_kafka, replicated_topic
from tests.compat.toolchains import kafka_tool

# The jars may have to be fetched first.
pytestmark = [pytest.mark.clients, pytest.mark.timeout(1200)]
TOOLS = "org.apache.kafka.tools"


@pytest.fixture
def own_cluster(tmp_path: Path) -> Iterator[Cluster]:
    if on_kafka():
        pytest.skip(
            "a quorum that controller.quorum.voters has formed is not changed with Kafka's tool alone"
        )
    with Cluster(cluster_flavour(), tmp_path) as cluster:
        cluster.start()
        yield cluster


def quorum(cluster: Cluster, *arguments: str) -> str:
    servers = cluster.bootstrap_of(cluster.running)
    return kafka_tool(f"{TOOLS}.MetadataQuorumCommand", "--bootstrap-server", servers, *arguments)


def members(cluster: Cluster) -> tuple[list[int], list[int]]:
    """(voters, observers), as the tool tells them."""
    status = quorum(cluster, "describe", "--status")
    lines = [line for line in status.splitlines() if line.startswith("Current")]
    voters, observers = ([int(one) for one in re.findall(r'"id": (\d+)', line)] for line in lines)
    return voters, observers


def await_all_voting(cluster: Cluster) -> None:
    until(lambda: members(cluster) == ([1, 2, 3], []), 60, lambda: f"three voters: {members(cluster)}")


def directory_id(cluster: Cluster, node: int) -> str:
    text = (cluster.folder / f"node{node}" / "data" / "meta.properties").read_text()
    found = re.search(r"^directory.id=(.*)$", text, re.MULTILINE)
    assert found
    return found[1].strip()


def take_out(cluster: Cluster, node: int) -> None:
    named = ["--controller-id", str(node), "--controller-directory-id", directory_id(cluster, node)]
    assert f"Removed  KRaft controller {node}" in quorum(cluster, "remove-controller", *named)


def bring_back(cluster: Cluster, node: int) -> None:
    properties = (cluster.folder / f"node{node}" / "server.properties").read_text()
    config = cluster.folder / f"controller{node}.properties"
    config.write_text(properties.replace("controller.quorum.voters", "#controller.quorum.voters"))
    assert f"Added controller {node}" in quorum(cluster, "--command-config", str(config), "add-controller")


def test_controllers_go_and_come_back(own_cluster: Cluster) -> None:
    cluster = own_cluster
    upgrade = ["--bootstrap-server", cluster.bootstrap, "upgrade", "--feature", "kraft.version=1"]
    assert "kraft.version was upgraded to 1" in kafka_tool(f"{TOOLS}.FeatureCommand", *upgrade)
    topic = replicated_topic(cluster)

    leader = cluster.controller()
    rest = [node for node in (1, 2, 3) if node != leader]
    take_out(cluster, leader)
    until(lambda: members(cluster) == (rest, [leader]), 60, lambda: f"a voter less: {members(cluster)}")
    until(lambda: cluster.controller() in rest, 60, "a controller that still votes")
    assert confluent.send(cluster, topic, [b"without"]) == [0]
    replicated_topic(cluster)  # on all three: who votes no more is still a broker
    bring_back(cluster, leader)
    await_all_voting(cluster)

    lost = next(node for node in rest if node != cluster.controller())
    take_out(cluster, lost)
    cluster.kill(lost)
    shutil.rmtree(cluster.folder / f"node{lost}" / "data")
    cluster.start([lost])
    bring_back(cluster, lost)
    await_all_voting(cluster)
    cluster.await_in_sync({topic: 1}, 3)

    other = next(node for node in (1, 2, 3) if node not in (lost, cluster.controller()))
    cluster.kill(other)  # so that a quorum needs the one that came back
    until(lambda: cluster.controller(besides=[other]), 30, "a controller")
    assert confluent.send(cluster, topic, [b"after"]) == [1]
