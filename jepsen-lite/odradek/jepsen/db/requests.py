"""Kafka requests to one node, blocking, each on a connection of its own; and what the answers say of the cluster.

Decides: how the state of a cluster is read out of the answers of its nodes, which may contradict each other. Does not
decide: whom to ask and how often (`cluster`).
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, TypeVar

from odradek.jepsen.db.network import sockets_in
from odradek.proto.kafka.api import response_class
from odradek.proto.kafka.codec import DecodeError, decode
from odradek.proto.kafka.headers import RequestHeader, decode_response_header, encode_request_frame
from odradek.proto.kafka.messages.metadata import MetadataRequest, MetadataResponse
from odradek.proto.kafka.messages.raft import DescribeQuorumRequest, DescribeQuorumResponse
from odradek.proto.kafka.messages.topics import CreateTopicsRequest
from odradek.proto.kafka.schema import Message

CLIENT_ID = "jepsen"
METADATA_TOPIC = "__cluster_metadata"
_FRAME_BYTES_MAX = 64 << 20
M = TypeVar("M", bound=Message)


class Seen(NamedTuple):
    """A partition as one node sees it. A leader of -1 is none."""

    leader: int
    leader_epoch: int
    replicas: tuple[int, ...]
    isr: tuple[int, ...]


def ask(
    namespace: str,
    address: tuple[str, int],
    message: Message,
    version: int,
    expected: type[M],
    timeout_s: float,
) -> M:
    """The answer, asked from that namespace. Raises OSError (TimeoutError included) when there is none, and when it
    cannot be read."""
    key = message.INFO.key
    assert key is not None and expected is response_class(key), (
        f"{expected.__name__} is no answer to {message}"
    )
    deadline = time.monotonic() + timeout_s
    with sockets_in(namespace):
        connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    with connection:
        connection.settimeout(timeout_s)
        connection.connect(address)
        connection.sendall(b"".join(encode_request_frame(RequestHeader(key, version, 1, CLIENT_ID), message)))
        (size,) = struct.unpack(">i", _exactly(connection, 4, deadline))
        if not 4 <= size <= _FRAME_BYTES_MAX:
            raise ConnectionError(f"{address}: a frame of {size} bytes")
        frame = _exactly(connection, size, deadline)
    try:
        correlation_id, position = decode_response_header(frame, key, version)
        if correlation_id != 1:
            raise ConnectionError(f"{address}: the answer to request {correlation_id}")
        return decode(expected, version, frame, position)
    except DecodeError as error:
        raise ConnectionError(f"{address}: {error}") from None


def _exactly(connection: socket.socket, size: int, deadline: float) -> bytes:
    received = bytearray()
    while len(received) < size:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"{len(received)} of {size} bytes in time")
        connection.settimeout(left)
        chunk = connection.recv(size - len(received))
        if not chunk:
            raise ConnectionError(f"closed after {len(received)} of {size} bytes")
        received += chunk
    return bytes(received)


def metadata_request(topics: Sequence[str]) -> MetadataRequest:
    """Version 7; an empty list asks for brokers alone. Creates nothing."""
    named = [MetadataRequest.MetadataRequestTopic(name=topic) for topic in topics]
    return MetadataRequest(topics=named, allow_auto_topic_creation=False)


def quorum_request() -> DescribeQuorumRequest:
    partition = DescribeQuorumRequest.PartitionData(partition_index=0)
    topic = DescribeQuorumRequest.TopicData(topic_name=METADATA_TOPIC, partitions=[partition])
    return DescribeQuorumRequest(topics=[topic])


def create_request(
    topic: str, partitions: int, replication: int, configs: Mapping[str, str], timeout_s: float
) -> CreateTopicsRequest:
    values = [CreateTopicsRequest.CreatableTopicConfig(name=name, value=configs[name]) for name in configs]
    wanted = CreateTopicsRequest.CreatableTopic(
        name=topic, num_partitions=partitions, replication_factor=replication, configs=values
    )
    return CreateTopicsRequest(topics=[wanted], timeout_ms=int(timeout_s * 1000))


def seen(answer: MetadataResponse) -> dict[str, Seen]:
    """By "topic/partition"."""
    return {
        f"{topic.name}/{part.partition_index}": Seen(
            part.leader_id, part.leader_epoch, tuple(part.replica_nodes), tuple(part.isr_nodes)
        )
        for topic in answer.topics
        for part in topic.partitions
    }


def newest(views: Iterable[Seen]) -> Seen | None:
    """The view with the highest leader epoch: an older one comes from a node that is cut off or behind."""
    return max(views, key=lambda view: (view.leader_epoch, view.leader), default=None)


def quorum_leader(answers: Iterable[DescribeQuorumResponse]) -> int | None:
    """The leader of the highest epoch that any answer names."""
    named = [
        (part.leader_epoch, part.leader_id)
        for answer in answers
        if answer.error_code == 0
        for topic in answer.topics
        for part in topic.partitions
        if part.error_code == 0 and part.leader_id >= 0
    ]
    return max(named)[1] if named else None


def all_in_sync(view: Mapping[str, Seen], topics: Mapping[str, int], size: int) -> bool:
    """Whether all partitions of the topics are there with a leader and an ISR of that size at least."""
    found = [view.get(f"{topic}/{partition}") for topic in topics for partition in range(topics[topic])]
    return all(part is not None and part.leader >= 0 and len(part.isr) >= size for part in found)
