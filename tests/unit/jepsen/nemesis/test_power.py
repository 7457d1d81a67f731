"""What was synced outlives a power cut, what was not does not, and all nodes of a cut stand before it begins."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

import pytest
from tests.unit.jepsen.nemesis.disk_fakes import FolderCluster, FolderImage, by_name

from odradek.jepsen.nemesis.power import NAMED, PowerCut, RollingPowerCut, Supply, summary
from odradek.jepsen.nemesis.targets import Target
from odradek.jepsen.nemesis.torn_tails import TornFile

SYNCED, UNSYNCED = b"synced" * 100, b"unsynced" * 100


@pytest.fixture
def cluster(tmp_path: Path) -> FolderCluster:
    cluster = FolderCluster(tmp_path)
    for node in cluster.nodes.values():
        (node.data / "log").write_bytes(SYNCED)
        node.image.sync()
        (node.data / "log").write_bytes(SYNCED + UNSYNCED)
    return cluster


def _disks(done: Mapping[str, object]) -> Any:
    return done["disks"]


def test_without_torn_tails_only_what_was_synced_is_left(cluster: FolderCluster) -> None:
    nodes = list(cluster.port.nodes.values())
    assert Supply(FolderImage, None).cut(nodes, Random(1)) == {"1": {}, "2": {}, "3": {}}
    for node in cluster.nodes.values():
        assert (node.data / "log").read_bytes() == SYNCED
        assert node.calls == ["pause", "kill"]
        assert node.image.mounted
        assert sorted(path.name for path in node.folder.iterdir()) == ["disk", "image"]


def test_a_cut_tells_what_it_lost_and_power_returns_at_the_stop(cluster: FolderCluster) -> None:
    fault = PowerCut(cluster.port, Random(3), Target("all", (1, 2, 3)), "power-all", FolderImage, by_name)
    done = fault.start()
    assert (fault.name, done["nodes"], done["majority"]) == ("power-all", [1, 2, 3], True)
    for number, node in cluster.nodes.items():
        log = (node.data / "log").read_bytes()
        assert log.startswith(SYNCED)
        disk = _disks(done)[str(number)]
        assert (disk["lost"], disk["restored"]) == (len(UNSYNCED), len(log) - len(SYNCED))
        assert disk["files"]["log"][1:] == [disk["lost"], disk["restored"]]
        assert node.pid is None
    assert len({(node.data / "log").read_bytes() for node in cluster.nodes.values()}) > 1
    assert fault.stop() == {"nodes": [1, 2, 3]}
    assert all(node.pid is not None for node in cluster.nodes.values())
    assert fault.stop() == {"nodes": []}


def test_what_is_restored_is_on_the_disk_then_and_outlives_the_next_cut(cluster: FolderCluster) -> None:
    fault = PowerCut(cluster.port, Random(3), Target("all", (1, 2, 3)), "power-all", FolderImage, by_name)
    fault.start()
    found = [(node.data / "log").read_bytes() for node in cluster.nodes.values()]
    Supply(FolderImage, None).cut(list(cluster.port.nodes.values()), Random(1))
    assert [(node.data / "log").read_bytes() for node in cluster.nodes.values()] == found


def test_the_leader_of_the_moment_is_struck(cluster: FolderCluster) -> None:
    cluster.led = 2
    fault = PowerCut(
        cluster.port, Random(1), Target("leader", (1,), ["q/0"]), "power-one", FolderImage, by_name
    )
    assert fault.start()["nodes"] == [2]
    assert cluster.nodes[1].calls == []


def test_a_node_that_is_down_already_loses_what_the_kernel_still_had(cluster: FolderCluster) -> None:
    cluster.nodes[1].kill()
    Supply(FolderImage, None).cut([cluster.port.nodes[1]], Random(1))
    assert (cluster.nodes[1].data / "log").read_bytes() == SYNCED


def test_a_node_that_does_not_stand_is_killed_and_keeps_its_disk(cluster: FolderCluster) -> None:
    cluster.nodes[1].stands = False
    cuts = Supply(FolderImage, None).cut([cluster.port.nodes[1], cluster.port.nodes[2]], Random(1))
    assert cuts == {"1": {"kept": "does not stand still"}, "2": {}}
    assert cluster.nodes[1].pid is None
    assert (cluster.nodes[1].data / "log").read_bytes() == SYNCED + UNSYNCED


def test_an_image_that_is_not_mounted_is_left_alone_and_mounted_when_power_returns(
    cluster: FolderCluster,
) -> None:
    cluster.nodes[1].kill()
    cluster.nodes[1].image.unmount()
    fault = PowerCut(cluster.port, Random(1), Target("one", (1,)), "power-one", FolderImage, by_name)
    assert _disks(fault.start()) == {"1": {"kept": "the image was not mounted"}}
    assert fault.stop() == {"nodes": [1]}


@pytest.mark.parametrize("seed", range(6))
def test_a_rolling_cut_takes_one_after_the_other_within_its_time(cluster: FolderCluster, seed: int) -> None:
    waits: list[float] = []
    alive: list[list[int]] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        alive.append([number for number, node in cluster.nodes.items() if node.pid is not None])

    target = Target("order", (3, 1, 2))
    fault = RollingPowerCut(cluster.port, Random(seed), target, FolderImage, by_name, wait)
    done = fault.start()
    assert done["nodes"] == [1, 2, 3]
    assert set(_disks(done)) == {"1", "2", "3"}
    assert 0.5 < sum(waits) <= 5
    down = [number for number, node in cluster.nodes.items() if node.pid is None]
    if done["returns"]:
        assert (alive, down, "majority" in done) == ([[1, 2], [2, 3]], [2], False)
    else:
        assert (alive, down, "majority" in done) == ([[1, 2], [2]], [1, 2, 3], True)
    fault.stop()
    assert all(node.pid is not None for node in cluster.nodes.values())
    assert all((node.data / "log").read_bytes().startswith(SYNCED) for node in cluster.nodes.values())


def test_the_history_names_the_largest_losses() -> None:
    files = [TornFile(f"f{size}", "prefix", size, 1) for size in range(1, 41)]
    told: Any = summary(files)
    assert (told["lost"], told["restored"], told["torn"]) == (820, 40, 40)
    assert list(told["files"]) == [f"f{size}" for size in range(40, 40 - NAMED, -1)]
