"""Anomalies on their way out of a checker: the first hundred of each kind, each with ten events of evidence at most.

Decides: how much is kept. A history that is wrong everywhere is wrong for a few reasons; nobody reads the millionth
proof, and keeping it would cost the memory of the run. What is left out is counted: the last anomaly kept of a kind
says in its data how many there were ("of").
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, Final

from odradek.jepsen.checkers.anomaly import Anomaly
from odradek.jepsen.history import Event, Operation

MOST: Final = 100
MOST_EVENTS: Final = 10


class Findings:
    """What one checker has found so far."""

    def __init__(self) -> None:
        self._kept: list[Anomaly] = []
        self._last: dict[str, int] = {}
        self.counts: Counter[str] = Counter()

    def add(
        self,
        kind: str,
        detail: str,
        evidence: Iterable[Event | Operation | None] = (),
        data: Mapping[str, Any] | None = None,
    ) -> None:
        """Operations count as their events, a completion that never came as none; None is no evidence."""
        self.counts[kind] += 1
        if self.counts[kind] > MOST:
            return
        events: list[Event] = []
        for item in evidence:
            for event in events_of(item):
                if event not in events:
                    events.append(event)
        events = list(islice(events, MOST_EVENTS))
        self._last[kind] = len(self._kept)
        self._kept.append(Anomaly(kind, detail, events, dict(data or {})))

    def wants(self, kind: str) -> bool:
        """Whether one more of the kind would be kept: what is costly to describe need not be described otherwise."""
        return self.counts[kind] < MOST

    def anomalies(self) -> list[Anomaly]:
        """In the order in which they were found."""
        for kind, place in self._last.items():
            if self.counts[kind] > MOST:
                kept = self._kept[place]
                self._kept[place] = kept._replace(data={**kept.data, "of": self.counts[kind]})
        return list(self._kept)


def events_of(item: Event | Operation | None) -> list[Event]:
    """The events of an operation that are in the history; those of an event are itself."""
    if item is None:
        return []
    if isinstance(item, Event):
        return [item]
    if item.completion.error == "no-answer":
        return [item.invoke]
    return [item.invoke, item.completion]
