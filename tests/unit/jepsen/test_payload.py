"""Records that prove themselves: what was sent is found again, and anything else is noticed."""

from __future__ import annotations

from random import Random

import pytest

from odradek.jepsen.payload import Corrupt, decode, encode

KEY = "q0/1"
VALUES = [0, 1, 7, 3_000_000_000_041, 2**63, 2**64 - 1]


@pytest.mark.parametrize("value", VALUES)
def test_a_record_is_found_again(value: int) -> None:
    name, data, headers = encode(value, KEY)
    assert decode(name, data, headers) == value
    assert decode(name, data, tuple(headers), KEY) == value


def test_records_are_different_in_key_value_and_headers() -> None:
    for value in (42, 43):
        here, there = encode(value, "q0/1"), encode(value, "q1/0")
        assert here[1] != there[1] and here[2] != there[2]
    assert encode(42, KEY)[0] != encode(43, KEY)[0]


def test_a_record_in_another_partition_is_noticed() -> None:
    with pytest.raises(Corrupt, match=r"value 42 was sent to q0/1, and is in q0/0"):
        decode(*encode(42, KEY), "q0/0")


@pytest.mark.parametrize("part", [0, 1, 2])
def test_parts_of_two_records_are_noticed(part: int) -> None:
    mixed = list(encode(42, KEY))
    mixed[part] = encode(43, KEY)[part]
    with pytest.raises(Corrupt):
        decode(*mixed)  # type: ignore[arg-type]


def test_a_bit_that_is_turned_over_is_noticed_anywhere() -> None:
    name, data, headers = encode(123_456_789, KEY)
    for bit in range(len(data) * 8):
        with pytest.raises(Corrupt):
            decode(name, _flipped(data, bit), headers, KEY)
    for bit in range(len(name) * 8):
        with pytest.raises(Corrupt):
            decode(_flipped(name, bit), data, headers, KEY)
    for place, (header, content) in enumerate(headers):
        for bit in range(len(content) * 8):
            changed = list(headers)
            changed[place] = (header, _flipped(content, bit))
            with pytest.raises(Corrupt):
                decode(name, data, changed, KEY)


def _flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


@pytest.mark.parametrize("data", [None, b"", b"short"])
def test_a_value_that_is_none_is_noticed(data: bytes | None) -> None:
    name, _, headers = encode(1, KEY)
    with pytest.raises(Corrupt, match="the value is"):
        decode(name, data, headers)


def test_records_without_a_key_or_headers_are_noticed() -> None:
    name, data, headers = encode(1, KEY)
    with pytest.raises(Corrupt, match="the key"):
        decode(None, data, headers)
    for wrong in (None, [], headers[:1], headers[::-1], [*headers, ("x", b"")], [("at", None), headers[1]]):
        with pytest.raises(Corrupt, match="the headers"):
            decode(name, data, wrong)


def test_noise_is_noticed() -> None:
    random = Random(1)
    for _ in range(200):
        with pytest.raises(Corrupt):
            decode(random.randbytes(4), random.randbytes(random.randrange(40)), [], KEY)
