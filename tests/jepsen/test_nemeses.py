"""Faults on the real thing: packets between namespaces, the CPU time of a process, the clock that a process sees.

Needs root and the tools; each test is skipped where what it needs is missing. No node is started here.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from tests.unit.jepsen.nemesis.fakes import FakeCluster, FakeHost

from odradek.jepsen.db import leftovers, network
from odradek.jepsen.db.capabilities import libfaketime
from odradek.jepsen.nemesis import clocks
from odradek.jepsen.nemesis.cpu import Cpu, hierarchy
from odradek.jepsen.nemesis.partitions import CLIENTS, Partition
from odradek.jepsen.nemesis.targets import Target

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
_PORT = 9092
_ARRIVES_S = 0.2
_TELLS = """
import sys, time
for _ in sys.stdin:
    sys.stdout.write(f"{time.time()} {time.monotonic()}\\n")
    sys.stdout.flush()
"""
_DIVERTED = """\
table ip diverted {{
  chain divert {{
    type nat hook output priority -100; policy accept;
    ip daddr {node} tcp dport {port} dnat to {proxy}:{port}
  }}
}}
"""


class Namespaces(FakeCluster):
    """Three nodes and the clients, without processes, in namespaces."""

    def __init__(self, made: network.Network, folder: Path) -> None:
        super().__init__(3, folder=folder)
        for node, host in made.nodes.items():
            self.fakes[node].namespace, self.fakes[node].address = host
        self.clients, self.proxy = FakeHost(*made.clients), FakeHost(*made.proxy)
        hosts = {CLIENTS: made.clients, **made.nodes}
        self._sockets: dict[int, socket.socket] = {}
        for number, host in hosts.items():
            with network.sockets_in(host.namespace):
                self._sockets[number] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self._sockets[number].bind((host.address, _PORT))
            self._sockets[number].settimeout(_ARRIVES_S)

    def passing(self) -> set[tuple[int, int]]:
        """Who reaches whom with a datagram."""
        found = set()
        for source, sender in self._sockets.items():
            for target, receiver in self._sockets.items():
                if source == target:
                    continue
                text = f"{source}>{target}".encode()
                try:
                    sender.sendto(text, receiver.getsockname())
                    assert receiver.recv(100) == text
                except (TimeoutError, PermissionError):
                    continue
                found.add((source, target))
        return found

    def close(self) -> None:
        for one in self._sockets.values():
            one.close()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Namespaces]:
    for tool in ("ip", "nft", "nsenter"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    made = network.plan(f"nem{os.getpid()}", 3)
    with leftovers.claimed(made.tag, tmp_path):
        try:
            network.set_up(made)
        except network.NetworkError as error:
            pytest.skip(f"no network namespaces: {error}")
        found = Namespaces(made, tmp_path)
        yield found
        found.close()


def partition(cluster: Namespaces, kind: str, number: int, *nodes: int) -> Partition:
    return Partition(kind, number, cluster, Random(1), Target("one", nodes), network.run_in)


def test_partitions_overlap_and_heal_alone(cluster: Namespaces) -> None:
    everyone = {(one, two) for one in range(4) for two in range(4) if one != two}
    assert cluster.passing() == everyone
    halves, clients = (
        partition(cluster, "partition-halves", 1, 1),
        partition(cluster, "partition-clients", 2, 2),
    )
    halves.start()
    clients.start()
    assert everyone - cluster.passing() == {(1, 2), (2, 1), (1, 3), (3, 1), (CLIENTS, 2), (2, CLIENTS)}
    halves.stop()
    one_way = partition(cluster, "partition-one-way", 3, 2)
    cut = {tuple(way) for way in one_way.start()["cuts"]}  # type: ignore[attr-defined]
    assert everyone - cluster.passing() == {(CLIENTS, 2), (2, CLIENTS)} | cut
    clients.stop()
    one_way.stop()
    assert cluster.passing() == everyone


def test_a_connection_through_the_proxy_is_cut_as_well(cluster: Namespaces) -> None:
    with network.sockets_in(cluster.proxy.namespace):
        proxy = socket.create_server((cluster.proxy.address, _PORT))
    node = cluster.nodes[2].address
    rules = _DIVERTED.format(node=node, proxy=cluster.proxy.address, port=_PORT)
    network.run_in(cluster.nodes[1].namespace, ["nft", "-f", "-"], stdin=rules)

    def reaches() -> bool:
        with network.sockets_in(cluster.nodes[1].namespace), socket.socket() as dialler:
            dialler.settimeout(_ARRIVES_S)
            try:
                dialler.connect((node, _PORT))
            except (TimeoutError, PermissionError):
                return False
            return True

    with proxy:
        assert reaches()
        for seed in range(2):  # each direction
            fault = Partition(
                "partition-one-way", seed, cluster, Random(seed), Target("one", (2,)), network.run_in
            )
            fault.start()
            assert not reaches()
            fault.stop()
        assert reaches()


def test_a_quota_is_felt_and_taken_away(tmp_path: Path) -> None:
    where = hierarchy()
    if where is None:
        pytest.skip("no control groups for cpu")
    burning = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    cluster = FakeCluster(1, folder=tmp_path)
    cluster.nodes[1].pid = burning.pid
    seed = next(seed for seed in range(100) if Random(seed).random() > 1 / 3)
    fault = Cpu(os.getpid(), cluster, Random(seed), Target("one", (1,)), where)
    try:
        before = where.group_of(Path(f"/proc/{burning.pid}/cgroup").read_text())
        share = fault.start()["share"]
        assert isinstance(share, float)
        # The time first and last: what is used while this test waits for a processor has its time, too.
        began, used = time.monotonic(), _cpu_s(burning.pid)
        time.sleep(0.5)
        used, took = _cpu_s(burning.pid) - used, time.monotonic() - began
        assert used <= took * share + 0.1
        fault.stop()
        assert where.group_of(Path(f"/proc/{burning.pid}/cgroup").read_text()) == before
        assert not list(where.root.glob(f"odradek-jepsen-{os.getpid()}-*"))
        fault = Cpu(os.getpid(), cluster, Random(seed), Target("one", (1,)), where)
        fault.start()
    finally:
        burning.kill()
        burning.wait()
        fault.stop()
    assert not list(where.root.glob(f"odradek-jepsen-{os.getpid()}-*"))


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_a_process_sees_another_wall_clock_and_the_same_monotonic_one(tmp_path: Path) -> None:
    if libfaketime() is None:
        pytest.skip("libfaketime is not installed")
    cluster = FakeCluster(1, folder=tmp_path)
    cluster.nodes[1].folder.mkdir()
    clocks.prepare(cluster, ["clock-strobe"])
    own = {name: value for name, value in cluster.nodes[1].environment.items() if value is not None}
    with subprocess.Popen(
        [sys.executable, "-c", _TELLS],
        env={**os.environ, **own},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as asked:
        assert asked.stdin is not None and asked.stdout is not None

        def off() -> tuple[float, float]:
            assert asked.stdin is not None and asked.stdout is not None
            asked.stdin.write("\n")
            asked.stdin.flush()
            wall, monotonic = map(float, asked.stdout.readline().split())
            return time.time() - wall, time.monotonic() - monotonic

        seed = next(seed for seed in range(100) if abs(clocks.offset(Random(seed))) > 60)
        fault = clocks.ClockStep(cluster, Random(seed), Target("one", (1,)))
        right = off()
        offsets = fault.start()["offsets_s"]
        moved = off()
        fault.stop()
        back = off()
        asked.kill()
    clocks.sweep()
    assert isinstance(offsets, dict) and abs(offsets["1"]) > 60
    assert moved[0] == pytest.approx(-offsets["1"], abs=10)
    assert right[0] == pytest.approx(0, abs=10) and back[0] == pytest.approx(0, abs=10)
    assert all(monotonic == pytest.approx(0, abs=10) for _, monotonic in (right, moved, back))
    assert not list(Path("/dev/shm").glob(f"*faketime*_{asked.pid}"))
