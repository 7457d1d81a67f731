"""The plan of faults, carried out in real time.

Decides: what happens when real time falls behind the plan, and that whatever was broken is healed. Does not decide: the
plan (`nemesis.schedule`), nor what a fault does. Invariants: every fault that was started is stopped once, also when
another one raises; a fault that could not be done is in the history as "failed" and does not count.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from odradek.jepsen.nemesis.schedule import Action, Step, timeline
from odradek.jepsen.ports import Nemesis
from odradek.jepsen.run.journal import Journal


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
        self.failed: list[str] = []

    def carry_out(self, steps: Sequence[Step], watch: Callable[[], None]) -> None:
        """All steps in their order; `watch` is called between them and may raise. What is active is healed at the end.

        A step that is late moves all that follow, so that no quiet spell is lost to a slow one.
        """
        late = 0.0
        try:
            for action in timeline(steps):
                self._clock.sleep_until(action.at + late)
                late = max(late, self._clock.now() - action.at - 0.5)
                self._do(action)
                watch()
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
        fault = self._build(step)
        began = self._clock.now()
        try:
            told: Mapping[str, object] = fault.start()
        except Exception as error:
            self._fail(step, "start", error)
            fault.stop()
            return
        self._active[step.number] = (step, fault)
        self._journal.fault(step.number, step.name, "start", told)
        self._say(f"{began:6.1f} s  {step.name} {_short(told)}, for {step.hold:.1f} s")

    def _stop(self, number: int) -> None:
        if number not in self._active:
            return
        step, fault = self._active.pop(number)
        try:
            told = fault.stop()
        except Exception as error:
            self._fail(step, "stop", error)
            told = {"error": str(error)}
        self._journal.fault(number, step.name, "stop", told)

    def heal(self) -> None:
        """Stop what is active, the latest first."""
        for number in sorted(self._active, reverse=True):
            self._stop(number)

    def _fail(self, step: Step, phase: str, error: Exception) -> None:
        what = f"{step.name} (fault {step.number}, {phase}): {type(error).__name__}: {error}"
        self.failed.append(what)
        self._journal.fault(step.number, step.name, "failed", {"error": what})
        self._say(f"{self._clock.now():6.1f} s  FAILED {what}")


def _short(told: Mapping[str, object]) -> str:
    return ", ".join(f"{name}={value}" for name, value in told.items() if value not in ([], None, ""))[:160]
