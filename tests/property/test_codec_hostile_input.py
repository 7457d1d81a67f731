"""Bytes from anybody: whatever they are, decoding returns or raises DecodeError, and memory stays bounded."""

from __future__ import annotations

import contextlib
import random
import tracemalloc
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.property.kafka_messages import all_versions, every_message, messages, quick

from odradek.proto.kafka.codec import DecodeError, decode, encode_to_bytes
from odradek.proto.kafka.headers import decode_request_header, decode_response_header
from odradek.proto.kafka.primitives import MEMORY_FLOOR, MEMORY_PER_BYTE
from odradek.proto.kafka.schema import Message

MESSAGES = every_message()
LARGE = [
    b"\xff",
    b"\x7f",
    b"\x80",
    b"\0",
    b"\x7f\xff\xff\xff",
    b"\xff\xff\xff\xff\x0f",
    b"\x80\x80\x80\x80\x08",
]

FILLS = [b"\0", b"\1", b"\2", b"\x7f", b"\x81\1", b"\xff", b"\0\0\0\2"]


@pytest.mark.parametrize("cls", MESSAGES, ids=lambda cls: cls.__name__)
def test_a_truncated_message_is_refused_wherever_it_ends(cls: type[Message]) -> None:
    for version in all_versions(cls):
        check_truncation(cls, version)


def check_truncation(cls: type[Message], version: int) -> None:
    @quick
    @given(messages(cls, version))
    def check(message: Message) -> None:
        encoded = encode_to_bytes(message, version)
        step = max(1, len(encoded) // 150)
        for end in {*range(0, len(encoded), step), *range(max(0, len(encoded) - 9), len(encoded))}:
            with pytest.raises(DecodeError):
                decode(cls, version, encoded[:end])

    check()


def damaged(encoded: bytes, dice: random.Random) -> Iterator[bytes]:
    """Flipped bits, bytes replaced by lengths of every size, and pieces cut out."""
    for _ in range(6):
        copy = bytearray(encoded)
        for _ in range(dice.randrange(1, 4)):
            position = dice.randrange(len(copy)) if copy else 0
            choice = dice.randrange(3)
            if choice == 0 and copy:
                copy[position] ^= 1 << dice.randrange(8)
            elif choice == 1:
                piece = dice.choice(LARGE)
                copy[position : position + len(piece)] = piece
            else:
                del copy[position : position + dice.randrange(1, 9)]
        yield bytes(copy)


@pytest.mark.parametrize("cls", MESSAGES, ids=lambda cls: cls.__name__)
def test_a_damaged_message_decodes_or_is_refused(cls: type[Message]) -> None:
    dice = random.Random(cls.__name__)
    for version in all_versions(cls):
        check_damage(cls, version, dice)


def check_damage(cls: type[Message], version: int, dice: random.Random) -> None:
    @quick
    @given(messages(cls, version))
    def check(message: Message) -> None:
        for candidate in damaged(encode_to_bytes(message, version), dice):
            with contextlib.suppress(DecodeError):
                decode(cls, version, candidate)

    check()


@pytest.mark.parametrize("cls", MESSAGES, ids=lambda cls: cls.__name__)
def test_random_bytes_decode_or_are_refused(cls: type[Message]) -> None:
    dice = random.Random(cls.__name__)
    for version in all_versions(cls):
        for size in (0, 1, 3, 8, 40, 200):
            for _ in range(3):
                with contextlib.suppress(DecodeError):
                    decode(cls, version, dice.randbytes(size))


def test_memory_stays_within_the_budget_of_a_frame() -> None:
    """Bytes that make every length and count large, for the newest version of everything, in 64 KiB."""
    tracemalloc.start()
    try:
        for cls in MESSAGES:
            for fill in FILLS:
                frame = (fill * 65536)[:65536]
                tracemalloc.reset_peak()
                before = tracemalloc.get_traced_memory()[0]
                with contextlib.suppress(DecodeError):
                    decode(cls, cls.INFO.versions.last, frame)
                peak = tracemalloc.get_traced_memory()[1] - before
                budget = MEMORY_FLOOR + MEMORY_PER_BYTE * len(frame)
                assert peak < budget + (1 << 20), (cls, fill, peak)
    finally:
        tracemalloc.stop()


@quick
@given(st.binary(max_size=40), st.integers(0, 94), st.integers(0, 20))
def test_headers_decode_or_are_refused(data: bytes, key: int, version: int) -> None:
    frame = key.to_bytes(2) + version.to_bytes(2) + data
    for candidate in (data, frame):
        with contextlib.suppress(DecodeError):
            _, position = decode_request_header(candidate)
            assert 10 <= position <= len(candidate)
        with contextlib.suppress(DecodeError):
            decode_response_header(candidate, 3, version)
