"""The keys of a run are those of all its workloads."""

from __future__ import annotations

from odradek.jepsen.run.record import Recorded


def test_keys_of_all_workloads() -> None:
    recorded = Recorded(topics={"queue": {"q0": 2}, "groups": {"g0": 1}, "metadata": {}})
    assert recorded.keys == ["q0/0", "q0/1", "g0/0"]
