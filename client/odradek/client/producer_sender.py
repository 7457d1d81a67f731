"""The calls of a producer: it makes those that the accumulator and the cluster view ask for.

Decides nothing but how long a call may take. One step, run when something happened or a deadline is reached,
starts what is due; every call is a task that ends with telling the outcome and asking for the next step.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final

from odradek.client.connection import Connection, Method
from odradek.client.errors import OdradekError, from_proto
from odradek.client.producer_accumulator import Accumulator, Call
from odradek.client.producer_batches import Batch
from odradek.client.producer_cluster import ClusterView
from odradek.client.producer_encoding import Identity
from odradek.v1 import log_service_pb2 as pb
from odradek.v1 import record_pb2

PRODUCE: Final = Method("LogService/Produce", pb.ProduceRequest, pb.ProduceResponse)
METADATA: Final = Method("LogService/Metadata", pb.MetadataRequest, pb.MetadataResponse)
INIT_PRODUCER_ID: Final = Method(
    "LogService/InitProducerId", pb.InitProducerIdRequest, pb.InitProducerIdResponse
)

REQUEST_TIMEOUT_MS: Final = 10_000
"""One attempt to write a batch; the next one finds out what became of it."""
LOOK_UP_TIMEOUT_MS: Final = 5_000
_IDENTIFY_PAUSE_S: Final = 0.1
_OFF_LOOP_BYTES: Final = 32 * 1024
"""Batches that are compressed and larger than this are encoded in a thread."""


def steady_ms() -> int:
    """A steady clock in ms."""
    return time.monotonic_ns() // 1_000_000


class Sender:
    """Runs on the loop in which it is made. `on_progress` is called after every outcome."""

    def __init__(
        self,
        connection: Connection,
        accumulator: Accumulator,
        cluster: ClusterView,
        *,
        acks: record_pb2.Acks,
        codec: int,
        on_progress: Callable[[], None],
    ) -> None:
        self._connection = connection
        self._accumulator = accumulator
        self._cluster = cluster
        self._acks = acks
        self._codec = codec
        self._on_progress = on_progress
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._is_scheduled = False
        self._is_identifying = False
        self._is_closed = False
        self.failure: OdradekError | None = None
        """A fault of this client, after which it does nothing more."""

    def wake(self) -> None:
        """Something happened: look soon what is to do."""
        if not self._is_scheduled and not self._is_closed:
            self._is_scheduled = True
            self._loop.call_soon(self._on_due)

    async def close(self) -> None:
        """Start nothing more, and end what is under way."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _on_due(self) -> None:
        self._is_scheduled = False
        if self._is_closed:
            return
        try:
            self._step()
        except Exception as error:  # the boundary of this callback
            self._crash(error)

    def _step(self) -> None:
        now_ms = steady_ms()
        freed = self._accumulator.freed_bytes
        for call in self._accumulator.drain(now_ms):
            self._spawn(self._produce(call))
        topics = self._cluster.due(now_ms)
        if topics:
            self._spawn(self._look_up(topics))
        if self._accumulator.wants_identity and not self._is_identifying:
            self._is_identifying = True
            self._spawn(self._identify())
        self._set_timer(now_ms)
        if self._accumulator.freed_bytes != freed:
            self._on_progress()

    def _set_timer(self, now_ms: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadlines = [self._accumulator.next_deadline(now_ms), self._cluster.next_deadline()]
        known = [deadline for deadline in deadlines if deadline is not None]
        if known:
            # One ms more: the clock of the loop is finer than this one, and a step too early would do nothing.
            wait_ms = max(0, min(known) - now_ms) + 1
            self._timer = self._loop.call_later(wait_ms / 1000, self._on_due)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._on_task_done)

    def _on_task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._crash(error)
        self._on_progress()
        self.wake()

    def _crash(self, error: BaseException) -> None:
        """Ours is the fault. Nobody may wait for what will not come."""
        self._is_closed = True
        self.failure = OdradekError("CLIENT_ERROR", repr(error))
        self.failure.__cause__ = error
        self._accumulator.fail_all(self.failure)
        self._loop.call_exception_handler({"message": "the producer failed", "exception": error})
        self._on_progress()

    async def _produce(self, call: Call) -> None:
        batches = call.batches
        outcomes: list[OdradekError | pb.ProducedPartition]
        try:
            request = pb.ProduceRequest(acks=self._acks)
            for batch in batches:
                request.partitions.add(
                    topic=batch.queue.topic,
                    partition=batch.queue.partition,
                    record_batch=await self._encode(batch),
                )
            response = await self._connection.call_at(
                self._cluster.address_of(call.node_id),
                PRODUCE,
                request,
                timeout_ms=min(REQUEST_TIMEOUT_MS, call.timeout_ms),
            )
            outcomes = list(response.partitions)
            if len(outcomes) != len(batches):
                text = f"{len(outcomes)} outcomes for {len(batches)} batches"
                outcomes = [OdradekError("INTERNAL", text, status="INTERNAL")] * len(batches)
        except OdradekError as error:
            outcomes = [error] * len(batches)
        except Exception as error:  # the boundary of this call: other partitions go on
            ours = OdradekError("CLIENT_ERROR", repr(error))
            ours.__cause__ = error
            outcomes = [ours] * len(batches)
        self._accumulator.on_call_ended(call.node_id)
        now_ms = steady_ms()
        for batch, outcome in zip(batches, outcomes, strict=True):
            if isinstance(outcome, OdradekError):
                self._accumulator.on_failure(batch, outcome, now_ms)
            elif outcome.HasField("error"):
                self._refused(batch, outcome, now_ms)
            else:
                self._accumulator.on_success(batch, outcome.base_offset, outcome.log_append_time_ms)

    async def _encode(self, batch: Batch) -> bytes:
        if self._codec and batch.size > _OFF_LOOP_BYTES and batch.encoded is None:
            return await self._loop.run_in_executor(None, batch.encode, self._codec)
        return batch.encode(self._codec)

    def _refused(self, batch: Batch, outcome: pb.ProducedPartition, now_ms: int) -> None:
        self._accumulator.on_failure(batch, from_proto(outcome.error), now_ms)
        if outcome.HasField("leader"):
            where = (batch.queue.topic, batch.queue.partition)
            if self._cluster.on_hint(*where, outcome.leader.node_id, outcome.leader.leader_epoch):
                self._accumulator.on_moved([where])

    async def _look_up(self, topics: tuple[str, ...]) -> None:
        request = pb.MetadataRequest(topics=topics, create_topics=True)
        try:
            response = await self._connection.call(METADATA, request, timeout_ms=LOOK_UP_TIMEOUT_MS)
        except OdradekError:
            self._cluster.on_failed(steady_ms())
            return
        now_ms = steady_ms()
        learnt = self._cluster.on_metadata(response, now_ms)
        self._connection.learn(self._cluster.addresses.values())
        self._accumulator.on_topics(learnt.known, learnt.refused, now_ms)
        self._accumulator.on_moved(learnt.moved)
        if not learnt.moved:
            # Perhaps this node does not hear what the others know.
            self._connection.avoid(self._connection.preferred)

    async def _identify(self) -> None:
        try:
            while self._accumulator.wants_identity:
                try:
                    answer = await self._connection.call(
                        INIT_PRODUCER_ID, pb.InitProducerIdRequest(), timeout_ms=LOOK_UP_TIMEOUT_MS
                    )
                    self._accumulator.on_identity(Identity(answer.producer_id, answer.producer_epoch))
                except OdradekError:
                    await asyncio.sleep(_IDENTIFY_PAUSE_S)
        finally:
            self._is_identifying = False
