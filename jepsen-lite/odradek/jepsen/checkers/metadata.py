"""Topics as clients create, delete, change and describe them: writes are linearizable, what nodes show is a past.

Decides: what the answers of topic-create, topic-delete and topic-config prove, and which descriptions by a node are
possible. Values of the operations: see `workloads.metadata`. Each topic name is a register of (does it exist, its id,
its value of retention.ms). At the beginning of a history no topic exists.

Writes go through one controller, refusals too: TOPIC_ALREADY_EXISTS says that the topic existed then, and
UNKNOWN_TOPIC_OR_PARTITION that it did not. Other failures say nothing and are left out.

* nonlinearizable-metadata: the writes of a topic cannot have happened one at a time.
* stale-metadata-refusal: they can, if refusals are taken for lies (a controller that was replaced unawares).
* topic-id-reused: two topics were created with one id.

Descriptions come from the image that each node has of the metadata log: it may be behind, and it only goes forward. So
every description must be a state that existed, and at one node all of them, of all topics, in the order in which they
came: the point of the log that one shows is not after the point that the next one shows.

* stale-metadata-read-from-the-future: a state that nothing asked for before the description ended could have made.
* nonmonotonic-metadata-read: a state that was over before the point that the node had reached.

Whether a state was over is judged by acknowledged writes that surely came after the one that made it; what nobody knows
counts in favour of the node. A search that was given up is reported as "gave-up" (see `verdict`).
"""

from __future__ import annotations

import heapq
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from odradek.jepsen.checkers.anomaly import Anomaly
from odradek.jepsen.checkers.findings import Findings
from odradek.jepsen.checkers.linearizability import LIMIT, Call, Result, check_objects
from odradek.jepsen.checkers.linearizability import check as check_calls
from odradek.jepsen.checkers.verdict import GAVE_UP
from odradek.jepsen.history import NEVER, Operation

EXISTS: Final = "TOPIC_ALREADY_EXISTS"
UNKNOWN: Final = "UNKNOWN_TOPIC_OR_PARTITION"
_WRITES: Final = ("topic-create", "topic-delete", "topic-config")
_BEFORE_ALL: Final = -1


class Topic(NamedTuple):
    """One topic name. `topic_id` is None when no client was told it."""

    exists: bool = False
    topic_id: str | None = None
    value: int | None = None


class TopicModel:
    """What a topic does with one write; operations with the outcome info may have happened."""

    initial = Topic()

    def step(self, state: Topic, operation: Operation) -> tuple[bool, Topic]:
        told = told_by(operation)
        f, outcome = operation.invoke.f, operation.type
        if outcome == "fail":
            return state.exists == (operation.completion.error == EXISTS), state
        if f == "topic-create":
            if state.exists:
                return outcome != "ok", state
            return True, Topic(True, told.get("topic_id"))
        if not state.exists:
            return outcome != "ok", state
        if f == "topic-config":
            return True, state._replace(value=told["value"])
        ids = {state.topic_id, told.get("topic_id")} - {None}
        return len(ids) < 2, Topic()


def told_by(operation: Operation) -> Mapping[str, Any]:
    """What was asked, and over it what was told."""
    return {**(operation.invoke.value or {}), **(operation.completion.value or {})}


def check(operations: Sequence[Operation], *, limit: int = LIMIT) -> list[Anomaly]:
    """`limit`: configurations to be visited for each topic."""
    findings = Findings()
    writes: dict[str, list[Operation]] = defaultdict(list)
    reads: dict[int, list[Operation]] = defaultdict(list)
    for operation in operations:
        if operation.invoke.f in _WRITES and (
            operation.type != "fail" or operation.completion.error in (EXISTS, UNKNOWN)
        ):
            writes[operation.invoke.value["topic"]].append(operation)
        elif operation.invoke.f == "topic-describe" and operation.type == "ok":
            reads[told_by(operation)["node"]].append(operation)
    _check_writes(findings, writes, limit)
    _check_ids(findings, writes)
    states = {topic: _States(of_topic) for topic, of_topic in writes.items()}
    for node in sorted(reads):
        _check_node(findings, node, reads[node], states)
    return findings.anomalies()


# -- writes


def _calls(operations: Iterable[Operation]) -> list[Call[Operation]]:
    return [Call(o.invoke.time, NEVER if o.type == "info" else o.completion.time, o) for o in operations]


def _check_writes(findings: Findings, writes: Mapping[str, Sequence[Operation]], limit: int) -> None:
    objects = {topic: _calls(of_topic) for topic, of_topic in sorted(writes.items())}
    for topic, result in check_objects(objects, TopicModel(), limit=limit).items():
        if result.verdict == "linearizable":
            continue
        kind = "nonlinearizable-metadata"
        if result.verdict == "illegal":
            believed = _calls(operation for operation in writes[topic] if operation.type != "fail")
            if check_calls(believed, TopicModel(), limit=limit).verdict == "linearizable":
                kind = "stale-metadata-refusal"
        else:
            kind = GAVE_UP
        _add_writes(findings, kind, topic, writes[topic], result)


def _add_writes(
    findings: Findings, kind: str, topic: str, writes: Sequence[Operation], result: Result
) -> None:
    last = [writes[place] for place in result.longest[-3:]]
    blocked = None if result.blocked is None else writes[result.blocked]
    if kind == GAVE_UP:
        detail = f"topic {topic}: {len(writes)} writes, undecided after {result.explored} configurations"
    else:
        assert blocked is not None, "an illegal history has an operation that does not fit"
        said = blocked.completion.error or "ok"
        detail = (
            f"topic {topic}: {blocked.invoke.f} of {blocked.invoke.process} was told {said}, for which there is no "
            f"place in any order; {len(result.longest)} of {len(writes)} writes were put in order"
        )
    around = [] if blocked is None else [w for w in writes if _overlaps(w, blocked) and w not in last][:2]
    findings.add(
        kind,
        detail,
        [blocked, *last, *around],
        {"topic": topic, "writes": len(writes), "explored": result.explored},
    )


def _overlaps(one: Operation, other: Operation) -> bool:
    return (
        one is not other
        and one.invoke.time <= other.completion.time
        and other.invoke.time <= one.completion.time
    )


def _check_ids(findings: Findings, writes: Mapping[str, Sequence[Operation]]) -> None:
    created: dict[str, Operation] = {}
    for of_topic in writes.values():
        for operation in of_topic:
            topic_id = told_by(operation).get("topic_id")
            if operation.invoke.f == "topic-create" and operation.type == "ok" and topic_id:
                other = created.setdefault(topic_id, operation)
                if other is not operation:
                    findings.add(
                        "topic-id-reused",
                        f"two topics were created with the id {topic_id}",
                        [other, operation],
                        {"topic_id": topic_id},
                    )


# -- descriptions

#: What a description can show, and the writes that end such a state when they come after the one that made it. A topic
#: that is created or changed existed not or existed, so these end more than what they change.
_ENDED_BY: Final = {
    "absent": ("topic-create", "topic-config"),
    "present": ("topic-create", "topic-delete"),
    "value": _WRITES,
}


class _Spans:
    """The writes that may have made a state, in the order of their invocations (None: it was so at the beginning).

    A state is over when a write that ends it and was invoked after the end of the one that made it is done. A write
    that ends later also has a later end of its state, so the greatest end so far decides about both.
    """

    def __init__(
        self, shows: str, writes: Sequence[Operation], ends: _Ends, *, initial: bool = False
    ) -> None:
        self.shows = shows
        ordered = sorted(writes, key=lambda write: write.invoke.time)
        self._writes: list[Operation | None] = [None, *ordered] if initial else [*ordered]
        self.begins = [_BEFORE_ALL if write is None else write.invoke.time for write in self._writes]
        self._latest: list[int] = []
        for write in self._writes:
            end = _BEFORE_ALL if write is None else _end(write)
            self._latest.append(max(end, self._latest[-1]) if self._latest else end)
        self._over = [ends.after(end) for end in self._latest]

    def earliest(self, floor: int, last: int, until: int) -> int | None:
        """The place of the first write that may have made what was shown, None if there is none.

        Invoked not after `until`, not over before `floor`, not done before `last`, when one that ends the state and is
        known to be applied was invoked.
        """
        place = max(bisect_left(self._over, floor), bisect_left(self._latest, last))
        return place if place < len(self.begins) and self.begins[place] <= until else None

    def only(self, place: int, until: int) -> Operation | None:
        """The write at that place if it is the last one by then, so that it must be the one that is shown."""
        is_last = place + 1 == len(self.begins) or self.begins[place + 1] > until
        return self._writes[place] if is_last else None

    def last_write(self, until: int) -> Operation | None:
        place = bisect_right(self.begins, until)
        return self._writes[place - 1] if place else None


class _Ends:
    """Of acknowledged writes: when the first of those that were invoked after a time was done."""

    def __init__(self, writes: Iterable[Operation]) -> None:
        done = sorted((o.invoke.time, o.completion.time) for o in writes if o.type == "ok")
        self._starts = [start for start, _ in done]
        self._first: list[int] = []
        first = NEVER
        for _, end in reversed(done):
            first = min(first, end)
            self._first.append(first)
        self._first.reverse()

    def after(self, time: int) -> int:
        place = bisect_right(self._starts, time)
        return self._first[place] if place < len(self._first) else NEVER


class _States:
    """Of one topic: which writes may have made the state that a description shows."""

    def __init__(self, writes: Sequence[Operation]) -> None:
        made: dict[str, list[Operation]] = {f: [] for f in _WRITES}
        for operation in writes:
            if operation.type != "fail":
                made[operation.invoke.f].append(operation)
        creates, deletes, configs = (made[f] for f in _WRITES)
        ends = {shows: _Ends(o for f in by for o in made[f]) for shows, by in _ENDED_BY.items()}
        ids: dict[str | None, list[Operation]] = defaultdict(list)
        values: dict[int | None, list[Operation]] = defaultdict(list)
        for operation in creates:
            ids[told_by(operation).get("topic_id")].append(operation)
        values[None] = creates
        for operation in configs:
            values[told_by(operation)["value"]].append(operation)
        self.absent = _Spans("absent", deletes, ends["absent"], initial=True)
        self.present = _Spans("present", creates, ends["present"])
        self._ids = {name: _Spans("present", of_id, ends["present"]) for name, of_id in ids.items()}
        self._values = {value: _Spans("value", of_value, ends["value"]) for value, of_value in values.items()}
        self._nothing = _Spans("value", (), ends["value"])

    def showing(self, told: Mapping[str, Any]) -> list[tuple[str, _Spans]]:
        """What a description says, one thing after another, each with the writes that may have made it so."""
        if not told["exists"]:
            return [("that it does not exist", self.absent)]
        shown = [("that it exists", self.present)]
        if topic_id := told.get("topic_id"):
            # An id that no creation was told is that of one whose outcome nobody knows.
            shown = [(f"the id {topic_id}", self._ids.get(topic_id) or self._ids.get(None) or self._nothing)]
        if "value" in told:
            value = told["value"]
            said = "the default value" if value is None else f"the value {value}"
            shown.append((said, self._values.get(value) or self._nothing))
        return shown


def _end(operation: Operation) -> int:
    return operation.completion.time if operation.type == "ok" else NEVER


class _Image:
    """How far a node had certainly got, by what it has shown."""

    def __init__(self) -> None:
        self.floor = _BEFORE_ALL  # it had applied something that was begun at this time
        self.proof: Operation | None = None
        self._applied: dict[tuple[str, str], int] = {}
        self._to_come: list[tuple[int, int, Operation, int, Operation | None]] = []
        self._number = 0

    def last(self, topic: str, shows: str) -> int:
        """When the last write was invoked that ends such a state of the topic and was certainly applied."""
        return self._applied.get((topic, shows), _BEFORE_ALL - 1)

    def show(self, read: Operation, point: int, write: Operation | None) -> None:
        """Counts for the descriptions that are asked for when this one is done."""
        self._number += 1
        heapq.heappush(self._to_come, (read.completion.time, self._number, read, point, write))

    def go_on(self, time: int) -> None:
        """A description is asked for at that time."""
        while self._to_come and self._to_come[0][0] < time:
            _, _, read, point, write = heapq.heappop(self._to_come)
            if point >= self.floor:
                self.floor, self.proof = point, read
            if write is None:
                continue
            for shows, ended_by in _ENDED_BY.items():
                if write.invoke.f in ended_by:
                    place = (write.invoke.value["topic"], shows)
                    self._applied[place] = max(write.invoke.time, self._applied.get(place, _BEFORE_ALL))


def _check_node(
    findings: Findings, node: int, reads: Iterable[Operation], states: Mapping[str, _States]
) -> None:
    nothing, image = _States(()), _Image()
    for read in sorted(reads, key=lambda read: read.invoke.time):
        image.go_on(read.invoke.time)
        told, until = told_by(read), read.completion.time
        topic: str = told["topic"]
        for said, spans in states.get(topic, nothing).showing(told):
            place = spans.earliest(image.floor, image.last(topic, spans.shows), until)
            if place is not None:
                image.show(read, spans.begins[place], spans.only(place, until))
                continue
            is_early = not spans.begins or spans.begins[0] > until
            shown = {name: told[name] for name in ("exists", "topic_id", "value") if name in told}
            findings.add(
                "stale-metadata-read-from-the-future" if is_early else "nonmonotonic-metadata-read",
                f"topic {topic}: node {node} showed {said}, which "
                + (
                    "nothing could have made before"
                    if is_early
                    else "was over at the point that it had shown before"
                ),
                [None if is_early else image.proof, spans.last_write(until), read],
                {"topic": topic, "node": node, "shown": shown},
            )
