"""What a plan promises: counts, quiet, who is struck beside whom, and the same plan for the same seed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import combinations, pairwise

import pytest

from odradek.jepsen.nemesis.kinds import FOUND_LATER, GROUPS, KINDS
from odradek.jepsen.nemesis.schedule import AWAIT_IN_SYNC, PlanError, Step, plan, timeline

NODES = (1, 2, 3)
SIX_MINUTES = {"all": 30, "power": 8, "power-all": 2}


def six_minutes(seed: int, nodes: Sequence[int] = NODES) -> list[Step]:
    return list(plan(["default"], 360, seed, nodes, at_least=SIX_MINUTES))


def faults(steps: Sequence[Step]) -> list[Step]:
    return [step for step in steps if step.name != AWAIT_IN_SYNC]


@pytest.mark.parametrize("seed", range(12))
def test_six_minutes_hold_what_they_must(seed: int) -> None:
    steps = six_minutes(seed)
    names = Counter(step.name for step in faults(steps))
    assert sum(names.values()) >= 30
    assert sum(names[name] for name in GROUPS["power"]) >= 8
    assert names["power-all"] >= 2
    assert len(names) >= 6
    assert steps == sorted(steps, key=lambda step: step.at)
    assert [step.number for step in faults(steps)] == list(range(1, len(faults(steps)) + 1))
    assert max(step.ends for step in steps) <= 348


def test_the_seed_is_the_plan() -> None:
    assert six_minutes(7) == six_minutes(7)
    assert six_minutes(7) != six_minutes(8)


def test_one_plan_as_it_is() -> None:
    """A change of the drawing changes what every seed of the track record means: this test says so."""
    shown = [(step.number, step.name, step.targets) for step in plan(["process"], 40, 1, NODES)]
    assert shown == SHOWN, shown


SHOWN: list[tuple[int, str, tuple[int, ...]]] = [
    (1, "kill", (1,)),
    (2, "pause-kill", (1, 3, 2)),
    (3, "pause-kill", (3, 2, 1)),
    (4, "kill", (1,)),
    (5, "kill", (3,)),
]


def _taken(step: Step, nodes: Sequence[int]) -> set[int]:
    if not KINDS[step.name].takes:
        return set()
    return set(nodes) if step.aim in FOUND_LATER else set(step.targets)


@pytest.mark.parametrize("nodes", [NODES, (1, 2, 3, 4, 5)])
@pytest.mark.parametrize("seed", range(8))
def test_no_node_is_taken_twice_at_once(seed: int, nodes: Sequence[int]) -> None:
    for one, other in combinations(faults(six_minutes(seed, nodes)), 2):
        if _taken(one, nodes) & _taken(other, nodes):
            assert one.ends < other.at, (one, other)


@pytest.mark.parametrize("nodes", [NODES, (1, 2, 3, 4, 5)])
@pytest.mark.parametrize("seed", range(8))
def test_a_minority_of_disks_is_damaged_between_two_recoveries(seed: int, nodes: Sequence[int]) -> None:
    harmed: set[int] = set()
    running: list[Step] = []
    for action in timeline(six_minutes(seed, nodes)):
        if action.does == "start":
            running.append(action.step)
            if KINDS[action.step.name].damages:
                harmed |= set(action.step.targets)
        elif action.does == "stop":
            running.remove(action.step)
        else:
            assert not running, "nothing runs while recovery is awaited"
            assert harmed, "nothing is awaited without need"
            harmed.clear()
        assert len(harmed) <= (len(nodes) - 1) // 2
    assert not harmed


@pytest.mark.parametrize("seed", range(12))
def test_who_wants_to_be_alone_is(seed: int) -> None:
    steps = faults(plan(["default"], 360, seed, NODES, at_least={"membership": 2}))
    alone = [step for step in steps if KINDS[step.name].alone]
    assert len(alone) >= 2
    for step in alone:
        others = [other for other in steps if other is not step]
        assert all(other.ends < step.at or other.at > step.ends for other in others)


def test_an_outage_is_short() -> None:
    for seed in range(12):
        for step in faults(six_minutes(seed)):
            if step.name in ("power-all", "partition-ring", *GROUPS["composite"]) or len(step.targets) == 3:
                assert step.hold <= 5 or step.name in GROUPS["link"] + GROUPS["clock"] + GROUPS["resource"], (
                    step
                )


@pytest.mark.parametrize("nodes", [NODES, (1, 2, 3, 4, 5)])
def test_nothing_else_runs_from_an_emptied_disk_to_the_recovery(nodes: Sequence[int]) -> None:
    seen = 0
    for seed in range(12):
        running: set[str] = set()
        emptied = False
        for action in timeline(six_minutes(seed, nodes)):
            empties = action.does != "await" and KINDS[action.step.name].empties
            if action.does == "start":
                assert empties or not emptied, action
                emptied = emptied or empties
                assert not emptied or all(KINDS[name].empties for name in running), (action, running)
                running.add(action.step.name)
                seen += empties
            elif action.does == "stop":
                running.discard(action.step.name)
            else:
                emptied = False
        assert not emptied
    assert seen > 10


def test_one_in_four_periods_is_quiet() -> None:
    """A gap longer than the longest spacing between faults and the rest of two periods is a quiet spell."""
    gaps = 0
    for seed in range(20):
        steps = faults(plan(["pause"], 600, seed, NODES, interval=(20, 20)))
        gaps += sum(after.at - before.at > 20 for before, after in pairwise(steps))
    assert 50 < gaps < 160  # of 20 times 29 periods


def test_short_runs_have_short_periods() -> None:
    steps = plan(["kill", "power-all"], 30, 3, NODES, interval=(6, 9), at_least={"power-all": 2, "all": 4})
    assert len(faults(steps)) >= 4
    assert max(step.ends for step in steps) <= 27


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(PlanError, match="not for 100"):
        plan(["kill"], 60, 1, NODES, at_least={"kill": 100})
    with pytest.raises(PlanError, match="none of its kinds"):
        plan(["kill"], 60, 1, NODES, at_least={"power": 1})
    with pytest.raises(PlanError, match="no room"):
        plan(["kill"], 5, 1, NODES, at_least={"kill": 1})
    assert plan([], 60, 1, NODES) == []
    assert plan(["none"], 60, 1, NODES) == []


def test_one_node_loses_no_disk() -> None:
    assert not any(KINDS[step.name].damages for step in faults(plan(["default"], 300, 1, [1])))


def test_the_timeline_heals_before_it_breaks() -> None:
    steps = [Step(1, 1.0, "kill", 2.0), Step(2, 3.0, "pause", 1.0), Step(0, 3.0, AWAIT_IN_SYNC, 1.0)]
    shown = [(action.at, action.does, action.step.number) for action in timeline(steps)]
    assert shown == [
        (1.0, "start", 1),
        (3.0, "stop", 1),
        (3.0, "await", 0),
        (3.0, "start", 2),
        (4.0, "stop", 2),
    ]
