"""What a plot shows of a history: faults as intervals, and series over time with at most a thousand points.

Decides: how a history is divided into steps, and what is counted in each. Does not decide: how it is drawn (`plots`).
Pure. One pass over events and operations each; a million records take seconds.

Times are seconds since the first event. A latency belongs to the step in which its operation was invoked, so that a
stall shows when it began; an acknowledgement to the step in which it came.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from odradek.jepsen.checkers.verdict import quantile
from odradek.jepsen.history import NEMESIS, NEVER, Event, Operation

MOST_POINTS = 1_000
MOST_KEYS = 8

_STEPS_S = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0)
_SENDING = ("send", "txn")


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
        return max(1, int(self.seconds / self.step) + 1)

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
    step = next((step for step in _STEPS_S if seconds / step < MOST_POINTS), seconds / (MOST_POINTS - 1))
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
    steps, first, step_ns = span.steps, span.first, span.step * 1e9
    acknowledged, unacknowledged = [0] * steps, [0] * steps
    latencies: list[list[float]] = [[] for _ in range(steps)]
    for invoke, completion in operations:
        if invoke.f not in _SENDING:
            continue
        begun = int((invoke.time - first) / step_ns)
        if completion.type != "ok":
            unacknowledged[begun] += 1
            continue
        sent = sum(1 for micro in completion.value if micro[0] == "send")
        if sent:
            acknowledged[int((completion.time - first) / step_ns)] += sent
            latencies[begun].append((completion.time - invoke.time) / 1e9)
    return acknowledged, unacknowledged, latencies


def _unseen(history: Iterable[Event], span: Span) -> tuple[dict[str, list[int]], list[int]]:
    step_ns = span.step * 1e9
    waiting: dict[Any, str] = {}
    read: set[Any] = set()
    now: dict[str, int] = {}
    counts: dict[str, list[int]] = {}
    at_step = 0

    def close(until: int) -> None:
        for key, count in now.items():
            counts[key][at_step:until] = [count] * (until - at_step)

    for event in history:
        if event.type != "ok" or event.f not in ("send", "poll", "txn") or event.time == NEVER:
            continue
        step = int((event.time - span.first) / step_ns)
        if step > at_step:
            close(step)
            at_step = step
        for key, value, is_send in _seen_in(event):
            if is_send:
                if value not in read and value not in waiting:
                    waiting[value] = key
                    now[key] = now.get(key, 0) + 1
                    counts.setdefault(key, [0] * span.steps)
            elif value not in read:
                read.add(value)
                if (sent_to := waiting.pop(value, None)) is not None:
                    now[sent_to] -= 1
    close(span.steps)
    total = [sum(column) for column in zip(*counts.values())] if counts else [0] * span.steps
    most = sorted(counts, key=lambda key: (-counts[key][-1], -max(counts[key]), key))[:MOST_KEYS]
    return {key: counts[key] for key in most}, total


def _seen_in(event: Event) -> Iterator[tuple[str, Any, bool]]:
    """Key, value, and whether it was sent (or else read)."""
    for micro in event.value or ():
        if micro[0] == "send":
            yield micro[1], micro[2][1], True
        elif len(micro) > 1:
            for key, records in micro[1].items():
                for record in records:
                    yield key, record[1], False
