"""Messages to bytes and back.

`decode` and `encode` look up the function compiled for a class and a version; the first use of a pair
compiles it (about a millisecond). Anything declared with the notation of `schema` can be coded, also
messages of ours that have no API key.

Decoded records are memoryviews of the input (writable if it is), so the input must outlive them; everything
else is copied. Encoded records are the caller's own buffers. Decides: nothing about headers and frames
(`headers`). Source: Kafka protocol guide, KIP-482.
"""

from __future__ import annotations

from typing import TypeVar, cast

from odradek.proto.kafka.decoder import Decoder, compile_decoder
from odradek.proto.kafka.encoder import Encoder, compile_encoder
from odradek.proto.kafka.primitives import DecodeError, EncodeError
from odradek.proto.kafka.schema import Buffer, Message

__all__ = [
    "Buffer",
    "DecodeError",
    "EncodeError",
    "decode",
    "decode_exactly",
    "decode_from",
    "encode",
    "encode_onto",
    "encode_to_bytes",
]

M = TypeVar("M", bound=Message)


def decode(cls: type[M], version: int, data: Buffer, offset: int = 0) -> M:
    """Decodes the message that starts at `offset`. Bytes after it are left alone, as Kafka leaves them.

    Raises DecodeError for anything that is not such a message, a version it does not have included.
    """
    try:
        decoder = cls.DECODERS[version]
    except KeyError:
        decoder = _decoder(cls, version)
    message: M = decoder(data, offset)[0]
    return message


def decode_from(cls: type[M], version: int, data: Buffer, offset: int = 0) -> tuple[M, int]:
    """As `decode`, and the position after the message."""
    try:
        decoder = cls.DECODERS[version]
    except KeyError:
        decoder = _decoder(cls, version)
    found: tuple[M, int] = decoder(data, offset)
    return found


def decode_exactly(cls: type[M], version: int, data: Buffer, offset: int = 0) -> M:
    """As `decode`, but bytes after the message are a DecodeError too: for data that we wrote ourselves."""
    message, end = decode_from(cls, version, data, offset)
    if end != len(data):
        raise DecodeError(f"{cls.__name__} v{version}: {len(data) - end} bytes left over")
    return message


def encode(message: Message, version: int) -> list[Buffer]:
    """The buffers that make up the message, in order. Records fields are among them by reference.

    Fields that the version does not have are ignored. Raises EncodeError for what it cannot express.
    """
    return encode_onto(message, version, bytearray())


def encode_onto(message: Message, version: int, prefix: bytearray) -> list[Buffer]:
    """As `encode`, appending to `prefix`, which becomes the first buffer (unless message and prefix are
    empty)."""
    try:
        encoder = message.ENCODERS[version]
    except KeyError:
        encoder = _encoder(type(message), version)
    buffers: list[Buffer] = encoder(message, prefix)
    return buffers


def encode_to_bytes(message: Message, version: int) -> bytes:
    """As `encode`, joined."""
    return b"".join(encode(message, version))


def _decoder(cls: type[Message], version: int) -> Decoder:
    if version not in cls.INFO.versions:
        raise DecodeError(f"{cls.__name__} has no version {version}")
    return cast(Decoder, cls.DECODERS.setdefault(version, compile_decoder(cls, version)))


def _encoder(cls: type[Message], version: int) -> Encoder:
    if version not in cls.INFO.versions:
        raise EncodeError(f"{cls.__name__} has no version {version}")
    return cast(Encoder, cls.ENCODERS.setdefault(version, compile_encoder(cls, version)))
