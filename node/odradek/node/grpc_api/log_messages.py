"""FetchResponse and ProduceRequest by hand: the bytes of records are copied once on their way, not three times.

protobuf copies bytes into a message and out of it again, which at hundreds of megabytes a second is most of what a call
costs. Everything but the records is encoded by protobuf; the order of fields is free. Pure.

Source: protobuf.dev/programming-guides/encoding; proto/odradek/v1/log_service.proto.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from odradek.v1 import log_service_pb2 as pb

Buffer = bytes | bytearray | memoryview


def _tag(number: int) -> bytes:
    """Of a field whose value has a length."""
    return bytes((number << 3 | 2,))


_PARTITIONS: Final = _tag(pb.FetchResponse.PARTITIONS_FIELD_NUMBER)
_RECORD_BATCHES: Final = _tag(pb.FetchedPartition.RECORD_BATCHES_FIELD_NUMBER)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def encode_fetched(partitions: Iterable[tuple[pb.FetchedPartition, Buffer]]) -> bytes:
    """A FetchResponse of these partitions, each with its records, which the message beside them lacks."""
    parts: list[Buffer] = []
    for message, records in partitions:
        head = message.SerializeToString()
        if len(records):
            head += _RECORD_BATCHES + _varint(len(records))
        parts += (_PARTITIONS, _varint(len(head) + len(records)), head, records)
    return b"".join(parts)


class ProduceBatches(NamedTuple):
    """A ProduceRequest: topic, partition and record batch of each partition, the batch in a buffer of its own."""

    partitions: Sequence[tuple[str, int, bytearray]]
    acks: int


def batches_of(request: pb.ProduceRequest) -> ProduceBatches:
    return ProduceBatches(
        [(one.topic, one.partition, bytearray(one.record_batch)) for one in request.partitions], request.acks
    )


def decode_produce(data: bytes) -> ProduceBatches:
    """An encoded ProduceRequest, its batches copied once. What is not as most clients write it is left to protobuf,
    and so is saying what is wrong with it (DecodeError)."""
    try:
        return _decode_produce(data)
    except (IndexError, ValueError):
        return batches_of(pb.ProduceRequest.FromString(data))


def _decode_produce(data: bytes) -> ProduceBatches:
    view = memoryview(data)
    partitions: list[tuple[str, int, bytearray]] = []
    acks = pos = 0
    while pos < len(data):
        key, pos = _read_varint(data, pos)
        value, pos = _read_varint(data, pos)
        if key == _ACKS_KEY and value <= _INT32_MAX:
            acks = value
        elif key == _PARTITIONS_KEY:
            end = _end(pos, value, len(data))
            partitions.append(_decode_partition(data, view, pos, end))
            pos = end
        else:
            raise ValueError(f"field {key >> 3}")
    return ProduceBatches(partitions, acks)


def _decode_partition(data: bytes, view: memoryview, pos: int, stop: int) -> tuple[str, int, bytearray]:
    topic, partition, batch = "", 0, bytearray()
    while pos < stop:
        key, pos = _read_varint(data, pos)
        value, pos = _read_varint(data, pos)
        if key == _PARTITION_KEY:
            if value > _INT32_MAX:
                raise ValueError(f"partition {value}")
            partition = value
            continue
        end = _end(pos, value, stop)
        if key == _TOPIC_KEY:
            topic = str(view[pos:end], "utf-8")
        elif key == _BATCH_KEY:
            batch = bytearray(view[pos:end])
        else:
            raise ValueError(f"field {key >> 3}")
        pos = end
    return topic, partition, batch


def _read_varint(data: bytes, pos: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[pos]
        pos += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, pos
        shift += 7
        if shift > 63:
            raise ValueError("a varint without an end")


def _end(pos: int, length: int, stop: int) -> int:
    if length > stop - pos:
        raise ValueError(f"{length} bytes at {pos} of {stop}")
    return pos + length


_INT32_MAX: Final = 0x7FFFFFFF
_ACKS_KEY: Final = pb.ProduceRequest.ACKS_FIELD_NUMBER << 3
_PARTITIONS_KEY: Final = pb.ProduceRequest.PARTITIONS_FIELD_NUMBER << 3 | 2
_TOPIC_KEY: Final = pb.ProducePartition.TOPIC_FIELD_NUMBER << 3 | 2
_PARTITION_KEY: Final = pb.ProducePartition.PARTITION_FIELD_NUMBER << 3
_BATCH_KEY: Final = pb.ProducePartition.RECORD_BATCH_FIELD_NUMBER << 3 | 2
