"""Groups: a committed offset is what was committed, a zombie commits nothing, and nothing is skipped.

Decides: what the commits, readings and rebalances of a group prove. Invariants G1 to G3 and G5 of `reliability` 7.2.

A committed offset of a group and a key is a register: every reading must be the value of some commit that may have been
the last one, that is: one that was invoked before the reading ended and did not end before another, acknowledged before
the reading began, was invoked. The first record that a member is given after it was assigned a key is a reading too: it
shows where the group thought it was.

* committed-offset-regression: a reading, or what a new owner was given first, lies before the commit that counted.
* commit-lost: a reading finds no offset, or one that was surely replaced since, in place of an acknowledged one.
* committed-offset-invented: a reading finds an offset that nobody committed.
* failed-commit-visible: a reading finds an offset of which only commits speak that certainly failed.
* ownership-overlap: member B was assigned a key; after that A, which was assigned it before and was not told that this
  has ended (or was told that the group had dropped it, and has not joined again), committed it and was acknowledged.
  A broker does not compare the keys of a commit with the assignment, so a member that commits what it knows it has
  given back is a fault of the client; only what must be refused by its generation is reported.
* group-skip: a record between two acknowledged commits of a group that was never given to a member.

What it takes for granted: commits are explicit, one operation each (or part of a transaction: see
`observed.asked_offsets`), for records of polls that have returned; nobody seeks; a poll of a member carries
{"group": group} in `more`; "member" is a name that no other member ever has; the offsets of a group do not expire
during the run.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from odradek.jepsen.checkers.anomaly import Anomaly
from odradek.jepsen.checkers.findings import MOST, Findings
from odradek.jepsen.checkers.observed import (
    acknowledged_sends,
    all_polled,
    asked_offsets,
    polled,
)
from odradek.jepsen.history import NEVER, Event, Operation

#: A group and a key.
Place = tuple[str, str]


class Commit(NamedTuple):
    """One key of a commit. `end` is NEVER unless it was acknowledged: until then it may still take effect."""

    start: int
    end: int
    offset: int
    member: str
    operation: Operation


def check(operations: Sequence[Operation], events: Sequence[Event]) -> list[Anomaly]:
    """`operations` are `history.pair(events)`; assigned and revoked are in the events alone."""
    findings = Findings()
    commits, failed = _commits(operations)
    registers = {place: _Register(of_place) for place, of_place in commits.items()}
    _check_readings(findings, registers, failed, operations)
    _check_new_owners(findings, registers, operations, events)
    _check_owners(findings, commits, events)
    _check_given(findings, commits, operations)
    return findings.anomalies()


def _commits(
    operations: Iterable[Operation],
) -> tuple[dict[Place, list[Commit]], dict[Place, dict[int, Operation]]]:
    """Commits that happened or may happen, in the order of their invocations, and those that certainly did not."""
    commits: dict[Place, list[Commit]] = defaultdict(list)
    failed: dict[Place, dict[int, Operation]] = defaultdict(dict)
    for operation in operations:
        if operation.invoke.f not in ("commit", "txn"):
            continue
        for group, key, offset in asked_offsets(operation):
            if operation.type == "fail":
                failed[group, key][offset] = operation
                continue
            end = operation.completion.time if operation.type == "ok" else NEVER
            commits[group, key].append(
                Commit(operation.invoke.time, end, offset, _member(operation), operation)
            )
    return commits, failed


def _member(operation: Operation) -> str:
    value = operation.invoke.value
    return (
        str(value["member"])
        if operation.invoke.f == "commit" and "member" in value
        else operation.invoke.process
    )


# -- the register


class _Register:
    """The commits of one place, and which of them a reading may find."""

    def __init__(self, commits: Sequence[Commit]) -> None:
        self._by_offset: dict[int, list[Commit]] = defaultdict(list)
        for commit in commits:
            self._by_offset[commit.offset].append(commit)
        done = sorted((commit for commit in commits if commit.end < NEVER), key=lambda commit: commit.end)
        self._ends = [commit.end for commit in done]
        self._latest: list[Commit] = []
        for commit in done:
            if self._latest and self._latest[-1].start > commit.start:
                commit = self._latest[-1]
            self._latest.append(commit)
        self._commits = commits
        self._starts = [commit.start for commit in commits]
        self._longest = max((commit.end - commit.start for commit in done), default=0)
        self._least_unknown: list[int] = []  # of the commits up to each, those without an end
        for commit in commits:
            before = self._least_unknown[-1] if self._least_unknown else NEVER
            self._least_unknown.append(min(before, commit.offset) if commit.end == NEVER else before)

    def last_before(self, time: int) -> Commit | None:
        """Of the commits that had been acknowledged by then, the one that was invoked last."""
        place = bisect_left(self._ends, time)
        return self._latest[place - 1] if place else None

    def committed(self, offset: int) -> Sequence[Commit]:
        return self._by_offset.get(offset, ())

    def may_find(self, offset: int, last: Commit | None, end: int) -> bool:
        """Whether a reading that ended then may find this offset, `last` having counted before it began."""
        floor = last.start if last else -1
        return any(commit.start <= end and commit.end >= floor for commit in self.committed(offset))

    def least(self, last: Commit, end: int) -> int:
        """The least offset that a reading which ended then may find, if `last` counted before it began."""
        place = bisect_right(self._starts, end)
        least = min(last.offset, self._least_unknown[place - 1] if place else NEVER)
        while place and self._starts[place - 1] >= last.start - self._longest:
            place -= 1
            if self._commits[place].end >= last.start:
                least = min(least, self._commits[place].offset)
        return least


def _check_readings(
    findings: Findings,
    registers: dict[Place, _Register],
    failed: dict[Place, dict[int, Operation]],
    operations: Iterable[Operation],
) -> None:
    nothing = _Register(())
    for reading in operations:
        if reading.invoke.f != "committed" or reading.type != "ok":
            continue
        group = (reading.completion.value or {}).get("group") or reading.invoke.value["group"]
        for key, found in reading.completion.value["offsets"].items():
            place = (group, key)
            offset = None if found is None or found < 0 else found
            register = registers.get(place, nothing)
            last = register.last_before(reading.invoke.time)
            if offset is None:
                if last is not None:
                    _add_reading(findings, "commit-lost", "no offset", place, reading, offset, last)
                continue
            if register.may_find(offset, last, reading.completion.time):
                continue
            others = [commit.operation for commit in register.committed(offset)[-3:]]
            if last is not None and offset < last.offset:
                kind = "committed-offset-regression"
            elif (
                others
                and min(commit.start for commit in register.committed(offset)) <= reading.completion.time
            ):
                kind = "commit-lost"
            elif offset in failed.get(place, {}):
                kind, others = "failed-commit-visible", [failed[place][offset]]
            else:
                kind = "committed-offset-invented"
            _add_reading(findings, kind, f"offset {offset}", place, reading, offset, last, others)


def _add_reading(
    findings: Findings,
    kind: str,
    found: str,
    place: Place,
    reading: Operation,
    offset: int | None,
    last: Commit | None,
    others: Sequence[Operation] = (),
) -> None:
    group, key = place
    counted = (
        "nothing was acknowledged before"
        if last is None
        else f"offset {last.offset} of {last.member} counted"
    )
    findings.add(
        kind,
        f"group {group}, {key}: {reading.invoke.process} found {found} committed, where {counted}",
        [last.operation if last else None, *others, reading],
        {"group": group, "key": key, "found": offset, "committed": last.offset if last else None},
    )


# -- where new owners begin


def _rebalances(events: Iterable[Event]) -> Iterator[tuple[int, Event]]:
    for event in events:
        if event.f in ("assigned", "revoked") and event.type == "ok":
            yield event.time, event


def _check_new_owners(
    findings: Findings,
    registers: dict[Place, _Register],
    operations: Iterable[Operation],
    events: Iterable[Event],
) -> None:
    """The first poll that was invoked after the assignment shows where the new owner began."""
    steps: list[tuple[int, Event | Operation]] = list(_rebalances(events))
    if not steps:
        return
    steps += (
        (operation.completion.time, operation)
        for operation in operations
        if operation.invoke.f == "poll" and operation.completion.time < NEVER
    )
    steps.sort(key=lambda step: step[0])
    waiting: dict[str, dict[str, Event]] = defaultdict(dict)
    for _, step in steps:
        if isinstance(step, Event):
            told = waiting[step.process]
            for key in step.value["keys"]:
                if step.f == "assigned":
                    told[key] = step
                else:
                    told.pop(key, None)
        elif expected := waiting.get(step.invoke.process):
            for key, records in polled(step):
                assigned = expected.pop(key, None) if records else None
                if assigned is not None and assigned.time <= step.invoke.time:
                    _check_beginning(findings, registers, assigned, key, step, records[0][0])


def _check_beginning(
    findings: Findings,
    registers: dict[Place, _Register],
    assigned: Event,
    key: str,
    poll: Operation,
    first: int,
) -> None:
    group, member = assigned.value["group"], assigned.value["member"]
    register = registers.get((group, key))
    last = register.last_before(assigned.time) if register else None
    if register is None or last is None or first >= (least := register.least(last, poll.completion.time)):
        return
    findings.add(
        "committed-offset-regression",
        f"group {group}, {key}: {member} was assigned it after offset {last.offset} was committed, and was given "
        f"offset {first} first"
        + (f"; the least that could count is {least}" if least != last.offset else ""),
        [last.operation, assigned, poll],
        {"group": group, "key": key, "member": member, "found": first, "committed": last.offset},
    )


# -- who may commit


def _check_owners(findings: Findings, commits: dict[Place, list[Commit]], events: Iterable[Event]) -> None:
    steps: dict[Place, list[tuple[int, int, Event | Commit]]] = defaultdict(list)
    joins: dict[tuple[str, str], list[int]] = defaultdict(list)
    for time, event in _rebalances(events):
        if event.f == "assigned":
            joins[event.value["group"], str(event.value["member"])].append(time)
        for key in event.value["keys"]:
            steps[event.value["group"], key].append((time, 0, event))
    for place in steps:
        steps[place] += [(commit.start, 1, commit) for commit in commits.get(place, ()) if commit.end < NEVER]
        steps[place].sort(key=lambda step: step[:2])
        _walk(findings, place, [step for _, _, step in steps[place]], joins)


def _walk(
    findings: Findings, place: Place, steps: Sequence[Event | Commit], joins: dict[tuple[str, str], list[int]]
) -> None:
    group, key = place
    owners: dict[str, Event] = {}  # what each believes of itself, the last assigned last
    dropped: dict[str, tuple[Event, Event]] = {}
    for step in steps:
        if isinstance(step, Event):
            member = str(step.value["member"])
            before = owners.pop(member, None)
            if step.f == "assigned":
                owners[member] = step
                dropped.pop(member, None)
            elif before is not None and (step.more or {}).get("lost"):
                dropped[member] = (before, step)
            continue
        told: Event | None = None
        mine = owners.get(step.member)
        if mine is None and step.member in dropped:
            mine, told = dropped[step.member]
            if _any_between(joins[group, step.member], told.time, step.start):
                continue
        if mine is None or not owners:
            continue
        owner, theirs = next(reversed(owners.items()))
        if owner == step.member or theirs.time <= mine.time:
            continue
        findings.add(
            "ownership-overlap",
            f"group {group}, {key}: {owner} was assigned it after {step.member} had it, and then {step.member} "
            f"committed offset {step.offset} and was acknowledged",
            [mine, theirs, told, step.operation],
            {"group": group, "key": key, "owner": owner, "member": step.member, "offset": step.offset},
        )


def _any_between(times: Sequence[int], after: int, before: int) -> bool:
    place = bisect_left(times, after)
    return place < len(times) and times[place] <= before


# -- what was given


def _check_given(
    findings: Findings, commits: dict[Place, list[Commit]], operations: Sequence[Operation]
) -> None:
    spans: dict[Place, tuple[Commit, Commit]] = {}
    for place, of_place in commits.items():
        done = [commit for commit in of_place if commit.end < NEVER]
        if done:
            spans[place] = (min(done, key=lambda c: c.offset), max(done, key=lambda c: c.offset))
    if not spans:
        return
    known, given, floors = _what_is(operations, {key for _, key in spans})
    ordered = {key: sorted(offsets) for key, offsets in known.items()}
    skipped: list[tuple[Place, int, int, int]] = []
    for place, (least, most) in spans.items():
        offsets = ordered.get(place[1], [])
        low = bisect_left(offsets, max(least.offset, floors.get(place[1], 0)))
        had = given.get(place, set())
        missing = [offset for offset in offsets[low : bisect_left(offsets, most.offset)] if offset not in had]
        skipped += ((place, *run) for run in _runs(missing, offsets))
    speaking = _speaking_of(operations, {(place[1], first) for place, first, _, _ in skipped[:MOST]})
    for place, first, last, count in skipped:
        if not findings.wants("group-skip"):
            findings.add("group-skip", "one more")
            continue
        group, key = place
        passing = min(
            (commit for commit in commits[place] if commit.end < NEVER and commit.offset > first),
            key=lambda commit: commit.start,
        )
        findings.add(
            "group-skip",
            f"group {group}, {key}: {count} records at offsets {first} to {last} were given to no member, and "
            f"{passing.member} committed offset {passing.offset}",
            [spans[place][0].operation, passing.operation, speaking.get((key, first))],
            {"group": group, "key": key, "first": first, "last": last, "records": count},
        )


def _what_is(
    operations: Iterable[Operation], keys: set[str]
) -> tuple[dict[str, set[int]], dict[Place, set[int]], dict[str, int]]:
    """The offsets at which records are known, those that members were given, and where logs are known to begin."""
    known: dict[str, set[int]] = defaultdict(set)
    given: dict[Place, set[int]] = defaultdict(set)
    floors: dict[str, int] = {}
    for operation, key, records in all_polled(operations):
        if key in keys:
            offsets = [record[0] for record in records]
            known[key].update(offsets)
            group = (operation.completion.more or {}).get("group") or (operation.invoke.more or {}).get(
                "group"
            )
            if group is not None:
                given[group, key].update(offsets)
    for operation in operations:
        if operation.invoke.f == "watermarks" and operation.type == "ok":
            for key, told in operation.completion.value.items():
                floors[key] = max(told[0] or 0, floors.get(key, 0))
    for _, key, offset, _ in acknowledged_sends(operations):
        if key in keys and offset is not None:
            known[key].add(offset)
    return known, given, floors


def _runs(missing: Sequence[int], offsets: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    """First, last and number of records that follow each other in the log."""
    begin = 0
    for place in range(1, len(missing) + 1):
        if place < len(missing):
            at = bisect_left(offsets, missing[place])
            if offsets[at - 1] == missing[place - 1]:
                continue
        yield missing[begin], missing[place - 1], place - begin
        begin = place


def _speaking_of(
    operations: Iterable[Operation], wanted: set[tuple[str, int]]
) -> dict[tuple[str, int], Operation]:
    """Who sent or read the record at each (key, offset)."""
    found: dict[tuple[str, int], Operation] = {}
    if not wanted:
        return found
    for operation, key, records in all_polled(operations):
        for record in records:
            if (key, record[0]) in wanted:
                found.setdefault((key, record[0]), operation)
    for told in acknowledged_sends(operations):
        if told.offset is not None and (told.key, told.offset) in wanted:
            found[told.key, told.offset] = told.operation
    return found
