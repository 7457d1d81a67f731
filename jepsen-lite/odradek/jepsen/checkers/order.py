"""Whether records are in the order that was promised, to those who send and to those who read.

Decides, over an `Analysis`, the anomalies of jepsen.tests.kafka that regard order. Reading:

    int-poll-skip, int-nonmonotonic-poll   one operation's reads of a key left out an index, or did not go up
    poll-skip, nonmonotonic-poll           the same between the last read of one operation of a process and the first of
                                           its next ok one

Where a reader stands: `assign` forgets the keys that it does not list and starts again where it seeks; `subscribe`,
`crash`, and an assign that is no ok forget all; a rebalance (`rebalanced` of a poll, `assigned` and `revoked`) forgets
its keys; so do a fail and an info that had read something, since the reader may go back or not. Within an operation
the keys of its `rebalanced` are exempt, and those of which it could not decode a record.

Sending:

    int-send-skip          between two sends of one operation to a key stands a record of somebody else
    int-nonmonotonic-send  the later of two sends of one operation stands before the earlier
    nonmonotonic-send      a send of a process stands before an acknowledged send that it had made earlier. Pipelined
                           sends are ordered by their invocations, as idempotent producers promise; where the
                           invocation has "ordered": false, only sends that do not overlap are

A send of unknown outcome that turned up must stand behind what was acknowledged before it; it does not bind what comes
after it, for a request that a client has given up may reach the broker later than the next one.

Fatal: all but int-send-skip, and but poll-skip and nonmonotonic-poll of a reader that subscribes (`verdict.Policy`; the
data say `via`).
"""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from odradek.jepsen.checkers.analysis import Analysis, Log, Pairs, Send, corrupt, more, sends
from odradek.jepsen.checkers.anomaly import Anomaly
from odradek.jepsen.checkers.findings import Findings
from odradek.jepsen.checkers.observed import readings
from odradek.jepsen.history import Event, Operation

KINDS: Final = (
    "int-poll-skip",
    "int-nonmonotonic-poll",
    "poll-skip",
    "nonmonotonic-poll",
    "int-send-skip",
    "int-nonmonotonic-send",
    "nonmonotonic-send",
)

#: So many of the values that were left out are named.
_NAMED: Final = 10


def check(analysis: Analysis) -> list[Anomaly]:
    """All anomalies of `KINDS`."""
    findings = Findings()
    _Reading(analysis, findings).check()
    _check_inside(analysis, findings)
    _check_senders(analysis, findings)
    return findings.anomalies()


@dataclass(slots=True)
class _Reader:
    """Where a process stands: by key the last index that it read, and in which event."""

    via: str = "assign"
    positions: dict[str, tuple[int, Event]] = field(default_factory=dict)

    def forget(self, keys: Iterable[str]) -> None:
        for key in keys:
            self.positions.pop(key, None)


class _Reading:
    """Follows every reader through the history."""

    def __init__(self, analysis: Analysis, findings: Findings) -> None:
        self._analysis = analysis
        self._findings = findings
        self._readers: dict[str, _Reader] = {}
        self._assigns: dict[tuple[str, int], Event] = {}

    def check(self) -> None:
        for event in self._analysis.events:
            f = event.f
            if f == "send":
                continue
            if event.type == "invoke":
                if f == "assign":
                    self._assigns[event.process, event.op] = event
            elif f in ("poll", "txn"):
                self._poll(event)
            elif f in ("assign", "subscribe", "crash", "assigned", "revoked"):
                self._move(event)

    def _reader(self, process: str) -> _Reader:
        reader = self._readers.get(process)
        if reader is None:
            reader = self._readers[process] = _Reader()
        return reader

    def _move(self, event: Event) -> None:
        reader = self._reader(event.process)
        if event.f in ("assigned", "revoked"):
            reader.forget(event.value["keys"])
            return
        if event.f in ("assign", "subscribe"):
            reader.via = event.f
        if event.f != "assign" or event.type != "ok":
            reader.positions.clear()
            return
        asked = self._assigns.pop((event.process, event.op), event)
        keys = event.value or asked.value
        seek = more(asked, "seek") or more(event, "seek")
        kept = {key: reader.positions[key] for key in keys if key in reader.positions}
        sought = dict.fromkeys(keys, 0) if seek == "beginning" else seek or {}
        for key, offset in sought.items():
            log = self._analysis.logs.get(key)
            if log is not None and key in keys:
                kept[key] = (_before(log, offset), event)
        reader.positions = kept

    def _poll(self, event: Event) -> None:
        reader = self._reader(event.process)
        rebalanced = {*(more(event, "rebalanced") or ()), *(key for key, _, _ in corrupt(event))}
        reader.forget(rebalanced)
        here: dict[str, int] = {}
        for key, pairs in readings(event):
            if not pairs:
                continue
            log = self._analysis.logs[key]
            before = here.get(key)
            exempt = key in rebalanced
            if before is None:
                first = _first(log, pairs)
                known = reader.positions.get(key)
                if known is not None and first is not None and first != known[0] + 1 and event.type == "ok":
                    self._report("", reader, event, log, (*known, first))
            last = self._walk(reader, event, log, pairs, None if exempt else before, exempt)
            if last is not None:
                here[key] = last
        if event.type == "ok":
            for key, index in here.items():
                reader.positions[key] = (index, event)
        elif _untold(event):
            reader.positions.clear()
        else:
            reader.forget(here)

    def _walk(
        self, reader: _Reader, event: Event, log: Log, pairs: Pairs, before: int | None, exempt: bool
    ) -> int | None:
        """The last index of the pairs; reports steps that are not 1."""
        start = log.place(pairs[0][0])
        count = len(pairs)
        if (
            start is not None
            and (before is None or start == before + 1)
            and log.offsets[start : start + count] == [offset for offset, _ in pairs]
        ):
            return start + count - 1
        for offset, _ in pairs:
            place = log.place(offset)
            if place is None:
                continue  # a record that could not be decoded, and that nobody else knows
            if before is not None and place != before + 1 and not exempt:
                self._report("int-", reader, event, log, (before, event, place))
            before = place
        return before

    def _report(
        self, prefix: str, reader: _Reader, event: Event, log: Log, step: tuple[int, Event, int]
    ) -> None:
        last, earlier, index = step
        skip = index > last
        kind = prefix + ("poll-skip" if skip else "nonmonotonic-poll")
        if not self._findings.wants(kind):
            self._findings.counts[kind] += 1
            return
        offsets = [log.offsets[last] if last >= 0 else None, log.offsets[index]]
        left_out = log.values[last + 1 : index]
        said = f"left out {len(left_out)} records" if skip else "went back"
        detail = f"{event.process} {said} of {log.key}: from offset {offsets[0]} to {offsets[1]}"
        data = {
            "key": log.key,
            "process": event.process,
            "via": reader.via,
            "offsets": offsets,
            "indices": [last, index],
            "skipped": left_out[:_NAMED],
            "skipped_count": len(left_out),
        }
        evidence = [event] if earlier is event else [earlier, event]
        self._findings.add(kind, detail, evidence, data)


def _untold(event: Event) -> bool:
    """The client may have moved on without a word of what it read."""
    if event.type == "fail" and event.f == "poll":
        return False
    return any(micro[0] == "poll" and len(micro) == 1 for micro in event.value or [["poll"]])


def _before(log: Log, offset: int) -> int:
    """The index that a reader has just read, so to speak, when it seeks to an offset."""
    return bisect_left(log.offsets, offset) - 1


def _first(log: Log, pairs: Pairs) -> int | None:
    for offset, _ in pairs:
        place = log.place(offset)
        if place is not None:
            return place
    return None


def _check_inside(analysis: Analysis, findings: Findings) -> None:
    """The sends of one operation among themselves."""
    for number in analysis.several:
        operation = analysis.operations[number]
        if not analysis.committed[number]:
            continue
        last: dict[str, tuple[int, int]] = {}
        for send in sends(operation):
            log = analysis.logs[send.key]
            place = log.index.get(send.value)
            if place is None or send.value in log.again:
                continue
            before, earlier = last.get(send.key, (place - 1, 0))
            last[send.key] = (place, send.value)
            if place == before + 1:
                continue
            kind = "int-send-skip" if place > before else "int-nonmonotonic-send"
            offsets = [log.offsets[before], log.offsets[place]]
            said = "others stand between" if place > before else "the later stands first"
            detail = f"{earlier} and {send.value} were sent by one operation to {send.key}: {said}, {offsets}"
            data = {
                "key": send.key,
                "values": [earlier, send.value],
                "offsets": offsets,
                "between": log.values[before + 1 : place][:_NAMED],
            }
            findings.add(kind, detail, [operation], data)


@dataclass(slots=True)
class _Sender:
    """What a process has sent to one key: the highest acknowledged offset, and what counts later."""

    offset: int = -1
    number: int = -1
    waiting: list[tuple[int, int, int]] = field(default_factory=list)

    def advance(self, time: int) -> None:
        """What was acknowledged before that time counts now."""
        while self.waiting and self.waiting[0][0] < time:
            _, offset, number = heapq.heappop(self.waiting)
            if offset > self.offset:
                self.offset, self.number = offset, number


def _check_senders(analysis: Analysis, findings: Findings) -> None:
    senders: dict[tuple[str, str], _Sender] = {}
    for number, operation in enumerate(analysis.operations):
        invoke, completion = operation
        if invoke.f not in ("send", "txn") or completion.type == "fail":
            continue
        unordered = invoke.more is not None and invoke.more.get("ordered") is False
        mine: list[tuple[_Sender, int]] = []
        for send in sends(operation):
            offset = _offset(analysis, send, number)
            if offset is None:
                continue
            name = (invoke.process, send.key)
            sender = senders.get(name)
            if sender is None:
                sender = senders[name] = _Sender()
            if unordered:
                sender.advance(invoke.time)
            if offset < sender.offset:
                _report_sender(analysis, findings, send, offset, (sender, operation))
            if completion.type == "ok" or (invoke.f == "send" and send.offset is not None):
                mine.append((sender, offset))
        for sender, offset in mine:  # after all: an operation's own sends are another matter (int-)
            if unordered:
                heapq.heappush(sender.waiting, (completion.time, offset, number))
            elif offset > sender.offset:
                sender.offset, sender.number = offset, number


def _offset(analysis: Analysis, send: Send, number: int) -> int | None:
    """Where a send stands. A value that stands twice, or that did not need to be there, tells nothing."""
    log = analysis.logs[send.key]
    if send.value in log.again:
        return None
    if send.offset is not None and (analysis.committed[number] or send.value in log.told):
        return send.offset
    place = log.index.get(send.value)
    return None if place is None else log.offsets[place]


def _report_sender(
    analysis: Analysis, findings: Findings, send: Send, offset: int, who: tuple[_Sender, Operation]
) -> None:
    sender, operation = who
    if not findings.wants("nonmonotonic-send"):
        findings.counts["nonmonotonic-send"] += 1
        return
    earlier = analysis.operations[sender.number]
    own = [one for one in sends(earlier) if one.key == send.key]
    before = next((one for one in own if _offset(analysis, one, sender.number) == sender.offset), own[0])
    process = operation.invoke.process
    detail = (
        f"{process} sent {before.value} and then {send.value} to {send.key}: "
        f"they stand at offsets {sender.offset} and {offset}"
    )
    data = {
        "key": send.key,
        "process": process,
        "values": [before.value, send.value],
        "offsets": [sender.offset, offset],
    }
    findings.add("nonmonotonic-send", detail, [earlier, operation], data)
