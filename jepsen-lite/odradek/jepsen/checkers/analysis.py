"""What a history says of each key, computed once for all checkers of the queue.

Decides: the version order of a key (which value stands at which offset), who wrote a value and what became of that
write, which values were read. Does not decide: what is wrong (`queue`, `order`, `cycles`).

Invariants: one pass in linear time; nothing is kept per poll. The version order is made of all polls (ok, info and
fail: a consumer never shows what it may not) and of those sends whose offset is known and whose operation must have
committed. That is an ok, an info of a transaction of which an ok poll saw a value, and for a `send` on its own also an
info that carries an offset. Offsets without a record (control records, aborted ones, holes) are squeezed out: an
*index* counts from 0 without gaps. A value stands where it was seen first; `again` has those that stand twice.

Source: jepsen.tests.kafka.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, Final, NamedTuple

from odradek.jepsen.checkers.observed import readings
from odradek.jepsen.history import Event, Operation, pair

#: Of one value at one offset, so many polls are kept as evidence, and of one value at all offsets.
_POLLS_OF_AN_OFFSET: Final = 2
_SIGHTINGS: Final = 6

Pairs = Sequence[Sequence[Any]]
"""[[offset, value], ...] of one key in one poll; the value of a record that could not be decoded is None."""


class Send(NamedTuple):
    """A micro-operation of an operation; `offset` is None when the client was not told."""

    key: str
    value: int
    offset: int | None


class Sighting(NamedTuple):
    """Where a value was seen: `op` is a number in `Analysis.operations`, `how` is send or poll."""

    op: int
    how: str
    offset: int | None


@dataclass(slots=True)
class Log:
    """One key. `offsets` and `values` are the version order by index; `index` leads back, to the first place.

    `again`: all indices of a value that has several. `contested`: all values of an offset that has several.
    `writer`: number of the operation that sent a value, in the order of invocations. `read`: seen by an ok poll.
    `told`: values whose offset is known although their operation is an info. `failed`: values that were certainly not
    written. `finally_read`: what the reads after the faults saw; None when they did not read this key.
    `finally_from`: the index where they began.
    """

    key: str
    offsets: list[int] = field(default_factory=list)
    values: list[int] = field(default_factory=list)
    index: dict[int, int] = field(default_factory=dict)
    again: dict[int, list[int]] = field(default_factory=dict)
    contested: dict[int, list[int]] = field(default_factory=dict)
    writer: dict[int, int] = field(default_factory=dict)
    read: set[int] = field(default_factory=set)
    told: set[int] = field(default_factory=set)
    failed: set[int] = field(default_factory=set)
    finally_read: set[int] | None = None
    finally_from: int = 0

    def place(self, offset: int) -> int | None:
        """The index of an offset; None when no record stands there."""
        at = bisect_left(self.offsets, offset)
        return at if at < len(self.offsets) and self.offsets[at] == offset else None

    def last(self, value: int) -> int | None:
        """The last index of a value; None when its place is not known."""
        return self.again[value][-1] if value in self.again else self.index.get(value)


@dataclass(frozen=True, slots=True)
class Analysis:
    """`several` are the operations of more than one micro-operation; `committed` those that must have happened."""

    events: Sequence[Event]
    operations: Sequence[Operation]
    logs: Mapping[str, Log]
    committed: bytearray
    several: Sequence[int]

    @classmethod
    def of(cls, events: Iterable[Event]) -> Analysis:
        """`events` in the order of time, as `history.join` gives them. Raises HistoryError (see `history.pair`)."""
        kept = events if isinstance(events, Sequence) else list(events)
        return _Draft(kept).finish()

    def acknowledged(self, log: Log, value: int) -> bool:
        """The sender was told that the value is in the log."""
        number = log.writer.get(value)
        return number is not None and (self.operations[number].type == "ok" or value in log.told)

    def is_committed(self, log: Log, value: int) -> bool:
        """The value must be in the log, whether its sender was told so or not."""
        number = log.writer.get(value)
        if number is None:
            return False
        return bool(self.committed[number]) or value in log.told

    def sightings(self, wanted: set[tuple[str, int]]) -> dict[tuple[str, int], list[Sighting]]:
        """Who sent and who polled each (key, value), the first few of each; one pass over the history."""
        found: dict[tuple[str, int], list[Sighting]] = {name: [] for name in wanted}
        if not wanted:
            return found
        keys = {key for key, _ in wanted}
        for number, operation in enumerate(self.operations):
            f = operation.invoke.f
            if f in ("send", "txn"):
                for key, value, offset in sends(operation):
                    if (seen := found.get((key, value))) is not None:
                        seen.append(Sighting(number, "send", offset))
            if f in ("poll", "txn"):
                for key, pairs in readings(operation.completion):
                    if key in keys:
                        _sight(found, number, key, pairs)
        return found

    def evidence(self, seen: Sequence[Sighting]) -> list[Event | Operation]:
        """The operation of a send, and what a poll told; each once."""
        polls = {one.op: self.operations[one.op].completion for one in seen if one.how == "poll"}
        writers = {one.op: self.operations[one.op] for one in seen if one.how == "send"}
        return [*writers.values(), *(event for number, event in polls.items() if number not in writers)]


def _sight(found: dict[tuple[str, int], list[Sighting]], number: int, key: str, pairs: Pairs) -> None:
    for offset, value in pairs:
        if (seen := found.get((key, value))) is not None and len(seen) < _SIGHTINGS:
            same = sum(one.how == "poll" and one.offset == offset for one in seen)
            if same < _POLLS_OF_AN_OFFSET:
                seen.append(Sighting(number, "poll", offset))


def sends(operation: Operation) -> list[Send]:
    """What an operation sent, in its order, with the offsets of its completion where it has them."""
    told = operation.completion.value
    asked = operation.invoke.value
    if isinstance(told, (list, tuple)):
        if len(told) == 1 == len(asked):
            return [_send(told[0])] if told[0][0] == "send" else []
        sent = [_send(micro) for micro in told if micro[0] == "send"]
        if told is asked or len(told) == len(asked):
            return sent
    else:
        sent = []
    # The completion broke off before the rest.
    return sent + [_send(micro) for micro in asked or () if micro[0] == "send"][len(sent) :]


def _send(micro: Sequence[Any]) -> Send:
    _, key, target = micro
    return Send(key, target[1], target[0]) if isinstance(target, (list, tuple)) else Send(key, target, None)


def corrupt(event: Event) -> Iterator[tuple[str, int, str]]:
    """Key, offset and what is wrong, of each record that a poll could not decode."""
    for record in more(event, "corrupt") or ():
        if isinstance(record, Mapping):
            yield record["key"], record["offset"], record["reason"]
        else:
            key, offset, reason = record
            yield key, offset, reason


def more(event: Event, name: str) -> Any:
    return event.more.get(name) if event.more else None


class _Draft:
    """The state of the one pass that `Analysis.of` makes."""

    def __init__(self, events: Sequence[Event]) -> None:
        self._events = events
        self._operations = pair(events)
        self._committed = bytearray(len(self._operations))
        self._logs: dict[str, Log] = {}
        self._at: dict[str, dict[int, int]] = {}
        self._final: dict[str, set[int]] = {}
        self._final_offset: dict[str, int] = {}
        self._from_the_beginning: dict[str, set[str]] = {}
        self._final_processes: set[str] = set()
        self._unsure: list[int] = []
        self._several: list[int] = []

    def finish(self) -> Analysis:
        for number, operation in enumerate(self._operations):
            f = operation.invoke.f
            if f == "send" and operation.completion.type == "ok" and len(operation.completion.value) == 1:
                self._take_acknowledged(number, operation.completion.value[0])
            elif f in ("send", "txn"):
                self._take_sends(number, operation)
            if f in ("poll", "txn"):
                self._take_polls(operation)
            elif f == "assign" and operation.type == "ok" and more(operation.invoke, "seek") == "beginning":
                self._from_the_beginning.setdefault(operation.invoke.process, set()).update(
                    operation.invoke.value
                )
        self._decide_unsure()
        for log in self._logs.values():
            _order(log, self._at.pop(log.key))
        self._take_final()
        return Analysis(self._events, self._operations, self._logs, self._committed, self._several)

    def _log(self, key: str) -> Log:
        log = self._logs.get(key)
        if log is None:
            log = self._logs[key] = Log(key)
            self._at[key] = {}
        return log

    def _take_acknowledged(self, number: int, micro: Sequence[Any]) -> None:
        """What most operations are, and so without a detour."""
        _, key, (offset, value) = micro
        log = self._logs.get(key) or self._log(key)
        self._committed[number] = 1
        log.writer.setdefault(value, number)
        if offset is not None and self._at[key].setdefault(offset, value) != value:
            self._put(log, offset, value)

    def _take_sends(self, number: int, operation: Operation) -> None:
        kind = operation.type
        if operation.invoke.value and len(operation.invoke.value) > 1:
            self._several.append(number)
        if kind == "ok":
            self._committed[number] = 1
        elif kind == "info":
            self._unsure.append(number)
        for key, value, offset in sends(operation):
            log = self._logs.get(key) or self._log(key)
            log.writer.setdefault(value, number)
            if kind == "fail":
                log.failed.add(value)
            elif offset is not None and kind == "ok":
                self._put(log, offset, value)

    def _put(self, log: Log, offset: int, value: int) -> None:
        if self._at[log.key].setdefault(offset, value) != value:
            values = log.contested.setdefault(offset, [self._at[log.key][offset]])
            if value not in values:
                values.append(value)

    def _take_polls(self, operation: Operation) -> None:
        completion = operation.completion
        final = more(completion, "final") or more(operation.invoke, "final")
        ok = operation.type == "ok"
        if final and ok:
            self._final_processes.add(completion.process)
        for key, pairs in readings(completion):
            log = self._log(key)
            at = self._at[key]
            for offset, value in pairs:
                if value is not None and at.setdefault(offset, value) != value:
                    self._put(log, offset, value)
            if ok:
                log.read.update(map(itemgetter(1), pairs))
                if final and pairs:
                    self._final.setdefault(key, set()).update(map(itemgetter(1), pairs))
                    first = min(map(itemgetter(0), pairs))
                    self._final_offset[key] = min(self._final_offset.get(key, first), first)

    def _decide_unsure(self) -> None:
        """Infos of which something is known: whatever they wrote at a known offset is in the log."""
        for number in self._unsure:
            operation = self._operations[number]
            alone = operation.invoke.f == "send"
            written = list(sends(operation))
            if any(send.value in self._logs[send.key].read for send in written):
                self._committed[number] = not alone or len(written) == 1
            for key, value, offset in written:
                log = self._logs[key]
                if offset is not None and (alone or self._committed[number]):
                    if alone:
                        log.told.add(value)
                    self._put(log, offset, value)

    def _take_final(self) -> None:
        for process in self._final_processes:
            for key in self._from_the_beginning.get(process, ()):
                self._log(key).finally_read = self._final.get(key, set())
        for key, values in self._final.items():
            log = self._logs[key]
            if log.finally_read is None:
                log.finally_read = values
                log.finally_from = bisect_left(log.offsets, self._final_offset[key])
            values.discard(None)


def _order(log: Log, at: dict[int, int]) -> None:
    log.read.discard(None)
    log.offsets = sorted(at)
    log.values = values = [at[offset] for offset in log.offsets]
    log.index = dict(zip(reversed(values), range(len(values) - 1, -1, -1)))
    twice: set[int] = set()
    if len(log.index) != len(values):
        twice = {value for place, value in enumerate(values) if log.index[value] != place}
    for offset, others in log.contested.items():
        place = bisect_left(log.offsets, offset)
        for value in others[1:]:
            first = log.index.setdefault(value, place)
            if first != place:
                twice.add(value)
                log.index[value] = min(first, place)
    if twice:
        log.again = {value: [] for value in sorted(twice)}
        for place, value in enumerate(values):
            contenders = log.contested.get(log.offsets[place], ()) if log.contested else ()
            for one in {value, *contenders}:
                if one in twice:
                    log.again[one].append(place)
