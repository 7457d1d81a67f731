"""What a worker writes into its history: numbered operations of one Jepsen process after another.

Decides: numbers and names of operations and processes. Does not decide: what they are.
Invariant: `invoke` returns after the invocation was handed to the kernel, so whatever leaves the process afterwards is
known to the history even if the process is killed.
"""

from __future__ import annotations

import json
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
        self._quoted = json.dumps(self.process)

    def successor(self) -> Recorder:
        """Of the process that takes this one's place after its client was torn down: "x", then "x+1"."""
        return Recorder(self._writer, self._name, self._lives + 1)

    def invoke(self, f: str, value: Any = None, more: Mapping[str, Any] | None = None) -> int:
        """Returns the number of the operation."""
        self._ops += 1
        self._writer.write(Event(monotonic_ns(), self.process, self._ops, "invoke", f, value, None, more))
        return self._ops

    # Sends are most of a history. Their lines are put together without `history.encode`, at a fifth of its cost; names
    # of topics need no escapes.

    def invoke_sends(self, key: str, values: range) -> range:
        """One send for each value, that begin together, in this order. Returns the numbers of the operations."""
        first = self._ops + 1
        self._ops += len(values)
        numbers = range(first, self._ops + 1)
        begin = f'{{"time":{monotonic_ns()},"process":{self._quoted},"op":'
        middle = f',"type":"invoke","f":"send","value":[["send","{key}",'
        lines = [f"{begin}{op}{middle}{value}]]}}\n" for op, value in zip(numbers, values)]
        self._writer.append("".join(lines))
        return numbers

    def acknowledged(self, op: int, key: str, value: int, offset: int | None) -> str:
        """The line of a send that is ok now, to be written by `append`."""
        told = "null" if offset is None else offset
        begin = f'{{"time":{monotonic_ns()},"process":{self._quoted},"op":{op},"type":"ok","f":"send"'
        return f'{begin},"value":[["send","{key}",[{told},{value}]]]}}\n'

    def append(self, lines: Sequence[str]) -> None:
        self._writer.append("".join(lines))

    def event(
        self,
        op: int,
        type_: Type,
        f: str,
        value: Any,
        error: str | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> Event:
        """A completion of now, to be written later."""
        return Event(monotonic_ns(), self.process, op, type_, f, value, error, more)

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
