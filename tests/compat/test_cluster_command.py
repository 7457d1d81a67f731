"""The command line against three nodes in processes of their own: as a user calls it, with its exit codes."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

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


class Diagnosis(NamedTuple):
    """What the doctor says, without how full the disk of this machine is."""

    code: int
    """That of the program, which looks at the disk too."""
    worst: str
    problems: dict[str, list[str]]
    """By check."""


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

    def ended(self, *arguments: str, text: str = "") -> tuple[int, str, str]:
        """The exit code, the output and the errors."""
        with self.start(*arguments) as process:
            out, errors = process.communicate(text, timeout=90)
        assert "Traceback" not in errors, errors
        return process.returncode, out, errors

    def run(self, *arguments: str, text: str = "") -> tuple[int, str]:
        """The exit code and all that was said."""
        code, out, errors = self.ended(*arguments, text=text)
        return code, out + errors

    def json(self, *arguments: str) -> Any:
        code, out, errors = self.ended(*arguments, "-o", "json")
        assert code == exits.OK, (code, out, errors)
        return json.loads(out)

    def doctor(self, *arguments: str, watch: str = "0") -> Diagnosis:
        code, out, errors = self.ended("doctor", "--watch", watch, *arguments, "-o", "json")
        assert code in (exits.OK, exits.FAILED, exits.PARTLY), (code, out, errors)
        told = json.loads(out)["findings"]
        findings = [one for one in told if one["check"] != "disk" or " are left in " not in one["problem"]]
        problems: dict[str, list[str]] = {}
        for finding in findings:
            problems.setdefault(finding["check"], []).append(finding["problem"])
        return Diagnosis(code, findings[0]["severity"] if findings else "ok", problems)

    def await_health(self, timeout_s: float) -> None:
        until(lambda: self.doctor().worst == "ok", timeout_s, lambda: f"a healthy cluster: {self.doctor()}")

    def stable_members(self, group: str) -> set[str]:
        """The members of a group that is there, and that has been divided between them."""
        code, out, _ = self.ended("group", "describe", group, "-o", "json")
        groups = json.loads(out) if code == exits.OK else []
        return {one["member"] for found in groups if found["state"] == "stable" for one in found["members"]}


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

    def told(what: str) -> list[Any]:
        return [row[what] for row in odradek.json("cluster", "partitions", "moves")]

    until(lambda: told("replicas") == [[3, 1], [3, 1]], 60, lambda: f"other replicas: {told('replicas')}")
    assert odradek.run("cluster", "elect-leaders", "moves")[0] == exits.OK
    until(lambda: told("leader") == [3, 3], 60, lambda: f"leader 3: {told('leader')}")
    code, text = odradek.run("consume", "moves", "-e")
    assert code == exits.OK and sorted(map(int, text.split())) == list(range(1000))
    assert {one["node"] for one in odradek.json("cluster", "logdirs")} == set(NODES)


def test_the_doctor_sees_a_node_that_is_lost(odradek: CommandLine) -> None:
    code, said = odradek.run(
        "topic", "create", "lost", "-a", "1,2,3", "-a", "2,3,1", "-c", "min.insync.replicas=2"
    )
    assert code == exits.OK, said
    odradek.await_health(60)
    until(lambda: odradek.run("cluster", "health")[0] == exits.OK, 60, "health to be good")
    odradek.cluster.kill(3)
    try:
        until(lambda: odradek.run("cluster", "health")[0] == exits.FAILED, 60, "health to fail")

        def is_all_told() -> bool:
            """By whichever node is asked: it, too, hears of it some time."""
            code, worst, problems = odradek.doctor()
            first = {check: found[0] for check, found in problems.items()}
            return (
                "one node from lost" in first.get("quorum", "")
                and "Node 3 is registered" in first.get("node", "")
                and any("under-replicated. Missing: node 3" in one for one in problems.get("partition", ()))
                and (worst in ("warning", "critical") and "listener" not in problems)
                and code in (exits.PARTLY, exits.FAILED)
            )

        until(is_all_told, 60, lambda: f"the lost node to be told of: {odradek.doctor()}")
        # What is written and read goes on.
        assert odradek.run("produce", "lost", "-k", "k", text="still\n") == (exits.OK, "")
        assert odradek.run("consume", "lost", "-e") == (exits.OK, "still\n")
    finally:
        odradek.cluster.start([3])
    odradek.await_health(90)


def test_the_doctor_sees_a_group_whose_members_flap(odradek: CommandLine) -> None:
    assert odradek.run("topic", "create", "flap", "-p", "3", "-r", "1")[0] == exits.OK
    over = threading.Event()

    def come_and_go() -> None:
        """Each member is killed as soon as the group has been divided anew because of it."""
        known: set[str] = set()
        while not over.is_set():
            with odradek.start("consume", "flap", "-g", "flapping") as member:
                joined: set[str] = set()
                while not joined and not over.is_set():
                    joined = odradek.stable_members("flapping") - known
                known |= joined
                member.kill()

    # On a busy machine a member takes longer to come: then the doctor watches for longer.
    watches = (f"{10 * times}s" for times in itertools.count(1))
    seen: list[Diagnosis] = []

    def look() -> int | None:
        seen.append(odradek.doctor("-g", "flapping", watch=next(watches)))
        problems = seen[-1].problems.get("group", [])
        is_seen = any("The members of group flapping flap" in problem for problem in problems)
        return seen[-1].code if is_seen else None

    with odradek.start("consume", "flap", "-g", "flapping") as steady:
        flapping = threading.Thread(target=come_and_go)
        flapping.start()
        try:
            assert until(look, 120, lambda: f"the doctor to see it: {seen}") == exits.PARTLY
        finally:
            over.set()
            flapping.join()
            steady.kill()
