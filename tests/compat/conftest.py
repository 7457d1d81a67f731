"""Fixtures of the tests that drive a real process: the node, topics, a node of one's own to kill.

Decides: how the process is started for tests. `ODRADEK_COMPAT_TARGET=kafka` runs the same tests against
Apache Kafka, which is how an expectation is checked.
"""

from __future__ import annotations

import itertools
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling

_ROOT = str(Path(__file__).resolve().parents[2])
if _ROOT not in sys.path:
    sys.path.insert(0, _ROOT)

from tests.compat import wire  # noqa: E402  (the path above has to be there first)
from tests.compat.clusters import Cluster, OdradekFromFile  # noqa: E402
from tests.compat.servers import ApacheKafka, Flavour, Odradek, Server  # noqa: E402

PROPERTIES = {
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "500",
    "offsets.topic.num.partitions": "4",
    "log.retention.ms": "-1",  # some tests write records with timestamps of years ago
}
OF_THREE = PROPERTIES | {"default.replication.factor": "3", "offsets.topic.replication.factor": "3"}

#: These fetch the jars of Apache Kafka where they are not cached yet: one after the other.
OF_JARS = ("test_dump_log.py", "test_docker_environment.py")


class FilesAndClusters(LoadFileScheduling):  # type: ignore[misc]
    """Where tests are divided between processes, files stay together with the nodes that they have started, and only
    one cluster of three is hurt at a time."""

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        folder, _, name = file.rpartition("/")
        if folder != "tests/compat":
            return file
        return "jars" if name in OF_JARS else "three nodes" if "cluster" in name else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling | None:
    """Not by the marks of `--dist loadgroup`, which pytest 9.2 made xdist 3.8 lose without a word."""
    return FilesAndClusters(config, log) if config.getvalue("dist") == "loadfile" else None


CreateTopic = Callable[..., str]
"""(partitions=1) -> the name of a new topic, each partition of which has a leader."""
_numbers = itertools.count(1)


def flavour() -> Flavour:
    return ApacheKafka() if on_kafka() else Odradek()


def on_kafka() -> bool:
    """True when the tests are run against Apache Kafka to check what they expect."""
    target = os.environ.get("ODRADEK_COMPAT_TARGET", "odradek")
    assert target in ("odradek", "kafka"), f"ODRADEK_COMPAT_TARGET={target}"
    return target == "kafka"


def cluster_flavour() -> Flavour:
    return ApacheKafka(alone=False) if on_kafka() else OdradekFromFile()


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One node for all tests that leave it running."""
    with Server(flavour(), tmp_path_factory.mktemp("node"), PROPERTIES) as server:
        server.start()
        yield server
        assert server.process is not None
        assert server.process.poll() is None, f"the node ended during the tests\n{server.log_tail()}"


@pytest.fixture
def own_node(tmp_path: Path) -> Iterator[Server]:
    """A started node of one's own, to kill and restart."""
    with Server(flavour(), tmp_path, PROPERTIES) as server:
        server.start()
        yield server


def create_topic(server: Server, partitions: int = 1, prefix: str = "topic") -> str:
    """Create a topic with a name that no other test uses and wait until its partitions answer."""
    name = f"{prefix}-{next(_numbers)}"
    with server.connect() as connection:
        outcome = wire.create_topics(connection, {name: partitions})
        assert outcome[name] == (0, None), outcome
        deadline = time.monotonic() + 20
        while any(found.error for found in wire.list_offsets(connection, {name: range(partitions)})):
            assert time.monotonic() < deadline, f"{name} has no leader"
            time.sleep(0.005)
    return name


@pytest.fixture
def topic(node: Server) -> CreateTopic:
    """Creates topics on the shared node."""
    return lambda partitions=1: create_topic(node, partitions)


@pytest.fixture(scope="session")
def _shared_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(cluster_flavour(), tmp_path_factory.mktemp("cluster"), properties=OF_THREE) as cluster:
        cluster.start()
        yield cluster


@pytest.fixture
def cluster(_shared_cluster: Cluster) -> Iterator[Cluster]:
    """Three nodes that a test may hurt: they are whole again for the next one."""
    yield _shared_cluster
    for node in _shared_cluster.running:
        _shared_cluster.resume(node)
    gone = [node for node in _shared_cluster.nodes if node not in _shared_cluster.running]
    _shared_cluster.start(gone)


def replicated_topic(cluster: Cluster, partitions: int = 1, configs: dict[str, str] | None = None) -> str:
    """A topic on all three nodes, with a name that no other test uses, in sync when this returns."""
    name = f"topic-{next(_numbers)}"
    cluster.create_topic(name, partitions, 3, configs)
    cluster.await_in_sync({name: partitions}, 3)
    return name
