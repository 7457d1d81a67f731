"""`make cluster`: the program behind it, and the three files that it starts."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.compat.clusters import Cluster, make_topic, until
from tests.compat.conftest import cluster_flavour, on_kafka

from odradek.node.config import NodeConfig, load_config

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "deploy" / "cluster").glob("*.properties"))
pytestmark = [pytest.mark.timeout(120), pytest.mark.skipif(on_kafka(), reason="it starts Odradek")]


def config(file: Path) -> NodeConfig:
    loaded = load_config(file=str(file))
    assert not [note for note in loaded.notes if note.is_warning]
    return loaded.config


def test_the_files_name_each_other() -> None:
    nodes = {config(file).node_id: config(file) for file in FILES}
    assert set(nodes) == {1, 2, 3}
    for node in nodes.values():
        voters = {voter.node_id: (voter.host, voter.port) for voter in node.quorum_voters}
        assert set(voters) == set(nodes)
        (own,) = node.controller_listeners
        assert voters[node.node_id] == (own.host, own.port)
    assert len({tuple(node.log_dirs) for node in nodes.values()}) == 3
    assert len({listener.port for node in nodes.values() for listener in node.listeners}) == 6


def test_three_nodes_live_and_end_together(tmp_path: Path) -> None:
    cluster = Cluster(cluster_flavour(), tmp_path)  # not started here: it made files with free ports
    files = [str(server.folder / "server.properties") for server in cluster.nodes.values()]
    output = tmp_path / "output"
    with output.open("wb") as file:
        command = [sys.executable, str(ROOT / "deploy" / "cluster.py"), *files]
        program = subprocess.Popen(command, stdout=file, stderr=file, stdin=subprocess.DEVNULL)
    try:
        until(lambda: "3 nodes are one cluster" in output.read_text(), 60, output.read_text)
        pids = [int(pid) for pid in re.findall(r"pid (\d+)", output.read_text())]
        assert len(pids) == 3
        os.kill(pids[2], signal.SIGKILL)
        until(lambda: "ended with status -9" in output.read_text(), 30, output.read_text)
        with cluster.nodes[1].connect(60) as connection:
            make_topic(connection, "goes-on", replication=2)
        program.terminate()
        assert program.wait(40) == 0
    finally:
        program.terminate()
        program.wait(40)
    assert "all nodes have ended" in output.read_text()
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_node_that_cannot_start_ends_the_others(tmp_path: Path) -> None:
    cluster = Cluster(cluster_flavour(), tmp_path, own={2: {"log.retention.hours": "soon"}})
    files = [str(server.folder / "server.properties") for server in cluster.nodes.values()]
    done = subprocess.run(
        [sys.executable, str(ROOT / "deploy" / "cluster.py"), *files],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert "ended with status 2: ending the others" in done.stdout
    assert "log.retention.hours" in done.stdout
