"""Every disk is sound, and every node runs, after the fault; an empty disk is empty."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from random import Random
from typing import cast

import pytest
from tests.unit.jepsen.nemesis.disk_fakes import FolderCluster

from odradek.jepsen.nemesis import disks
from odradek.jepsen.nemesis.disks import BALLAST, DiskFull, FsyncError, LostDisk, SlowDisk, fill
from odradek.jepsen.nemesis.targets import Target
from odradek.jepsen.ports import Image

ONE = Target("one", (2,))


@pytest.fixture
def cluster(tmp_path: Path) -> FolderCluster:
    cluster = FolderCluster(tmp_path)
    for node in cluster.nodes.values():
        (node.data / "log").write_bytes(b"synced")
        node.image.sync()
        (node.data / "log").write_bytes(b"not synced")
    return cluster


@pytest.mark.parametrize("ends", [False, True])
def test_a_failed_disk_is_mounted_again_and_the_node_started(cluster: FolderCluster, ends: bool) -> None:
    node = cluster.nodes[2]
    fault = FsyncError(cluster.port, Random(1), ONE)
    assert fault.start() == {"nodes": [2], "aim": "one"}
    assert node.image.failed
    assert node.pid is not None, "the fault is the disk's: the node is left alone"
    if ends:
        node.kill()
    assert fault.stop() == {"nodes": [2], "ended": [2] if ends else []}
    assert node.calls == ["kill", "spawn"]
    assert (node.data / "log").read_bytes() == b"synced"
    assert not node.image.failed


def test_a_lost_disk_comes_back_empty_under_the_old_id(cluster: FolderCluster) -> None:
    fault = LostDisk(cluster.port, Random(1), ONE)
    fault.start()
    assert cluster.nodes[2].pid is None
    assert fault.stop() == {"nodes": [2]}
    assert list(cluster.nodes[2].data.iterdir()) == []
    assert (cluster.nodes[1].data / "log").exists()


def test_room_is_taken_and_given_back(cluster: FolderCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    room = {"free": 10 << 20}

    def allocate(descriptor: int, start: int, size: int) -> bool:
        if size > 3 << 20:
            return False  # the file system says less than it keeps for itself
        os.ftruncate(descriptor, start + size)
        room["free"] -= size
        return True

    monkeypatch.setattr(disks, "_free", lambda descriptor: room["free"])
    monkeypatch.setattr(disks, "_allocate", allocate)
    fault = DiskFull(cluster.port, Random(1), ONE, most_left_kib=64)
    done = fault.start()
    ballast = cluster.nodes[2].image.mount_point / BALLAST
    assert 0 <= room["free"] < (64 << 10) + 4096
    assert done["filled_kib"] == {"2": ballast.stat().st_size >> 10}
    assert fault.stop() == {"nodes": [2], "started": []}
    assert not ballast.exists()
    assert cluster.nodes[2].calls == []


def test_a_node_that_the_lack_of_room_ended_is_started(
    cluster: FolderCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disks, "_free", lambda descriptor: 0)
    fault = DiskFull(cluster.port, Random(1), ONE)
    fault.start()
    cluster.nodes[2].kill()
    assert fault.stop() == {"nodes": [2], "started": [2]}


def test_nothing_is_taken_of_a_disk_that_is_away(tmp_path: Path) -> None:
    class Away:
        mount_point = tmp_path / "away"

    assert fill(cast(Image, Away()), 0) == 0


def test_a_slow_disk_stalls_again_and_again_and_is_free_after_the_stop(cluster: FolderCluster) -> None:
    stalls: list[tuple[Path, float]] = []
    enough = threading.Event()

    def freeze(mount_point: Path, seconds: float) -> None:
        stalls.append((mount_point, seconds))
        if len(stalls) == 3:
            enough.set()

    fault = SlowDisk(cluster.port, Random(1), ONE, freeze)
    fault.start()
    assert enough.wait(20)
    done = fault.stop()
    assert done == {"nodes": [2], "stalls": {"2": len(stalls)}}
    assert {place for place, _ in stalls} == {cluster.nodes[2].image.mount_point}
    assert all(0.05 <= seconds <= 2 for _, seconds in stalls)
