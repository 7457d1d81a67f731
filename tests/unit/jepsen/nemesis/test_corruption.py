"""A node is down while its bytes change, and comes back: with an empty disk if it must."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest
from tests.unit.jepsen.nemesis.disk_fakes import FolderCluster

from odradek.jepsen.nemesis.corruption import Corruption, revive
from odradek.jepsen.nemesis.damage import BIT_FLIP, DAMAGES, STALE_CHUNK
from odradek.jepsen.nemesis.targets import Target

ONE = Target("one", (2,))
LOG = Random(9).randbytes(10_240)


@pytest.fixture
def cluster(tmp_path: Path) -> FolderCluster:
    cluster = FolderCluster(tmp_path)
    for node in cluster.nodes.values():
        (node.data / "q-0").mkdir()
        (node.data / "q-0/0.log").write_bytes(LOG)
        (node.data / "meta.properties").write_bytes(b"node.id=2\n")
    return cluster


@pytest.mark.parametrize("name", DAMAGES)
def test_a_file_of_a_node_that_is_down_is_damaged_and_told(cluster: FolderCluster, name: str) -> None:
    node = cluster.nodes[2]
    fault = Corruption(cluster.port, Random(4), ONE, name, ["log"], lambda seconds: None)
    done: Any = fault.start()
    assert (fault.name, done["nodes"]) == (name, [2])
    assert node.calls == ["kill"]
    [[path, _, _, _, size]] = done["files"]["2"]
    assert (path, size) == ("q-0/0.log", len(LOG))
    assert (node.data / path).read_bytes() != LOG
    assert (cluster.nodes[1].data / path).read_bytes() == LOG
    assert fault.stop() == {"nodes": [2]}
    assert node.pid is not None


def test_a_stale_page_is_of_the_time_before_the_damage(cluster: FolderCluster) -> None:
    node = cluster.nodes[2]

    def work(seconds: float) -> None:
        assert node.pid is not None, "it works meanwhile"
        (node.data / "q-0/0.log").write_bytes(LOG + b"more" * 2000)

    Corruption(cluster.port, Random(4), ONE, STALE_CHUNK, wait=work).start()
    found = (node.data / "q-0/0.log").read_bytes()
    assert found.startswith(LOG)
    assert len(found) == len(LOG) + 8000
    assert b"\0" * 1000 in found


def test_a_node_that_refuses_to_start_gets_an_empty_disk_and_its_words_are_kept(
    cluster: FolderCluster,
) -> None:
    node = cluster.nodes[2]
    node.refuses = "ERROR the log is damaged"
    fault = Corruption(cluster.port, Random(1), ONE, BIT_FLIP)
    fault.start()
    assert fault.stop() == {"nodes": [2], "refused": {"2": "-- start 2\nERROR the log is damaged"}}
    assert node.calls == ["kill", "spawn", "spawn"]
    assert node.pid is not None
    assert list(node.data.iterdir()) == []


def test_a_start_is_watched_until_the_node_serves_or_has_ended(cluster: FolderCluster) -> None:
    cluster.nodes[2].kill()
    revive(cluster.port, [2])
    assert cluster.watched == [([2], 60.0)]


def test_who_runs_is_not_touched(cluster: FolderCluster) -> None:
    assert revive(cluster.port, [1, 2, 3]) == {}
    assert all(node.calls == [] for node in cluster.nodes.values())


def test_a_disk_without_files_cannot_be_damaged(cluster: FolderCluster) -> None:
    fault = Corruption(cluster.port, Random(1), ONE, BIT_FLIP, ["raft-snapshot"])
    done: Any = fault.start()
    assert done["files"] == {"2": []}
