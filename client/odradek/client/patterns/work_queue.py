"""A work queue: many workers, each piece of work done by one of them, failures tried again, then put aside.

When: independent tasks (emails, thumbnails, webhooks) that may fail now and succeed later. Not when records of a
key have to be handled in order: use a `Consumer`, and stop at what fails.

How: all workers with the same `group_id` divide the partitions of the topic (no more workers than partitions get
work); each handles up to `concurrency` records at once. A record whose handler raises is written to the retry topic
`<topic>.<group>.retry` with the number of attempts and the time when it is due, and acknowledged. Every worker reads
that topic too, and tries such a record when it is due. After `max_attempts`, or at once if the handler raises
`Reject`, it is written to `<topic>.dlq` with the reason in its headers (`dead_letters`); `redrive` sends it back.

Why a retry topic, and not waiting in place: the partition goes on meanwhile, and the number of attempts outlives
the worker. The price is the order, which a queue with concurrency does not have anyway. One topic serves all delays:
what is not due waits in memory, up to `waiting` records a worker; behind more of them a delay gets longer, not shorter.

Guaranteed: at least once. A record is acknowledged after it was handled, or after its retry or dead letter was
written; if that cannot be written, `run` raises and the record stays. `stop` finishes what is being handled.

Not guaranteed: exactly once (a worker that dies, or is slower than a rebalance waits, leaves work that is done
again: see `IdempotentHandler`); any order; that attempts are counted that end with the death of the worker; room for
a record that fits its topic so narrowly that the headers of a failure make it too large (`run` raises).
Dead letters are kept for as long as the settings of their topic say (a week, by default), and no longer.
Delays compare clocks of different machines. The handler sees a retried record with the topic, partition, offset and
timestamp that it had at first.

    async def send_email(record: ConsumerRecord) -> None:
        if not record.value:
            raise Reject("nothing to send")
        await smtp.send(record.value)

    queue = WorkQueue("localhost:50051", "emails", "mailers", send_email,
                      retry=RetryPolicy(max_attempts=4, first_delay_ms=500), concurrency=20)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, queue.stop)
    await queue.run()
    # later, when the mail server is well again:  await redrive("localhost:50051", "emails.dlq")
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random
from typing import Final, TypeAlias, TypedDict, Unpack

from odradek.client.errors import UnknownTopicError
from odradek.client.patterns import dead_letters
from odradek.client.patterns.clock import Clock, SystemClock, sleep_unless
from odradek.client.patterns.header_fields import number_of
from odradek.client.patterns.log_access import Log, Writer, log_of
from odradek.client.patterns.retry_policy import RetryPolicy
from odradek.client.patterns.service import running
from odradek.client.patterns.worker_lane import WorkerLane
from odradek.client.records import ConsumerRecord

Handler: TypeAlias = Callable[[ConsumerRecord], Awaitable[None]]
_DEFAULT_WAITING: Final = 1_000


class WorkQueueSettings(TypedDict, total=False):
    """The keyword arguments of `WorkQueue`."""

    retry: RetryPolicy
    concurrency: int
    waiting: int
    attempt_timeout_ms: int | None
    clock: Clock
    random: Random


@dataclass(slots=True)
class WorkCounts:
    """What this worker did: records handled, sent to the retry topic, and given up."""

    done: int = 0
    retried: int = 0
    dead: int = 0


class WorkQueue:
    """One worker. See the module. Settings:

    * `retry`: 5 attempts, 1 s to 60 s apart, unless said otherwise.
    * `concurrency` (10): handlers that run at once. `waiting` (1000): retries that wait in memory.
    * `attempt_timeout_ms` (None): a handler that takes longer is cancelled, which is a failed attempt.
    """

    def __init__(
        self,
        servers: str | Log,
        topic: str,
        group_id: str,
        handler: Handler,
        **settings: Unpack[WorkQueueSettings],
    ) -> None:
        self._log = log_of(servers)
        self._topic = topic
        self._group_id = group_id
        self._handler = handler
        self._retry = settings.get("retry", RetryPolicy())
        self._attempt_timeout_ms = settings.get("attempt_timeout_ms")
        self._clock = settings.get("clock") or SystemClock()
        self._random = settings.get("random") or Random()
        concurrency = settings.get("concurrency", 10)
        self.retry_topic = dead_letters.retry_topic(topic, group_id)
        self.dead_letter_topic = dead_letters.dead_letter_topic(topic)
        self.counts = WorkCounts()
        self._slots = asyncio.Semaphore(concurrency)
        self._stopping = asyncio.Event()
        self._writer: Writer | None = None
        self._fresh = WorkerLane(
            self._log, self._on_fresh, concurrency, {"topics": (topic,), "group_id": group_id}
        )
        # Its own group: retries that wait do not hold up the division of fresh work.
        self._retries = WorkerLane(
            self._log,
            self._on_retry,
            settings.get("waiting", _DEFAULT_WAITING),
            {"topics": (self.retry_topic,), "group_id": f"{group_id}.retry"},
        )

    async def run(self) -> None:
        """Work until `stop`. OdradekError: nothing can be read, or a failed record cannot be put aside."""
        await self._create_topics()
        async with self._log.writer() as self._writer, running(self._fresh, self._retries):
            await self._stopping.wait()

    async def ready(self) -> None:
        await self._fresh.ready()
        await self._retries.ready()

    def stop(self) -> None:
        self._stopping.set()
        self._fresh.stop()
        self._retries.stop()

    async def _create_topics(self) -> None:
        try:
            partition_count = len(await self._log.bounds(self._topic))
        except UnknownTopicError:
            partition_count = None
        await self._log.create_topic(self.retry_topic, partition_count=partition_count)
        await self._log.create_topic(self.dead_letter_topic)

    async def _on_fresh(self, record: ConsumerRecord) -> bool:
        await self._attempt(record, 0)
        return True

    async def _on_retry(self, record: ConsumerRecord) -> bool:
        due_ms = number_of(record.headers, dead_letters.DUE) or 0
        if not await sleep_unless(self._stopping, self._clock, due_ms):
            return False
        await self._attempt(dead_letters.as_first_read(record), dead_letters.attempts_of(record))
        return True

    async def _attempt(self, record: ConsumerRecord, attempts: int) -> None:
        timeout_ms = self._attempt_timeout_ms
        try:
            async with self._slots, asyncio.timeout(None if timeout_ms is None else timeout_ms / 1000):
                await self._handler(record)
        except Exception as error:  # the boundary: whatever a handler raises is a failed attempt
            await self._put_aside(record, attempts + 1, error)
        else:
            self.counts.done += 1

    async def _put_aside(self, record: ConsumerRecord, attempts: int, error: Exception) -> None:
        assert self._writer is not None
        delay_ms = self._retry.delay_ms(attempts, error, self._random)
        due_ms = None if delay_ms is None else self._clock.now_ms() + delay_ms
        headers = dead_letters.failed_headers(record, self._group_id, attempts, error, due_ms)
        topic = self.dead_letter_topic if due_ms is None else self.retry_topic
        await self._writer.publish(topic, record.value, record.key, headers=headers)
        if due_ms is None:
            self.counts.dead += 1
        else:
            self.counts.retried += 1
