"""What clients were told of records: acknowledged sends and polled records, out of the operations of a history.

Decides: which micro-operations are an acknowledgement and which a reading. Does not decide: what follows from them.
Everything is one pass over the operations, whatever asks for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from odradek.jepsen.history import Event, Operation


class Sent(NamedTuple):
    """A record whose send was acknowledged; the offset is None where the client was not told it."""

    operation: Operation
    key: str
    offset: int | None
    value: int


def acknowledged_sends(operations: Iterable[Operation]) -> Iterator[Sent]:
    """In the order of the operations."""
    for operation in operations:
        invoke, completion = operation
        if completion.type == "ok" and (invoke.f == "send" or invoke.f == "txn"):
            for micro in completion.value or ():
                if micro[0] == "send":
                    offset, value = micro[2]
                    yield Sent(operation, micro[1], offset, value)


def acknowledged(operations: Iterable[Operation]) -> dict[str, dict[int, int | None]]:
    """{key: {value: offset}} of all acknowledged sends."""
    told: dict[str, dict[int, int | None]] = {}
    for _, key, offset, value in acknowledged_sends(operations):
        told.setdefault(key, {})[value] = offset
    return told


def asked_sends(operation: Operation) -> Iterator[tuple[str, int]]:
    """Key and value of every send that an operation asked for, whatever became of it."""
    if operation.invoke.f in ("send", "txn"):
        for micro in operation.invoke.value or ():
            if micro[0] == "send":
                yield micro[1], micro[2]


def readings(completion: Event) -> Iterator[tuple[str, Sequence[tuple[int, int]]]]:
    """Key and [[offset, value], ...] of what a completion saw, one poll after the other."""
    if isinstance(completion.value, (list, tuple)):
        for micro in completion.value:
            if micro[0] == "poll" and len(micro) > 1 and micro[1]:
                yield from micro[1].items()


def polled(operation: Operation) -> Iterator[tuple[str, Sequence[tuple[int, int]]]]:
    """The readings of an operation: of a failed one too, for it was shown; none of what does not read."""
    if operation.invoke.f in ("poll", "txn"):
        yield from readings(operation.completion)


def all_polled(operations: Iterable[Operation]) -> Iterator[tuple[Operation, str, Sequence[tuple[int, int]]]]:
    """The same for many operations, each with every key that it read."""
    for operation in operations:
        f = operation[0].f
        if f == "poll" or f == "txn":
            for key, records in polled(operation):
                yield operation, key, records


def asked_offsets(operation: Operation) -> Iterator[tuple[str, str, int]]:
    """Group, key and offset of everything that an operation asked to commit: a commit, or a transaction whose `more`
    has "offsets": {group: {key: offset}}.
    """
    if operation.invoke.f == "commit":
        value = operation.invoke.value
        for key, offset in value["offsets"].items():
            yield value["group"], key, offset
    elif operation.invoke.f == "txn":
        asked = (operation.completion.more or {}).get("offsets") or (operation.invoke.more or {}).get(
            "offsets"
        )
        for group, offsets in (asked or {}).items():
            for key, offset in offsets.items():
                yield group, key, offset


def finder_of_sends(operations: Sequence[Operation]) -> Callable[[int], Sequence[Operation]]:
    """The operations that sent a value. The history is searched at the first question only."""
    found: dict[int, Operation] = {}

    def find(value: int) -> Sequence[Operation]:
        if not found:
            for operation in operations:
                for _, sent in asked_sends(operation):
                    found[sent] = operation
        return [found[value]] if value in found else []

    return find
