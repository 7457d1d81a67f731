"""What a node says to a reader, shortly."""

from __future__ import annotations

from collections.abc import Iterable

from odradek.v1 import record_service_pb2 as pb


def assigned(*places: tuple[int, int], generation: int = 1, topic: str = "t") -> pb.ConsumeResponse:
    """Partitions of a topic with the offset that is read next."""
    response = pb.ConsumeResponse()
    response.assigned.generation = generation
    for partition, offset in places:
        response.assigned.partitions.add(topic=topic, partition=partition, offset=offset)
    return response


def records(
    partition: int, offsets: Iterable[int], topic: str = "t", high_watermark: int = 1000
) -> pb.ConsumeResponse:
    """Records whose value is their offset in digits."""
    response = pb.ConsumeResponse()
    part = response.records.partitions.add(topic=topic, partition=partition, high_watermark=high_watermark)
    for offset in offsets:
        part.records.add(offset=offset, timestamp_ms=offset, value=b"%d" % offset)
    return response


def revoking() -> pb.ConsumeResponse:
    return pb.ConsumeResponse(revoking=pb.Revoking(wait_ms=1000))


def seeked(request_id: int, partition: int, offset: int, topic: str = "t") -> pb.ConsumeResponse:
    return pb.ConsumeResponse(
        seeked=pb.Seeked(request_id=request_id, topic=topic, partition=partition, offset=offset)
    )


def committed(request_id: int, *outcomes: tuple[int, str], topic: str = "t") -> pb.ConsumeResponse:
    """Partitions with the reason why they were not committed, or an empty one."""
    response = pb.ConsumeResponse()
    response.committed.request_id = request_id
    for partition, reason in outcomes:
        response.committed.partitions.add(topic=topic, partition=partition, reason=reason)
    return response
