"""Whether the log kept what it was given: nothing lost, doubled, made up, mangled, or shown before its time.

Decides, over an `Analysis`, the anomalies of jepsen.tests.kafka that regard values and offsets:

    inconsistent-offsets  one offset of a key was seen with two values
    duplicate             one value stands at two offsets of a key (`nonzero`: at two other than 0)
    lost-write            a value that must be there was passed over: an ok poll saw what stands behind it, and none saw
                          it; or the reads after the faults saw what stands behind it and did not see it
    unseen                an acknowledged value that nobody ever polled; or one that was polled and is behind the end of
                          what the reads after the faults saw
    G1a                   a poll saw a value whose write did certainly not happen
    G1b                   a poll saw one of several values that a transaction wrote to a key, and not a later one: it
                          saw what stands behind both; or nobody ever saw the later one, and somebody saw a value of
                          the same key whose send began after a record of the transaction had been seen
    precommitted-read     a transaction polled what it had itself sent

and two more: `corrupt-record`, a record whose bytes are not those that were sent, and `unexpected`, a value that nobody
sent to that key. A lost value's data say where it stood in what its writer sent to the key and what is still there:
prefix, middle, postfix, or whole when nothing is left; a loss in the middle is no matter of interpretation.

Why G1b is sound: the records of a transaction become visible at once, and in a key they stand in the order in which
they were sent. A poll that went from the first of them to something behind the second, without a rebalance in between,
had the second on its way. And what was sent after a record of the transaction could be read stands behind all of them.
(Jepsen names G1b and does not check it.) That no poll ever saw a value counts for as much as for lost-write: a history
must end with reads of everything, or the polls of a client that died untold may have been the only ones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from odradek.jepsen.checkers.analysis import Analysis, Log, Pairs, corrupt, more, sends
from odradek.jepsen.checkers.anomaly import Anomaly
from odradek.jepsen.checkers.findings import MOST, Findings
from odradek.jepsen.checkers.observed import readings
from odradek.jepsen.history import Event

KINDS: Final = (
    "inconsistent-offsets",
    "duplicate",
    "lost-write",
    "unseen",
    "G1a",
    "G1b",
    "precommitted-read",
    "corrupt-record",
    "unexpected",
)


class _Case(NamedTuple):
    """An anomaly of some values of a key, before its evidence was looked for."""

    kind: str
    detail: str
    key: str
    values: tuple[int, ...]
    data: Mapping[str, Any]


class _Cases:
    """What was found about values; of each kind no more than is shown, and the number of all."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def wants(self, kind: str) -> bool:
        """Counts one more of the kind. Whether it is to be described."""
        self.counts[kind] += 1
        return self.counts[kind] <= MOST


def check(analysis: Analysis) -> list[Anomaly]:
    """All anomalies of `KINDS`; every one of them is fatal."""
    findings = Findings()
    wanted = _Cases()
    cases = [
        case
        for source in (_offsets, _lost, _unseen, _aborted, _unexpected)
        for log in analysis.logs.values()
        for case in source(analysis, log, wanted)
    ]
    seen = analysis.sightings({(case.key, value) for case in cases for value in case.values})
    for case in cases:
        evidence = analysis.evidence([one for value in case.values for one in seen[case.key, value]])
        findings.add(case.kind, case.detail, evidence, {"key": case.key, **case.data})
    findings.counts.update(wanted.counts - findings.counts)
    _corrupt(analysis, findings)
    _precommitted(analysis, findings)
    _intermediate(analysis, findings)
    return findings.anomalies()


def _offsets(analysis: Analysis, log: Log, wanted: _Cases) -> Iterator[_Case]:
    for offset, values in sorted(log.contested.items()):
        if wanted.wants("inconsistent-offsets"):
            detail = f"offset {offset} of {log.key} holds {_listed(values)}"
            data = {"offset": offset, "values": values}
            yield _Case("inconsistent-offsets", detail, log.key, tuple(values[:3]), data)
    for value, places in log.again.items():
        if wanted.wants("duplicate"):
            offsets = [log.offsets[place] for place in places]
            data = {"value": value, "offsets": offsets, "nonzero": sum(map(bool, offsets)) > 1}
            detail = f"{value} stands at offsets {_listed(offsets)} of {log.key}"
            yield _Case("duplicate", detail, log.key, (value,), data)


def _lost(analysis: Analysis, log: Log, wanted: _Cases) -> Iterator[_Case]:
    lost = [*_passed_over(analysis, log)]
    if not lost:
        return
    parts = _parts(analysis, log, {value for value, _ in lost})
    for value, rule in lost:
        if wanted.wants("lost-write"):
            offset = log.offsets[log.index[value]]
            behind = (
                "the reads after the faults went past it" if rule == "final" else "later ones were polled"
            )
            detail = f"{value} at offset {offset} of {log.key} is lost ({parts[value]}): {behind}"
            data = {"value": value, "offset": offset, "part": parts[value], "rule": rule}
            witness = _witness(log, value, rule)
            values = (value,) if witness is None else (value, witness)
            yield _Case("lost-write", detail, log.key, values, {**data, "witness": witness})


def _passed_over(analysis: Analysis, log: Log) -> Iterator[tuple[int, str]]:
    """Values that must be there and are not, and by which rule: polled, or final."""
    bound = max((log.index[value] for value in log.read), default=-1)
    final = log.finally_read
    final_bound = max((log.index[value] for value in final), default=-1) if final is not None else -1
    if len(log.index) == len(log.read) and (final is None or len(final) == len(log.read)):
        return  # all were read
    for value in log.index:
        if final is not None and value not in final:
            first, last = log.index[value], log.last(value)
            assert last is not None
            known = value in log.read or analysis.is_committed(log, value)
            if known and value not in log.failed and first >= log.finally_from and last <= final_bound:
                yield value, "final"
                continue
        if value not in log.read and analysis.is_committed(log, value):
            last = log.last(value)
            if last is not None and last <= bound:
                yield value, "polled"


def _witness(log: Log, value: int, rule: str) -> int | None:
    """What was read and stands behind it, as near as possible."""
    seen = log.finally_read if rule == "final" else log.read
    start = log.index[value]
    return next((one for one in log.values[start + 1 : start + 10_000] if seen and one in seen), None)


def _unseen(analysis: Analysis, log: Log, wanted: _Cases) -> Iterator[_Case]:
    final = log.finally_read
    missing: list[tuple[int, bool]] = []
    for value in log.writer:
        if value not in log.read:
            if analysis.acknowledged(log, value):
                missing.append((value, False))
        elif final is not None and value not in final:
            missing.append((value, True))
    if final is not None:
        end = max((log.index[value] for value in final), default=-1)
        missing = [
            (v, read) for v, read in missing if not read or log.index[v] > max(end, log.finally_from - 1)
        ]
    if not missing:
        return
    parts = _parts(analysis, log, {value for value, _ in missing})
    for value, was_read in missing:
        if wanted.wants("unseen"):
            place = log.index.get(value)
            offset = None if place is None else log.offsets[place]
            what = "was polled, and is gone in the reads after the faults" if was_read else "was never polled"
            detail = f"{value} at offset {offset} of {log.key} {what} ({parts[value]})"
            data = {"value": value, "offset": offset, "part": parts[value], "was_read": was_read}
            yield _Case("unseen", detail, log.key, (value,), data)


def _parts(analysis: Analysis, log: Log, lost: set[int]) -> dict[int, str]:
    """Where each lost value stands among all that its writer wrote to the key and what is still there."""
    left = log.finally_read if log.finally_read is not None else log.read
    first: dict[str, int] = {}
    last: dict[str, int] = {}
    for turn, (value, number) in enumerate(log.writer.items()):
        if value in left:
            process = analysis.operations[number].invoke.process
            first.setdefault(process, turn)
            last[process] = turn
    parts: dict[int, str] = {}
    for turn, (value, number) in enumerate(log.writer.items()):
        if value in lost:
            process = analysis.operations[number].invoke.process
            if process not in first:
                parts[value] = "whole"
            elif turn < first[process]:
                parts[value] = "prefix"
            else:
                parts[value] = "middle" if turn < last[process] else "postfix"
    return {value: parts.get(value, "whole") for value in lost}


def _aborted(analysis: Analysis, log: Log, wanted: _Cases) -> Iterator[_Case]:
    for value in sorted(log.failed & log.index.keys(), key=log.index.__getitem__):
        if wanted.wants("G1a"):
            place = log.index[value]
            detail = f"{value} at offset {log.offsets[place]} of {log.key} was polled, but its write failed"
            data = {"value": value, "offset": log.offsets[place]}
            yield _Case("G1a", detail, log.key, (value,), data)


def _unexpected(analysis: Analysis, log: Log, wanted: _Cases) -> Iterator[_Case]:
    if not log.writer:
        return  # the history does not say who wrote to this key
    for value in sorted(log.index.keys() - log.writer.keys(), key=log.index.__getitem__):
        if wanted.wants("unexpected"):
            place = log.index[value]
            detail = f"{value} at offset {log.offsets[place]} of {log.key} was never sent there"
            data = {"value": value, "offset": log.offsets[place]}
            yield _Case("unexpected", detail, log.key, (value,), data)


def _corrupt(analysis: Analysis, findings: Findings) -> None:
    for event in analysis.events:
        for key, offset, reason in corrupt(event):
            detail = f"the record at offset {offset} of {key} is not what was sent: {reason}"
            findings.add("corrupt-record", detail, [event], {"key": key, "offset": offset, "reason": reason})


def _precommitted(analysis: Analysis, findings: Findings) -> None:
    for number in analysis.several:
        operation = analysis.operations[number]
        own = {(send.key, send.value): send for send in sends(operation)}
        for key, pairs in readings(operation.completion):
            for offset, value in pairs:
                if (key, value) in own:
                    detail = f"a transaction polled {value} at offset {offset} of {key}, which it sent itself"
                    data = {"key": key, "value": value, "offset": offset}
                    findings.add("precommitted-read", detail, [operation], data)


class _Group(NamedTuple):
    """What one transaction wrote to one key: at least two values, in its order."""

    number: int
    values: tuple[int, ...]


def _groups(analysis: Analysis) -> dict[str, dict[int, _Group]]:
    """By key and value."""
    groups: dict[str, dict[int, _Group]] = {}
    for number in analysis.several:
        operation = analysis.operations[number]
        if operation.invoke.f != "txn" or operation.type == "fail":
            continue
        by_key: dict[str, list[int]] = {}
        for send in sends(operation):
            by_key.setdefault(send.key, []).append(send.value)
        for key, values in by_key.items():
            if len(values) > 1:
                group = _Group(number, tuple(values))
                groups.setdefault(key, {}).update(dict.fromkeys(values, group))
    return groups


def _intermediate(analysis: Analysis, findings: Findings) -> None:
    groups = _groups(analysis)
    if not groups:
        return
    first_seen: dict[tuple[str, int], Event] = {}
    for operation in analysis.operations:
        completion = operation.completion
        if operation.type != "ok" or operation.invoke.f not in ("poll", "txn"):
            continue
        exempt = {*(more(completion, "rebalanced") or ()), *(key for key, _, _ in corrupt(completion))}
        reads: dict[str, list[Any]] = {}
        for key, pairs in readings(completion):
            if key in groups:
                reads.setdefault(key, []).extend(pairs)
        for key, pairs in reads.items():
            for _, value in pairs:
                group = groups[key].get(value)
                if group is None:
                    continue
                known = first_seen.setdefault((key, group.number), completion)
                if completion.time < known.time:
                    first_seen[key, group.number] = completion
            if key not in exempt:
                _stepped_over(analysis, analysis.logs[key], groups[key], completion, pairs, findings)
    _never_seen(analysis, groups, first_seen, findings)


def _stepped_over(
    analysis: Analysis,
    log: Log,
    groups: Mapping[int, _Group],
    completion: Event,
    pairs: Pairs,
    findings: Findings,
) -> None:
    """One poll saw some values of a transaction and what stands behind another, and not that one."""
    mine: set[int] | None = None
    for _, value in pairs:
        group = groups.get(value)
        if group is None:
            continue
        mine = mine if mine is not None else {one for _, one in pairs}
        end = max(offset for offset, _ in pairs)
        for later in group.values[group.values.index(value) + 1 :]:
            place = log.index.get(later)
            if later in mine or place is None or later in log.again or log.offsets[place] > end:
                continue
            if place > log.index[value]:
                detail = (
                    f"a poll of {log.key} saw {value} and what stands behind {later}, "
                    f"which the same transaction wrote, but not {later}"
                )
                data = {"key": log.key, "value": value, "missing": later, "offset": log.offsets[place]}
                findings.add("G1b", detail, [analysis.operations[group.number], completion], data)


def _never_seen(
    analysis: Analysis,
    groups: Mapping[str, Mapping[int, _Group]],
    first_seen: Mapping[tuple[str, int], Event],
    findings: Findings,
) -> None:
    """Nobody saw a value, although a value that was sent after its transaction could be read was seen."""
    for key, of_key in groups.items():
        log = analysis.logs[key]
        newest = max(
            (value for value in log.read if value in log.writer),
            key=lambda value: analysis.operations[log.writer[value]].invoke.time,
            default=None,
        )
        if newest is None:
            continue
        after = analysis.operations[log.writer[newest]].invoke
        for value, group in of_key.items():
            seen = first_seen.get((key, group.number))
            if value in log.read or seen is None or seen.time >= after.time:
                continue
            earlier = [v for v in group.values[: group.values.index(value)] if v in log.read]
            if earlier:
                detail = (
                    f"of a transaction's values in {key}, {earlier[-1]} was polled, and {value} never was"
                )
                data = {"key": key, "value": earlier[-1], "missing": value, "offset": None, "behind": newest}
                findings.add("G1b", detail, [analysis.operations[group.number], seen, after], data)


def _listed(numbers: list[int]) -> str:
    return " and ".join(map(str, numbers[:5])) + (" ..." if len(numbers) > 5 else "")
