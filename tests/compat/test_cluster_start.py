"""How nodes find each other, and who is turned away: in one clear line, without a crash."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.compat.clusters import Cluster, until
from tests.compat.conftest import OF_THREE, cluster_flavour, on_kafka, replicated_topic
from tests.compat.servers import HOST, Server, quiet_ports

pytestmark = pytest.mark.timeout(180)
APART_S = 0.7
MakeCluster = Callable[..., Cluster]


@pytest.fixture
def make_cluster(tmp_path: Path) -> Iterator[MakeCluster]:
    """(own={node: properties}) -> three nodes of one's own, not started."""
    with ExitStack() as clusters:

        def make(own: Mapping[int, Mapping[str, str]] | None = None) -> Cluster:
            return clusters.enter_context(
                Cluster(cluster_flavour(), tmp_path / "cluster", properties=OF_THREE, own=own)
            )

        yield make


def lines_with(server: Server, *words: str) -> list[str]:
    text = server.log.read_text(errors="replace")
    return [line for line in text.splitlines() if all(word in line for word in words)]


def assert_told_once(server: Server, *words: str) -> None:
    """One line with these words for each of the two nodes, and for either of who dials and who is dialled."""
    told = lines_with(server, *words)
    who = {(line.split()[2], line.partition("node ")[2][:1]) for line in told}
    assert len(who) == len(told) <= 4, told
    assert "Traceback" not in server.log.read_text()


@pytest.mark.parametrize("order", [(3, 1, 2), (2, 3, 1)])
def test_nodes_started_apart_in_any_order_find_each_other(
    make_cluster: MakeCluster, order: tuple[int, ...]
) -> None:
    cluster = make_cluster()
    for node in order:
        cluster.nodes[node].spawn()
        time.sleep(APART_S)  # nothing is awaited: this is how far apart they start
    cluster.await_serving()
    replicated_topic(cluster, 3)
    assert len({cluster.view([], node).cluster_id for node in cluster.nodes}) == 1


@pytest.mark.skipif(on_kafka(), reason="Apache Kafka gives directories their id before the start")
def test_a_node_of_another_cluster_is_refused(make_cluster: MakeCluster) -> None:
    foreign = "MkU3OEVBNTcwNTJENDM2Qg"
    cluster = make_cluster(own={3: {"odradek.cluster.id": foreign}})
    cluster.start([1, 2])
    cluster_id = cluster.view([], 1).cluster_id
    assert cluster_id and cluster_id != foreign
    stranger = cluster.nodes[3]
    stranger.spawn()
    until(lambda: lines_with(stranger, foreign, cluster_id) or None, 30, stranger.log_tail)
    assert [broker.node_id for broker in cluster.view([], 1).brokers] == [1, 2]
    cluster.create_topic("goes-on", 3, 2)
    assert_told_once(stranger, foreign, cluster_id)


@pytest.mark.skipif(on_kafka(), reason="what Apache Kafka says of it is Kafka's")
def test_a_node_id_that_is_used_twice_is_told_in_one_line(make_cluster: MakeCluster) -> None:
    cluster = make_cluster()
    cluster.start()
    topic = replicated_topic(cluster)
    port, controller_port = quiet_ports(2)
    original = cluster.nodes[2].properties
    listeners = f"PLAINTEXT://{HOST}:{port},CONTROLLER://{HOST}:{controller_port}"
    mine = {"listeners": listeners, "advertised.listeners": f"PLAINTEXT://{HOST}:{port}"}
    folder = cluster.folder / "double"
    properties = original | mine | {"log.dirs": str(folder / "data")}
    with Server(cluster.flavour, folder, properties, port) as double:
        double.spawn()
        until(lambda: lines_with(double, "node id 2") or None, 30, double.log_tail)
        cluster.await_in_sync({topic: 1}, 3)
        brokers = {broker.node_id: broker.port for broker in cluster.view([], 1).brokers}
        assert brokers[2] == cluster.nodes[2].port, "the double took the place of the node"
        assert_told_once(double, "node id 2")


@pytest.mark.skipif(on_kafka(), reason="what Apache Kafka says of it is Kafka's")
def test_a_listener_that_is_taken_is_told_in_one_line(make_cluster: MakeCluster) -> None:
    cluster = make_cluster()
    with Server(cluster.flavour, cluster.folder / "other", dict(cluster.nodes[1].properties), 0) as other:
        cluster.start([1, 2])
        other.spawn()
        assert other.process is not None
        assert other.process.wait(30) == 2
        assert len(lines_with(other, "in use")) == 1
        assert "Traceback" not in other.log.read_text()


@pytest.mark.skipif(on_kafka(), reason="what Apache Kafka says of it is Kafka's")
def test_voters_that_do_not_name_the_node_are_told_in_one_line(make_cluster: MakeCluster) -> None:
    cluster = make_cluster(own={1: {"node.id": "7"}})
    server = cluster.nodes[1]
    server.spawn()
    assert server.process is not None
    assert server.process.wait(30) == 2
    assert len(lines_with(server, "controller.quorum.voters")) == 1
    assert "Traceback" not in server.log.read_text()
