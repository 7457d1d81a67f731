"""Quotas of both versions of control groups, on a folder that stands in for the kernel's."""

from __future__ import annotations

import os
from pathlib import Path
from random import Random

import pytest
from tests.unit.jepsen.nemesis.fakes import FakeCluster

from odradek.jepsen.nemesis import cpu
from odradek.jepsen.nemesis.cpu import Cpu, Hierarchy, hierarchy
from odradek.jepsen.nemesis.targets import Target

V1 = "9:pids:/user\n3:cpu:/odd/place\n0::/init.scope\n"
V2 = "0::/user.slice\n"


def seed_that(burns: bool) -> int:
    return next(seed for seed in range(100) if (Random(seed).random() < 1 / 3) is burns)


def test_the_files_of_a_quota() -> None:
    first = Hierarchy(Path("/c"), unified=False).quota(0.1)
    assert list(first.items()) == [("cpu.cfs_period_us", "100000"), ("cpu.cfs_quota_us", "10000")]
    assert Hierarchy(Path("/c"), unified=True).quota(0.5) == {"cpu.max": "50000 100000"}


def test_where_a_process_was() -> None:
    assert Hierarchy(Path("/c"), unified=False).group_of(V1) == Path("/c/odd/place")
    assert Hierarchy(Path("/c"), unified=True).group_of(V2) == Path("/c/user.slice")
    assert Hierarchy(Path("/c"), unified=False).group_of("") == Path("/c")


def test_the_hierarchy_of_a_machine(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"cgroup {tmp_path} cgroup rw,cpu 0 0\n")
    assert hierarchy(mounts) == Hierarchy(tmp_path, unified=False)
    (tmp_path / "cgroup.controllers").write_text("cpu\n")
    mounts.write_text(f"cgroup2 {tmp_path} cgroup2 rw 0 0\n")
    assert hierarchy(mounts) == Hierarchy(tmp_path, unified=True)
    mounts.write_text("proc /proc proc rw 0 0\n")
    assert hierarchy(mounts) is None


def test_a_process_goes_into_a_group_and_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = FakeCluster()
    cluster.nodes[2].pid = os.getpid()
    (tmp_path / "cgroup.procs").write_text("")
    where = Hierarchy(tmp_path, unified=False)
    monkeypatch.setattr(Hierarchy, "group_of", lambda self, text: tmp_path)
    fault = Cpu(4, cluster, Random(seed_that(burns=False)), Target("one", (2,)), where)
    told = fault.start()
    assert told["nodes"] == [2] and told["share"] in (0.1, 0.2, 0.3, 0.5)
    (group,) = tmp_path.glob("odradek-jepsen-*-4-2")
    assert (group / "cgroup.procs").read_text() == str(os.getpid())
    assert (group / "cpu.cfs_period_us").read_text() == "100000"
    removed: list[Path] = []
    monkeypatch.setattr(
        Path, "rmdir", lambda path: removed.append(path)
    )  # the kernel removes a group with its files

    def busy(path: Path) -> None:
        raise OSError("busy")

    with monkeypatch.context() as once:
        once.setattr(cpu, "remove", busy)
        with pytest.raises(OSError, match="busy"):
            fault.stop()
    fault.stop()
    assert (tmp_path / "cgroup.procs").read_text() == str(os.getpid())
    assert removed == [group], "by the second stop"


def test_who_does_not_run_is_not_slowed(tmp_path: Path) -> None:
    cluster = FakeCluster()
    cluster.nodes[2].pid = None
    where = Hierarchy(tmp_path, unified=False)
    fault = Cpu(4, cluster, Random(seed_that(burns=False)), Target("one", (2,)), where)
    assert fault.start()["nodes"] == []
    fault.stop()
    assert list(tmp_path.iterdir()) == []


def test_burners_end(tmp_path: Path) -> None:
    fault = Cpu(
        1, FakeCluster(), Random(seed_that(burns=True)), Target("one", (2,)), Hierarchy(tmp_path, False)
    )
    told = fault.start()
    assert told == {"nodes": [1, 2, 3], "burners": 2 * (os.cpu_count() or 1)}
    assert fault.stop() == {"nodes": [1, 2, 3]}
