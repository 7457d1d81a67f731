from __future__ import annotations

import pytest

from odradek.proto.kafka.primitives import (
    SHORT_ARRAY,
    DecodeError,
    EncodeError,
    array_packers,
    array_unpackers,
    pack_array,
    packer,
    read_tag,
    read_uvarint,
    skip_tags,
    unpack_array,
    unpacker,
    uvarint,
)


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        (0, "00"),
        (1, "01"),
        (127, "7f"),
        (128, "8001"),
        (300, "ac02"),
        (16383, "ff7f"),
        (16384, "808001"),
        (2**31 - 1, "ffffffff07"),
        (2**32 - 1, "ffffffff0f"),
    ],
)
def test_varints(value: int, encoded: str) -> None:
    assert uvarint(value).hex() == encoded
    data = b"\xff" + bytes.fromhex(encoded) + b"\xff"
    assert read_uvarint(data, 1) == (value, len(data) - 1)


def test_a_varint_longer_than_it_must_be_is_read() -> None:
    assert read_uvarint(bytes.fromhex("8100"), 0) == (1, 2)


@pytest.mark.parametrize("encoded", ["ffffffff10", "ffffffff8f00", "ffffffffff", "8080808080"])
def test_a_varint_beyond_five_bytes_or_32_bits(encoded: str) -> None:
    with pytest.raises(DecodeError, match="a varint exceeds 32 bits"):
        read_uvarint(bytes.fromhex(encoded), 0)


def test_a_varint_cut_short() -> None:
    with pytest.raises(IndexError):
        read_uvarint(bytes.fromhex("8080"), 0)


def test_a_varint_that_cannot_be_written() -> None:
    with pytest.raises(EncodeError):
        uvarint(2**32)


def test_skipping_tagged_fields() -> None:
    section = bytes.fromhex("02 00 01 aa 05 02 bbcc")
    assert skip_tags(section + b"rest", 0, 12) == len(section)
    assert skip_tags(b"\0", 0, 1) == 1


def test_a_tag_must_ascend_and_fit() -> None:
    assert read_tag(bytes.fromhex("05 01 aa"), 0, 3, 4) == (5, 1, 2)
    with pytest.raises(DecodeError, match="tag 5 after tag 5"):
        read_tag(bytes.fromhex("05 01 aa"), 0, 3, 5)
    with pytest.raises(DecodeError, match="2 bytes where 1 remain"):
        read_tag(bytes.fromhex("05 02 aa"), 0, 3, 4)


@pytest.mark.parametrize("count", [0, 1, SHORT_ARRAY - 1])
def test_prepared_arrays_agree_with_the_others(count: int) -> None:
    values = list(range(-1, count - 1))
    packed = array_packers("q")[count](*values)
    assert packed == pack_array("q", values)
    assert array_unpackers("q")[count](packed, 0) == unpack_array("q", count, packed, 0) == tuple(values)


def test_layouts_are_big_endian_and_unpadded() -> None:
    assert packer("bi")(1, 2).hex() == "0100000002"
    assert unpacker("bi")(bytes.fromhex("ff0100000002"), 1) == (1, 2)
