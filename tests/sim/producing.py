"""Producers and readers in the simulation.

A producer is idempotent and pipelines up to five batches; whatever was not acknowledged is sent again in order, with
the numbers it had. So a broker that forgets, doubles or reorders shows. A reader follows one partition from its
beginning and never skips.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from tests.sim.client import Address, Client, Unanswered
from tests.sim.history import History, TopicPartition

from odradek.proto.kafka.errors import ErrorCode as E
from odradek.proto.kafka.messages.fetch import FetchRequest, FetchResponse
from odradek.proto.kafka.messages.produce import ProduceRequest, ProduceResponse
from odradek.proto.kafka.messages.transactions import InitProducerIdRequest, InitProducerIdResponse
from odradek.proto.kafka.record_batch import Record, build_batch, iter_headers, iter_records

_VERSION_PRODUCE = 11
_VERSION_FETCH = 12
_PADDINGS = [0, 10, 10, 200, 200, 200, 200, 70_000]
_MOVED = {
    E.NOT_LEADER_OR_FOLLOWER,
    E.LEADER_NOT_AVAILABLE,
    E.FENCED_LEADER_EPOCH,
    E.UNKNOWN_LEADER_EPOCH,
    E.UNKNOWN_TOPIC_OR_PARTITION,
    E.UNKNOWN_TOPIC_ID,
    E.BROKER_NOT_AVAILABLE,
    E.REPLICA_NOT_AVAILABLE,
}
_RETRIABLE = _MOVED | {
    E.REQUEST_TIMED_OUT,
    E.NOT_ENOUGH_REPLICAS,
    E.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
    E.KAFKA_STORAGE_ERROR,
    E.OFFSET_NOT_AVAILABLE,
    E.NETWORK_EXCEPTION,
}


class _Batch(NamedTuple):
    sequence: int
    values: list[bytes]


class Producer:
    """Sends batches of numbered values to one partition until `stop`, then until all are acknowledged."""

    def __init__(
        self,
        client: Client,
        history: History,
        tp: TopicPartition,
        wall_ms: Callable[[], int],
        *,
        pause_ms: int,
    ) -> None:
        self.name = client.loop.name.encode()
        self.is_stopping = False
        self._client = client
        self._history = history
        self._tp = tp
        self._wall_ms = wall_ms
        self._pause_ms = pause_ms
        self._id = -1
        self._epoch = -1
        self._next = 0
        self._window = client.random.choice([1, 1, 2, 5])

    def stop(self) -> None:
        """Send nothing new."""
        self.is_stopping = True

    async def run(self) -> None:
        """Until `stop` was called and everything sent is acknowledged."""
        await self._register()
        open_: list[_Batch] = []
        while open_ or not self.is_stopping:
            while len(open_) < self._window and not self.is_stopping:
                open_.append(self._new_batch())
            acknowledged = await self._send(open_)
            del open_[:acknowledged]
            if open_ and not acknowledged:
                await self._client.pause()
            elif self._pause_ms:
                await self._client.pause(self._pause_ms // 10, self._pause_ms)

    async def _register(self) -> None:
        request = InitProducerIdRequest(transactional_id=None, transaction_timeout_ms=60_000)
        while True:
            try:
                response = await self._client.ask(
                    self._client.any_address(), request, 4, InitProducerIdResponse
                )
            except Unanswered:
                await self._client.pause()
                continue
            if not response.error_code:
                self._id, self._epoch = response.producer_id, response.producer_epoch
                self._history.on_producer_id(self._id, self._epoch, self.name)
                return
            await self._client.pause()

    def _new_batch(self) -> _Batch:
        random = self._client.random
        count = random.choice([1, 1, 2, 10])
        padding = b"x" * random.choice(_PADDINGS)
        values = [b"%s:%d:%s" % (self.name, self._next + at, padding) for at in range(count)]
        batch = _Batch(self._next, values)
        self._next += count
        self._history.on_sent(self._tp, values)
        return batch

    async def _send(self, batches: list[_Batch]) -> int:
        """Send all, in order, on one connection. How many of the first were acknowledged."""
        topic, index = self._tp
        try:
            wire = await self._client.wire(await self._client.leader(topic, index), "produce")
            answers = [wire.send(self._request(batch), _VERSION_PRODUCE) for batch in batches]
        except Unanswered:
            return 0
        acknowledged = 0
        holds = True  # every batch before this one was acknowledged
        for batch, answer in zip(batches, answers, strict=True):
            try:
                async with asyncio.timeout(5):
                    response = await answer
            except (Unanswered, TimeoutError):
                wire.close()
                self._client.forget_leader(topic, index)
                break
            assert isinstance(response, ProduceResponse)
            outcome = response.responses[0].partition_responses[0]
            if holds and self._judge(batch, E(outcome.error_code), outcome.base_offset):
                acknowledged += 1
            else:
                holds = False
        return acknowledged

    def _judge(self, batch: _Batch, error: E, base_offset: int) -> bool:
        """True if a batch, all of whose predecessors are acknowledged, is acknowledged itself."""
        verdict = self._history.verdict
        if error in (E.NONE, E.DUPLICATE_SEQUENCE_NUMBER):
            known = base_offset if error is E.NONE else -1
            self._history.on_acknowledged(self._tp, batch.values, known)
            return True
        verdict.count(f"produce {error.name}")
        if error in (E.OUT_OF_ORDER_SEQUENCE_NUMBER, E.UNKNOWN_PRODUCER_ID, E.INVALID_PRODUCER_EPOCH):
            verdict.violate(
                "I3 what is known of a producer survives", self._tp, self.name, batch.sequence, error.name
            )
        verdict.check(error in _RETRIABLE, "X3 an error that nobody asked for", self._tp, error.name)
        if error in _MOVED:
            self._client.forget_leader(*self._tp)
        return False

    def _request(self, batch: _Batch) -> ProduceRequest:
        now_ms = self._wall_ms()
        records = [Record(at, now_ms, None, value) for at, value in enumerate(batch.values)]
        data = build_batch(
            records, producer_id=self._id, producer_epoch=self._epoch, base_sequence=batch.sequence
        )
        topic, index = self._tp
        partition = ProduceRequest.PartitionProduceData(index=index, records=data)
        topic_data = ProduceRequest.TopicProduceData(name=topic, partition_data=[partition])
        return ProduceRequest(transactional_id=None, acks=-1, timeout_ms=2_000, topic_data=[topic_data])


class Fetched(NamedTuple):
    """One answer to a fetch of one partition. `preferred`: the node that should be asked instead, -1 for none."""

    error: E
    high_watermark: int
    records: list[tuple[int, bytes]]
    preferred: int


async def fetch(
    client: Client,
    tp: TopicPartition,
    offset: int,
    max_wait_ms: int,
    *,
    source: Address | None = None,
    rack: str = "",
) -> Fetched:
    """Read from the leader, as far as it is known, or from `source`. Raises Unanswered."""
    topic, index = tp
    address = source or await client.leader(topic, index)
    leader_epoch, asked_us = client.leader_epochs.get(tp, -1), client.loop.scheduler.now_us
    size = client.random.choice([300, 4096, 1 << 20])
    partition = FetchRequest.FetchPartition(
        partition=index,
        current_leader_epoch=leader_epoch,
        fetch_offset=offset,
        partition_max_bytes=size,
        log_start_offset=-1,
    )
    request = FetchRequest(
        max_wait_ms=max_wait_ms,
        min_bytes=1,
        max_bytes=1 << 20,
        topics=[FetchRequest.FetchTopic(topic=topic, partitions=[partition])],
        rack_id=rack,
    )
    try:
        response = await client.ask(address, request, _VERSION_FETCH, FetchResponse, purpose="fetch")
    except Unanswered:
        client.forget_leader(topic, index)
        raise
    found = response.responses[0].partitions[0]
    error = E(found.error_code or response.error_code)
    if error in _MOVED:
        client.forget_leader(topic, index)
    if error is E.NONE and client.on_fenced_read is not None:
        client.on_fenced_read(tp, address[0], leader_epoch, asked_us)
    records: list[tuple[int, bytes]] = []
    data = bytes(found.records or b"")
    for at, header in iter_headers(data):
        if not header.is_control:
            records += [
                (record.offset, record.value or b"")
                for record in iter_records(data, at)
                if record.offset >= offset
            ]
    return Fetched(error, found.high_watermark, records, found.preferred_read_replica)


class Reader:
    """Follows one partition. `position` is the next offset. With a `rack` it reads where its leader sends it."""

    def __init__(self, client: Client, history: History, tp: TopicPartition, rack: str = "") -> None:
        self.position = 0
        self.client = client
        self._history = history
        self._tp = tp
        self._rack = rack
        self._source: Address | None = None

    async def run(self) -> None:
        while True:
            await self.step(500)
            await self.client.pause(0, 100)

    async def step(self, max_wait_ms: int) -> None:
        """One fetch."""
        source, self._source = self._source, None
        verdict = self._history.verdict
        try:
            fetched = await fetch(
                self.client, self._tp, self.position, max_wait_ms, source=source, rack=self._rack
            )
        except Unanswered:
            await self.client.pause()
            return
        if fetched.error is E.OFFSET_OUT_OF_RANGE and source is None:
            self._history.on_out_of_range(self._tp, self.position)
        if fetched.error is not E.NONE:
            verdict.count(f"fetch {fetched.error.name}")
            known = fetched.error in _RETRIABLE or fetched.error is E.OFFSET_OUT_OF_RANGE
            verdict.check(known, "X3 an error that nobody asked for", self._tp, fetched.error.name)
            await self.client.pause()
            return
        if fetched.preferred >= 0:
            self._source = self.client.address(fetched.preferred)
            return
        for offset, value in fetched.records:
            if offset != self.position:
                self._history.on_gap(self._tp, self.position, offset)
            verdict.check(
                offset < fetched.high_watermark,
                "P6 nothing above the high watermark is shown",
                self._tp,
                offset,
                fetched.high_watermark,
            )
            self._history.on_read(self._tp, offset, value)
            self.position = offset + 1
        if source is not None:
            verdict.count("records read from followers", len(fetched.records))
            self._source = source
