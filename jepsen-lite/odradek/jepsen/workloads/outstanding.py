"""Sends that are under way: what is begun, and what the history says when it ends.

Decides: how many may be under way, in all and to one key (a key without a leader must not hold up the others), and the
shape of their events. Does not decide: how a record is sent.
Invariants: values go out in the order of their invocations; the invocation is written before the record is handed out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from odradek.jepsen.history import Type, encode
from odradek.jepsen.workloads.generator import Sends
from odradek.jepsen.workloads.recorder import Recorder

WINDOW: Final = 128
WINDOW_OF_KEY: Final = 32


class Outstanding:
    """Of one Jepsen process."""

    def __init__(self, recorder: Recorder, sends: Sends) -> None:
        self.recorder = recorder
        self._sends = sends
        self._of_key: Counter[str] = Counter()
        self._told: list[str] = []
        self.count = 0

    def begin(self, due: int) -> Iterator[tuple[str, list[tuple[int, int]]]]:
        """Up to `due` sends: a key, and the number and value of each operation. They are in the history now."""
        while due > 0 and self.count < WINDOW:
            chosen = self._sends.next(min(due, WINDOW - self.count), self._room)
            if chosen is None:
                return
            key, values = chosen
            due -= len(values)
            self.count += len(values)
            self._of_key[key] += len(values)
            yield key, list(zip(self.recorder.invoke_sends(key, values), values))

    def _room(self, key: str) -> int:
        return WINDOW_OF_KEY - self._of_key[key]

    def acknowledged(self, op: int, key: str, value: int, offset: int | None) -> None:
        """`offset`: None if it is not known."""
        self._leave(key)
        self._told.append(self.recorder.acknowledged(op, key, value, offset))

    def ended(self, op: int, key: str, value: int, type_: Type, error: str) -> None:
        """Not acknowledged: fail or info."""
        self._leave(key)
        self._told.append(encode(self.recorder.event(op, type_, "send", [["send", key, value]], error)))

    def _leave(self, key: str) -> None:
        self.count -= 1
        self._of_key[key] -= 1

    def tell(self) -> None:
        """Write what has ended since the last time."""
        if self._told:
            self.recorder.append(self._told)
            self._told.clear()
