"""A read model: a view of the events of an `EventStore`, kept up to date (CQRS: commands there, questions here).

When: a question that aggregates one by one do not answer (who owes us money?), in any process, as many as you like.

How: `project` is a plain function that is called with each event that counts, and changes the view; the view is
anything in memory, built from the first event whenever the model is opened.

Guaranteed: each event once, in the order of its aggregate; after `wait_for(committed)` the view contains what that
command did (read your own writes); after `catch_up` all that was written before.

Not guaranteed: an order between aggregates in different partitions. A view that outlives its process (a table) has to
remember, in the transaction that changes a row, the version of the aggregate, and skip events that are not newer.

    owing: dict[str, int] = {}

    def project(stored: StoredEvent) -> None:
        owing[stored.aggregate_id] = owing.get(stored.aggregate_id, 0) - stored.event.data["amount"]

    async with ReadModel("localhost:50051", "accounts", project) as model:
        committed = await accounts.execute("alice", withdraw(30))
        await model.wait_for(committed)
        print(owing["alice"], "events behind:", await model.lag())
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, Self

from odradek.client.patterns.event_fold import Aggregate, Event, EventFold, StoredEvent
from odradek.client.patterns.log_access import Log, log_of
from odradek.client.patterns.topic_follower import TopicFollower
from odradek.client.records import ConsumerRecord, TopicPartition


class Place(Protocol):
    """Where a record is: a `Committed`, or the metadata of a producer."""

    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...


class ReadModel:
    """An async context manager; entering it reads all events that are there. An error of `project` ends it."""

    def __init__(self, servers: str | Log, topic: str, project: Callable[[StoredEvent], None]) -> None:
        self._log = log_of(servers)
        self._topic = topic
        self._project = project
        self._fold: EventFold[Any] = EventFold(Aggregate(None, _no_state))
        self._follower = TopicFollower(self._log, topic, self._on_record)

    async def __aenter__(self) -> Self:
        await self._log.create_topic(self._topic, configs={"retention.ms": "-1"})
        await self._follower.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._follower.__aexit__(*exc)

    async def wait_for(self, place: Place) -> None:
        """Until the view contains the record at this place. Raises what ended the model."""
        await self._follower.wait_for(TopicPartition(self._topic, place.partition), place.offset + 1)

    async def catch_up(self) -> None:
        """Until the view contains all that was written before this call."""
        await self._follower.catch_up()

    def position(self, partition: int) -> int:
        """The offset of the first record of a partition that is not in the view yet."""
        return max(0, self._follower.position(TopicPartition(self._topic, partition)))

    async def lag(self) -> int:
        """How many records the view is behind the log."""
        bounds = await self._log.bounds(self._topic)
        return sum(max(0, bounds[tp].end - self.position(tp.partition)) for tp in self._follower.partitions)

    def _on_record(self, record: ConsumerRecord) -> None:
        found = self._fold.apply(record)
        for stored in (found and found[1]) or ():
            self._project(stored)


def _no_state(state: None, _: Event) -> None:
    return state
