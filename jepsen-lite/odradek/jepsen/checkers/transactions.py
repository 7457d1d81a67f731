"""Transactions are there as a whole or not at all, over partitions and committed offsets.

Decides: which parts of a transaction readers have seen, and whether the parts agree. Invariant I4 of `reliability` 7.2.
A txn may send to several keys and commit offsets: `more` has "offsets": {group: {key: offset}} (of the invocation, so
that a transaction without an answer has them too). Readers read committed records only.

* torn-transaction: one part is visible, another one is not, and by the final reads it should be.
* aborted-visible: a record of a transaction that certainly did not happen was read.

A send is visible if any poll of another operation has read its value. It is missing if nobody has, although the final
reads (`more` has "final": true) have read its key past it. A transaction whose answer is unknown may have happened or
not, but as a whole. Committed offsets are visible if the last reading of the group found just them and nobody else had
committed them; they are missing if it found a lower one (or none) that no other commit explains.

What it takes for granted: the final reads of a key that they show went to its end (give `complete` otherwise), and were
made when every open transaction had been committed or aborted. Readers of several partitions in the middle of a run may
see one part before the other: Kafka does not promise snapshots, so that is no anomaly.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from odradek.jepsen.checkers.anomaly import Anomaly
from odradek.jepsen.checkers.findings import Findings
from odradek.jepsen.checkers.observed import acknowledged_sends, all_polled, asked_offsets, asked_sends
from odradek.jepsen.history import NEVER, Operation

Place = tuple[str, str]


class _Part(NamedTuple):
    """One send or one committed offset of a transaction; `visible` None: the history does not say."""

    name: str
    visible: bool | None
    proof: Operation | None


class _Commit(NamedTuple):
    start: int
    end: int
    offset: int
    operation: Operation


class _Seen:
    """What readers have seen of the values that transactions sent, and how far the final reads went."""

    def __init__(self, operations: Sequence[Operation], complete: Collection[str] | None) -> None:
        values = {value for txn in operations if txn.invoke.f == "txn" for _, value in asked_sends(txn)}
        self.readers: dict[int, list[Operation]] = defaultdict(list)
        self._ends: dict[str, int] = {}
        self._last: dict[str, Operation] = {}
        for operation, key, records in all_polled(operations):
            for offset, value in records:
                if value in values and len(self.readers[value]) < 2:
                    self.readers[value].append(operation)
                if offset >= self._ends.get(key, 0) and _is_final(operation):
                    self._ends[key], self._last[key] = offset + 1, operation
        self._complete = complete

    def reader(self, value: int, txn: Operation) -> Operation | None:
        """Another operation that has read it."""
        return next((reader for reader in self.readers.get(value, ()) if reader is not txn), None)

    def passed(self, key: str, offset: int | None) -> bool:
        """Whether the final reads would have shown a record of the key, at that offset if it is known."""
        if self._complete is not None:
            return key in self._complete
        return key in self._ends and (offset is None or offset < self._ends[key])

    def last(self, key: str) -> Operation | None:
        return self._last.get(key)


def check(operations: Sequence[Operation], *, complete: Collection[str] | None = None) -> list[Anomaly]:
    """`complete`: keys that the final reads have read to their ends; None: all that they show."""
    findings = Findings()
    seen = _Seen(operations, complete)
    commits, readings = _offsets(operations)
    txns = [operation for operation in operations if operation.invoke.f == "txn"]
    told: dict[int, int | None] = {value: offset for _, _, offset, value in acknowledged_sends(txns)}
    for txn in txns:
        if txn.type == "fail":
            _check_aborted(findings, txn, seen)
            continue
        parts = [_part_of_send(txn, key, value, told.get(value), seen) for key, value in asked_sends(txn)]
        parts += [
            _part_of_offset(txn, (group, key), offset, commits[group, key], readings.get((group, key), ()))
            for group, key, offset in asked_offsets(txn)
        ]
        shown = [part for part in parts if part.visible is True]
        missing = [part for part in parts if part.visible is False]
        if shown and missing:
            findings.add(
                "torn-transaction",
                f"of a transaction of {txn.invoke.process} ({txn.type}) {_list(shown)} visible, "
                f"and {_list(missing)} not",
                [txn, shown[0].proof, missing[0].proof],
                {"visible": [part.name for part in shown], "missing": [part.name for part in missing]},
            )
    return findings.anomalies()


def _is_final(operation: Operation) -> bool:
    return bool((operation.completion.more or {}).get("final") or (operation.invoke.more or {}).get("final"))


def _list(parts: Sequence[_Part]) -> str:
    names = ", ".join(part.name for part in parts[:4]) + (", ..." if len(parts) > 4 else "")
    return f"{names} {'is' if len(parts) == 1 else 'are'}"


def _check_aborted(findings: Findings, txn: Operation, seen: _Seen) -> None:
    for key, value in asked_sends(txn):
        reader = seen.reader(value, txn)
        if reader is not None:
            findings.add(
                "aborted-visible",
                f"{key}: {value} was sent in a transaction of {txn.invoke.process} that failed "
                f"({txn.completion.error}), and {reader.invoke.process} read it",
                [txn, reader],
                {"key": key, "value": value},
            )


def _part_of_send(txn: Operation, key: str, value: int, offset: int | None, seen: _Seen) -> _Part:
    reader = seen.reader(value, txn)
    if reader is not None:
        return _Part(f"{value} in {key}", True, reader)
    return _Part(f"{value} in {key}", False if seen.passed(key, offset) else None, seen.last(key))


# -- offsets


def _offsets(
    operations: Iterable[Operation],
) -> tuple[dict[Place, list[_Commit]], dict[Place, list[tuple[int | None, Operation]]]]:
    """All commits that may have happened, and the readings, in the order of their invocations."""
    commits: dict[Place, list[_Commit]] = defaultdict(list)
    readings: dict[Place, list[tuple[int | None, Operation]]] = defaultdict(list)
    for operation in operations:
        if operation.type != "fail":
            end = operation.completion.time if operation.type == "ok" else NEVER
            for group, key, offset in asked_offsets(operation):
                commits[group, key].append(_Commit(operation.invoke.time, end, offset, operation))
        if operation.invoke.f == "committed" and operation.type == "ok":
            told: Mapping[str, int | None] = operation.completion.value["offsets"]
            group = operation.completion.value.get("group") or operation.invoke.value["group"]
            for key, found in told.items():
                readings[group, key].append((None if found is None or found < 0 else found, operation))
    return commits, readings


def _part_of_offset(
    txn: Operation,
    place: Place,
    offset: int,
    commits: Sequence[_Commit],
    readings: Sequence[tuple[int | None, Operation]],
) -> _Part:
    """By the last reading, if that came after the transaction."""
    name = f"offset {offset} of {place[1]} for {place[0]}"
    if not readings:
        return _Part(name, None, None)
    found, reading = readings[-1]
    if not _is_final(reading) and txn.completion.time >= reading.invoke.time:
        return _Part(name, None, reading)
    others = [commit for commit in commits if commit.operation is not txn and commit.offset == found]
    if found == offset:
        return _Part(name, None if others else True, reading)
    if found is None or found < offset:
        is_explained = any(commit.end >= txn.invoke.time for commit in others)
        return _Part(name, None if is_explained else False, reading)
    return _Part(name, None, reading)
