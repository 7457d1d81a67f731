"""The plan in (fake) time: what is late moves the rest, and what was broken is healed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from odradek.jepsen.history import read
from odradek.jepsen.nemesis.schedule import AWAIT_IN_SYNC, Step
from odradek.jepsen.run.faults import Faults
from odradek.jepsen.run.journal import Journal


class _Clock:
    def __init__(self) -> None:
        self.time = 0.0

    def now(self) -> float:
        return self.time

    def sleep_until(self, at: float) -> None:
        self.time = max(self.time, at)


class _Fault:
    def __init__(self, step: Step, clock: _Clock, told: list[tuple[float, str]], takes: float = 0.0) -> None:
        self.name = step.name
        self._clock = clock
        self._told = told
        self._takes = takes
        self.stops_badly = {"impossible twice": 1, "stuck": 1, "stuck for ever": 9}.get(step.name, 0)

    def start(self) -> Mapping[str, object]:
        if self.name.startswith("impossible"):
            raise OSError("no such device")
        self._told.append((self._clock.time, f"start {self.name}"))
        self._clock.time += self._takes
        return {"nodes": [1]}

    def stop(self) -> Mapping[str, object]:
        if self.stops_badly:
            self.stops_badly -= 1
            raise OSError("does not heal")
        self._told.append((self._clock.time, f"stop {self.name}"))
        return {"nodes": [1]}


class _Scene:
    def __init__(self, folder: Path, takes: float = 0.0) -> None:
        self.clock = _Clock()
        self.told: list[tuple[float, str]] = []
        self.path = folder / "nemesis.jsonl"

        def build(step: Step) -> _Fault:
            if step.name == "no such kind":
                raise LookupError(step.name)
            return _Fault(step, self.clock, self.told, takes)

        self.faults = Faults(
            build,
            lambda: self.told.append((self.clock.time, "in sync")),
            Journal(self.path, lambda: int(self.clock.time * 1000)),
            self.clock,
            lambda line: None,
        )

    def written(self) -> list[tuple[str, str]]:
        values: list[Any] = [event.value for event in read(self.path)]
        return [(value["name"], value["phase"]) for value in values]


_KILL, _PAUSE = Step(1, 1.0, "kill", 3.0), Step(2, 2.0, "pause", 1.0)
_WAIT = Step(0, 5.0, AWAIT_IN_SYNC, 2.0)


def test_faults_start_and_stop_at_their_times_and_are_written_down(tmp_path: Path) -> None:
    scene = _Scene(tmp_path)
    scene.faults.carry_out([_KILL, _PAUSE, _WAIT])
    assert scene.told == [
        (1.0, "start kill"),
        (2.0, "start pause"),
        (3.0, "stop pause"),
        (4.0, "stop kill"),
        (5.0, "in sync"),
    ]
    assert scene.written() == [("kill", "start"), ("pause", "start"), ("pause", "stop"), ("kill", "stop")]


def test_a_late_one_moves_those_that_follow(tmp_path: Path) -> None:
    scene = _Scene(tmp_path, takes=2.5)
    scene.faults.carry_out([_KILL, Step(2, 10.0, "kill", 1.0)])
    assert [round(at, 1) for at, _ in scene.told] == [1.0, 4.0, 10.0, 12.5]
    scene = _Scene(tmp_path, takes=4.0)
    scene.faults.carry_out([_KILL, Step(2, 5.0, "kill", 1.0)])
    assert scene.told[2][0] > 5.0, "the quiet second between them was kept"


def test_what_is_broken_is_healed_when_the_run_ends_early(tmp_path: Path) -> None:
    scene = _Scene(tmp_path)

    def end() -> None:
        raise KeyboardInterrupt

    scene.faults._await_in_sync = end
    with pytest.raises(KeyboardInterrupt):
        scene.faults.carry_out([Step(1, 1.0, "kill", 9.0), _WAIT])
    assert [what for _, what in scene.told] == ["start kill", "stop kill"]


def test_a_fault_that_cannot_be_done_is_told_and_does_not_count(tmp_path: Path) -> None:
    scene = _Scene(tmp_path)
    scene.faults.carry_out([Step(1, 1.0, "impossible", 1.0), _PAUSE])
    assert "no such device" in scene.faults.failed[0]
    assert scene.written() == [("impossible", "failed"), ("pause", "start"), ("pause", "stop")]


def test_a_fault_that_cannot_be_made_or_that_fails_twice_does_not_end_the_run(tmp_path: Path) -> None:
    scene = _Scene(tmp_path)
    scene.faults.carry_out(
        [Step(1, 1.0, "no such kind", 1.0), Step(3, 1.5, "impossible twice", 1.0), _PAUSE],
    )
    assert [what for _, what in scene.told] == ["start pause", "stop pause", "stop impossible twice"]
    assert scene.written() == [
        ("no such kind", "failed"),
        ("impossible twice", "failed"),
        ("impossible twice", "failed"),
        ("pause", "start"),
        ("pause", "stop"),
        ("impossible twice", "stop"),
    ]
    assert scene.faults.unhealed == []


def test_what_could_not_be_healed_is_healed_again_at_the_end(tmp_path: Path) -> None:
    scene = _Scene(tmp_path)
    scene.faults.carry_out([Step(1, 1.0, "stuck", 1.0), Step(2, 4.0, "pause", 1.0)])
    assert scene.written() == [
        ("stuck", "start"),
        ("stuck", "failed"),
        ("pause", "start"),
        ("pause", "stop"),
        ("stuck", "stop"),
    ]
    assert scene.faults.unhealed == []


def test_what_does_not_heal_at_all_is_given_up_and_named(tmp_path: Path) -> None:
    scene = _Scene(tmp_path)
    scene.faults.carry_out([Step(1, 1.0, "stuck for ever", 1.0), _PAUSE])
    assert scene.faults.unhealed == ["stuck for ever (fault 1)"]
    assert [phase for name, phase in scene.written() if name != "pause"] == ["start"] + 3 * ["failed"]


def test_nodes_whose_disks_were_struck_are_known(tmp_path: Path) -> None:
    scene = _Scene(tmp_path)
    scene.faults.carry_out([_KILL])
    assert scene.faults.damaged == set()
    scene.faults.carry_out([Step(4, 1.0, "fsync-error", 1.0), _PAUSE])
    assert scene.faults.damaged == {1}
