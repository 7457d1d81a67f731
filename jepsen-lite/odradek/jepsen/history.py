"""Histories: what clients asked, what they were told, and when.

Decides: the shape of an event, how histories are written, read and joined, and how an invocation meets its completion.
Does not decide: which error is which outcome (`outcomes`), nor what is wrong with a history (`checkers`).

An event is one JSON object on one line:

    {"time": 81234567, "process": "kafka-3", "op": 17, "type": "invoke", "f": "send", "value": [["send", "q0/1", 42]]}

`time` is CLOCK_MONOTONIC in ns, which all processes of a machine share. `type` is invoke, ok (it happened), fail (it
did certainly not happen) or info (nobody knows, or a remark). `(process, op)` names an operation: its invocation is on
disk before the request leaves, so a client that is killed leaves an invocation without a completion, which is an info.
A process may have several operations in flight; it asks for them in the order of their invocations. A client that takes
the place of a killed one is a new process ("kafka-3" is followed by "kafka-3.1").

Values, by `f` (the names and shapes are those of jepsen.tests.kafka; a key is "topic/partition", a record's value an
integer that is sent once in a run):

    send, poll, txn  micro-operations: ["send", key, value] and ["poll"] asked; ["send", key, [offset or null, value]]
                     and ["poll", {key: [[offset, value], ...]}] told. One send or one poll is an operation of its own.
                     `more` may hold "rebalanced": keys that came or went during the operation, and "final": true for
                     the reads after the faults
    assign           [key, ...]; more: "seek": "beginning" or {key: offset}
    subscribe        [topic, ...]; more: "group"
    crash            null: the client was torn down
    assigned,        {"group": g, "member": m, "keys": [key, ...]}; ok, at the moment when the client was told;
    revoked          revoked has more: "lost": true when the group had already dropped the member
    commit           {"group": g, "member": m, "offsets": {key: offset}}
    committed        {"group": g, "offsets": {key: offset or null}} told, {"group": g} asked
    watermarks       {key: [log start offset, high watermark]} told
    topic-create, topic-delete, topic-config, topic-describe: see workloads.metadata
    fault            by process "nemesis", type info: {"fault": number, "name": "kill", "phase": "start" | "stop",
                     "nodes": [1], ...}
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple

Type = Literal["invoke", "ok", "fail", "info"]
NEMESIS = "nemesis"


class Event(NamedTuple):
    """One line of a history. `error` is the name of the error that ended the operation, None for ok and invoke."""

    time: int
    process: str
    op: int
    type: Type
    f: str
    value: Any = None
    error: str | None = None
    more: Mapping[str, Any] | None = None


class Operation(NamedTuple):
    """An invocation and what became of it. Without a completion `completion` is an info at `NEVER`."""

    invoke: Event
    completion: Event

    @property
    def type(self) -> Type:
        return self.completion.type


#: The time of a completion that never came: later than any other.
NEVER = 1 << 62
_json = json.JSONEncoder(separators=(",", ":")).encode


class HistoryError(ValueError):
    """A history that cannot be read: the message names the file, the line and what is wrong."""


def encode(event: Event) -> str:
    """The line, with its end. Put together by hand, which takes half the time: workers pay it for every record."""
    time, process, op, type_, f, value, error, more = event
    told = "" if error is None else f',"error":{_json(error)}'
    if more:
        told += f',"more":{_json(more)}'
    named = f'"process":{_json(process)},"op":{op},"type":"{type_}","f":{_json(f)}'
    return f'{{"time":{time},{named},"value":{_json(value)}{told}}}\n'


def decode(line: str) -> Event:
    """The event of a line. Raises ValueError (not JSON), KeyError (a field is missing), TypeError (no object)."""
    fields = json.loads(line)
    return Event(
        fields["time"],
        fields["process"],
        fields["op"],
        fields["type"],
        fields["f"],
        fields.get("value"),
        fields.get("error"),
        fields.get("more"),
    )


class Writer:
    """Appends events to one file. Each is handed to the kernel at once, so that SIGKILL of the writer loses none."""

    def __init__(self, path: Path) -> None:
        self._file: IO[bytes] = path.open("ab", buffering=0)

    def write(self, *events: Event) -> None:
        self.append("".join(map(encode, events)))

    def append(self, lines: str) -> None:
        """What `encode` would have made of events."""
        self._file.write(lines.encode())

    def close(self) -> None:
        self._file.close()


def read(path: Path) -> Iterator[Event]:
    """The events of one file. A last line without its end was cut off by a crash and is left out.

    Raises HistoryError for any other line that is no event.
    """
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if not line.endswith("\n"):
                return
            try:
                yield decode(line)
            except (ValueError, KeyError, TypeError) as error:
                raise HistoryError(f"{path}, line {number}: {error!r} in {line[:200]!r}") from error


def join(paths: Iterable[Path]) -> list[Event]:
    """The histories of several processes as one, in the order of time."""
    return list(heapq.merge(*(sorted(read(path), key=_time) for path in paths), key=_time))


def _time(event: Event) -> int:
    return event.time


def pair(events: Iterable[Event]) -> list[Operation]:
    """Operations in the order of their invocations. Remarks (info and ok events without an invocation) are left out."""
    open_: dict[tuple[str, int], int] = {}
    invocations: list[Event] = []
    completions: list[Event | None] = []
    for event in events:
        name = (event.process, event.op)
        if event.type == "invoke":
            if name in open_:
                raise HistoryError(f"operation {name} is invoked twice")
            open_[name] = len(invocations)
            invocations.append(event)
            completions.append(None)
        elif (place := open_.pop(name, None)) is not None:
            completions[place] = event
    return [Operation(invoke, told or _no_answer(invoke)) for invoke, told in zip(invocations, completions)]


def _no_answer(invoke: Event) -> Event:
    return invoke._replace(time=NEVER, type="info", error="no-answer")
