"""The command line against three nodes in processes of their own: as a user calls it, with its exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.compat.clusters import Cluster, until
from tests.compat.conftest import OF_THREE, cluster_flavour, on_kafka
from tests.compat.servers import HOST, quiet_ports

from odradek.client.cli import exits

pytestmark = [
    pytest.mark.timeout(240),
    pytest.mark.skipif(on_kafka(), reason="Apache Kafka has no gRPC door"),
]
NODES = (1, 2, 3)
PROGRAM = Path(sys.executable).parent / "odradek"


class CommandLine:
    """`odradek` told of the gRPC doors of a cluster."""

    def __init__(self, cluster: Cluster, servers: str) -> None:
        self.cluster = cluster
        self._servers = servers

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [str(PROGRAM), *arguments],
            env={
                "ODRADEK_SERVER": self._servers,
                "ODRADEK_CONFIG": "/nonexistent/profiles.toml",
                "PATH": "/usr/bin:/bin",
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, text: str = "") -> tuple[int, str]:
        """The exit code and the output."""
        with self.start(*arguments) as process:
            out, errors = process.communicate(text, timeout=90)
        assert "Traceback" not in errors, errors
        return process.returncode, out + errors

    def json(self, *arguments: str, codes: tuple[int, ...] = (exits.OK,)) -> Any:
        code, text = self.run(*arguments, "-o", "json")
        assert code in codes, (code, text)
        return json.loads(text)

    def doctor(self, *arguments: str) -> tuple[str, dict[str, list[str]]]:
        """The worst severity, and the problems by check."""
        found = self.json("doctor", "--watch", "0", *arguments, codes=(exits.OK, exits.FAILED, exits.PARTLY))
        problems: dict[str, list[str]] = {}
        for finding in found["findings"]:
            problems.setdefault(finding["check"], []).append(finding["problem"])
        return found["worst"], problems


@pytest.fixture(scope="module")
def odradek(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandLine]:
    ports = dict(zip(NODES, quiet_ports(len(NODES)), strict=True))
    own = {node: {"odradek.grpc.listener": f"{HOST}:{port}"} for node, port in ports.items()}
    with Cluster(
        cluster_flavour(), tmp_path_factory.mktemp("cluster"), properties=OF_THREE, own=own
    ) as cluster:
        cluster.start()
        yield CommandLine(cluster, ",".join(f"{HOST}:{port}" for port in ports.values()))


def test_a_topic_moves_to_another_node_and_back(odradek: CommandLine) -> None:
    code, said = odradek.run("topic", "create", "moves", "-a", "1,2", "-a", "2,1")
    assert (code, said) == (exits.OK, "moves: created (2 partitions, 2 replicas)\n")
    records = "".join(f"{number}:{number}\n" for number in range(1000))
    assert odradek.run("produce", "moves", "-K:", "-z", "lz4", text=records) == (exits.OK, "")
    assert odradek.run("cluster", "reassign", "moves/0-1:3,1", "--wait")[0] == exits.OK
    rows = odradek.json("cluster", "partitions", "moves")
    assert [row["replicas"] for row in rows] == [[3, 1], [3, 1]]
    assert odradek.run("cluster", "elect-leaders", "moves")[0] == exits.OK
    until(
        lambda: {row["leader"] for row in odradek.json("cluster", "partitions", "moves")} == {3},
        60,
        "leader 3",
    )
    code, text = odradek.run("consume", "moves", "-e")
    assert code == exits.OK and sorted(map(int, text.split())) == list(range(1000))
    assert {one["node"] for one in odradek.json("cluster", "logdirs")} == set(NODES)


def test_the_doctor_sees_a_node_that_is_lost(odradek: CommandLine) -> None:
    code, said = odradek.run(
        "topic", "create", "lost", "-a", "1,2,3", "-a", "2,3,1", "-c", "min.insync.replicas=2"
    )
    assert code == exits.OK, said
    until(lambda: odradek.doctor()[0] == "ok", 60, "a healthy cluster")
    assert odradek.run("cluster", "health")[0] == exits.OK
    odradek.cluster.kill(3)
    try:
        until(lambda: odradek.run("cluster", "health")[0] == exits.FAILED, 60, "health to fail")

        def look() -> tuple[str, dict[str, list[str]]] | None:
            worst, problems = odradek.doctor()
            return (worst, problems) if "one node from lost" in problems.get("quorum", [""])[0] else None

        worst, problems = until(look, 60, "the quorum to be told of")
        assert "Node 3 is registered" in problems["node"][0]
        assert any("under-replicated. Missing: node 3" in problem for problem in problems["partition"])
        assert worst in ("warning", "critical") and "listener" not in problems
        assert odradek.run("doctor", "--watch", "0")[0] in (exits.PARTLY, exits.FAILED)
        # What is written and read goes on.
        assert odradek.run("produce", "lost", "-k", "k", text="still\n") == (exits.OK, "")
        assert odradek.run("consume", "lost", "-e") == (exits.OK, "still\n")
    finally:
        odradek.cluster.start([3])
    until(lambda: odradek.doctor()[0] == "ok", 90, "a healthy cluster")


def test_the_doctor_sees_a_group_whose_members_flap(odradek: CommandLine) -> None:
    began = time.monotonic()
    assert odradek.run("topic", "create", "flap", "-p", "3", "-r", "1")[0] == exits.OK
    life_s = 1 + 2 * (time.monotonic() - began)  # long enough to start and to join, on a busy machine too
    over = threading.Event()

    def come_and_go() -> None:
        while not over.is_set():
            with odradek.start("consume", "flap", "-g", "flapping") as member:
                over.wait(life_s)
                member.kill()

    def look() -> int | None:
        code, text = odradek.run("doctor", "--watch", f"{3 * life_s:.0f}s", "-g", "flapping", "-o", "json")
        found = {one["check"]: one["problem"] for one in json.loads(text)["findings"]}
        return code if "The members of group flapping flap" in found.get("group", "") else None

    with odradek.start("consume", "flap", "-g", "flapping") as steady:
        flapping = threading.Thread(target=come_and_go)
        flapping.start()
        try:
            assert until(look, 120, "the doctor to see it") == exits.PARTLY
        finally:
            over.set()
            flapping.join()
            steady.kill()
