"""A saga, choreographed: services that react to events with events, and nobody in the middle.

When: few steps, in services that should not know each other; each says what it does when it hears of something, also
how it makes up for what it did when it hears that a later step failed. Where somebody has to see the whole course,
or there are many steps: `saga`.

How: the events of a saga are records in one topic with the saga id as their key, so that each partition has them in
order. A `Participant` is a service with a name, its group: for each type of event that it cares about a `Reaction`
returns the events that follow from it. One that raises is tried again (`retry`, not after `Reject`), then its `failure`
event is published, to which others react with compensations; without one the participant stops.

    headers  event_type; event_id: "<id of the cause>/<service>/<number>", the same whenever it is reacted to again;
             cause_id: the event that this one follows from
    value    JSON

Guaranteed: every reaction runs at least once; what it returned is published before its event is acknowledged. Events
of a saga are reacted to in their order. Events that come again with a known id are skipped (as long as this process
remembers: the last 100,000 of a day).

Not guaranteed: that a reaction runs once: make its effect idempotent by `event.event_id`. That a saga ends: nobody
watches. While a reaction is tried again, other sagas of its partition wait.

    async def reserve(event: SagaEvent) -> list[tuple[str, Any]]:
        await stock.reserve(event.event_id, event.data["item"])
        return [("stock.reserved", event.data)]

    async def release(event: SagaEvent) -> None:
        await stock.release(event.saga_id)

    warehouse = Participant("localhost:50051", "warehouse", "orders.events", {
        "order.placed": Reaction(reserve, failure="stock.refused"),
        "payment.refused": Reaction(release),
    })
    await warehouse.run()
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any, Final, NamedTuple, TypeAlias

from odradek.client.patterns.clock import Clock, SystemClock, sleep_unless
from odradek.client.patterns.dedup_window import DedupWindow
from odradek.client.patterns.header_fields import field, text_of
from odradek.client.patterns.log_access import Log, Writer, log_of
from odradek.client.patterns.retry_policy import RetryPolicy
from odradek.client.patterns.worker_lane import WorkerLane
from odradek.client.records import ConsumerRecord

EVENT_TYPE: Final = "event_type"
EVENT_ID: Final = "event_id"
CAUSE_ID: Final = "cause_id"


class SagaEvent(NamedTuple):
    """Something that happened in a saga. `cause_id` is empty for the first event."""

    type: str
    saga_id: str
    data: Any
    event_id: str
    cause_id: str = ""


Emitted: TypeAlias = Iterable[tuple[str, Any]]
"""Types and data of the events that follow."""
React: TypeAlias = Callable[[SagaEvent], Awaitable[Emitted | None]]


@dataclass(frozen=True, slots=True)
class Reaction:
    """`failure`: the type of the event that says that it could not be done, with {"error": ..., "cause": data}."""

    react: React
    failure: str | None = None


def event_of(record: ConsumerRecord) -> SagaEvent | None:
    """None: the record is no event of a saga."""
    kind, event_id = text_of(record.headers, EVENT_TYPE), text_of(record.headers, EVENT_ID)
    if kind is None or event_id is None or record.key is None:
        return None
    try:
        data = json.loads(record.value or b"null")
    except ValueError:
        return None
    cause_id = text_of(record.headers, CAUSE_ID) or ""
    return SagaEvent(kind, record.key.decode(errors="replace"), data, event_id, cause_id)


def follow_ups(cause: SagaEvent, service: str, emitted: Emitted) -> list[SagaEvent]:
    """The events that a service emits: the same ids, whenever it reacts to the same cause."""
    return [
        SagaEvent(kind, cause.saga_id, data, f"{cause.event_id}/{service}/{number}", cause.event_id)
        for number, (kind, data) in enumerate(emitted)
    ]


async def emit(
    writer: Writer, topic: str, kind: str, saga_id: str, data: Any = None, *, event_id: str | None = None
) -> SagaEvent:
    """Publish the first event of a saga. Give it an id to be able to do so again."""
    event = SagaEvent(kind, saga_id, data, event_id or uuid.uuid4().hex)
    await _publish(writer, topic, event)
    return event


async def _publish(writer: Writer, topic: str, event: SagaEvent) -> None:
    headers = [
        field(EVENT_TYPE, event.type),
        field(EVENT_ID, event.event_id),
        field(CAUSE_ID, event.cause_id),
    ]
    await writer.publish(topic, json.dumps(event.data).encode(), event.saga_id.encode(), headers=headers)


class Participant:
    """One service. `skipped_count`: events whose id was known. See the module."""

    def __init__(
        self,
        servers: str | Log,
        name: str,
        topic: str,
        reactions: Mapping[str, Reaction],
        *,
        retry: RetryPolicy | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._log = log_of(servers)
        self._name = name
        self._topic = topic
        self._reactions = dict(reactions)
        self._retry = retry or RetryPolicy()
        self._clock = clock or SystemClock()
        self._random = Random()
        self._seen = DedupWindow()
        self._stopping = asyncio.Event()
        self._writer: Writer | None = None
        self._lane = WorkerLane(self._log, self._on_record, 1, {"topics": (topic,), "group_id": name})
        self.skipped_count = 0

    async def run(self) -> None:
        """Until `stop`. Raises what a reaction without a failure event raised at last. OdradekError."""
        async with self._log.writer() as self._writer:
            await self._lane.run()

    async def ready(self) -> None:
        await self._lane.ready()

    def stop(self) -> None:
        self._stopping.set()
        self._lane.stop()

    async def _on_record(self, record: ConsumerRecord) -> bool:
        event = event_of(record)
        reaction = None if event is None else self._reactions.get(event.type)
        if event is None or reaction is None:
            return True
        event_id = event.event_id.encode()
        if self._seen.contains(event_id, self._clock.now_ms()):
            self.skipped_count += 1
            return True
        emitted = await self._react(event, reaction)
        if emitted is None:
            return False
        assert self._writer is not None
        for follower in follow_ups(event, self._name, emitted):
            await _publish(self._writer, self._topic, follower)
        self._seen.add(event_id, self._clock.now_ms())
        return True

    async def _react(self, event: SagaEvent, reaction: Reaction) -> Emitted | None:
        """The events that follow. None: stopped while waiting to try again."""
        attempts = 0
        while True:
            try:
                return await reaction.react(event) or ()
            except Exception as error:  # the boundary: whatever a reaction raises is a failed attempt
                attempts += 1
                delay_ms = self._retry.delay_ms(attempts, error, self._random)
                if delay_ms is None:
                    if reaction.failure is None:
                        raise
                    text = f"{type(error).__qualname__}: {error}"
                    return [(reaction.failure, {"error": text, "cause": event.data})]
            if not await sleep_unless(self._stopping, self._clock, self._clock.now_ms() + delay_ms):
                return None
