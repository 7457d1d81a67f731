"""Kafka's partitioner: the vectors of its own test (UtilsTest.testMurmur2), and some more from kafka-python."""

from __future__ import annotations

import pytest
from kafka.partitioner.default import murmur2 as of_kafka_python

from odradek.proto.kafka.partitioner import murmur2, partition_for


@pytest.mark.parametrize(
    ("key", "signed"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_the_vectors_of_kafka(key: bytes, signed: int) -> None:
    assert murmur2(key) == signed & 0xFFFFFFFF


@pytest.mark.parametrize("length", range(40))
def test_every_length_of_the_rest(length: int) -> None:
    key = bytes((7 * i + 200) & 0xFF for i in range(length))
    assert murmur2(key) == of_kafka_python(key) & 0xFFFFFFFF


def test_a_negative_hash_is_made_positive_as_java_does() -> None:
    assert partition_for(b"21", 7) == (-973932308 & 0x7FFFFFFF) % 7


def test_long_and_empty_keys() -> None:
    assert partition_for(b"k" * 1000, 7) == (murmur2(b"k" * 1000) & 0x7FFFFFFF) % 7
    assert 0 <= partition_for(b"", 3) < 3
