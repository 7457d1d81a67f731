"""The plan of a run: which fault strikes when, whom, and for how long; all of it from the seed.

Decides: periods, quiet spells, the faults of each period, their times, targets and seeds, and the waits for recovery.
Does not decide: what a fault does (`registry`), nor when real time falls behind the plan (the run).
Pure: the same arguments give the same plan on every machine.
Invariants:
* A period draws one to three kinds (or none: quiet) and strikes with them again and again, seconds apart; everything
  that starts in a period is healed in it.
* Faults that take the same node do not overlap; a fault that wants to be alone has its period to itself.
* Bytes that were synced are damaged on a minority of the nodes at most, and a period with such a fault ends with a wait
  until all replicas are in sync: no second disk is harmed before the first one is whole again. Faults after which a
  disk may be empty come last in their period, when everything else is healed.
* Whatever leaves no majority that serves is healed after 5 s at most: a run in which nothing happens proves nothing.
* The run ends quiet.
Source: the mixes of the Bufstream and NATS suites (a random subset every stable period, one in four empty).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from random import Random
from typing import Final, Literal, NamedTuple

from odradek.jepsen.nemesis.kinds import FOUND_LATER, WEIGHTS, Aim, Kind, resolve

#: The name of the step that waits until every replica is in sync. Its `hold` is what the plan leaves for it: the run
#: waits longer if it must, and everything after it comes that much later.
AWAIT_IN_SYNC: Final = "await-in-sync"

_MOST_KINDS = 3
_FIRST_S = 2.0  # at most, from the start of a period to its first fault
_SLACK_S = 1.0  # between two faults that take the same node, and between the last heal and the period's end
_LEAST_HOLD_S = 0.1
_RECOVERY = 0.35  # of a period in which disks are damaged, at most `_RECOVERY_S`
_RECOVERY_S = 8.0
_OUTAGE_S = 5.0
_QUIET_END = 0.1  # of the run, at most `_QUIET_END_S`
_QUIET_END_S = 12.0
_QUIET_START_S = 3.0


class Step(NamedTuple):
    """One fault, or a wait (`name` is AWAIT_IN_SYNC, number 0).

    `at` and `hold` are seconds, from the start of the run and from the fault's own start. `targets` are node ids in the
    order in which the kind reads them; with an aim that is found later they are whom to strike if nobody is found.
    `seed` is for all that the fault draws itself.
    """

    number: int
    at: float
    name: str
    hold: float
    aim: Aim = "none"
    targets: tuple[int, ...] = ()
    seed: int = 0

    @property
    def ends(self) -> float:
        return self.at + self.hold


class Action(NamedTuple):
    """What the run does at a time of the plan."""

    at: float
    does: Literal["start", "stop", "await"]
    step: Step


class PlanError(ValueError):
    """What was asked for does not fit into the time; the message says what is short."""


class _Period:
    """`slots` are the times of faults, `kinds` what strikes at each (None: not chosen yet); no slots: quiet."""

    def __init__(self, begins: float, ends: float) -> None:
        self.begins = begins
        self.ends = ends
        self.slots: list[float] = []
        self.kinds: list[Kind] = []
        self.forced: list[bool] = []


def plan(
    names: Sequence[str],
    seconds: float,
    seed: int,
    nodes: Sequence[int],
    quiet: float = 0.25,
    interval: tuple[float, float] = (15.0, 30.0),
    spacing: tuple[float, float] = (3.0, 9.0),
    at_least: Mapping[str, int] | None = None,
) -> Sequence[Step]:
    """The steps of a whole run in the order of their times.

    `names` are kinds and groups; `quiet` is the part of periods without a fault; `interval` the length of a period and
    `spacing` the time between two faults of one, both (least, most) seconds. `at_least` says of kinds or groups how
    many faults there must be ("all" counts every fault). Raises UnknownKindError, and PlanError when the time
    is too short.
    """
    random = Random(f"plan {seed}")
    kinds = [kind for kind in resolve(names) if not kind.damages or _minority(nodes)]
    periods = _periods(random, seconds, interval)
    if not kinds or not periods:
        if at_least and any(at_least.values()):
            raise PlanError(f"{seconds} s and the kinds {list(names)} have no room for {dict(at_least)}")
        return []
    awake = [period for period in periods if random.random() >= quiet] or [random.choice(periods)]
    for period in awake:
        _draw_faults(period, kinds, random, spacing)
    _insist(at_least or {}, kinds, periods, random, spacing)
    steps: list[Step] = []
    for period in periods:
        steps += _laid_out(period, nodes, random)
    return _numbered(steps)


def timeline(steps: Sequence[Step]) -> Sequence[Action]:
    """Starts, stops and waits in the order of their times; at one time stops come before waits before starts."""
    rank = {"stop": 0, "await": 1, "start": 2}
    actions: list[Action] = []
    for step in steps:
        if step.name == AWAIT_IN_SYNC:
            actions.append(Action(step.at, "await", step))
        else:
            actions += [Action(step.at, "start", step), Action(step.ends, "stop", step)]
    return sorted(actions, key=lambda action: (action.at, rank[action.does], action.step.number))


def _minority(nodes: Sequence[int]) -> int:
    return (len(nodes) - 1) // 2


def _periods(random: Random, seconds: float, interval: tuple[float, float]) -> list[_Period]:
    end = seconds - min(_QUIET_END_S, seconds * _QUIET_END)
    begins = min(_QUIET_START_S, seconds * _QUIET_END)
    periods = []
    while end - begins >= interval[0]:
        ends = begins + random.uniform(*interval)
        if end - ends < interval[0]:  # what is left would be no period: part of this one
            ends = min(end, begins + interval[1])
        periods.append(_Period(begins, ends))
        begins = ends
    return periods


def _draw_faults(
    period: _Period, kinds: Sequence[Kind], random: Random, spacing: tuple[float, float]
) -> None:
    chosen = _mixed(random, kinds, random.randint(1, _MOST_KINDS))
    alone = next((kind for kind in chosen if kind.alone), None)
    _open(period, random, spacing)
    if alone is not None:
        _give_to(period, alone, forced=False)
        return
    drawn = chosen[: len(period.slots)]
    drawn += random.choices(chosen, k=len(period.slots) - len(drawn))
    random.shuffle(drawn)
    period.kinds = drawn


def _mixed(random: Random, kinds: Sequence[Kind], most: int) -> list[Kind]:
    """Up to so many different kinds: first a family is drawn, then one of its kinds."""
    left = list(kinds)
    chosen: list[Kind] = []
    while left and len(chosen) < most:
        families = sorted({kind.groups[0] for kind in left})
        (family,) = random.choices(families, [WEIGHTS.get(name, 1) for name in families])
        chosen.append(random.choice([kind for kind in left if kind.groups[0] == family]))
        left.remove(chosen[-1])
    return chosen


def _open(period: _Period, random: Random, spacing: tuple[float, float]) -> None:
    first, last = period.begins, period.ends - _SLACK_S
    at = first + random.uniform(0, min(_FIRST_S, (last - first) / 4))
    while not period.slots or at < last - spacing[0]:
        period.slots.append(at)
        at += random.uniform(*spacing)
    period.forced = [False] * len(period.slots)


def _give_to(period: _Period, kind: Kind, forced: bool) -> None:
    period.slots, period.kinds, period.forced = period.slots[:1], [kind], [forced]


def _insist(
    at_least: Mapping[str, int],
    kinds: Sequence[Kind],
    periods: Sequence[_Period],
    random: Random,
    spacing: tuple[float, float],
) -> None:
    """Turns slots into what is short, the narrowest wish first, so that a wish does not undo another one."""
    wishes = [({kind.name for kind in resolve([name])}, name, count) for name, count in at_least.items()]
    for among, name, count in sorted(wishes, key=lambda wish: len(wish[0])):
        allowed = [kind for kind in kinds if kind.name in among]
        if count and not allowed:
            raise PlanError(f"{count} faults of {name!r} are wanted, but none of its kinds is in the run")
        found = 0
        for period in periods:  # those that are there are kept
            for place, kind in enumerate(period.kinds):
                if kind.name in among and found < count:
                    period.forced[place] = True
                    found += 1
        while found < count:
            if not _turn_one(random.choice(allowed), periods, random, spacing, name == "all"):
                raise PlanError(f"there is room for {found} faults of {name!r}, not for {count}")
            found += 1


def _turn_one(
    kind: Kind, periods: Sequence[_Period], random: Random, spacing: tuple[float, float], adds: bool
) -> bool:
    """One more of that kind, in the place of a fault that nobody insists on; else in a quiet period.

    `adds`: every fault counts, so another one is needed, not another kind.
    """
    if kind.alone:
        free = [period for period in periods if not any(period.forced)]
        if not free:
            return False
        period = random.choice(free)
        if not period.slots:
            _open(period, random, spacing)
        _give_to(period, kind, forced=True)
        return True
    places = [] if adds else _free_places(periods)
    if places:
        period, place = random.choice(places)
        period.kinds[place], period.forced[place] = kind, True
        return True
    asleep = [period for period in periods if not period.slots]
    if asleep:
        period = random.choice(asleep)
        _open(period, random, spacing)
        period.kinds = [kind] * len(period.slots)
        period.forced = [True] + [False] * (len(period.slots) - 1)
        return True
    return _split_one(kind, periods, spacing)


def _free_places(periods: Sequence[_Period]) -> list[tuple[_Period, int]]:
    """Slots to turn: of the periods in which the fewest are forced, so that they spread over the run."""
    free = [
        (sum(period.forced), period, place)
        for period in periods
        for place, forced in enumerate(period.forced)
        if not forced and not period.kinds[place].alone
    ]
    least = min((count for count, _, _ in free), default=0)
    return [(period, place) for count, period, place in free if count == least]


def _split_one(kind: Kind, periods: Sequence[_Period], spacing: tuple[float, float]) -> bool:
    """A fault in the middle of the widest gap between two, if it is twice the least spacing."""
    gaps: list[tuple[float, float, _Period]] = []
    for period in periods:
        if not any(one.alone for one in period.kinds):
            edges = [*period.slots, period.ends - _SLACK_S]
            gaps += [(after - before, before, period) for before, after in pairwise(edges)]
    width, before, period = max(gaps, key=lambda gap: gap[:2], default=(0.0, 0.0, periods[0]))
    if width < 2 * spacing[0]:
        return False
    place = period.slots.index(before) + 1
    period.slots.insert(place, before + width / 2)
    period.kinds.insert(place, kind)
    period.forced.insert(place, True)
    return True


class _Drawn(NamedTuple):
    at: float
    kind: Kind
    aim: Aim
    targets: tuple[int, ...]

    def takes(self, nodes: Sequence[int]) -> set[int]:
        """Nodes that it may take."""
        if not self.kind.takes:
            return set()
        return set(nodes) if self.aim in FOUND_LATER else set(self.targets)

    def leaves_no_majority(self, nodes: Sequence[int]) -> bool:
        """Composites strike a minority and one more; a ring leaves a majority to nobody among fewer than five."""
        if "composite" in self.kind.groups:
            return 2 * (_minority(nodes) + 1) >= len(nodes)
        if self.kind.name == "partition-ring":
            return len(nodes) < 5
        if self.kind.takes or self.kind.name in ("pause", "partition-clients"):
            return 2 * len(self.targets) >= len(nodes)
        return False


def _laid_out(period: _Period, nodes: Sequence[int], random: Random) -> list[Step]:
    """Targets and times of one period's faults; a period that damages disks ends with a wait."""
    damaging = any(kind.damages for kind in period.kinds)
    length = period.ends - period.begins
    recovery = min(_RECOVERY_S, length * _RECOVERY) if damaging else 0.0
    squeezed = 1 - recovery / length
    times = [period.begins + (slot - period.begins) * squeezed for slot in period.slots]
    healed = period.ends - recovery - _SLACK_S * squeezed
    emptying = [kind for kind in period.kinds if kind.empties]
    others = [kind for kind in period.kinds if not kind.empties]
    alone_from = times[len(others)] - _SLACK_S * squeezed if emptying else healed
    kinds = [*_longest_first(times, others, alone_from), *emptying]
    victims = tuple(random.sample(nodes, max(1, _minority(nodes))))  # whose disks may suffer
    drawn = []
    for at, kind in zip(times, kinds):
        aim = random.choice(kind.aims)
        targets = (random.choice(victims),) if kind.damages else _targets(aim, nodes, random)
        drawn.append(_Drawn(at, kind, aim, targets))
    steps = []
    for place, fault in enumerate(drawn):
        latest = healed if fault.kind.empties else alone_from
        for later in drawn[place + 1 :]:
            if fault.takes(nodes) & later.takes(nodes):
                latest = min(latest, later.at - _SLACK_S * squeezed)
                break
        hold = min(random.uniform(*fault.kind.hold), latest - fault.at)
        if fault.leaves_no_majority(nodes):
            hold = min(hold, _OUTAGE_S)
        seed = random.getrandbits(48)
        hold = max(_LEAST_HOLD_S, hold)
        steps.append(Step(0, fault.at, fault.kind.name, hold, fault.aim, fault.targets, seed))
    if damaging:
        steps.append(Step(0, period.ends - recovery, AWAIT_IN_SYNC, recovery))
    return steps


def _longest_first(slots: Sequence[float], kinds: Sequence[Kind], ends: float) -> list[Kind]:
    """A fault that must last changes places with an earlier one if there is too little time left for it."""
    ordered = list(kinds)
    for place, slot in enumerate(slots[: len(kinds)]):
        need = ordered[place].hold[0]
        if ends - slot < need:
            better = [early for early in range(place) if ends - slots[early] >= need > ordered[early].hold[0]]
            if better:
                ordered[place], ordered[better[0]] = ordered[better[0]], ordered[place]
    return ordered


def _targets(aim: Aim, nodes: Sequence[int], random: Random) -> tuple[int, ...]:
    count = {
        "minority": max(1, _minority(nodes)),
        "half": max(1, len(nodes) // 2),
        "some": random.randint(1, len(nodes)),
        "order": len(nodes),
        "none": 0,
    }.get(aim, 1)
    return tuple(nodes) if aim == "all" else tuple(random.sample(nodes, count))


def _numbered(steps: Sequence[Step]) -> list[Step]:
    numbered: list[Step] = []
    for step in sorted(steps, key=lambda step: step.at):
        number = 0 if step.name == AWAIT_IN_SYNC else sum(one.number > 0 for one in numbered) + 1
        rounded = step._replace(number=number, at=round(step.at, 3), hold=round(step.hold, 3))
        numbered.append(rounded)
    return numbered
