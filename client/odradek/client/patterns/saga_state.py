"""The course of one saga, out of the entries of its log. Pure.

Entries are numbered 0, 1, 2, ... within their saga. One with a number that is not the next is passed over: it was
written twice, or by a runner that did not know that another had taken its place; the first in the log counts.

    started(data) -> done(step, result)* -> completed
                                         -> failed(step, error) -> undone(step)* in reverse -> compensated
                                                                -> stuck(step, error) -> retried -> ...
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NamedTuple, TypeAlias


class Kind(Enum):
    """What an entry says."""

    STARTED = "started"
    DONE = "done"
    FAILED = "failed"
    UNDONE = "undone"
    STUCK = "stuck"
    RETRIED = "retried"
    COMPLETED = "completed"
    COMPENSATED = "compensated"


class Entry(NamedTuple):
    """`data`: the input of the saga, the result of the step, or the text of the error."""

    number: int
    kind: Kind
    step: str = ""
    data: Any = None

    def to_json(self) -> bytes:
        return json.dumps(
            {"number": self.number, "kind": self.kind.value, "step": self.step, "data": self.data}
        ).encode()

    @classmethod
    def from_json(cls, text: bytes) -> Entry | None:
        """None: no entry."""
        try:
            found = json.loads(text)
            return cls(int(found["number"]), Kind(found["kind"]), found["step"], found["data"])
        except (ValueError, KeyError, TypeError):
            return None


class Do(NamedTuple):
    """Carry out this step."""

    step: str


class Undo(NamedTuple):
    """Compensate this step, which was carried out."""

    step: str


class End(NamedTuple):
    """Nothing is left to do but to say so."""

    kind: Kind


Next: TypeAlias = Do | Undo | End | None


@dataclass(slots=True)
class SagaState:
    """One saga with these steps. `outcome`: COMPLETED, COMPENSATED, STUCK, or None while it goes on."""

    steps: Sequence[str]
    data: Any = None
    results: dict[str, Any] = field(default_factory=dict)
    next_number: int = 0
    outcome: Kind | None = None
    error: str = ""
    _to_undo: list[str] = field(default_factory=list)
    _is_going_back: bool = False

    def apply(self, entry: Entry) -> bool:
        """False: the entry is passed over."""
        if entry.number != self.next_number or (entry.number == 0) != (entry.kind is Kind.STARTED):
            return False
        self.next_number += 1
        match entry.kind:
            case Kind.STARTED:
                self.data = entry.data
            case Kind.DONE:
                self.results[entry.step] = entry.data
                self._to_undo.append(entry.step)
            case Kind.FAILED:
                self._is_going_back = True
                self.error = f"{entry.step}: {entry.data}"
            case Kind.UNDONE if entry.step in self._to_undo:
                self._to_undo.remove(entry.step)
            case Kind.STUCK:
                self.outcome = Kind.STUCK
                self.error = f"{entry.step}: {entry.data}"
            case Kind.RETRIED:
                self.outcome = None
            case Kind.COMPLETED | Kind.COMPENSATED:
                self.outcome = entry.kind
        return True

    def next(self) -> Next:
        """What is to be done now. None: nothing; it has not begun, has ended, or is stuck."""
        if self.next_number == 0 or self.outcome is not None:
            return None
        if self._is_going_back:
            return Undo(self._to_undo[-1]) if self._to_undo else End(Kind.COMPENSATED)
        left = [step for step in self.steps if step not in self.results]
        return Do(left[0]) if left else End(Kind.COMPLETED)


class Outcome(NamedTuple):
    """How a saga ended."""

    kind: Kind
    results: Mapping[str, Any]
    error: str

    @property
    def is_completed(self) -> bool:
        return self.kind is Kind.COMPLETED
