"""Whether concurrent operations on one object could have happened one at a time, each between its call and its return.

Decides: linearizable or not, or that the search was given up. Does not decide: what the operations mean (`Model`), nor
how a history is divided into objects: operations on different objects are independent, so each is searched alone
(`check_objects`).

The search of Wing and Gong (1993) as Lowe (2017) and Porcupine do it: operations are placed one after another, the
earliest calls first, and taken back where a return is met of one that is not placed; a configuration (which operations
are placed, and the state that they lead to) is visited once. An operation without a return may be placed at any time
after its call, or never: nobody knows whether it happened.

Invariant: nothing is called linearizable that was not proven to be. A search that would visit more than `limit`
configurations ends as unknown.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Generic, Literal, NamedTuple, Protocol, TypeVar

from odradek.jepsen.history import NEVER

S = TypeVar("S", bound=Hashable)
Op_contra = TypeVar("Op_contra", contravariant=True)
Op = TypeVar("Op")
K = TypeVar("K", bound=Hashable)

LIMIT = 300_000


class Model(Protocol[S, Op_contra]):
    """What one object is when nothing happens at the same time."""

    @property
    def initial(self) -> S: ...

    def step(self, state: S, operation: Op_contra) -> tuple[bool, S]:
        """Whether the operation with its outcome is possible in that state, and the state after it."""


class Call(NamedTuple, Generic[Op]):
    """`end` is NEVER when nobody knows whether it happened. `operation` holds the outcome too, for the model."""

    start: int
    end: int
    operation: Op


class Result(NamedTuple):
    """`explored` configurations. Unless it is linearizable: `longest` are the calls (their places) of the longest
    order that was found, `blocked` the one that none of the longest orders had a place for.
    """

    verdict: Literal["linearizable", "illegal", "unknown"]
    explored: int
    longest: Sequence[int] = ()
    blocked: int | None = None


class _Timeline:
    """Calls and returns in the order of time, as a list from which an operation can be lifted and put back.

    Entry 0 is the head; 1 to n are the calls, n + 1 to 2n the returns.
    """

    def __init__(self, calls: Sequence[Call[Op]]) -> None:
        count = len(calls)
        entries = [(call.start, 0, place + 1) for place, call in enumerate(calls)]
        # At the same instant a call comes first: whatever may overlap does.
        entries += [(call.end, 1, count + place + 1) for place, call in enumerate(calls) if call.end < NEVER]
        order = [0, *(entry for _, _, entry in sorted(entries))]
        self.count = count
        self.next = [0] * (2 * count + 1)
        self._before = [0] * (2 * count + 1)
        for before, after in zip(order, [*order[1:], 0]):
            self.next[before], self._before[after] = after, before
        self._returns = [call.end < NEVER for call in calls]

    def lift(self, call: int) -> None:
        self._unlink(call + 1)
        if self._returns[call]:
            self._unlink(self.count + call + 1)

    def put_back(self, call: int) -> None:
        if self._returns[call]:
            self._link(self.count + call + 1)
        self._link(call + 1)

    def _unlink(self, entry: int) -> None:
        before, after = self._before[entry], self.next[entry]
        self.next[before], self._before[after] = after, before

    def _link(self, entry: int) -> None:
        self.next[self._before[entry]] = self._before[self.next[entry]] = entry


def check(calls: Sequence[Call[Op]], model: Model[S, Op], *, limit: int = LIMIT) -> Result:
    """Of one object. Calls in any order."""
    timeline = _Timeline(calls)
    left = sum(call.end < NEVER for call in calls)
    state, placed = model.initial, 0
    visited: set[tuple[int, S]] = set()
    stack: list[tuple[int, S]] = []
    longest: list[int] = []
    blocked: int | None = None
    entry = timeline.next[0]
    while left:
        if entry <= timeline.count:  # a call
            place = entry - 1
            call = calls[place]
            allowed, after = model.step(state, call.operation)
            # One that nobody saw the end of and that changes nothing need not be placed.
            if allowed and (call.end < NEVER or after != state):
                configuration = (placed | 1 << place, after)
                if configuration not in visited:
                    if len(visited) >= limit:
                        return Result(
                            "unknown", len(visited), longest or [call for call, _ in stack], blocked
                        )
                    visited.add(configuration)
                    stack.append((place, state))
                    placed, state = configuration
                    left -= call.end < NEVER
                    timeline.lift(place)
                    entry = timeline.next[0]
                    continue
            entry = timeline.next[entry]
            continue
        if blocked is None or len(stack) > len(longest):
            longest, blocked = [place for place, _ in stack], entry - timeline.count - 1
        if not stack:
            return Result("illegal", len(visited), longest, blocked)
        place, state = stack.pop()
        placed ^= 1 << place
        left += calls[place].end < NEVER
        timeline.put_back(place)
        entry = timeline.next[place + 1]
    return Result("linearizable", len(visited))


def check_objects(
    objects: Mapping[K, Sequence[Call[Op]]], model: Model[S, Op], *, limit: int = LIMIT
) -> dict[K, Result]:
    """Each object by itself; the limit is that of each."""
    return {name: check(calls, model, limit=limit) for name, calls in objects.items()}
