"""The image and the compose file, with a real Docker engine: one node, three nodes, one of them killed.

Skipped, with the reason, where there is no engine and none can be installed.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaException, Producer
from tests.compat import wire
from tests.compat.confluent import api
from tests.compat.docker_engine import DockerMissing, Engine, base_image, build_image, engine
from tests.compat.places import ROOT
from tests.compat.servers import HOST, free_port

pytestmark = [pytest.mark.clients, pytest.mark.timeout(1500)]

IMAGE = "odradek:test"
COMPOSE = ("-f", "deploy/compose.yaml", "-p", "odradek-test")
NODES = (1, 2, 3)
EXTERNAL = {1: 29092, 2: 39092, 3: 49092}
HTTP = {1: 19644, 2: 29644, 3: 39644}
WAIT_S = 60.0


@pytest.fixture(scope="module")
def docker() -> Iterator[Engine]:
    """An engine that has the image."""
    with contextlib.ExitStack() as stack:
        try:
            found = stack.enter_context(engine())
            build_image(found, base_image(found), IMAGE)
        except DockerMissing as error:
            pytest.skip(f"no containers here: {error}")
        yield found


@dataclass
class Container:
    """One node in a container, on ports of the host."""

    docker: Engine
    name: str
    port: int
    http_port: int

    @property
    def bootstrap(self) -> str:
        return f"localhost:{self.port}"

    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.docker.run("inspect", self.name))[0]["State"]
        return found

    def logs(self) -> str:
        return self.docker.run("logs", self.name)


_names = itertools.count(1)


@pytest.fixture
def one(docker: Engine) -> Iterator[Callable[..., Container]]:
    """Starts a container of one node, to be advertised at a port of the host; arguments are those of `docker run`."""
    started: list[Container] = []

    def start(*arguments: str) -> Container:
        found = Container(docker, f"odradek-one-{next(_names)}", free_port(), free_port())
        started.append(found)
        ports = ("-p", f"{HOST}:{found.port}:{found.port}", "-p", f"{HOST}:{found.http_port}:9644")
        given = [argument.format(port=found.port) for argument in arguments]
        docker.run("run", "-d", "--name", found.name, *ports, *given, IMAGE)
        return found

    yield start
    for container in started:
        docker.run("rm", "-f", "-v", container.name, check=False)


def until(what: str, look: Callable[[], object], timeout_s: float = WAIT_S) -> None:
    deadline = time.monotonic() + timeout_s
    while not look():
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}"
        time.sleep(0.1)


def get(port: int, path: str) -> tuple[int, str]:
    """Status and body; status 0 where nobody answers."""
    connection = http.client.HTTPConnection(HOST, port, timeout=5)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    except (OSError, http.client.HTTPException) as error:
        return 0, str(error)
    finally:
        connection.close()


def is_ready(port: int) -> bool:
    return get(port, "/healthz/ready")[0] == 200


def send(bootstrap: str, topic: str, values: range, timeout_s: float = WAIT_S) -> None:
    """All of them acknowledged by all in-sync replicas, in order."""
    failures: list[Any] = []
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "enable.idempotence": True,
            "acks": "all",
            "delivery.timeout.ms": int(timeout_s * 1000),
        }
    )
    for value in values:
        producer.produce(topic, str(value), partition=0, on_delivery=lambda error, _: failures.append(error))
    assert producer.flush(timeout_s) == 0
    assert [error for error in failures if error is not None] == []
    assert len(failures) == len(values)


def read(bootstrap: str, topic: str, count: int) -> list[int]:
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": f"reader-{time.monotonic_ns()}",
            "auto.offset.reset": "earliest",
        }
    )
    consumer.subscribe([topic])
    found: list[int] = []
    deadline = time.monotonic() + WAIT_S
    while len(found) < count and time.monotonic() < deadline:
        message = consumer.poll(0.2)
        if message is None:
            continue
        error = message.error()
        if error is None:
            value = message.value()
            assert value is not None
            found.append(int(value))
        elif not error.retriable():
            raise KafkaException(error)
    consumer.close()
    return found


# -- one node


ADVERTISED = ("-e", "KAFKA_ADVERTISED_LISTENERS=PLAINTEXT://localhost:{port}")


def test_one_node_serves_the_host_and_ends_cleanly(one: Callable[..., Container], docker: Engine) -> None:
    node = one(*ADVERTISED, "--health-interval", "1s")
    until("ready", lambda: is_ready(node.http_port))
    send(node.bootstrap, "t", range(100))
    assert read(node.bootstrap, "t", 100) == list(range(100))
    assert docker.run("exec", node.name, "id", "-u").strip() == "1000"
    until("healthy", lambda: node.state()["Health"]["Status"] == "healthy")
    found = series(get(node.http_port, "/metrics")[1])
    assert found['kafka_topic_partition_current_offset{partition="0",topic="t"}'] == "100"
    docker.run("stop", node.name)
    assert node.state()["ExitCode"] == 0, node.logs()


def test_what_was_acknowledged_is_there_after_a_kill(one: Callable[..., Container], docker: Engine) -> None:
    node = one(*ADVERTISED)
    until("ready", lambda: is_ready(node.http_port))
    send(node.bootstrap, "t", range(50))
    docker.run("kill", "--signal", "KILL", node.name)
    docker.run("start", node.name)
    until("ready again", lambda: is_ready(node.http_port))
    send(node.bootstrap, "t", range(50, 60))
    assert read(node.bootstrap, "t", 60) == list(range(60))


def test_a_mounted_file_is_read_and_variables_win_over_it(
    one: Callable[..., Container], tmp_path: Path
) -> None:
    """As with the apache/kafka image: /mnt/shared/config/server.properties, then the environment."""
    (tmp_path / "server.properties").write_text(
        "process.roles=broker,controller\nnode.id=7\nnum.partitions=3\n"
        "controller.listener.names=CONTROLLER\ncontroller.quorum.voters=7@localhost:9093\n"
        "listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT\n"
    )
    tmp_path.chmod(0o755)
    listeners = "KAFKA_LISTENERS=PLAINTEXT://:{port},CONTROLLER://:9093"
    mounted = ("-v", f"{tmp_path}:/mnt/shared/config:ro")
    node = one(*mounted, "-e", listeners, *ADVERTISED, "-e", "KAFKA_NUM_PARTITIONS=5")
    until("ready", lambda: is_ready(node.http_port))
    send(node.bootstrap, "t", range(3))
    with wire.Connection(HOST, node.port) as connection:
        brokers, topics = wire.metadata(connection, ["t"])
    assert [broker.node_id for broker in brokers] == [7]
    assert len(topics[0].partitions) == 5


def test_other_verbs_and_wrong_settings(docker: Engine) -> None:
    assert docker.run("run", "--rm", IMAGE, "--version").startswith("odradek ")
    refused = docker.run("run", "--rm", "-e", "KAFKA_NUM_PARTITIONS=none", IMAGE, check=False)
    assert "num.partitions" in refused


# -- three nodes


class Three:
    """The nodes of the compose file."""

    def __init__(self, docker: Engine) -> None:
        self.docker = docker

    def compose(self, *arguments: str) -> str:
        return self.docker.compose(*COMPOSE, *arguments, environ={"ODRADEK_IMAGE": IMAGE})

    def container(self, node: int) -> str:
        return self.compose("ps", "-q", f"odradek-{node}").strip()

    def view(self, node: int) -> wire.ClusterView:
        """What a node tells the host."""
        with wire.Connection(HOST, EXTERNAL[node]) as connection:
            return wire.cluster_view(connection, ["t"])

    def partition(self, node: int) -> wire.Replicated | None:
        return next(iter(self.view(node).topics.get("t", [])), None)

    def seen_inside(self, node: int) -> set[str]:
        """The addresses that a node tells a container of its network."""
        look = (
            "from tests.compat import wire\n"
            f"with wire.Connection('odradek-{node}', 19092) as connection:\n"
            "    for broker in wire.cluster_view(connection, []).brokers:\n"
            "        print(broker.host, broker.port, sep=':')\n"
        )
        network = ("--network", "odradek-test_default")
        repository = ("-v", f"{ROOT / 'tests'}:/repo/tests:ro", "-w", "/repo")
        python = ("--entrypoint", "/opt/odradek/bin/python", IMAGE)
        return set(self.docker.run("run", "--rm", *network, *repository, *python, "-c", look).split())


@pytest.fixture
def three(docker: Engine) -> Iterator[Three]:
    """The compose file, up; without a trace afterwards."""
    nodes = Three(docker)
    try:
        nodes.compose("up", "-d", "--no-build")
        until("three nodes ready", lambda: all(is_ready(port) for port in HTTP.values()))
        yield nodes
    finally:
        sys.stdout.write(nodes.compose("logs", "--no-color", "--tail", "60"))  # shown where the test failed
        nodes.compose("down", "-v", "-t", "20")


def test_three_nodes_survive_a_kill(three: Three, docker: Engine) -> None:
    outside = {f"localhost:{port}" for port in EXTERNAL.values()}
    inside = {f"odradek-{node}:19092" for node in NODES}
    for node in NODES:
        brokers = three.view(node).brokers
        assert {f"{broker.host}:{broker.port}" for broker in brokers} == outside
        assert three.seen_inside(node) == inside
    bootstrap = ",".join(sorted(outside))
    create_topic(bootstrap, "t")
    send(bootstrap, "t", range(100))
    partition = three.partition(1)
    assert partition is not None
    assert sorted(partition.isr) == sorted(NODES)
    killed = partition.leader
    survivor = next(node for node in NODES if node != killed)
    docker.run("kill", "--signal", "KILL", three.container(killed))
    send(bootstrap, "t", range(100, 200))
    after = three.partition(survivor)
    assert after is not None
    assert after.leader in NODES and after.leader != killed
    docker.run("start", three.container(killed))

    def is_whole() -> bool:
        found = three.partition(survivor)
        return found is not None and sorted(found.isr) == sorted(NODES)

    until("the killed node is in sync again", is_whole)
    until("and ready", lambda: is_ready(HTTP[killed]))
    assert read(bootstrap, "t", 200) == list(range(200))


def create_topic(bootstrap: str, topic: str) -> None:
    """One partition, on every node."""
    client = api.AdminClient({"bootstrap.servers": bootstrap})
    for future in client.create_topics([api.NewTopic(topic, 1, len(NODES))]).values():
        future.result(WAIT_S)


def series(text: str) -> dict[str, str]:
    return dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
