"""The producer: records in, batches out, and a promise for every record.

Decides: what a caller may hand in, and who waits for room. Does not decide: when and how batches are sent
(`producer_accumulator`, `producer_sender`).
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from random import Random
from time import monotonic_ns, time
from types import TracebackType
from typing import Final, Literal, TypedDict, Unpack

from odradek.client.connection import DEFAULT_CLIENT_ID, Connection
from odradek.client.errors import ClosedError, OdradekError, RecordTooLargeError
from odradek.client.producer_accumulator import Accumulator, Limits
from odradek.client.producer_cluster import ClusterView
from odradek.client.producer_encoding import codec_number, size_of
from odradek.client.producer_sender import Sender
from odradek.client.records import Headers, RecordMetadata
from odradek.proto.kafka.partitioner import Partitioner, partition_for
from odradek.v1 import record_pb2

_CLOSE_AFTER_ERROR_MS: Final = 5_000


class ProducerSettings(TypedDict, total=False):
    """The keyword arguments of `Producer`."""

    client_id: str
    acks: Literal["all", "leader"]
    linger_ms: int
    batch_bytes: int
    compression: str
    idempotent: bool
    delivery_timeout_ms: int
    max_buffered_bytes: int
    partitioner: Partitioner


@dataclass(frozen=True, slots=True)
class _Settings:
    client_id: str = DEFAULT_CLIENT_ID
    acks: str = "all"
    linger_ms: int = 5
    batch_bytes: int = 512 * 1024
    compression: str = "none"
    idempotent: bool = True
    delivery_timeout_ms: int = 120_000
    max_buffered_bytes: int = 32 * 1024 * 1024
    partitioner: Partitioner = partition_for

    def __post_init__(self) -> None:
        if self.acks not in ("all", "leader"):
            raise ValueError(f"acks {self.acks!r} is neither 'all' nor 'leader'")
        for name in ("batch_bytes", "delivery_timeout_ms", "max_buffered_bytes"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be greater than 0")
        if self.linger_ms < 0:
            raise ValueError("linger_ms must not be negative")


class Producer:
    """Writes records. An async context manager, for one event loop; leaving it waits for all deliveries.

        async with Producer("localhost:50051") as producer:
            metadata = await producer.publish("greetings", b"hello", key=b"world")

    `bootstrap` is `host:port[,host:port...]`. Settings:

    * `acks`: "all" (default): a record is safe on every in-sync replica; "leader": on the leader's disk.
    * `linger_ms` (5): how long a record may wait for others to share its batch.
    * `batch_bytes` (512 KiB): uncompressed size at which a batch waits no longer.
    * `compression` ("none"): "gzip", "snappy", "lz4" or "zstd".
    * `idempotent` (True): an attempt that is repeated is written once, and the order within a partition is kept.
    * `delivery_timeout_ms` (120000): a record that is not acknowledged by then fails with DeliveryTimeoutError.
    * `max_buffered_bytes` (32 MiB): with so much under way `send` waits.
    * `partitioner`: from key and number of partitions to a partition; the default is that of Kafka's Java client.

    A record is tried again until it is acknowledged, refused for good, or too old. None is dropped silently: each
    promise gets a result or an error. Sequence errors of a partition that lost sight of this producer end a batch
    with SequenceError only if an earlier attempt may have been written; otherwise it goes on under a new identity.
    """

    def __init__(self, bootstrap: str, **settings: Unpack[ProducerSettings]) -> None:
        chosen = _Settings(**settings)
        random = Random()
        self._max_buffered_bytes = chosen.max_buffered_bytes
        self._acks = record_pb2.ACKS_ALL if chosen.acks == "all" else record_pb2.ACKS_LEADER
        self._codec = codec_number(chosen.compression)
        self._connection = Connection(bootstrap, client_id=chosen.client_id, random=random)
        self._cluster = ClusterView(random)
        limits = Limits(
            batch_bytes=min(chosen.batch_bytes, chosen.max_buffered_bytes),
            linger_ms=chosen.linger_ms,
            delivery_timeout_ms=chosen.delivery_timeout_ms,
            codec=self._codec,
            is_idempotent=chosen.idempotent,
        )
        self._accumulator = Accumulator(limits, self._cluster, chosen.partitioner, random)
        self._sender: Sender | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_closed = False
        self._is_ended = False
        self._failure: OdradekError | None = None
        self._taken_bytes = 0
        self._room: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._progress: list[asyncio.Future[None]] = []

    async def __aenter__(self) -> Producer:
        self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close(timeout_ms=None if kind is None else _CLOSE_AFTER_ERROR_MS)

    def start(self) -> None:
        """Begin to work, on the running event loop. Nothing is connected before the first record."""
        if self._is_closed:
            raise ClosedError("the producer is closed")
        if self._sender is None:
            self._loop = asyncio.get_running_loop()
            self._sender = Sender(
                self._connection,
                self._accumulator,
                self._cluster,
                acks=self._acks,
                codec=self._codec,
                on_progress=self._on_progress,
            )

    @property
    def buffered_bytes(self) -> int:
        """Of records that are not decided yet, or for which `send` has found room."""
        return self._taken_bytes - self._accumulator.freed_bytes

    async def send(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None = None,
        *,
        headers: Headers = (),
        partition: int | None = None,
        timestamp_ms: int | None = None,
    ) -> asyncio.Future[RecordMetadata]:
        """Take a record, and return the promise of its delivery. Waits only while the buffer is full.

        Without `value` the record is a tombstone. `partition` goes before `key`; without both the producer
        chooses. `timestamp_ms` is now unless given. Cancelling the promise does not take the record back.

        TypeError, ValueError: arguments that no record can have. RecordTooLargeError: larger than the whole
        buffer. ClosedError. The promise fails with DeliveryTimeoutError, UnknownTopicError (nobody knows the
        topic, and it is not created by being asked for), RecordTooLargeError, InvalidRecordError, SequenceError,
        or another OdradekError.
        """
        sender, loop = self._sender, self._loop
        if sender is None or loop is None or self._is_closed:
            raise self._why_not()
        if (value is not None and value.__class__ is not bytes) or (
            key is not None and key.__class__ is not bytes
        ):
            value, key = _as_bytes("value", value), _as_bytes("key", key)
        if headers:
            headers = _checked_headers(headers)
        if partition is not None and partition < 0:
            raise ValueError(f"partition {partition} is negative")
        accumulator = self._accumulator
        size = size_of(key, value, headers)
        if self._room or self._taken_bytes - accumulator.freed_bytes + size > self._max_buffered_bytes:
            await self._wait_for_room(size)
        else:
            self._taken_bytes += size
        # Not `create_future`: this way costs half, which is paid for every record.
        promise: asyncio.Future[RecordMetadata] = asyncio.Future(loop=loop)
        entry = (int(time() * 1000) if timestamp_ms is None else timestamp_ms, key, value, headers)
        if accumulator.append(topic, partition, entry, size, promise, monotonic_ns() // 1_000_000):
            sender.wake()
            # Whoever sends in a loop waits for nothing: here the batches get their turn.
            await asyncio.sleep(0)
        return promise

    def _why_not(self) -> OdradekError:
        if self._failure is not None:
            return self._failure
        return ClosedError("the producer is closed" if self._is_closed else "the producer is not started")

    async def publish(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None = None,
        *,
        headers: Headers = (),
        partition: int | None = None,
        timestamp_ms: int | None = None,
    ) -> RecordMetadata:
        """Send a record and wait until it is delivered. Errors as in `send` and of its promise."""
        return await (
            await self.send(
                topic, value, key, headers=headers, partition=partition, timestamp_ms=timestamp_ms
            )
        )

    async def flush(self) -> None:
        """Send what is buffered without lingering, and wait until all of it is delivered or has failed."""
        if self._sender is None or self._is_closed:
            return
        while True:
            has_waiting = self._accumulator.has_waiting
            mark = self._accumulator.flush()
            self._sender.wake()
            while not self._accumulator.is_flushed(mark):
                await self._next_progress()
            if not has_waiting:
                return
            if self._accumulator.has_waiting:
                await self._next_progress()

    async def close(self, *, timeout_ms: int | None = None) -> None:
        """Deliver what is buffered, for at most `timeout_ms` (None: as long as it takes), and end.

        What is not delivered by then fails with ClosedError.
        """
        if self._is_ended:
            return
        self._is_ended = True
        try:
            async with asyncio.timeout(None if timeout_ms is None else timeout_ms / 1000):
                await self.flush()
        except TimeoutError:
            pass
        finally:
            self._is_closed = True
            if self._sender is not None:
                await self._sender.close()
            error = ClosedError("the producer was closed before the record was acknowledged")
            self._accumulator.fail_all(error)
            self._on_progress()
            await self._connection.close()

    async def _wait_for_room(self, size: int) -> None:
        """Return when there is room for `size` bytes, which are taken then."""
        if size > self._max_buffered_bytes:
            text = (
                f"a record of {size} bytes does not fit into the buffer of {self._max_buffered_bytes} bytes"
            )
            raise RecordTooLargeError("MESSAGE_TOO_LARGE", text, 10)
        assert self._loop is not None and self._sender is not None
        granted: asyncio.Future[None] = self._loop.create_future()
        self._room.append((size, granted))
        self._accumulator.is_pressed = True
        self._sender.wake()
        try:
            await granted
        except asyncio.CancelledError:
            if granted.done() and not granted.cancelled():
                self._taken_bytes -= size
            self._on_progress()
            raise
        if self._is_closed:
            raise self._why_not()

    def _on_progress(self) -> None:
        """Something is decided: let in whom there is room for, in the order in which they came."""
        if self._sender is not None and self._sender.failure is not None and self._failure is None:
            self._failure = self._sender.failure
            self._is_closed = True
        while self._room:
            size, granted = self._room[0]
            if not granted.done():
                if not self._is_closed and self.buffered_bytes + size > self._max_buffered_bytes:
                    break
                self._taken_bytes += size
                granted.set_result(None)
            self._room.popleft()
        self._accumulator.is_pressed = bool(self._room)
        waiting, self._progress = self._progress, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    async def _next_progress(self) -> None:
        assert self._loop is not None
        future: asyncio.Future[None] = self._loop.create_future()
        self._progress.append(future)
        await future


def _as_bytes(name: str, data: object) -> bytes | None:
    if data is None or isinstance(data, bytes):
        return data
    if isinstance(data, bytearray | memoryview):
        return bytes(data)
    raise TypeError(f"{name} is {type(data).__name__}, not bytes")


def _checked_headers(headers: Headers) -> Headers:
    checked = []
    for name, content in headers:
        if not isinstance(name, str):
            raise TypeError(f"the name of a header is {type(name).__name__}, not str")
        checked.append((name, _as_bytes(f"header {name!r}", content)))
    return tuple(checked)
