"""Kafka frames for the tests of the proxy."""

from __future__ import annotations

from odradek.proto.kafka.headers import RequestHeader, encode_request_frame
from odradek.proto.kafka.messages.produce import ProduceRequest
from odradek.proto.kafka.record_batch import NO_PRODUCER_ID, NO_SEQUENCE, build_batch
from odradek.proto.kafka.records import Record


def produce(
    correlation_id: int,
    *,
    producer_id: int = NO_PRODUCER_ID,
    acks: int = -1,
    version: int = 9,
    transactional_id: str | None = None,
) -> bytes:
    """A Produce frame with one batch of one record."""
    is_named = producer_id != NO_PRODUCER_ID
    batch = build_batch(
        [Record(0, 0, None, b"value", [])],
        producer_id=producer_id,
        producer_epoch=0 if is_named else -1,
        base_sequence=correlation_id if is_named else NO_SEQUENCE,
    )
    partition = ProduceRequest.PartitionProduceData(index=0, records=batch)
    topic = ProduceRequest.TopicProduceData(name="t", partition_data=[partition])
    message = ProduceRequest(
        transactional_id=transactional_id, acks=acks, timeout_ms=1000, topic_data=[topic]
    )
    header = RequestHeader(0, version, correlation_id, "me")
    return b"".join(map(bytes, encode_request_frame(header, message)))


def request(api_key: int, correlation_id: int, body: bytes = b"body") -> bytes:
    """Any other request, as far as the proxy looks into it."""
    frame = api_key.to_bytes(2) + (1).to_bytes(2) + correlation_id.to_bytes(4) + body
    return len(frame).to_bytes(4) + frame


def answer(correlation_id: int, body: bytes = b"answer") -> bytes:
    frame = correlation_id.to_bytes(4) + body
    return len(frame).to_bytes(4) + frame
