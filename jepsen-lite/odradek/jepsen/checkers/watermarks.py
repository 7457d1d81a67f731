"""High watermarks and log starts only grow, as clients see them, and whatever was seen or acknowledged lies below.

Decides: which readings of watermarks contradict what was known before they began. Does not decide: whether the log
holds what it should (`replicas`, `queue`).

What it takes for granted: a reading is the answer of the node that the client takes for the leader, and one client does
not go back to an older leader (librdkafka keeps the leader epoch and refuses older metadata). Kafka promises no more: a
leader that was replaced and does not know it yet may tell another client a high watermark that is behind the new
leader's. So what holds by default is what holds for any such system:

* watermark-regression: a high watermark is below one that the same process had read before, or below the end of what
  it had polled itself.
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
from typing import Literal, NamedTuple

from odradek.jepsen.checkers.anomaly import Anomaly
from odradek.jepsen.checkers.findings import Findings
from odradek.jepsen.checkers.observed import acknowledged_sends, all_polled
from odradek.jepsen.history import NEVER, Operation

What = Literal["start", "high", "record"]


class _Seen(NamedTuple):
    """From `time` on it is known that a watermark is at least `least`."""

    time: int
    least: int
    operation: Operation


class _Reading(NamedTuple):
    key: str
    start: int
    high: int
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
        _Reading(key, pair[0], pair[1], operation)
        for operation in operations
        if operation.invoke.f == "watermarks" and operation.type == "ok"
        for key, pair in operation.completion.value.items()
    ]
    for key, start, high, operation in readings:
        if start > high:
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
    seen: dict[tuple[What, Scope], list[_Seen]] = defaultdict(list)
    asked: dict[Scope, list[_Reading]] = defaultdict(list)
    for reading in readings:
        scope = (reading.operation.invoke.process if by_process else "", reading.key)
        asked[scope].append(reading)
        time = reading.operation.completion.time
        seen["start", scope].append(_Seen(time, reading.start, reading.operation))
        seen["high", scope].append(_Seen(time, reading.high, reading.operation))
    suffix = "" if by_process else "-realtime"
    above = "watermark-regression" if by_process else "acknowledged-above-watermark"
    for scope, of_scope in asked.items():
        for kind, what in (
            (f"watermark-regression{suffix}", "high"),
            (f"log-start-regression{suffix}", "start"),
        ):
            known = _Known(seen["high" if what == "high" else "start", scope])
            for reading in of_scope:
                told = reading.high if what == "high" else reading.start
                _compare(findings, kind, reading, told, known.before(reading.operation.invoke.time))
        known = _Known(records.get(scope, ()))
        for reading in of_scope:
            _compare(findings, above, reading, reading.high, known.before(reading.operation.invoke.time))


def _compare(findings: Findings, kind: str, reading: _Reading, told: int, known: _Seen | None) -> None:
    if known is None or told >= known.least:
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
