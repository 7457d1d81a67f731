"""A handler that does each thing once, though a log delivers at least once.

When: handling something twice would do harm (a payment, an email), and the handler cannot see by itself that it was
done (an upsert by key needs none of this).

How: `IdempotentHandler(handler, store)` is a handler itself, to be given to `WorkQueue`, `Subscriber`, or called in a
loop over a `Consumer`. The key of a record is its header `message_id`, else its topic, partition and offset (which
knows a record that is delivered twice, but not one that was sent twice). A key is remembered when the handler returned.

Guaranteed: a record whose key was remembered within the window is skipped; two with the same key at the same time are
handled one after the other, the second only if the first failed.

Not guaranteed: once, if the process dies between the handler's return and the store's (then it is handled again);
anything beyond the window: keep it longer than the longest time after which something can come again.

Stores: `MemorySeenStore` forgets with its process. `TopicSeenStore` keeps the keys in a topic, from which it is filled
when it is opened, and follows what other processes remember, a few milliseconds behind: call `catch_up` when partitions
move (`on_assigned`) to be sure of what their former owner wrote. A database is better still, if it remembers the key
in the transaction that does the work: any object with `contains` and `add` will do.

    async with TopicSeenStore("localhost:50051", "payments.seen", max_age_ms=3_600_000) as seen:
        pay_once = IdempotentHandler(pay, seen)
        await WorkQueue("localhost:50051", "payments", "payers", pay_once).run()

    # the sender:  await producer.publish("payments", value, headers=[("message_id", b"invoice-4711")])
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Final, Protocol, Self, TypeAlias

from odradek.client.patterns.clock import Clock, SystemClock
from odradek.client.patterns.dedup_window import DedupWindow
from odradek.client.patterns.log_access import Log, Writer, log_of
from odradek.client.patterns.topic_follower import TopicFollower
from odradek.client.records import ConsumerRecord, Position

MESSAGE_ID: Final = "message_id"
Handler: TypeAlias = Callable[[ConsumerRecord], Awaitable[None]]


class SeenStore(Protocol):
    """Remembers keys for a while."""

    async def contains(self, key: bytes) -> bool: ...
    async def add(self, key: bytes) -> None: ...


def message_key(record: ConsumerRecord) -> bytes:
    """The header `message_id`, else the place of the record."""
    for name, value in record.headers:
        if name == MESSAGE_ID and value is not None:
            return value
    return f"{record.topic}/{record.partition}/{record.offset}".encode()


class IdempotentHandler:
    """See the module. `skipped_count`: records that were known."""

    def __init__(
        self, handler: Handler, store: SeenStore, *, key: Callable[[ConsumerRecord], bytes] = message_key
    ) -> None:
        self._handler = handler
        self._store = store
        self._key = key
        self._under_way: dict[bytes, asyncio.Future[None]] = {}
        self.skipped_count = 0

    async def __call__(self, record: ConsumerRecord) -> None:
        key = self._key(record)
        while (other := self._under_way.get(key)) is not None:
            await asyncio.wait([other])
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._under_way[key] = ended
        try:
            if await self._store.contains(key):
                self.skipped_count += 1
                return
            await self._handler(record)
            await self._store.add(key)
        finally:
            del self._under_way[key]
            ended.set_result(None)


class MemorySeenStore:
    """Keys of this process."""

    def __init__(
        self,
        *,
        max_count: int = 100_000,
        max_age_ms: int = 24 * 3_600_000,
        clock: Clock | None = None,
    ) -> None:
        self._window = DedupWindow(max_count, max_age_ms)
        self._clock = clock or SystemClock()

    async def contains(self, key: bytes) -> bool:
        return self._window.contains(key, self._clock.now_ms())

    async def add(self, key: bytes) -> None:
        self._window.add(key, self._clock.now_ms())


class TopicSeenStore:
    """Keys in a topic, which is created with a retention of `max_age_ms`. An async context manager."""

    def __init__(
        self,
        servers: str | Log,
        topic: str,
        *,
        max_count: int = 100_000,
        max_age_ms: int = 24 * 3_600_000,
        clock: Clock | None = None,
    ) -> None:
        self._log = log_of(servers)
        self._topic = topic
        self._window = DedupWindow(max_count, max_age_ms)
        self._clock = clock or SystemClock()
        self._follower: TopicFollower | None = None
        self._writer: Writer | None = None
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Self:
        max_age_ms = self._window.max_age_ms
        await self._log.create_topic(self._topic, configs={"retention.ms": str(max_age_ms)})
        start = Position.at_time(max(0, self._clock.now_ms() - max_age_ms))
        async with AsyncExitStack() as stack:
            self._follower = TopicFollower(self._log, self._topic, self._on_record, start=start)
            await stack.enter_async_context(self._follower)
            self._writer = await stack.enter_async_context(self._log.writer())
            self._open = stack.pop_all()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._open.aclose()

    async def contains(self, key: bytes) -> bool:
        return self._window.contains(key, self._clock.now_ms())

    async def add(self, key: bytes) -> None:
        """Returns when it is in the log. OdradekError."""
        assert self._writer is not None, "the store is not open"
        now_ms = self._clock.now_ms()
        await self._writer.publish(self._topic, None, key, timestamp_ms=now_ms)
        self._window.add(key, now_ms)

    async def catch_up(self) -> None:
        """Know all that anybody had remembered when this was called."""
        assert self._follower is not None, "the store is not open"
        await self._follower.catch_up()

    def _on_record(self, record: ConsumerRecord) -> None:
        if record.key is not None:
            self._window.add(record.key, record.timestamp_ms, self._clock.now_ms())
