"""Three nodes in namespaces of their own, on file systems of their own; and that nothing of a run outlives it.

Needs root and what `capabilities.ESSENTIAL` names; skipped, saying what is missing, where that is not there.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from odradek.jepsen.db import leftovers, network
from odradek.jepsen.db.capabilities import probe
from odradek.jepsen.db.cluster import ServerCluster, cluster
from odradek.jepsen.db.odradek import Odradek

TOPIC = {"q": 4}


@pytest.fixture(autouse=True, scope="module")
def _able(tmp_path_factory: pytest.TempPathFactory) -> None:
    unable = probe(tmp_path_factory.mktemp("probe")).unable()
    if unable is not None:
        pytest.skip(f"no cluster can be run here: {unable}")


def _tag(letter: str) -> str:
    return f"t{letter}{os.getpid()}"


def _left_of(tag: str, folder: Path) -> list[str]:
    """All that the machine still has of a run."""
    return [
        *(name for name in network.existing() if network.tag_of(name) == tag),
        *(claim.tag for claim in leftovers.claims() if claim.tag == tag),
        *leftovers.mounts_below(folder, Path("/proc/self/mountinfo").read_text()),
        *leftovers.loop_devices_below(folder),
        *(str(image) for image in folder.glob("**/disk.img")),
    ]


def _until(happened: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


@pytest.fixture(scope="module")
def three(_able: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerCluster]:
    folder, tag = tmp_path_factory.mktemp("three"), _tag("a")
    with cluster(Odradek(), 3, folder, tag, image_mib=32) as nodes:
        nodes.start()
        nodes.create_topic("q", TOPIC["q"], configs={"retention.ms": "-1"})
        nodes.await_in_sync(TOPIC, 3)
        yield nodes
    assert _left_of(tag, folder) == []


def test_a_probe_leaves_nothing_and_finds_what_a_cluster_needs(tmp_path: Path) -> None:
    found = probe(tmp_path)
    assert found.names >= {"netns", "loop", "root"}
    assert list(tmp_path.iterdir()) == []
    assert _left_of(f"probe{os.getpid()}", tmp_path) == []


def test_a_server_is_the_process_that_was_started_in_its_namespace_on_its_image(three: ServerCluster) -> None:
    for node in three.nodes.values():
        assert node.pid is not None
        assert leftovers.processes_in([node.namespace]) == [node.pid]
        assert b"server.properties" in Path(f"/proc/{node.pid}/cmdline").read_bytes()
        assert os.stat(node.data / "meta.properties").st_dev == os.stat(node.image.mount_point).st_dev
        own = Path(f"/proc/{node.pid}/ns/mnt").readlink()
        assert own == Path("/proc/self/ns/mnt").readlink(), "mounts of its own would keep its image in use"


def test_clients_reach_every_node_and_the_machine_does_not_see_the_bridge(three: ServerCluster) -> None:
    with network.sockets_in(three.clients.namespace):
        for server in f"{three.bootstrap},{three.grpc}".split(","):
            host, port = server.split(":")
            socket.create_connection((host, int(port)), timeout=10).close()
    links = subprocess.run(["ip", "-br", "link"], capture_output=True, text=True, check=True).stdout
    assert "br0" not in links


def test_only_the_thread_that_asks_is_in_the_namespace(three: ServerCluster) -> None:
    def where() -> str:
        return str(Path(f"/proc/self/task/{threading.get_native_id()}/ns/net").readlink())

    outside = where()
    seen: list[str] = []
    other = threading.Event()

    def look() -> None:
        other.wait(60)
        seen.append(where())

    thread = threading.Thread(target=look)
    thread.start()
    with network.sockets_in(three.clients.namespace):
        inside = where()
        other.set()
        thread.join()
    assert (seen, where()) == ([outside], outside)
    assert inside != outside


def test_another_leads_when_the_leader_is_killed_and_it_comes_back(three: ServerCluster) -> None:
    leader = three.leader_of("q/0")
    assert leader is not None and three.controller() in three.nodes
    three.nodes[leader].kill()
    _until(lambda: three.leader_of("q/0") not in (None, leader), "another leader")
    three.nodes[leader].spawn()
    three.await_serving()
    three.await_in_sync(TOPIC, 3)


def test_a_paused_leader_is_not_asked_and_goes_on_afterwards(three: ServerCluster) -> None:
    leader = three.leader_of("q/0")
    assert leader is not None
    before = three.nodes[leader].pid
    three.nodes[leader].pause()
    _until(lambda: three.leader_of("q/0") not in (None, leader), "another leader")
    three.nodes[leader].resume()
    three.await_in_sync(TOPIC, 3)
    assert three.nodes[leader].pid == before


RUN = """
import sys
from pathlib import Path
from odradek.jepsen.db.cluster import cluster

class Sleeper:
    name, ports = "sleeper", {}
    def properties(self, node, addresses, data): return {}
    def command(self, config, data): return ["sleep", "600"]

with cluster(Sleeper(), 2, Path(sys.argv[1]), sys.argv[2], image_mib=32) as nodes:
    for node in nodes.nodes.values():
        node.spawn()
    nodes.nodes[2].pause()
    print(*(node.pid for node in nodes.nodes.values()), flush=True)
    sys.stdin.read()
"""


@contextlib.contextmanager
def _run(folder: Path, tag: str) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """A run of its own whose nodes sleep, and their process ids."""
    command = [sys.executable, "-c", RUN, str(folder), tag]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as run:
        try:
            assert run.stdout is not None
            yield run, [int(pid) for pid in run.stdout.readline().split()]
        finally:
            run.kill()


def _gone(pids: list[int]) -> bool:
    return not any(Path(f"/proc/{pid}/ns/net").exists() for pid in pids)


def test_an_interrupt_leaves_nothing(tmp_path: Path) -> None:
    folder, tag = tmp_path / "run", _tag("b")
    with _run(folder, tag) as (run, pids):
        assert len(pids) == 2
        run.send_signal(signal.SIGINT)
        run.wait(60)
        assert _left_of(tag, folder) == []
        assert _gone(pids)


def test_what_a_killed_run_left_is_swept_and_a_living_one_is_not_hurt(tmp_path: Path) -> None:
    dead, living = tmp_path / "dead", tmp_path / "living"
    with _run(dead, _tag("c")) as (run, pids), _run(living, _tag("d")) as (_, others):
        run.kill()
        run.wait()
        _until(lambda: _gone(pids), "the nodes die with the run")
        assert len(_left_of(_tag("c"), dead)) >= 5 + 1 + 2
        assert _tag("c") in leftovers.sweep()
        assert _left_of(_tag("c"), dead) == []
        assert not _gone(others[:1]) and not _gone(others[1:])
        assert len(_left_of(_tag("d"), living)) >= 5 + 1 + 2 + 2
        with pytest.raises(leftovers.TagTaken):
            leftovers.claim(_tag("d"), tmp_path)


def test_a_set_up_that_fails_half_way_leaves_nothing(tmp_path: Path) -> None:
    folder, tag = tmp_path / "run", _tag("e")
    with pytest.raises(OSError, match="mkfs"), cluster(Odradek(), 2, folder, tag, image_mib=0):
        raise AssertionError("entered")
    assert _left_of(tag, folder) == []
