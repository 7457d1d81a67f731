"""Publish: records in, offsets out, at any node.

Decides: which partition a record goes to, how records become batches, where those are written, when that is tried
again, and what is known when it is given up. What a leader accepts is `produce`'s and the log's.

A sender with a name is idempotent: it numbers its records, and a batch carries the number of its first record as its
sequence, under a producer id made from the name (`storage.producer_state`, sparse producers). So any node recognises
what was written before, and nothing has to be remembered but the log. For that, the same request has to become the same
batches each time: where a record goes and how records are cut into batches depends on the request and the topic alone,
and a request needs at most as many batches for a partition as a partition remembers of a producer.

Outcomes: OK for all records, or an error. Without a name an error may come after some of the records were written;
where not even that is known, the error is REQUEST_TIMED_OUT.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from random import Random
from typing import Final, NamedTuple

from odradek.node.app.context import RequestContext
from odradek.node.app.image_changes import ImageChanges
from odradek.node.app.leaders import Leaders
from odradek.node.app.metadata import AskedTopic, MetadataService
from odradek.node.app.senders import Identity, Senders, producer_id_of
from odradek.node.controller.image import TopicImage
from odradek.proto.kafka.errors import ErrorCode
from odradek.proto.kafka.partitioner import partition_for
from odradek.proto.kafka.record_batch import Entry, build_new_batch
from odradek.proto.kafka.records import Record
from odradek.storage.append_result import AppendResult
from odradek.storage.producer_entry import BATCHES_RETAINED

BATCH_BYTES_MAX: Final = 1024 * 1024
BATCH_SLACK_BYTES: Final = 1024
"""Of a batch's limit, for its header; the estimate of a record's size is generous."""
RECORD_OVERHEAD_BYTES: Final = 21
HEADER_OVERHEAD_BYTES: Final = 10
RETRY_PAUSE_S: Final = 0.1
CREATION_WAIT_S: Final = 5.0
"""For a topic that is created by being named; one that cannot be would be tried for as long as the sender waits."""

_UNCERTAIN: Final = frozenset(
    (
        ErrorCode.NETWORK_EXCEPTION,
        ErrorCode.REQUEST_TIMED_OUT,
        ErrorCode.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
        ErrorCode.NOT_LEADER_OR_FOLLOWER,  # also what becomes of those that wait where a leader is replaced
        ErrorCode.KAFKA_STORAGE_ERROR,
    )
)
"""After these nobody knows whether the batch was, or will be, written."""

#: (error, sentence): what a request or a partition came to.
Failure = tuple[ErrorCode, str | None]


class PublishCommand(NamedTuple):
    """`records` have no offsets yet, and timestamp -1 for now. `partitions` runs beside them: -1 where the key decides;
    None if it does for all. `sequence` is the number of the first record, for a sender with a name."""

    topic: str
    records: Sequence[Record]
    partitions: Sequence[int] | None = None
    producer_name: str = ""
    sequence: int = 0
    acks: int = -1


class Published(NamedTuple):
    """`partitions` and `offsets` run beside the records. On an error they are empty."""

    error: ErrorCode
    message: str | None = None
    partitions: Sequence[int] = ()
    offsets: Sequence[int] = ()


class Deadline(NamedTuple):
    now_s: Callable[[], float]
    at_s: float

    @property
    def left_s(self) -> float:
        return self.at_s - self.now_s()


class PublishService:
    def __init__(
        self,
        leaders: Leaders,
        metadata: MetadataService,
        changes: ImageChanges,
        batch_bytes_max: Callable[[str], int],
        wall_ms: Callable[[], int],
        random: Random,
    ) -> None:
        """`batch_bytes_max`: `max.message.bytes` of a topic."""
        self._leaders = leaders
        self._metadata = metadata
        self._changes = changes
        self._batch_bytes_max = batch_bytes_max
        self._wall_ms = wall_ms
        self._random = random
        self._senders = Senders(f"odradek-node-{leaders.node_id}-{random.getrandbits(64):x}")

    async def publish(self, context: RequestContext, command: PublishCommand, timeout_ms: int) -> Published:
        now_s = asyncio.get_running_loop().time
        deadline = Deadline(now_s, now_s() + timeout_ms / 1000)
        topic = await self._topic(command.topic, deadline)
        if isinstance(topic, ErrorCode):
            return Published(topic)
        chosen = self._choose(command, len(topic.partitions))
        if isinstance(chosen, str):
            return Published(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, chosen)
        plan = self._plan(command, chosen)
        if isinstance(plan, str):
            return Published(ErrorCode.RECORD_LIST_TOO_LARGE, plan)
        if command.producer_name:
            identity: Identity | None = Identity(producer_id_of(command.producer_name), command.sequence)
            return await self._write_all(context, command, chosen, plan, identity, deadline)
        identity = self._senders.borrow(len(command.records))
        try:
            return await self._write_all(context, command, chosen, plan, identity, deadline)
        finally:
            if identity is not None:
                self._senders.give_back(identity)

    # -- before writing

    async def _topic(self, name: str, deadline: Deadline) -> TopicImage | ErrorCode:
        """The topic, which may have to be created first."""
        give_up_s = min(deadline.at_s, deadline.now_s() + CREATION_WAIT_S)
        while True:
            (found,) = self._metadata.find_topics([AskedTopic(name)], allow_auto_creation=True)
            if found.topic is not None:
                return found.topic
            is_coming = found.error is ErrorCode.UNKNOWN_TOPIC_OR_PARTITION and self._metadata.is_creating(
                name
            )
            left_s = give_up_s - deadline.now_s()
            if not is_coming or left_s <= 0:
                return found.error
            await self._changes.wait(min(RETRY_PAUSE_S, left_s))

    def _choose(self, command: PublishCommand, count: int) -> list[int] | str:
        """A partition for each record, or what is wrong with one that was asked for."""
        chosen: list[int] = []
        without_key = -1
        asked = command.partitions
        for place, record in enumerate(command.records):
            if asked is not None and asked[place] >= 0:
                if asked[place] >= count:
                    return f"record {place}: partition {asked[place]}; topic {command.topic} has 0 to {count - 1}"
                chosen.append(asked[place])
            elif record.key is not None:
                chosen.append(partition_for(record.key, count))
            else:
                if without_key < 0:
                    without_key = self._without_key(command, count)
                chosen.append(without_key)
        return chosen

    def _without_key(self, command: PublishCommand, count: int) -> int:
        """One partition for all records without a key of a request. A repeated request must find the same."""
        if not command.producer_name:
            return self._random.randrange(count)
        text = f"{command.producer_name}\0{command.sequence}".encode()
        return int.from_bytes(blake2b(text, digest_size=8).digest(), "big") % count

    def _plan(self, command: PublishCommand, chosen: Sequence[int]) -> dict[int, list[list[int]]] | str:
        """The places of the records of each batch, by partition."""
        limit = min(self._batch_bytes_max(command.topic), BATCH_BYTES_MAX) - BATCH_SLACK_BYTES
        plan: dict[int, list[list[int]]] = {}
        total = sum(map(size_of, command.records))
        if total <= limit:  # nearly always: no partition needs more than one batch
            for place, partition in enumerate(chosen):
                if partition in plan:
                    plan[partition][0].append(place)
                else:
                    plan[partition] = [[place]]
            return plan
        sizes: dict[int, int] = {}
        for place, (partition, record) in enumerate(zip(chosen, command.records, strict=True)):
            size = size_of(record)
            chunks = plan.get(partition)
            if chunks is None:
                plan[partition], sizes[partition] = [[place]], size
            elif sizes[partition] + size > limit:
                chunks.append([place])
                sizes[partition] = size
            else:
                chunks[-1].append(place)
                sizes[partition] += size
        if command.producer_name:
            for partition, chunks in plan.items():
                if len(chunks) > BATCHES_RETAINED:
                    return (
                        f"partition {partition} needs {len(chunks)} batches of at most {limit} bytes; with a producer"
                        f" name at most {BATCHES_RETAINED} are allowed, so that a repeated request is recognised"
                    )
        return plan

    # -- writing

    async def _write_all(
        self,
        context: RequestContext,
        command: PublishCommand,
        chosen: Sequence[int],
        plan: Mapping[int, Sequence[Sequence[int]]],
        identity: Identity | None,
        deadline: Deadline,
    ) -> Published:
        offsets = [-1] * len(command.records)
        work = [
            self._write(context, command, partition, chunks, offsets, identity, deadline)
            for partition, chunks in plan.items()
        ]
        failures = [await work[0]] if len(work) == 1 else await asyncio.gather(*work)
        for failure in failures:
            if failure is not None:
                return _failed(failure, command, sum(offset >= 0 for offset in offsets))
        return Published(ErrorCode.NONE, None, chosen, offsets)

    async def _write(
        self,
        context: RequestContext,
        command: PublishCommand,
        partition: int,
        chunks: Sequence[Sequence[int]],
        offsets: list[int],
        identity: Identity | None,
        deadline: Deadline,
    ) -> Failure | None:
        """All batches of a partition, one after another; fills in the offsets."""
        for places in chunks:
            batch = bytes(self._batch(command.records, places, identity))
            can_repeat = identity is not None
            result = await self._write_batch(context, command, partition, batch, can_repeat, deadline)
            if result.error is not ErrorCode.NONE:
                faults = "; ".join(f"record {places[at]}: {text}" for at, text in result.record_errors)
                return result.error, faults or result.error_message
            for step, place in enumerate(places):
                offsets[place] = result.base_offset + step
        return None

    async def _write_batch(
        self,
        context: RequestContext,
        command: PublishCommand,
        partition: int,
        batch: bytes,
        can_repeat: bool,
        deadline: Deadline,
    ) -> AppendResult:
        was_uncertain = False
        while True:
            timeout_ms = max(1, int(deadline.left_s * 1000))
            # A copy each time: offsets are stamped in place.
            result = await self._leaders.produce(
                context, command.topic, partition, bytearray(batch), command.acks, timeout_ms
            )
            error = result.error
            if error is ErrorCode.NONE:
                return result
            was_uncertain |= error in _UNCERTAIN
            is_over = deadline.left_s <= 0 or (was_uncertain and not can_repeat)
            if not error.retriable or is_over:
                return (
                    AppendResult(ErrorCode.REQUEST_TIMED_OUT) if was_uncertain and error.retriable else result
                )
            await self._changes.wait(min(RETRY_PAUSE_S, deadline.left_s))

    def _batch(
        self, records: Sequence[Record], places: Sequence[int], identity: Identity | None
    ) -> bytearray:
        now_ms = self._wall_ms()
        entries: list[Entry] = []
        for place in places:
            _, timestamp, key, value, headers = records[place]
            entries.append((timestamp if timestamp >= 0 else now_ms, key, value, headers))
        if identity is None:
            return build_new_batch(entries)
        producer_id, epoch, sequence = identity.at(places[0])
        return build_new_batch(entries, producer_id=producer_id, producer_epoch=epoch, base_sequence=sequence)


def _failed(failure: Failure, command: PublishCommand, written: int) -> Published:
    """A request that is worth sending again as it is has to be one of which nothing was written, or that has a name."""
    error, message = failure
    if written and error.retriable and not command.producer_name:
        return Published(
            ErrorCode.REQUEST_TIMED_OUT,
            f"{written} of {len(command.records)} records are written, the others not ({error.name}); with a producer"
            " name the same request may be sent again",
        )
    return Published(error, message)


def size_of(record: Record) -> int:
    """At most what a record takes in a batch, in bytes."""
    _, _, key, value, headers = record
    size = RECORD_OVERHEAD_BYTES + (len(key) if key else 0) + (len(value) if value else 0)
    for name, content in headers:
        size += HEADER_OVERHEAD_BYTES + len(name) * 4 + (len(content) if content else 0)
    return size
