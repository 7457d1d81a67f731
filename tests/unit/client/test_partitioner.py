from __future__ import annotations

import pytest

from odradek.client.partitioner import murmur2, murmur2_partitioner

#: From the tests of Apache Kafka (UtilsTest.testMurmur2), as Java shows them.
JAVA = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}


@pytest.mark.parametrize(("key", "signed"), JAVA.items())
def test_the_hash_is_that_of_java(key: bytes, signed: int) -> None:
    assert murmur2(key) == signed & 0xFFFFFFFF


@pytest.mark.parametrize(("key", "signed"), JAVA.items())
def test_the_sign_is_masked_not_negated(key: bytes, signed: int) -> None:
    assert murmur2_partitioner(key, 1000) == (signed & 0x7FFFFFFF) % 1000


def test_every_length_of_the_rest_counts() -> None:
    keys = [b"\xff" * length for length in range(9)]
    assert len({murmur2(key) for key in keys}) == len(keys)


def test_a_long_key_goes_where_its_hash_says() -> None:
    key = b"k" * 1000
    assert murmur2_partitioner(key, 7) == (murmur2(key) & 0x7FFFFFFF) % 7


def test_the_empty_key_is_a_key() -> None:
    assert 0 <= murmur2_partitioner(b"", 3) < 3
