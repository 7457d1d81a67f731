"""What the proxy reads of a request or an answer: as little as it needs.

Pure. A frame here begins with its length. Decides: which requests have an answer, and which Produce requests may come
twice. Does not decide: what is done with them (`exchange`).
"""

from __future__ import annotations

from struct import Struct, error
from typing import NamedTuple

from odradek.proto.kafka.api import APIS, ApiKey
from odradek.proto.kafka.codec import decode
from odradek.proto.kafka.headers import decode_request_header
from odradek.proto.kafka.messages.produce import ProduceRequest
from odradek.proto.kafka.primitives import DecodeError, read_uvarint
from odradek.proto.kafka.record_batch import InvalidBatchError, iter_headers

_REQUEST = Struct(">ihhi")
_ANSWER = Struct(">ii")
_SHORT = Struct(">h")
PRODUCE = ApiKey.PRODUCE.value
_PRODUCE_FLEXIBLE_FROM = APIS[PRODUCE].flexible_from
#: Requests with a number (an epoch) that shows a broker when they are out of date, or that change nothing. Not among
#: them: OffsetCommit, for a late one of the same generation takes a group's offset back, at any Kafka.
_NUMBERED = {ApiKey.FETCH.value, ApiKey.END_TXN.value, ApiKey.ALTER_PARTITION.value}


class Request(NamedTuple):
    """The beginning of a request frame."""

    api_key: int
    api_version: int
    correlation_id: int


def read_request(frame: bytes) -> Request | None:
    """None when the frame is too short to be a request."""
    try:
        return Request(*_REQUEST.unpack_from(frame)[1:])
    except error:
        return None


def read_answer(frame: bytes) -> int | None:
    """The correlation id of an answer; None when the frame is too short to be one."""
    try:
        return int(_ANSWER.unpack_from(frame)[1])
    except error:
        return None


def _produce(frame: bytes) -> ProduceRequest | None:
    try:
        header, position = decode_request_header(memoryview(frame)[4:])
        return decode(ProduceRequest, header.api_version, memoryview(frame)[4:], position)
    except DecodeError:
        return None


def is_answered(frame: bytes, request: Request) -> bool:
    """Whether the broker will answer it: all but a Produce with acks=0, and what nobody can read.

    Read by hand, for it is asked of every Produce in some links: before acks there is only a transactional id.
    """
    if request.api_key != PRODUCE:
        return True
    try:
        _, position = decode_request_header(memoryview(frame)[4:])
        position += 4
        if request.api_version >= _PRODUCE_FLEXIBLE_FROM:
            length, position = read_uvarint(frame, position)
            length -= 1
        else:
            (length,) = _SHORT.unpack_from(frame, position)
            position += 2
        return int(_SHORT.unpack_from(frame, position + max(0, length))[0]) in (1, -1)
    except (DecodeError, IndexError, error):
        return False


def may_come_late(frame: bytes, request: Request) -> bool:
    """Whether the broker can tell that it comes after the client has tried again."""
    return request.api_key in _NUMBERED or may_come_twice(frame, request)


def may_come_twice(frame: bytes, request: Request) -> bool:
    """Whether the broker can recognise it: a Produce of an idempotent producer, all batches with their number.

    What a producer without a name sends twice is there twice, and no broker's fault.
    """
    if request.api_key != PRODUCE:
        return False
    produce = _produce(frame)
    if produce is None or produce.acks == 0:
        return False
    named = 0
    for topic in produce.topic_data:
        for partition in topic.partition_data:
            if partition.records is None:
                continue
            try:
                headers = [header for _, header in iter_headers(partition.records)]
            except InvalidBatchError:
                return False
            if not all(header.has_producer_id and header.base_sequence >= 0 for header in headers):
                return False
            named += len(headers)
    return named > 0
