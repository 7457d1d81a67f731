"""Killed nodes come back once, paused ones go on, and one heals without the other's help."""

from __future__ import annotations

from random import Random

from tests.unit.jepsen.nemesis.fakes import FakeCluster

from odradek.jepsen.nemesis.processes import Kill, Pause
from odradek.jepsen.nemesis.targets import Target


def test_a_kill_is_undone() -> None:
    cluster = FakeCluster()
    fault = Kill(cluster, Random(1), Target("all", (1, 2, 3)))
    assert fault.start() == {"nodes": [1, 2, 3], "majority": True, "aim": "all"}
    assert sorted(cluster.notes) == ["kill 1", "kill 2", "kill 3"]
    assert fault.stop() == {"nodes": [1, 2, 3]}


def test_who_runs_already_is_left_alone() -> None:
    cluster = FakeCluster()
    fault = Kill(cluster, Random(1), Target("one", (2,)))
    fault.start()
    cluster.nodes[2].spawn()  # another fault healed it
    assert fault.stop() == {"nodes": []}
    assert cluster.notes == ["kill 2", "spawn 2"]


def test_the_leader_of_the_start_is_the_one_that_is_healed() -> None:
    cluster = FakeCluster(leads=3)
    kill = Kill(cluster, Random(1), Target("leader", (1,), ["t/0"]))
    pause = Pause(cluster, Random(1), Target("controller", (1,)))
    kill.start()
    pause.start()
    cluster.leads = 2
    kill.stop()
    pause.stop()
    assert cluster.notes == ["kill 3", "pause 3", "spawn 3", "resume 3"]


def test_a_pause_starts_nobody() -> None:
    cluster = FakeCluster()
    fault = Pause(cluster, Random(1), Target("one", (1,)))
    assert fault.start() == {"nodes": [1], "aim": "one"}
    cluster.nodes[1].kill()
    assert fault.stop() == {"nodes": [1]}
    assert cluster.nodes[1].pid is None


def test_what_was_not_started_heals_nothing() -> None:
    cluster = FakeCluster()
    Kill(cluster, Random(1), Target("one", (1,))).stop()
    Pause(cluster, Random(1), Target("one", (1,))).stop()
    assert cluster.notes == []
