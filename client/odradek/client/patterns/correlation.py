"""Which answer belongs to which question. Pure.

Ids are "<name>-<number>": the name is unique to this asker, so that an answer to a question which was given up is
told from one that was never asked here, without keeping old ids.
"""

from __future__ import annotations

from enum import Enum
from typing import Generic, TypeVar

T = TypeVar("T")


class Arrival(Enum):
    """What an id that comes with an answer is."""

    EXPECTED = "expected"
    LATE = "late"
    """Given up, or answered before."""
    UNKNOWN = "unknown"
    """Not ours."""


class CorrelationTable(Generic[T]):
    """Questions that wait for their answers, each with something of the asker's: a promise, say."""

    def __init__(self, name: str) -> None:
        self._prefix = f"{name}-"
        self._asked = 0
        self._waiting: dict[str, T] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def ask(self, waiter: T) -> str:
        """The id of a new question."""
        correlation_id = f"{self._prefix}{self._asked}"
        self._asked += 1
        self._waiting[correlation_id] = waiter
        return correlation_id

    def arrive(self, correlation_id: str | None) -> tuple[Arrival, T | None]:
        """An answer came; whoever waits for it is forgotten and returned."""
        waiter = None if correlation_id is None else self._waiting.pop(correlation_id, None)
        if waiter is not None:
            return Arrival.EXPECTED, waiter
        prefix, number = self._prefix, (correlation_id or "").removeprefix(self._prefix)
        was_asked = correlation_id == prefix + number and number.isdecimal() and int(number) < self._asked
        return (Arrival.LATE if was_asked else Arrival.UNKNOWN), None

    def give_up(self, correlation_id: str) -> None:
        self._waiting.pop(correlation_id, None)

    def give_up_all(self) -> list[T]:
        """All that waited."""
        waiting, self._waiting = list(self._waiting.values()), {}
        return waiting
