"""The few Kafka requests that readiness, the raw wire tests and the benchmark send, written by hand.

Decides: byte layouts of old non-flexible versions, independent of `odradek.proto.kafka`, so that a fault of
the product's codec cannot hide in the tests. Does not decide: what the answers should be. Source: the
protocol guide.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import NamedTuple, Self, TypeVar

import google_crc32c

PRODUCE, FETCH, LIST_OFFSETS, METADATA, API_VERSIONS, CREATE_TOPICS, DELETE_TOPICS = 0, 1, 2, 3, 18, 19, 20
FIND_COORDINATOR, DESCRIBE_QUORUM = 10, 55
LATEST, EARLIEST = -1, -2
T = TypeVar("T")


class Closed(Exception):
    """The server closed the connection."""


class Reader:
    """Cursor over a response body of a non-flexible version."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.position = 0

    def _take(self, layout: str) -> int:
        (value,) = struct.unpack_from(layout, self.data, self.position)
        self.position += struct.calcsize(layout)
        return int(value)

    def int8(self) -> int:
        return self._take(">b")

    def int16(self) -> int:
        return self._take(">h")

    def int32(self) -> int:
        return self._take(">i")

    def int64(self) -> int:
        return self._take(">q")

    def blob(self, length: int) -> bytes:
        chunk = self.data[self.position : self.position + length]
        assert len(chunk) == length, f"{length} bytes announced, {len(chunk)} left"
        self.position += length
        return chunk

    def string(self) -> str | None:
        length = self.int16()
        return None if length < 0 else self.blob(length).decode()

    def sized(self) -> bytes | None:
        length = self.int32()
        return None if length < 0 else self.blob(length)

    def array(self, item: Callable[[], T]) -> list[T]:
        return [item() for _ in range(max(self.int32(), 0))]


def string(value: str | None) -> bytes:
    if value is None:
        return b"\xff\xff"
    data = value.encode()
    return struct.pack(">h", len(data)) + data


def array(items: Sequence[bytes]) -> bytes:
    return struct.pack(">i", len(items)) + b"".join(items)


def request(
    key: int, version: int, correlation_id: int, body: bytes, client_id: str | None = "wire"
) -> bytes:
    """A whole frame with request header v1 (every non-flexible version)."""
    head = struct.pack(">hhi", key, version, correlation_id) + string(client_id)
    return struct.pack(">i", len(head) + len(body)) + head + body


class Connection:
    """One blocking connection; `call` sends a request and returns the body of its answer."""

    def __init__(self, host: str, port: int, timeout: float = 10.0) -> None:
        self.socket = socket.create_connection((host, port), timeout=timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._correlation_id = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def _exactly(self, size: int) -> bytes:
        chunks = bytearray()
        while len(chunks) < size:
            try:
                chunk = self.socket.recv(size - len(chunks))
            except (ConnectionResetError, BrokenPipeError) as error:
                raise Closed(str(error)) from error
            if not chunk:
                raise Closed(f"after {len(chunks)} of {size} bytes")
            chunks += chunk
        return bytes(chunks)

    def receive(self) -> bytes:
        """The next response frame without its length: correlation id, then the body. Raises Closed."""
        (size,) = struct.unpack(">i", self._exactly(4))
        return self._exactly(size)

    def call(self, key: int, version: int, body: bytes) -> Reader:
        self._correlation_id += 1
        self.send(request(key, version, self._correlation_id, body))
        answer = Reader(self.receive())
        assert answer.int32() == self._correlation_id
        return answer


class ApiRange(NamedTuple):
    key: int
    low: int
    high: int


class Broker(NamedTuple):
    node_id: int
    host: str | None
    port: int


class PartitionMetadata(NamedTuple):
    error: int
    partition: int
    leader: int


class TopicMetadata(NamedTuple):
    error: int
    name: str | None
    partitions: list[PartitionMetadata]


class PartitionOffset(NamedTuple):
    topic: str | None
    partition: int
    error: int
    offset: int


def api_versions(connection: Connection) -> list[ApiRange]:
    answer = connection.call(API_VERSIONS, 0, b"")
    assert answer.int16() == 0
    return answer.array(lambda: ApiRange(answer.int16(), answer.int16(), answer.int16()))


def metadata(
    connection: Connection, topics: Sequence[str] | None
) -> tuple[list[Broker], list[TopicMetadata]]:
    """Metadata v1: brokers and topics; None asks for every topic, an empty list for none."""
    names = struct.pack(">i", -1) if topics is None else array([string(name) for name in topics])
    answer = connection.call(METADATA, 1, names)

    def broker() -> Broker:
        found = Broker(answer.int32(), answer.string(), answer.int32())
        answer.string()
        return found

    def partition() -> PartitionMetadata:
        found = PartitionMetadata(answer.int16(), answer.int32(), answer.int32())
        answer.array(answer.int32)
        answer.array(answer.int32)
        return found

    def topic() -> TopicMetadata:
        error, name, _ = answer.int16(), answer.string(), answer.int8()
        return TopicMetadata(error, name, answer.array(partition))

    brokers = answer.array(broker)
    answer.int32()
    return brokers, answer.array(topic)


class Replicated(NamedTuple):
    """A partition as Metadata v7 tells it; a leader of -1 is none."""

    partition: int
    error: int
    leader: int
    leader_epoch: int
    replicas: list[int]
    isr: list[int]


class ClusterView(NamedTuple):
    """What one node says of the whole cluster: its live brokers and the partitions of each topic asked for."""

    cluster_id: str | None
    brokers: list[Broker]
    topics: dict[str | None, list[Replicated]]


def cluster_view(connection: Connection, topics: Sequence[str]) -> ClusterView:
    """Metadata v7, without creating a topic; a topic that is not known has no partitions."""
    body = array([string(name) for name in topics]) + b"\0"
    answer = connection.call(METADATA, 7, body)

    def broker() -> Broker:
        found = Broker(answer.int32(), answer.string(), answer.int32())
        answer.string()
        return found

    def partition() -> Replicated:
        error, index, leader, epoch = answer.int16(), answer.int32(), answer.int32(), answer.int32()
        replicas, isr = answer.array(answer.int32), answer.array(answer.int32)
        answer.array(answer.int32)
        return Replicated(index, error, leader, epoch, replicas, isr)

    def topic() -> tuple[str | None, list[Replicated]]:
        _, name, _ = answer.int16(), answer.string(), answer.int8()
        return name, answer.array(partition)

    answer.int32()
    brokers, cluster_id = answer.array(broker), answer.string()
    answer.int32()
    return ClusterView(cluster_id, brokers, dict(answer.array(topic)))


def quorum_leader(connection: Connection) -> int:
    """DescribeQuorum v0 of the metadata quorum: the node that leads it, or -1. Flexible, so laid out by hand."""
    topic = b"__cluster_metadata"
    body = b"\2" + bytes([len(topic) + 1]) + topic + b"\2" + struct.pack(">i", 0) + b"\0\0\0"
    head = struct.pack(">hhi", DESCRIBE_QUORUM, 0, 0) + string("wire") + b"\0"
    connection.send(struct.pack(">i", len(head) + len(body)) + head + body)
    answer = Reader(connection.receive())
    answer.int32(), answer.int8()  # correlation id; no tagged fields in the header
    error, topics = answer.int16(), answer.int8()
    if error or topics != 2:
        return -1
    answer.blob(answer.int8() - 1)
    answer.int8(), answer.int32()
    return -1 if answer.int16() else answer.int32()


def create_topics(
    connection: Connection,
    topics: dict[str, int],
    timeout_ms: int = 30_000,
    replication: int = 1,
    configs: Mapping[str, str] | None = None,
) -> dict[str | None, tuple[int, str | None]]:
    """CreateTopics v2: name -> (error code, message)."""
    rest = array([]) + array([string(name) + string(value) for name, value in (configs or {}).items()])
    items = [string(name) + struct.pack(">ih", count, replication) + rest for name, count in topics.items()]
    answer = connection.call(CREATE_TOPICS, 2, array(items) + struct.pack(">ib", timeout_ms, 0))
    answer.int32()
    outcomes = answer.array(lambda: (answer.string(), answer.int16(), answer.string()))
    return {name: (error, message) for name, error, message in outcomes}


def list_offsets(
    connection: Connection, topics: dict[str, Sequence[int]], timestamp: int = LATEST
) -> list[PartitionOffset]:
    """ListOffsets v1 of every named partition."""
    items = [
        string(name) + array([struct.pack(">iq", index, timestamp) for index in indexes])
        for name, indexes in topics.items()
    ]
    answer = connection.call(LIST_OFFSETS, 1, struct.pack(">i", -1) + array(items))
    found: list[PartitionOffset] = []

    def topic() -> None:
        name = answer.string()

        def partition() -> None:
            index, error, _, offset = answer.int32(), answer.int16(), answer.int64(), answer.int64()
            found.append(PartitionOffset(name, index, error, offset))

        answer.array(partition)

    answer.array(topic)
    return found


def coordinator(connection: Connection, group: str) -> int:
    """FindCoordinator v1: the node that coordinates a group, or -1 when none does now."""
    answer = connection.call(FIND_COORDINATOR, 1, string(group) + b"\0")
    answer.int32()
    error, _, node = answer.int16(), answer.string(), answer.int32()
    return -1 if error else node


def varint(value: int) -> bytes:
    """Zig-zag varint, as the fields of a record are."""
    left = (value << 1) ^ (value >> 63)
    out = bytearray()
    while left > 0x7F:
        out.append((left & 0x7F) | 0x80)
        left >>= 7
    out.append(left)
    return bytes(out)


class ProducerState(NamedTuple):
    """Who produced a batch; the default is a producer that is not idempotent."""

    producer_id: int = -1
    epoch: int = -1
    sequence: int = -1


def record_batch(
    values: Sequence[bytes], timestamp_ms: int | None = None, state: ProducerState | None = None
) -> bytes:
    """A record batch v2 of keyless records, uncompressed, with its CRC-32C; they are of now by default."""
    producer_id, epoch, sequence = state or ProducerState()
    records = bytearray()
    for delta, value in enumerate(values):
        record = b"\0" + varint(0) + varint(delta) + varint(-1) + varint(len(value)) + value + varint(0)
        records += varint(len(record)) + record
    if timestamp_ms is None:
        timestamp_ms = int(time.time() * 1000)
    times = struct.pack(">qq", timestamp_ms, timestamp_ms)
    head = struct.pack(">hi", 0, len(values) - 1) + times
    tail = head + struct.pack(">qhii", producer_id, epoch, sequence, len(values)) + records
    crc = google_crc32c.value(bytes(tail))
    return struct.pack(">qiibI", 0, len(tail) + 9, -1, 2, crc) + tail


def produce_body(
    topics: dict[str, Sequence[int]], batch: bytes, acks: int = -1, timeout_ms: int = 30_000
) -> bytes:
    """Body of Produce v3 to v8: the same batch to every named partition."""
    data = struct.pack(">i", len(batch)) + batch
    items = [
        string(name) + array([struct.pack(">i", index) + data for index in indexes])
        for name, indexes in topics.items()
    ]
    return string(None) + struct.pack(">hi", acks, timeout_ms) + array(items)


def produce(connection: Connection, topics: dict[str, Sequence[int]], batch: bytes) -> list[PartitionOffset]:
    """Produce v3, acks=all: error and base offset of every partition."""
    return produced(connection.call(PRODUCE, 3, produce_body(topics, batch)))


def produced(answer: Reader) -> list[PartitionOffset]:
    """The body of a Produce v3 answer."""
    found: list[PartitionOffset] = []

    def topic() -> None:
        name = answer.string()

        def partition() -> None:
            index, error, offset, _ = answer.int32(), answer.int16(), answer.int64(), answer.int64()
            found.append(PartitionOffset(name, index, error, offset))

        answer.array(partition)

    answer.array(topic)
    return found


def fetch_body(
    topic: str, index: int, offset: int, *, max_wait_ms: int = 500, max_bytes: int = 1 << 20
) -> bytes:
    """Body of Fetch v4 for one partition, min_bytes 1."""
    partition = struct.pack(">iqi", index, offset, max_bytes)
    head = struct.pack(">iiiib", -1, max_wait_ms, 1, max_bytes, 0)
    return head + array([string(topic) + array([partition])])


def fetch(
    connection: Connection, topic: str, index: int, offset: int, max_bytes: int = 1 << 20
) -> tuple[int, int, bytes]:
    """Fetch v4 of one partition: error, high watermark, record bytes."""
    return fetched(connection.call(FETCH, 4, fetch_body(topic, index, offset, max_bytes=max_bytes)))


def fetched(answer: Reader) -> tuple[int, int, bytes]:
    """The body of a Fetch v4 answer about one partition."""
    answer.int32()
    assert answer.int32() == 1
    answer.string()
    assert answer.int32() == 1
    _, error, high_watermark = answer.int32(), answer.int16(), answer.int64()
    answer.int64()
    answer.array(lambda: (answer.int64(), answer.int64()))
    return error, high_watermark, answer.sized() or b""
