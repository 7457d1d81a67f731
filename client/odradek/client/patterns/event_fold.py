"""From the records of an event topic to the state of aggregates. Pure.

A record is a commit: the events that one command led to, all or none, as the log writes no two records atomically.

    key      the id of the aggregate (so: one partition, one order)
    value    JSON: [{"type": "deposited", "data": {"amount": 5}}, ...]
    headers  commit_id: unique; expected_version: how many events the aggregate had when the command was decided

The rule that makes the log an arbiter: a commit counts if its `expected_version` is the number of events that counted
before it, in the order of the log; otherwise it lost a race, and every reader passes over it alike.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Generic, NamedTuple, TypeVar

from odradek.client.patterns import header_fields
from odradek.client.records import ConsumerRecord, Header

COMMIT_ID: Final = "commit_id"
EXPECTED_VERSION: Final = "expected_version"

S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened. `data` is anything that JSON holds."""

    type: str
    data: Mapping[str, Any] = field(default_factory=dict)


class StoredEvent(NamedTuple):
    """An event that counts, and where it is. `version`: its number in its aggregate, from 1."""

    aggregate_id: str
    version: int
    event: Event
    partition: int
    offset: int
    timestamp_ms: int


class ConflictError(Exception):
    """Another commit was first: decide again, on what the aggregate is now."""

    def __init__(self, aggregate_id: str, expected_version: int, version: int) -> None:
        super().__init__(
            f"{aggregate_id} was expected to be at version {expected_version}, and is at {version}"
        )
        self.aggregate_id = aggregate_id
        self.expected_version = expected_version
        self.version = version


def _same(value: Any) -> Any:
    return value


@dataclass(frozen=True)
class Aggregate(Generic[S]):
    """A kind of aggregate: where each begins, and how an event changes it.

    `evolve` returns the new state and leaves the old one alone. `to_json` and `from_json` are for snapshots, of
    states that are not JSON by themselves.
    """

    initial: S
    evolve: Callable[[S, Event], S]
    to_json: Callable[[S], Any] = _same
    from_json: Callable[[Any], S] = _same

    def fold(self, events: Sequence[Event], state: S | None = None) -> S:
        """The state after these events."""
        state = self.initial if state is None else state
        for event in events:
            state = self.evolve(state, event)
        return state


@dataclass(frozen=True, slots=True)
class Versioned(Generic[S]):
    """An aggregate at a version, which is the number of its events. `offset` is that of its last commit, or -1."""

    state: S
    version: int = 0
    partition: int = -1
    offset: int = -1


@dataclass(frozen=True, slots=True)
class Commit:
    aggregate_id: str
    commit_id: str
    expected_version: int
    events: tuple[Event, ...]

    @property
    def key(self) -> bytes:
        return self.aggregate_id.encode()

    @property
    def value(self) -> bytes:
        return json.dumps([{"type": event.type, "data": event.data} for event in self.events]).encode()

    @property
    def headers(self) -> tuple[Header, ...]:
        return (
            header_fields.field(COMMIT_ID, self.commit_id),
            header_fields.field(EXPECTED_VERSION, self.expected_version),
        )

    @classmethod
    def of(cls, record: ConsumerRecord) -> Commit | None:
        """None: the record is no commit."""
        commit_id = header_fields.text_of(record.headers, COMMIT_ID)
        expected_version = header_fields.number_of(record.headers, EXPECTED_VERSION)
        if commit_id is None or expected_version is None or record.key is None or record.value is None:
            return None
        try:
            events = tuple(Event(event["type"], event["data"]) for event in json.loads(record.value))
            return cls(record.key.decode(), commit_id, expected_version, events)
        except (ValueError, KeyError, TypeError):
            return None


class EventFold(Generic[S]):
    """All aggregates of the records that were applied, which come in the order of each partition."""

    def __init__(self, aggregate: Aggregate[S]) -> None:
        self._aggregate = aggregate
        self._nothing = Versioned(aggregate.initial)
        self._aggregates: dict[str, Versioned[S]] = {}
        self._changed: set[str] = set()
        self.lost_count = 0
        """Commits that lost a race."""

    def get(self, aggregate_id: str) -> Versioned[S]:
        """Version 0 if nothing ever happened to it."""
        return self._aggregates.get(aggregate_id, self._nothing)

    def restore(self, aggregate_id: str, versioned: Versioned[S]) -> None:
        """Begin with a snapshot: commits that it covers are passed over."""
        self._aggregates[aggregate_id] = versioned

    def apply(self, record: ConsumerRecord) -> tuple[Commit, list[StoredEvent] | None] | None:
        """The commit and its events; None instead of events: it lost a race. None: nothing new, or no commit."""
        commit = Commit.of(record)
        if commit is None:
            return None
        before = self.get(commit.aggregate_id)
        if record.partition == before.partition and record.offset <= before.offset:
            return None
        if commit.expected_version != before.version:
            self.lost_count += 1
            return commit, None
        after = replace(
            before,
            state=self._aggregate.fold(commit.events, before.state),
            version=before.version + len(commit.events),
            partition=record.partition,
            offset=record.offset,
        )
        self._aggregates[commit.aggregate_id] = after
        self._changed.add(commit.aggregate_id)
        stored = [
            StoredEvent(commit.aggregate_id, before.version + number, event, *_place(record))
            for number, event in enumerate(commit.events, 1)
        ]
        return commit, stored

    def take_changed(self) -> dict[str, Versioned[S]]:
        """The aggregates that changed since this was last asked."""
        changed, self._changed = self._changed, set()
        return {aggregate_id: self._aggregates[aggregate_id] for aggregate_id in changed}

    def put_back_changed(self, aggregate_ids: Iterable[str]) -> None:
        """They could not be saved: they are still changed."""
        self._changed.update(aggregate_ids)


def _place(record: ConsumerRecord) -> tuple[int, int, int]:
    return record.partition, record.offset, record.timestamp_ms
