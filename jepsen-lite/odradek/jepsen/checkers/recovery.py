"""How long it took after each fault until every partition acknowledged again.

Decides: when a key has recovered from a fault, and which keys count. Does not decide: which time is too long, nor how
it is shown (`verdict.of_recoveries` has p50, p99 and max of a fault's name).

The time of a fault is that of the slowest key: from the fault's start to the completion of the first acknowledged send
of the key that was invoked after the start. A fault whose start says "majority": true leaves no majority: nothing can
be acknowledged before it is healed, so its time is counted from its stop. A key counts if it was written to around that
time: a send was in flight, or one was invoked within `active_s`. So a time has a floor, the pause between two sends of
a key; and a fault that comes before the last one is over has some of that one's time, which `overlaps` says.

Senders fill their windows and then invoke nothing more, so a send without an answer is tried for as long as its client
goes on: until the load ends (phase "stopping", or "healing" in histories without it), or, when another client took the
place of its own, until the last event of its process.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from odradek.jepsen.checkers.observed import asked_sends
from odradek.jepsen.history import NEMESIS, NEVER, Event, Operation

NS = 1_000_000_000


class FaultRecovery(NamedTuple):
    """A fault and what followed; times of CLOCK_MONOTONIC in ns.

    `start` and `stop` are those of the fault (stop None: it was never healed), `since` is the one that counts.
    `recovered` is None when some key that was written to was not acknowledged any more; `key` is then that key, else
    the slowest; "" when no key counted. `overlaps`: another fault was active between `since` and `recovered`. `tried`
    is until when that key was written to in vain, or when a send of it was last invoked.
    """

    number: int
    name: str
    nodes: tuple[int, ...]
    start: int
    stop: int | None
    since: int
    recovered: int | None
    key: str
    overlaps: bool = False
    tried: int = 0

    @property
    def seconds(self) -> float | None:
        """None when it did not recover, or nothing was written."""
        return (self.recovered - self.since) / NS if self.recovered is not None and self.key else None


class _Fault(NamedTuple):
    number: int
    name: str
    nodes: tuple[int, ...]
    start: int
    stop: int | None
    has_majority: bool


class _Sends:
    """The sends of one key in the order of their invocations."""

    def __init__(self, operations: Sequence[Operation], given_up: Mapping[str, int]) -> None:
        """`given_up`: until when a process tries what has no answer."""
        self._starts = [operation.invoke.time for operation in operations]
        self._in_flight_until: list[int] = []  # the latest answer to any of those up to here
        self._in_vain_until: list[int] = []  # the same of those that were not acknowledged
        latest = in_vain = 0
        for operation in operations:
            until = operation.completion.time
            if until >= NEVER:
                until = given_up[operation.invoke.process]
            latest = max(latest, until)
            if operation.type != "ok":
                in_vain = max(in_vain, min(until, given_up[operation.invoke.process]))
            self._in_flight_until.append(latest)
            self._in_vain_until.append(in_vain)
        acknowledged = [operation for operation in operations if operation.type == "ok"]
        self._acknowledged = [operation.invoke.time for operation in acknowledged]
        self._last_answer = max((operation.completion.time for operation in acknowledged), default=0)
        self._first_answer: list[int] = []  # of all from here on
        first = NEVER
        for operation in reversed(acknowledged):
            first = min(first, operation.completion.time)
            self._first_answer.append(first)
        self._first_answer.reverse()

    def is_active(self, time: int, within: int) -> bool:
        place = bisect_left(self._starts, time)
        if place == len(self._starts):  # the windows are full, or the load has ended
            return place > 0 and self._in_vain_until[-1] > time
        return self._starts[place] <= time + within or (place > 0 and self._in_flight_until[place - 1] > time)

    @property
    def tried(self) -> int:
        """When the last one was invoked, or until when one was tried that was not acknowledged; 0 without any."""
        return max(self._starts[-1], self._in_vain_until[-1]) if self._starts else 0

    @property
    def last_answer(self) -> int:
        """When the last one was acknowledged; 0 without any."""
        return self._last_answer

    def acknowledged_after(self, time: int) -> int | None:
        """When the first answer came to a send that was invoked at `time` or later."""
        place = bisect_left(self._acknowledged, time)
        return self._first_answer[place] if place < len(self._first_answer) else None


def measure(
    operations: Iterable[Operation], events: Iterable[Event], *, active_s: float = 2.0
) -> list[FaultRecovery]:
    """One for each fault that was started (and, if it leaves no majority, healed), in the order of starts.

    `operations` are in the order of their invocations, as `history.pair` has them.
    """
    events = list(events)
    sends = _by_key(operations, events)
    faults = _faults(events)
    measured = []
    for fault in faults:
        since = fault.start if fault.has_majority else fault.stop
        if since is not None:
            recovered, key = _slowest(sends, since, int(active_s * NS))
            until = recovered if recovered is not None else NEVER
            overlaps = any(
                other.number != fault.number
                and other.start < until
                and (other.stop is None or other.stop > since)
                for other in faults
            )
            tried = sends[key].tried if key else 0
            measured.append(FaultRecovery(*fault[:5], since, recovered, key, overlaps, tried))
    return measured


def stuck(operations: Iterable[Operation], events: Iterable[Event], *, patience_s: float = 10.0) -> list[str]:
    """Keys that acknowledged nothing more after the last of all faults was healed, though they were written to for so
    long. Some of them have been acknowledged while the fault lasted, so that they count as recovered from it."""
    events = list(events)
    faults = _faults(events)
    if not faults or any(fault.stop is None for fault in faults):
        return []
    healed = max(fault.stop or 0 for fault in faults)
    return sorted(
        key
        for key, sends in _by_key(operations, events).items()
        if sends.last_answer <= healed and sends.tried >= healed + patience_s * NS
    )


def _by_key(operations: Iterable[Operation], events: Sequence[Event]) -> dict[str, _Sends]:
    by_key: dict[str, list[Operation]] = defaultdict(list)
    for operation in operations:
        for key in {key for key, _ in asked_sends(operation)}:
            by_key[key].append(operation)
    given_up = _given_up(events)
    return {key: _Sends(of_key, given_up) for key, of_key in by_key.items()}


#: Names of processes: "x", then "x.1" in its place; "x-2" of several in one, then "x.1-2"; "x+1" after a teardown.
_NAME = re.compile(r"(?P<first>.*?)(?:\.(?P<incarnation>\d+))?(?P<part>-\d+)?(?:\+(?P<lives>\d+))?")


def _given_up(events: Sequence[Event]) -> dict[str, int]:
    """By process: until when it tries what has no answer."""
    phases: dict[str, int] = {}
    last: dict[str, int] = {}
    for event in events:
        if event.process != NEMESIS:
            last[event.process] = event.time
        elif event.f == "phase":
            phases[event.value] = event.time
    ends = phases.get("stopping", phases.get("healing"))
    newest: dict[tuple[str, str], tuple[int, int, str]] = {}
    for process in last:
        named = _NAME.fullmatch(process)
        assert named is not None, process
        who = (named["first"], named["part"] or "")
        which = (int(named["incarnation"] or 0), int(named["lives"] or 0), process)
        newest[who] = max(newest.get(who, which), which)
    going_on = {process for _, _, process in newest.values()} if ends is not None else set()
    return {
        process: ends if ends is not None and process in going_on else time for process, time in last.items()
    }


def _faults(events: Iterable[Event]) -> list[_Fault]:
    faults: dict[int, _Fault] = {}
    for event in events:
        if event.process != NEMESIS or event.f != "fault":
            continue
        told: Mapping[str, Any] = event.value
        number = told["fault"]
        if told["phase"] == "start":
            nodes = tuple(told.get("nodes") or ())
            has_majority = not told.get("majority")
            faults[number] = _Fault(number, told["name"], nodes, event.time, None, has_majority)
        elif number in faults and told["phase"] == "stop":
            faults[number] = faults[number]._replace(stop=event.time)
    return list(faults.values())


def _slowest(sends: Mapping[str, _Sends], since: int, within: int) -> tuple[int | None, str]:
    """When the last of the keys that count had recovered, and which it was."""
    latest, slowest = since, ""
    for key, of_key in sends.items():
        if of_key.is_active(since, within):
            answered = of_key.acknowledged_after(since)
            if answered is None:
                return None, key
            if answered > latest:
                latest, slowest = answered, key
    return latest, slowest


def by_name(measured: Iterable[FaultRecovery]) -> dict[str, list[float]]:
    """{name: [seconds]} of the faults that were recovered from."""
    times: dict[str, list[float]] = defaultdict(list)
    for recovery in measured:
        if recovery.seconds is not None:
            times[recovery.name].append(recovery.seconds)
    return dict(times)


def unrecovered(measured: Sequence[FaultRecovery], *, patience_s: float = 10.0) -> list[FaultRecovery]:
    """Those after which some key was never acknowledged again, though it was written to for so long after the last of
    all faults was healed.

    What was cut short by the end of the run, or by the next fault, proves nothing and is left out.
    """
    if any(recovery.stop is None for recovery in measured):
        return []
    healed = max((recovery.stop or 0 for recovery in measured), default=0)
    return [
        recovery
        for recovery in measured
        if recovery.recovered is None and recovery.tried >= healed + patience_s * NS
    ]
