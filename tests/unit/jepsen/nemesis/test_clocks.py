"""Offsets in a file, how far they go, and what a node is started with."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest
from tests.unit.jepsen.nemesis.fakes import FakeCluster

from odradek.jepsen.nemesis import clocks
from odradek.jepsen.nemesis.clocks import (
    ClockStep,
    ClockStrobe,
    clock_file,
    environment,
    offset,
    offset_line,
    prepare,
    swept,
)
from odradek.jepsen.nemesis.targets import Target


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeCluster:
    monkeypatch.setattr(clocks, "_SHARED", tmp_path / "shm")
    monkeypatch.setattr(clocks, "libfaketime", lambda: Path("/lib/faketime.so"))
    made = FakeCluster(folder=tmp_path)
    for node in made.nodes.values():
        node.folder.mkdir()
    return made


def shown(cluster: FakeCluster) -> list[str]:
    return [clock_file(node).read_text().strip() for node in cluster.nodes.values()]


def test_offsets_go_both_ways_from_11_ms_to_288_s() -> None:
    drawn = [offset(Random(seed)) for seed in range(2000)]
    sizes = [abs(seconds) for seconds in drawn]
    assert 0.011 < min(sizes) < 0.02 and 200 < max(sizes) < 288
    assert 0.4 < sum(seconds > 0 for seconds in drawn) / len(drawn) < 0.6
    assert offset_line(-0.0114) == "-0.011\n"
    assert offset_line(288.0) == "+288.000\n"


def test_a_node_is_prepared_only_for_faults_of_clocks(cluster: FakeCluster) -> None:
    assert not prepare(cluster, ["kill"])
    assert cluster.nodes[1].environment == {}
    assert prepare(cluster, ["kill", "clock-step"])
    own = cluster.nodes[1].environment
    assert own["LD_PRELOAD"] == "/lib/faketime.so"
    assert own["FAKETIME_TIMESTAMP_FILE"] == str(clock_file(cluster.nodes[1]))
    assert own["DONT_FAKE_MONOTONIC"] == "1" and own["FAKETIME_CACHE_DURATION"] == "1"
    assert shown(cluster) == ["+0.000"] * 3
    assert "FAKETIME_NO_CACHE" in environment(Path("/l"), Path("/c"), flutters=True)


def test_without_the_library_it_is_said(cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clocks, "libfaketime", lambda: None)
    with pytest.raises(FileNotFoundError, match="libfaketime"):
        prepare(cluster, ["clock-strobe"])


def test_a_step_and_back(cluster: FakeCluster) -> None:
    prepare(cluster, ["clock-step"])
    fault = ClockStep(cluster, Random(1), Target("some", (3, 1)))
    told = fault.start()
    offsets = told["offsets_s"]
    assert told["nodes"] == [1, 3] and isinstance(offsets, dict)
    assert shown(cluster) == [f"{offsets['1']:+.3f}", "+0.000", f"{offsets['3']:+.3f}"]
    assert fault.stop() == {"nodes": [1, 3]}
    assert shown(cluster) == ["+0.000"] * 3


def test_a_strobe_ends_right(cluster: FakeCluster) -> None:
    prepare(cluster, ["clock-strobe"])
    fault = ClockStrobe(cluster, Random(1), Target("some", (2,)), most_s=0.0)
    told = fault.start()
    assert told["nodes"] == [2] and told["delta_s"] != 0
    assert fault.stop()["nodes"] == [2]
    assert shown(cluster) == ["+0.000"] * 3


def test_what_dead_processes_left_is_taken_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clocks, "_SHARED", tmp_path)
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    left = [f"faketime_shm_{ended.pid}", f"sem.faketime_sem_{ended.pid}"]
    kept = [f"faketime_shm_{os.getpid()}", "faketime_shm_x", "other"]
    for name in [*left, *kept]:
        (tmp_path / name).touch()
    with swept():
        assert (tmp_path / left[0]).exists()
        assert clocks.sweep() == left
        (tmp_path / left[0]).touch()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(kept)
