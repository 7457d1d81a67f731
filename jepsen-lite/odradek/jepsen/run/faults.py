"""The plan of faults, carried out in real time.

Decides: what happens when real time falls behind the plan, and that whatever was broken is healed. Does not decide: the
plan (`nemesis.schedule`), nor what a fault does. Invariants: every fault that was started is stopped, also when another
one raises; one whose healing failed is healed again at the end, twice at most, then given up and named (`unhealed`);
a fault that could not be done is in the history as "failed" and does not count.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from odradek.jepsen.nemesis.kinds import GROUPS
from odradek.jepsen.nemesis.schedule import Action, Step, timeline
from odradek.jepsen.ports import Nemesis
from odradek.jepsen.run.journal import Journal

_HEALED_AGAIN = 2
_DAMAGING = frozenset({*GROUPS["disk"], *GROUPS["corruption"]})


class Clock(Protocol):
    """Seconds from the start of the run."""

    def now(self) -> float: ...

    def sleep_until(self, at: float) -> None: ...


class RunClock:
    """Real time from now on. `delay` shifts the plan when a step takes longer than planned."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def now(self) -> float:
        return time.monotonic() - self._began

    def sleep_until(self, at: float) -> None:
        time.sleep(max(0.0, at - self.now()))


class Faults:
    """`build` makes the fault of a step, `await_in_sync` returns when all replicas are in sync."""

    def __init__(
        self,
        build: Callable[[Step], Nemesis],
        await_in_sync: Callable[[], None],
        journal: Journal,
        clock: Clock,
        say: Callable[[str], None],
    ) -> None:
        self._build = build
        self._await_in_sync = await_in_sync
        self._journal = journal
        self._clock = clock
        self._say = say
        self._active: dict[int, tuple[Step, Nemesis]] = {}
        self._unhealed: dict[int, tuple[Step, Nemesis]] = {}
        self.failed: list[str] = []
        #: Nodes whose disk or bytes were struck: they may end by themselves.
        self.damaged: set[int] = set()

    @property
    def unhealed(self) -> list[str]:
        """Faults whose healing has failed and was not repeated with success yet, by number and name."""
        return [f"{step.name} (fault {number})" for number, (step, _) in sorted(self._unhealed.items())]

    def carry_out(self, steps: Sequence[Step]) -> None:
        """All steps in their order. What is active is healed at the end, whatever the end is.

        A step that is late moves all that follow, so that no quiet spell is lost to a slow one.
        """
        late = 0.0
        try:
            for action in timeline(steps):
                self._clock.sleep_until(action.at + late)
                late = max(late, self._clock.now() - action.at - 0.5)
                self._do(action)
        finally:
            self.heal()

    def _do(self, action: Action) -> None:
        if action.does == "await":
            self._say(f"{self._clock.now():6.1f} s  waiting until all replicas are in sync")
            self._await_in_sync()
        elif action.does == "start":
            self._start(action.step)
        else:
            self._stop(action.step.number)

    def _start(self, step: Step) -> None:
        began = self._clock.now()
        try:
            fault = self._build(step)
        except Exception as error:
            self._fail(step, "start", error)
            return
        # Active from before its start: an interrupt in the middle of it is healed like the whole.
        self._active[step.number] = (step, fault)
        try:
            told: Mapping[str, object] = fault.start()
        except Exception as error:
            self._fail(step, "start", error)
            self._damage(step, {"nodes": step.targets})
            del self._active[step.number]
            self._heal(step, fault)
            return
        self._damage(step, told)
        self._journal.fault(step.number, step.name, "start", told)
        self._say(f"{began:6.1f} s  {step.name} {_short(told)}, for {step.hold:.1f} s")

    def _damage(self, step: Step, told: Mapping[str, object]) -> None:
        nodes = told.get("nodes")
        if step.name in _DAMAGING and isinstance(nodes, Sequence):
            self.damaged.update(node for node in nodes if isinstance(node, int))

    def _stop(self, number: int) -> None:
        if number not in self._active:
            return
        step, fault = self._active.pop(number)
        told = self._heal(step, fault)
        if told is not None:
            self._journal.fault(number, step.name, "stop", told)

    def _heal(self, step: Step, fault: Nemesis) -> Mapping[str, object] | None:
        """What the fault says; None when its healing failed: then it is kept for another time."""
        try:
            told = fault.stop()
        except Exception as error:
            self._unhealed[step.number] = (step, fault)
            self._fail(step, "stop", error)
            return None
        self._unhealed.pop(step.number, None)
        return told

    def heal(self) -> None:
        """Stop what is active, the latest first, and once more what could not be stopped before."""
        for number in sorted(self._active, reverse=True):
            self._stop(number)
        for _ in range(_HEALED_AGAIN):
            for number in sorted(self._unhealed, reverse=True):
                step, fault = self._unhealed[number]
                told = self._heal(step, fault)
                if told is not None:
                    self._journal.fault(number, step.name, "stop", told)

    def _fail(self, step: Step, phase: str, error: Exception) -> None:
        what = f"{step.name} (fault {step.number}, {phase}): {type(error).__name__}: {error}"
        self.failed.append(what)
        self._journal.fault(step.number, step.name, "failed", {"error": what})
        self._say(f"{self._clock.now():6.1f} s  FAILED {what}")


def _short(told: Mapping[str, object]) -> str:
    return ", ".join(f"{name}={value}" for name, value in told.items() if value not in ([], None, ""))[:160]
