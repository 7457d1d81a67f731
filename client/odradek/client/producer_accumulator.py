"""Records on their way into batches, and batches on their way out.

Decides: which batch takes a record, which batches go into one call now, what happens after an outcome, and when
there is something to do next. Does not decide: how calls are made. Pure: `now_ms` is an argument, in ms of one
steady clock; what records are told goes through their promises.

A record whose topic is not known yet waits outside of any batch. Records without a key stay with one partition
until its batch is sent or full, then with another (KIP-480). A batch is sent when it is full, has waited for
`linger_ms`, or somebody flushes or waits for room; at most one per partition is under way, and at most
`MAX_CALLS_PER_NODE` calls per node, so that a busy node gets fewer and larger calls.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final, NamedTuple

from odradek.client.errors import DeliveryTimeoutError, OdradekError, UnknownTopicError
from odradek.client.producer_batches import Batch, PartitionQueue, Promise
from odradek.client.producer_cluster import ClusterView
from odradek.client.producer_encoding import BATCH_OVERHEAD, Entry, Identity
from odradek.client.producer_outcomes import Action, meaning_of
from odradek.proto.kafka.partitioner import Partitioner

MAX_CALLS_PER_NODE: Final = 5
MAX_CALL_BYTES: Final = 3 * 1024 * 1024
"""Of batches in one call, unless one batch alone is larger: gRPC servers refuse messages above 4 MiB by default."""
UNKNOWN_TOPIC_PATIENCE_MS: Final = 30_000
"""A topic of which nobody knows after so long is taken not to exist."""
_BACKOFF_MS: Final = 50
_BACKOFF_MAX_MS: Final = 500


@dataclass(frozen=True, slots=True)
class Limits:
    """What a batch may be: bytes uncompressed, times in ms."""

    batch_bytes: int
    linger_ms: int
    delivery_timeout_ms: int
    codec: int = 0
    is_idempotent: bool = True


class Waiting(NamedTuple):
    """A record whose topic is not known."""

    partition: int | None
    entry: Entry
    size: int
    promise: Promise
    since_ms: int


class Call(NamedTuple):
    """Batches for one node. `timeout_ms`: no batch may wait longer."""

    node_id: int
    batches: list[Batch]
    timeout_ms: int


class _Topic:
    """The queues of one topic, and the partition that takes records without a key."""

    __slots__ = ("partition_count", "queues", "sticky")

    def __init__(self, partition_count: int) -> None:
        self.partition_count = partition_count
        self.queues: dict[int, PartitionQueue] = {}
        self.sticky: int | None = None


class Accumulator:
    """See the module. `freed_bytes` grows with everything that needs no room any more."""

    def __init__(
        self, limits: Limits, cluster: ClusterView, partitioner: Partitioner, random: Random
    ) -> None:
        self._limits = limits
        self._cluster = cluster
        self._partitioner = partitioner
        self._random = random
        self._topics: dict[str, _Topic] = {}
        self._waiting: dict[str, list[Waiting]] = {}
        self._active: dict[PartitionQueue, None] = {}
        self._calls: dict[int, int] = {}
        self._identity: Identity | None = None
        self.freed_bytes = 0
        self.is_pressed = False
        """Somebody waits for room: batches do not linger."""
        self.wants_identity = False

    # -- records in

    def append(
        self, topic: str, partition: int | None, entry: Entry, size: int, promise: Promise, now_ms: int
    ) -> bool:
        """Take a record of at most `size` bytes. True: there may be something new to do (a batch began or is full)."""
        known = self._topics.get(topic)
        if known is None:
            self._waiting.setdefault(topic, []).append(Waiting(partition, entry, size, promise, now_ms))
            self._cluster.mark_stale(topic)
            return True
        if partition is None:
            key = entry[1]
            if key is not None:
                partition = self._partitioner(key, known.partition_count)
            else:
                partition = known.sticky
                if partition is None:
                    partition = known.sticky = self._random.choice(self._cluster.led_partitions(topic))
        queue = known.queues.get(partition)
        if queue is None:
            queue = known.queues[partition] = PartitionQueue(topic, partition)
        batch = queue.open
        limit = self._limits.batch_bytes
        if batch is not None and batch.size + size <= limit:
            # What `Batch.append` does, without the call: this is the way of nearly every record.
            batch.entries.append(entry)
            batch.promises.append(promise)
            batch.size += size
            return False
        if batch is not None:
            self._close(known, queue)
        batch = queue.open = Batch(queue, now_ms, now_ms + self._limits.delivery_timeout_ms)
        batch.append(entry, size, promise)
        self._active[queue] = None
        if batch.size >= limit:
            self._close(known, queue)
        return True

    @staticmethod
    def _close(known: _Topic, queue: PartitionQueue) -> None:
        queue.close_open()
        if known.sticky == queue.partition:
            known.sticky = None

    def on_topics(self, known: dict[str, int], refused: dict[str, OdradekError], now_ms: int) -> None:
        """What a look-up said: partition counts of topics, and errors of others."""
        for topic, partition_count in known.items():
            if partition_count == 0:
                continue
            found = self._topics.get(topic)
            if found is None:
                self._topics[topic] = _Topic(partition_count)
                for waiting in self._waiting.pop(topic, ()):
                    self.append(
                        topic,
                        waiting.partition,
                        waiting.entry,
                        waiting.size,
                        waiting.promise,
                        waiting.since_ms,
                    )
            else:
                found.partition_count = partition_count
        for topic, error in refused.items():
            waiting_here = self._waiting.get(topic)
            if not waiting_here:
                continue
            self._cluster.mark_stale(topic)
            if isinstance(error, UnknownTopicError):
                # Perhaps it is being created.
                late = now_ms - UNKNOWN_TOPIC_PATIENCE_MS
                count = sum(1 for waiting in waiting_here if waiting.since_ms <= late)
                self._fail_waiting(topic, count, error)
            elif not error.is_retriable:
                self._fail_waiting(topic, len(waiting_here), error)

    def on_moved(self, partitions: Iterable[tuple[str, int]]) -> None:
        """These partitions have a new leader: what waited for that waits no longer."""
        for topic, partition in partitions:
            known = self._topics.get(topic)
            queue = None if known is None else known.queues.get(partition)
            if queue is not None:
                queue.retry_at_ms = 0

    def on_identity(self, identity: Identity) -> None:
        """The identity for partitions that have none."""
        self._identity = identity
        self.wants_identity = False

    # -- batches out

    def flush(self) -> int:
        """Let nothing of what is here linger. Returns a mark for `is_flushed`."""
        for queue in self._active:
            self._close(self._topics[queue.topic], queue)
        return max((batch.id for queue in self._active for batch in queue.batches()), default=-1)

    def is_flushed(self, mark: int) -> bool:
        """Whether all is decided that was here when `flush` gave the mark."""
        return not any(batch.id <= mark for queue in self._active for batch in queue.batches())

    @property
    def has_waiting(self) -> bool:
        """Records whose topic is not known yet."""
        return bool(self._waiting)

    def drain(self, now_ms: int) -> list[Call]:
        """The calls to make now. Each ends with `on_success` or `on_failure` for each batch, and `on_call_ended`."""
        self._expire(now_ms)
        by_node: dict[int, list[Batch]] = {}
        for queue in list(self._active):
            if queue.in_flight is not None or queue.retry_at_ms > now_ms or not self._is_ready(queue, now_ms):
                continue
            leader = self._cluster.leader_of(queue.topic, queue.partition)
            if leader is None or self._calls.get(leader, 0) >= MAX_CALLS_PER_NODE:
                continue
            if not self._has_identity(queue):
                continue
            if not queue.closed:
                self._close(self._topics[queue.topic], queue)
            batch = queue.take()
            if self._limits.is_idempotent:
                queue.number(batch, self._identity)
            by_node.setdefault(leader, []).append(batch)
        return [
            call for node_id, batches in by_node.items() for call in self._calls_of(node_id, batches, now_ms)
        ]

    def _calls_of(self, node_id: int, batches: Sequence[Batch], now_ms: int) -> list[Call]:
        groups: list[list[Batch]] = []
        room = 0
        for batch in batches:
            if batch.size > room or not groups:
                groups.append([])
                room = MAX_CALL_BYTES
            groups[-1].append(batch)
            room -= batch.size
        self._calls[node_id] = self._calls.get(node_id, 0) + len(groups)
        return [
            Call(node_id, group, max(1, min(batch.deadline_ms for batch in group) - now_ms))
            for group in groups
        ]

    def _is_ready(self, queue: PartitionQueue, now_ms: int) -> bool:
        if queue.closed or queue.open is None:
            return bool(queue.closed)
        return self.is_pressed or queue.open.created_ms + self._limits.linger_ms <= now_ms

    def _has_identity(self, queue: PartitionQueue) -> bool:
        if not self._limits.is_idempotent or queue.identity is not None or self._identity is not None:
            return True
        self.wants_identity = True
        return False

    def next_deadline(self, now_ms: int) -> int | None:
        """When `drain` has something to do if nothing else happens, in ms; None: never."""
        deadlines: list[int] = []
        for queue in self._active:
            if queue.in_flight is not None:
                continue
            oldest = queue.closed[0] if queue.closed else queue.open
            assert oldest is not None, "an active queue holds a batch"
            deadlines.append(oldest.deadline_ms)
            if queue.retry_at_ms > now_ms:
                deadlines.append(queue.retry_at_ms)
            elif not queue.closed and oldest.created_ms + self._limits.linger_ms > now_ms:
                deadlines.append(oldest.created_ms + self._limits.linger_ms)
        timeout = self._limits.delivery_timeout_ms
        deadlines.extend(waiting[0].since_ms + timeout for waiting in self._waiting.values())
        return min(deadlines, default=None)

    # -- outcomes

    def on_call_ended(self, node_id: int) -> None:
        """A call to this node is over, however it ended."""
        self._calls[node_id] -= 1

    def on_success(self, batch: Batch, base_offset: int, log_append_time_ms: int) -> None:
        """The batch is written. Offset -1 where nobody remembers it."""
        batch.queue.finish(batch)
        batch.succeed(base_offset, log_append_time_ms)
        self._free(batch)

    def on_failure(self, batch: Batch, error: OdradekError, now_ms: int) -> None:
        """The batch met an error; what follows is as `producer_outcomes` says."""
        queue = batch.queue
        meaning = meaning_of(error)
        if meaning.action is Action.SUCCEED:
            self.on_success(batch, -1, -1)
            return
        batch.last_error = error
        batch.is_unknown = batch.is_unknown or meaning.is_unknown
        if meaning.is_misdirected:
            self._cluster.mark_stale(queue.topic)
        queue.put_back(batch)
        is_certain = not batch.is_unknown
        if meaning.action is Action.RETRY:
            self._delay(queue, batch, error, now_ms)
        elif meaning.action is Action.RENUMBER and is_certain and self._limits.is_idempotent:
            self._renumber(queue, batch)
            self._delay(queue, batch, error, now_ms)
        elif meaning.action is Action.SPLIT and is_certain and len(batch.entries) > 1:
            queue.split(batch)
        else:
            if meaning.action is Action.RENUMBER:
                self._forget_identity(queue)
            self._give_up(batch, error)

    def _delay(self, queue: PartitionQueue, batch: Batch, error: OdradekError, now_ms: int) -> None:
        wait = float(min(_BACKOFF_MAX_MS, _BACKOFF_MS << min(batch.attempts - 1, 10)))
        if error.retry_after_ms is not None:
            wait = max(wait, min(error.retry_after_ms, _BACKOFF_MAX_MS))
        queue.retry_at_ms = now_ms + round(wait * (0.75 + self._random.random() / 2))

    def _renumber(self, queue: PartitionQueue, batch: Batch) -> None:
        """The partition lost sight of its producer: begin there as one that it never saw."""
        queue.forget_numbers(batch)
        self._forget_identity(queue)

    def _forget_identity(self, queue: PartitionQueue) -> None:
        if queue.identity is not None and queue.identity == self._identity:
            self._identity = None
        queue.identity = None

    def _give_up(self, batch: Batch, error: OdradekError) -> None:
        """The oldest batch of its queue, not under way, fails."""
        queue = batch.queue
        if batch.base_sequence >= 0 and batch.is_unknown:
            self._forget_identity(queue)
        queue.give_up(batch)
        batch.fail(error)
        self._free(batch)

    def _free(self, batch: Batch) -> None:
        self.freed_bytes += batch.size - BATCH_OVERHEAD
        if batch.queue.is_empty:
            self._active.pop(batch.queue, None)

    def _expire(self, now_ms: int) -> None:
        for queue in list(self._active):
            while queue.in_flight is None and not queue.is_empty:
                batch = queue.closed[0] if queue.closed else queue.open
                if batch is None or batch.deadline_ms > now_ms:
                    break
                self._give_up(batch, _timeout_of(batch, self._limits.delivery_timeout_ms))
        for topic in list(self._waiting):
            late = now_ms - self._limits.delivery_timeout_ms
            count = sum(1 for waiting in self._waiting[topic] if waiting.since_ms <= late)
            if count:
                text = f"nobody said within {self._limits.delivery_timeout_ms} ms where topic {topic!r} is"
                self._fail_waiting(topic, count, DeliveryTimeoutError(text, is_unknown=False))

    def _fail_waiting(self, topic: str, count: int, error: OdradekError) -> None:
        """Fail the oldest `count` records that wait for this topic."""
        waiting = self._waiting[topic]
        for record in waiting[:count]:
            if not record.promise.done():
                record.promise.set_exception(error)
            self.freed_bytes += record.size
        del waiting[:count]
        if not waiting:
            del self._waiting[topic]

    def fail_all(self, error: OdradekError) -> None:
        """Give up everything, also what is under way."""
        for topic in list(self._waiting):
            self._fail_waiting(topic, len(self._waiting[topic]), error)
        for queue in list(self._active):
            for batch in queue.batches():
                batch.fail(error)
                self.freed_bytes += batch.size - BATCH_OVERHEAD
        self._active.clear()


def _timeout_of(batch: Batch, delivery_timeout_ms: int) -> DeliveryTimeoutError:
    queue = batch.queue
    why = "" if batch.last_error is None else f"; the last attempt ended with {batch.last_error}"
    text = f"{queue.topic}-{queue.partition}: not acknowledged within {delivery_timeout_ms} ms{why}"
    error = DeliveryTimeoutError(text, is_unknown=batch.is_unknown)
    error.__cause__ = batch.last_error
    return error
