"""What a worker writes into its history: numbered operations of one Jepsen process after another.

Decides: numbers and names of operations and processes. Does not decide: what they are.
Invariant: `invoke` returns after the invocation was handed to the kernel, so whatever leaves the process afterwards is
known to the history even if the process is killed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from time import monotonic_ns
from typing import Any

from odradek.jepsen.history import Event, Type, Writer


class Recorder:
    """One Jepsen process. Several may share a writer."""

    def __init__(self, writer: Writer, name: str, lives: int = 0) -> None:
        self._writer = writer
        self._name = name
        self._lives = lives
        self._ops = 0
        self.process = f"{name}+{lives}" if lives else name

    def successor(self) -> Recorder:
        """Of the process that takes this one's place after its client was torn down: "x", then "x+1"."""
        return Recorder(self._writer, self._name, self._lives + 1)

    def invoke(self, f: str, value: Any = None, more: Mapping[str, Any] | None = None) -> int:
        """Returns the number of the operation."""
        self._ops += 1
        self._writer.write(Event(monotonic_ns(), self.process, self._ops, "invoke", f, value, None, more))
        return self._ops

    def invoke_all(self, f: str, values: Sequence[Any]) -> range:
        """Several operations that begin together, in this order. Returns their numbers."""
        first = self._ops + 1
        self._ops += len(values)
        now = monotonic_ns()
        numbers = range(first, self._ops + 1)
        self._writer.write(
            *[Event(now, self.process, op, "invoke", f, value) for op, value in zip(numbers, values)]
        )
        return numbers

    def event(
        self,
        op: int,
        type_: Type,
        f: str,
        value: Any,
        error: str | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> Event:
        """A completion of now, to be written by `write`."""
        return Event(monotonic_ns(), self.process, op, type_, f, value, error, more)

    def write(self, events: Sequence[Event]) -> None:
        if events:
            self._writer.write(*events)

    def complete(
        self,
        op: int,
        type_: Type,
        f: str,
        value: Any = None,
        error: str | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        self._writer.write(self.event(op, type_, f, value, error, more))

    def remark(self, f: str, value: Any, type_: Type = "ok", more: Mapping[str, Any] | None = None) -> None:
        """Something that was not asked for, as an event of its own."""
        self._ops += 1
        self.complete(self._ops, type_, f, value, None, more)
