"""Frames: the int32 size, the request or response header, and the body, in both directions.

A frame here is what follows the size. Which header a version uses follows from its API alone: flexible
versions have headers with tagged fields, except that an ApiVersions response never has them, so that a
client which guessed a version too high can still read the answer. The client id keeps its int16 length in
every version. Source: KIP-482, KIP-511; `RequestHeader.json`, `ResponseHeader.json`.
"""

from __future__ import annotations

from struct import Struct, error
from typing import NamedTuple

from odradek.proto.kafka.api import APIS, ApiKey
from odradek.proto.kafka.codec import encode_onto
from odradek.proto.kafka.primitives import DecodeError, EncodeError, decode_failure, skip_tags
from odradek.proto.kafka.schema import NO_VERSION, Buffer, Message

_REQUEST = Struct(">hhih")
_SIZE_AND_CORRELATION = Struct(">ii")
_SIZE = Struct(">i")
_FLEXIBLE_FROM = {key: api.flexible_from for key, api in APIS.items()}
_TAGGED_RESPONSE_FROM = {**_FLEXIBLE_FROM, ApiKey.API_VERSIONS.value: NO_VERSION}


class RequestHeader(NamedTuple):
    api_key: int
    api_version: int
    correlation_id: int
    client_id: str | None


def decode_request_header(frame: Buffer) -> tuple[RequestHeader, int]:
    """Reads the header of a request frame. Returns it and the position of the body.

    Key and version are not judged: of an unknown key the position may be wrong, and of an unsupported
    version the body must not be read. Raises DecodeError.
    """
    end = len(frame)
    try:
        key, version, correlation_id, length = _REQUEST.unpack_from(frame, 0)
        position = _REQUEST.size
        client_id = None
        if length >= 0:
            if length > end - position:
                raise DecodeError(f"a client id of {length} bytes where {end - position} remain")
            client_id = str(frame[position : position + length], "utf-8", "replace")
            position += length
        if version >= _FLEXIBLE_FROM.get(key, NO_VERSION):
            if frame[position]:
                position = skip_tags(frame, position, end)
            else:
                position += 1
    except (error, IndexError, UnicodeDecodeError, DecodeError) as problem:
        raise decode_failure("request header", problem) from None
    return RequestHeader(key, version, correlation_id, client_id), position


def encode_request_frame(header: RequestHeader, message: Message) -> list[Buffer]:
    """The size, the header and the body of a request; the size is in the first buffer. Raises EncodeError."""
    client_id = b"" if header.client_id is None else header.client_id.encode()
    length = -1 if header.client_id is None else len(client_id)
    try:
        fixed = _REQUEST.pack(header.api_key, header.api_version, header.correlation_id, length)
    except error as problem:
        raise EncodeError(f"{header}: {problem}") from None
    prefix = bytearray(4)
    prefix += fixed
    prefix += client_id
    if header.api_version >= _FLEXIBLE_FROM[header.api_key]:
        prefix += b"\0"
    buffers = encode_onto(message, header.api_version, prefix)
    _SIZE.pack_into(prefix, 0, sum(map(len, buffers)) - 4)
    return buffers


def encode_response_frame(correlation_id: int, key: int, version: int, message: Message) -> list[Buffer]:
    """The size, the header and the body of a response; the size is in the first buffer. Raises
    EncodeError."""
    prefix = bytearray(9 if version >= _TAGGED_RESPONSE_FROM[key] else 8)
    buffers = encode_onto(message, version, prefix)
    size = len(prefix) if len(buffers) == 1 else sum(map(len, buffers))
    _SIZE_AND_CORRELATION.pack_into(prefix, 0, size - 4, correlation_id)
    return buffers


def decode_response_header(frame: Buffer, key: int, version: int) -> tuple[int, int]:
    """Reads the header of a response frame. Returns the correlation id and the position of the body.

    Raises DecodeError, KeyError for an unknown key.
    """
    tagged = version >= _TAGGED_RESPONSE_FROM[key]
    try:
        (correlation_id,) = _SIZE.unpack_from(frame, 0)
        position = skip_tags(frame, 4, len(frame)) if tagged else 4
    except (error, IndexError, DecodeError) as problem:
        raise decode_failure("response header", problem) from None
    return correlation_id, position
