"""High watermarks and log starts only grow, as clients see them, and whatever was seen or acknowledged lies below.

Decides: which readings of watermarks contradict what was known before they began. Does not decide: whether the log
holds what it should (`replicas`, `queue`).

A reading is {key: [log start, high watermark]}, with the leader epoch of whoever answered as a third where it is known;
the log start is null where it is not.

What it takes for granted: one client does not go back to an older leader, unless the leader epochs say so. Kafka
promises no more: a leader that was replaced and does not know it yet may tell another client a high watermark that is
behind the new leader's. So what holds by default is what holds for any such system:

* watermark-regression: a high watermark is below one that the same process had read before, or below the end of what
  it had polled itself; or, of readings with leader epochs, below one that any process had read before of this or an
  earlier leader.
* log-start-regression: the same for log starts. watermarks-crossed: a log start above the high watermark beside it.
* with `final`, the high watermarks of the healed cluster, asked for when all clients had stopped:
  watermark-regression, and acknowledged-above-watermark for a record that was acknowledged or read at or above it.

With `realtime=True`, for clusters whose readings are linearizable (or runs without faults):
* watermark-regression-realtime, log-start-regression-realtime: below what any process had read before it was invoked.
* acknowledged-above-watermark: a record that was acknowledged or polled before the reading was invoked lies above it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from odradek.jepsen.checkers.anomaly import Anomaly
from odradek.jepsen.checkers.findings import Findings
from odradek.jepsen.checkers.observed import acknowledged_sends, all_polled
from odradek.jepsen.history import NEVER, Operation


class _Seen(NamedTuple):
    """From `time` on it is known that a watermark is at least `least`, by what a leader of that epoch said."""

    time: int
    least: int
    operation: Operation
    epoch: int | None = None


class _Reading(NamedTuple):
    key: str
    start: int | None
    high: int
    epoch: int | None
    operation: Operation


class _Known:
    """What is known at a time: the greatest bound of all that were seen before."""

    def __init__(self, seen: Iterable[_Seen]) -> None:
        ordered = sorted(seen, key=lambda item: item.time)
        self._times = [item.time for item in ordered]
        self._greatest: list[_Seen] = []
        for item in ordered:
            if self._greatest and self._greatest[-1].least >= item.least:
                item = self._greatest[-1]
            self._greatest.append(item)

    def before(self, time: int) -> _Seen | None:
        place = bisect_left(self._times, time)
        return self._greatest[place - 1] if place else None


def check(
    operations: Sequence[Operation], *, final: Mapping[str, int] | None = None, realtime: bool = False
) -> list[Anomaly]:
    """`final`: {key: high watermark} after the last operation."""
    findings = Findings()
    readings = [
        _Reading(key, told[0], told[1], told[2] if len(told) > 2 else None, operation)
        for operation in operations
        if operation.invoke.f == "watermarks" and operation.type == "ok"
        for key, told in operation.completion.value.items()
    ]
    for key, start, high, _, operation in readings:
        if start is not None and start > high:
            findings.add(
                "watermarks-crossed",
                f"{key}: the log start {start} is above the high watermark {high}",
                [operation],
                {"key": key, "start": start, "high": high},
            )
    records = _records(operations, by_process=True)
    _check_scope(findings, readings, records, by_process=True)
    if realtime or final is not None:
        records = _records(operations, by_process=False)
    if realtime:
        _check_scope(findings, readings, records, by_process=False)
    else:
        _check_leaders(findings, [reading for reading in readings if reading.epoch is not None])
    if final is not None:
        _check_final(findings, final, readings, records)
    return findings.anomalies()


Scope = tuple[str, str]


def _records(operations: Iterable[Operation], *, by_process: bool) -> dict[Scope, list[_Seen]]:
    """What records prove, by process ("" for all) and key: a record that was polled or acknowledged is below."""
    seen: dict[Scope, list[_Seen]] = defaultdict(list)
    for operation, key, pairs in all_polled(operations):
        if pairs and operation.completion.time < NEVER:
            name = operation.invoke.process if by_process else ""
            least = max(pair[0] for pair in pairs) + 1
            seen[name, key].append(_Seen(operation.completion.time, least, operation))
    if not by_process:  # a producer and a consumer do not share what they know of leaders
        for operation, key, offset, _ in acknowledged_sends(operations):
            if offset is not None:
                seen["", key].append(_Seen(operation.completion.time, offset + 1, operation))
    return seen


def _check_scope(
    findings: Findings,
    readings: Sequence[_Reading],
    records: Mapping[Scope, list[_Seen]],
    *,
    by_process: bool,
) -> None:
    asked: dict[Scope, list[_Reading]] = defaultdict(list)
    for reading in readings:
        asked[reading.operation.invoke.process if by_process else "", reading.key].append(reading)
    suffix = "" if by_process else "-realtime"
    above = "watermark-regression" if by_process else "acknowledged-above-watermark"
    for scope, of_scope in asked.items():
        _check_readings(findings, of_scope, suffix)
        known = _Known(records.get(scope, ()))
        for reading in of_scope:
            _compare(findings, above, reading, reading.high, known)


def _check_leaders(findings: Findings, readings: Iterable[_Reading]) -> None:
    """Of all processes; those of one process are compared already."""
    by_key: dict[str, list[_Reading]] = defaultdict(list)
    for reading in readings:
        by_key[reading.key].append(reading)
    for of_key in by_key.values():
        if len({reading.operation.invoke.process for reading in of_key}) > 1:
            _check_readings(findings, of_key, "", of_others=True)


def _check_readings(
    findings: Findings, readings: Sequence[_Reading], suffix: str, *, of_others: bool = False
) -> None:
    """High watermarks and log starts of one key, each with what was read before."""
    highs = _Known(
        _Seen(reading.operation.completion.time, reading.high, reading.operation, reading.epoch)
        for reading in readings
    )
    starts = _Known(
        _Seen(reading.operation.completion.time, reading.start, reading.operation, reading.epoch)
        for reading in readings
        if reading.start is not None
    )
    for reading in readings:
        _compare(findings, f"watermark-regression{suffix}", reading, reading.high, highs, of_others)
        if reading.start is not None:
            _compare(findings, f"log-start-regression{suffix}", reading, reading.start, starts, of_others)


def _compare(
    findings: Findings, kind: str, reading: _Reading, told: int, before: _Known, of_others: bool = False
) -> None:
    known = before.before(reading.operation.invoke.time)
    if known is None or told >= known.least:
        return
    if reading.epoch is not None and known.epoch is not None and reading.epoch < known.epoch:
        return  # a leader that was replaced, and does not know it
    if of_others and known.operation.invoke.process == reading.operation.invoke.process:
        return
    proof = known.operation
    findings.add(
        kind,
        f"{reading.key}: {reading.operation.invoke.process} was told {told} after a {proof.invoke.f} of "
        f"{proof.invoke.process} had shown that it is at least {known.least}",
        [proof, reading.operation],
        {"key": reading.key, "told": told, "known": known.least},
    )


def _check_final(
    findings: Findings,
    final: Mapping[str, int],
    readings: Sequence[_Reading],
    records: Mapping[Scope, list[_Seen]],
) -> None:
    greatest: dict[str, _Reading] = {}
    for reading in readings:
        if reading.key not in greatest or reading.high > greatest[reading.key].high:
            greatest[reading.key] = reading
    for key, high in final.items():
        if key in greatest and greatest[key].high > high:
            findings.add(
                "watermark-regression",
                f"{key}: its high watermark was {greatest[key].high} during the run, and is {high} at the end",
                [greatest[key].operation],
                {"key": key, "told": high, "known": greatest[key].high},
            )
        last = _Known(records.get(("", key), ())).before(NEVER)
        if last is not None and last.least > high:
            findings.add(
                "acknowledged-above-watermark",
                f"{key}: offset {last.least - 1} was acknowledged or read, and the high watermark is {high} at the end",
                [last.operation],
                {"key": key, "told": high, "known": last.least},
            )
