"""What a plot shows of a history: faults as intervals, and series over time with at most a thousand points.

Decides: how a history is divided into steps, and what is counted in each. Does not decide: how it is drawn (`plots`).
Pure. One pass over events and operations each; a million records take seconds.

Times are seconds since the first event. A latency belongs to the step in which its operation was invoked, so that a
stall shows when it began; an acknowledgement to the step in which it came.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, NamedTuple

from odradek.jepsen.checkers.verdict import quantile
from odradek.jepsen.history import NEMESIS, Event, Operation

MOST_POINTS = 1_000
MOST_KEYS = 8

_STEPS_S = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0)
_SENDING = ("send", "txn")
_MICRO = ("send", "poll", "txn")


class Fault(NamedTuple):
    """One fault, from what broke something to what healed it; `more` is the rest that both told.

    `failed`: it could not be done, or not healed, as planned.
    """

    number: int
    name: str
    start: float
    end: float
    nodes: tuple[int, ...]
    more: Mapping[str, Any]
    failed: bool = False

    def covers(self, second: float) -> bool:
        return self.start <= second <= self.end


@dataclass(frozen=True)
class Span:
    """The time that a history covers (ns), in equal steps (s)."""

    first: int
    last: int
    step: float

    @property
    def seconds(self) -> float:
        return (self.last - self.first) / 1e9

    @property
    def steps(self) -> int:
        return (self.last - self.first) // int(self.step * 1e9) + 1

    def second(self, time: int) -> float:
        return (time - self.first) / 1e9


@dataclass(frozen=True)
class Series:
    """One value for each step of the span. Latencies in seconds; None where nothing was sent.

    `unseen` counts acknowledged records that nobody has read yet, by key: the keys with the highest counts.
    """

    span: Span
    faults: Sequence[Fault]
    acknowledged: Sequence[float]
    unacknowledged: Sequence[float]
    p50: Sequence[float | None]
    p99: Sequence[float | None]
    phases: Sequence[tuple[float, str]] = ()
    unseen: Mapping[str, Sequence[int]] = field(default_factory=dict)
    unseen_total: Sequence[int] = ()

    @property
    def starts(self) -> Sequence[float]:
        return [number * self.span.step for number in range(self.span.steps)]


def series_of(history: Sequence[Event], operations: Sequence[Operation]) -> Series:
    """Of events in the order of time and the operations among them (`history.pair`)."""
    span = span_of(history)
    acknowledged, unacknowledged, latencies = _sends(operations, span)
    for values in latencies:
        values.sort()
    unseen, total = _unseen(history, span)
    return Series(
        span,
        faults_of(history, span),
        [count / span.step for count in acknowledged],
        [count / span.step for count in unacknowledged],
        [quantile(values, 0.5) if values else None for values in latencies],
        [quantile(values, 0.99) if values else None for values in latencies],
        phases_of(history, span),
        unseen,
        total,
    )


def span_of(history: Sequence[Event]) -> Span:
    """Of an empty history: one step at zero."""
    first, last = (history[0].time, history[-1].time) if history else (0, 0)
    seconds = (last - first) / 1e9
    step = next(
        (step for step in _STEPS_S if seconds / step < MOST_POINTS), float(seconds // (MOST_POINTS - 1) + 1)
    )
    return Span(first, last, step)


def faults_of(history: Iterable[Event], span: Span) -> list[Fault]:
    """In the order of their starts. A fault that was never healed lasts to the end."""
    open_: dict[int, Fault] = {}
    for event in history:
        if event.process != NEMESIS or event.f != "fault" or not isinstance(event.value, Mapping):
            continue
        told = dict(event.value)
        number, phase = told.pop("fault"), told.pop("phase")
        name, nodes = told.pop("name"), tuple(told.pop("nodes", None) or ())
        now, failed = span.second(event.time), phase == "failed"
        if number in open_:
            begun = open_[number]
            open_[number] = begun._replace(
                end=now,
                nodes=begun.nodes or nodes,
                more={**begun.more, **told},
                failed=failed or begun.failed,
            )
        else:
            open_[number] = Fault(number, name, now, now if failed else span.seconds, nodes, told, failed)
    return sorted(open_.values(), key=lambda fault: fault.start)


def phases_of(history: Iterable[Event], span: Span) -> list[tuple[float, str]]:
    """When the run entered which phase."""
    return [
        (span.second(event.time), str(event.value))
        for event in history
        if event.process == NEMESIS and event.f == "phase"
    ]


def _sends(operations: Iterable[Operation], span: Span) -> tuple[list[int], list[int], list[list[float]]]:
    steps, first, step_ns = span.steps, span.first, int(span.step * 1e9)
    acknowledged, unacknowledged = [0] * steps, [0] * steps
    latencies: list[list[float]] = [[] for _ in range(steps)]
    for (begin, _, _, _, f, _, _, _), (end, _, _, kind, _, value, _, _) in operations:
        if f not in _SENDING:
            continue
        if kind != "ok":
            unacknowledged[(begin - first) // step_ns] += 1
            continue
        sent = sum([1 for micro in value if micro[0] == "send"])
        if sent:
            acknowledged[(end - first) // step_ns] += sent
            latencies[(begin - first) // step_ns].append((end - begin) / 1e9)
    return acknowledged, unacknowledged, latencies


def _unseen(history: Iterable[Event], span: Span) -> tuple[dict[str, list[int]], list[int]]:
    """By key, and of all keys. A record is unseen once it is acknowledged and until anybody has read it."""
    first, step_ns, steps = span.first, int(span.step * 1e9), span.steps
    waiting: dict[Any, str] = {}
    read: set[Any] = set()
    changes: dict[str, list[int]] = {}
    for time, _, _, kind, f, value, _, _ in history:
        if kind != "ok" or f not in _MICRO or not value:
            continue
        step = (time - first) // step_ns
        for micro in value:
            if micro[0] == "send":
                sent = micro[2][1]
                if sent not in read and sent not in waiting:
                    waiting[sent] = key = micro[1]
                    if key not in changes:
                        changes[key] = [0] * steps
                    changes[key][step] += 1
            elif len(micro) > 1:
                for records in micro[1].values():
                    for record in records:
                        seen = record[1]
                        if seen not in read:
                            read.add(seen)
                            if (sent_to := waiting.pop(seen, None)) is not None:
                                changes[sent_to][step] -= 1
    counts = {key: list(accumulate(by_step)) for key, by_step in changes.items()}
    total = [sum(column) for column in zip(*counts.values())] if counts else [0] * steps
    most = sorted(counts, key=lambda key: (-counts[key][-1], -max(counts[key]), key))[:MOST_KEYS]
    return {key: counts[key] for key in most}, total
