"""Parts start in order, heal in the order that was drawn, and none is forgotten when another one fails."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from tests.unit.jepsen.nemesis.fakes import FakeCluster

from odradek.jepsen.nemesis.composites import Composite


class Part:
    def __init__(self, name: str, node: int, notes: list[str], fails_at: str = "") -> None:
        self.name = name
        self._node = node
        self._notes = notes
        self._fails_at = fails_at

    def start(self) -> Mapping[str, object]:
        return self._note("start")

    def stop(self) -> Mapping[str, object]:
        return self._note("stop")

    def _note(self, phase: str) -> Mapping[str, object]:
        self._notes.append(f"{phase} {self.name}")
        if self._fails_at == phase:
            raise OSError(f"{self.name} does not {phase}")
        return {"nodes": [self._node]}


def made(notes: list[str], first_heals_first: bool, **fails: str) -> Composite:
    parts = [Part("a", 1, notes, fails.get("a", "")), Part("b", 2, notes, fails.get("b", ""))]

    def wait(seconds: float) -> None:
        notes.append(f"wait {seconds}")

    return Composite("a-b", FakeCluster(3), parts, 0.5, first_heals_first, wait)


def test_last_first() -> None:
    notes: list[str] = []
    fault = made(notes, first_heals_first=False)
    started = fault.start()
    assert started["nodes"] == [1, 2] and started["majority"] is True
    assert fault.stop()["nodes"] == [1, 2]
    assert notes == ["start a", "wait 0.5", "start b", "stop b", "wait 0.5", "stop a"]


def test_first_first() -> None:
    notes: list[str] = []
    fault = made(notes, first_heals_first=True)
    fault.start()
    fault.stop()
    assert notes[3:] == ["stop a", "wait 0.5", "stop b"]


def test_a_part_that_does_not_start_leaves_nothing() -> None:
    notes: list[str] = []
    fault = made(notes, first_heals_first=False, b="start")
    with pytest.raises(OSError, match="b does not start"):
        fault.start()
    assert notes[-3:] == ["stop b", "wait 0.5", "stop a"]
    assert fault.stop() == {"nodes": [], "parts": {}}


def test_a_part_that_does_not_heal_keeps_none_from_healing() -> None:
    notes: list[str] = []
    fault = made(notes, first_heals_first=False, b="stop")
    fault.start()
    with pytest.raises(ExceptionGroup, match="healing a-b"):
        fault.stop()
    assert notes[-1] == "stop a"
    with pytest.raises(ExceptionGroup, match="healing a-b"):
        fault.stop()
    assert notes[-1] == "stop b", "what was not healed is healed by the next stop, and nothing else"
    assert notes.count("stop a") == 1
