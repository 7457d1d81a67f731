"""Hostile input, limit by limit. The CVEs are Kafka's own: the same frames must not hurt us."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from odradek.proto.kafka.codec import DecodeError, decode, encode_to_bytes
from odradek.proto.kafka.headers import decode_request_header
from odradek.proto.kafka.messages.api_versions import ApiVersionsRequest
from odradek.proto.kafka.messages.metadata import DescribeTopicPartitionsRequest, MetadataRequest
from odradek.proto.kafka.messages.offsets import OffsetDeleteRequest
from odradek.proto.kafka.messages.produce import ProduceRequest
from odradek.proto.kafka.messages.sasl import SaslAuthenticateRequest, SaslHandshakeRequest
from odradek.proto.kafka.primitives import MAX_EMPTY_ELEMENTS, MAX_TAGS, uvarint
from odradek.proto.kafka.schema import Message, Struct, array, int8, int32, string

LARGEST_VARINT = bytes.fromhex("ffffffff0f")


@contextmanager
def memory_below(limit: int) -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < limit, f"{peak} bytes"


def test_cve_2026_111115_a_huge_count_of_tagged_fields_allocates_nothing() -> None:
    body = encode_to_bytes(MetadataRequest(topics=None), 12)[:-1]
    with memory_below(1_000_000), pytest.raises(DecodeError, match="4294967295 tagged fields"):
        decode(MetadataRequest, 12, body + LARGEST_VARINT)
    with memory_below(1_000_000), pytest.raises(DecodeError, match="4294967295 tagged fields"):
        decode_request_header(bytes.fromhex("0003 000c 00000001 ffff") + LARGEST_VARINT)


def test_cve_2026_111115_many_small_tagged_fields_are_refused() -> None:
    body = encode_to_bytes(MetadataRequest(topics=None), 12)[:-1]

    def tags(count: int) -> bytes:
        return uvarint(count) + b"".join(uvarint(tag) + b"\0" for tag in range(100, 100 + count))

    assert decode(MetadataRequest, 12, body + tags(MAX_TAGS)).topics is None
    with pytest.raises(DecodeError, match="tagged fields"):
        decode(MetadataRequest, 12, body + tags(MAX_TAGS + 1))


def test_cve_2026_111108_an_array_count_beyond_the_data_allocates_nothing() -> None:
    with memory_below(1_000_000):
        with pytest.raises(DecodeError, match="2147483647 elements where 0 bytes remain"):
            decode(MetadataRequest, 4, bytes.fromhex("7fffffff"))
        with pytest.raises(DecodeError, match="4294967294 elements"):
            decode(MetadataRequest, 12, LARGEST_VARINT + bytes(8))


def test_cve_2026_111108_a_count_is_bounded_by_the_least_size_of_an_element() -> None:
    """Version 4 names take two bytes each: eleven of them cannot be in twenty."""
    with pytest.raises(DecodeError, match="11 elements where 20 bytes remain"):
        decode(MetadataRequest, 4, (11).to_bytes(4) + bytes(20))
    assert len(decode(MetadataRequest, 4, (9).to_bytes(4) + bytes(20)).topics or []) == 9


def test_cve_2026_111108_small_elements_do_not_become_a_hundredfold_of_objects() -> None:
    """Three bytes per topic on the wire, two hundred as objects: four megabytes of them are too many."""
    count = 1_400_000
    body = bytes(1) + bytes(6) + uvarint(count + 1) + b"\1\1\0" * count + b"\0"
    with memory_below(100_000_000), pytest.raises(DecodeError, match="more memory than a frame of this size"):
        decode(ProduceRequest, 9, body)


def test_many_partitions_of_a_large_cluster_are_within_the_budget() -> None:
    topic = OffsetDeleteRequest.OffsetDeleteRequestTopic(
        name="t", partitions=[OffsetDeleteRequest.OffsetDeleteRequestPartition(partition_index=9)] * 200_000
    )
    body = encode_to_bytes(OffsetDeleteRequest(group_id="g", topics=[topic]), 0)
    assert len(decode(OffsetDeleteRequest, 0, body).topics[0].partitions) == 200_000


def test_cve_2022_34917_lengths_of_unauthenticated_requests_allocate_nothing() -> None:
    huge = (2**31 - 1).to_bytes(4)
    with memory_below(1_000_000):
        with pytest.raises(DecodeError, match="auth_bytes of 2147483647 bytes where 0 remain"):
            decode(SaslAuthenticateRequest, 0, huge)
        with pytest.raises(DecodeError, match="auth_bytes of 4294967294 bytes"):
            decode(SaslAuthenticateRequest, 2, LARGEST_VARINT)
        with pytest.raises(DecodeError, match="mechanism of 32767 bytes"):
            decode(SaslHandshakeRequest, 1, (32767).to_bytes(2))
        with pytest.raises(DecodeError, match="client_software_name of 4294967294 bytes"):
            decode(ApiVersionsRequest, 3, LARGEST_VARINT)


def body_with_tags(text: str) -> bytes:
    return encode_to_bytes(MetadataRequest(topics=None), 12)[:-1] + bytes.fromhex(text)


@pytest.mark.parametrize(
    ("tags", "problem"),
    [
        ("02 05 00 05 00", "tag 5 after tag 5"),
        ("02 05 00 04 00", "tag 4 after tag 5"),
        ("01 05 7f 00", "a tagged field of 127 bytes where 1 remain"),
        ("01 05 ffffffff0f", "a tagged field of 4294967295 bytes where 0 remain"),
        ("01 05", "ends too early"),
        ("ffffffffff01", "a varint exceeds 32 bits"),
        ("ffffffff1f", "a varint exceeds 32 bits"),
    ],
)
def test_sections_of_unknown_tagged_fields(tags: str, problem: str) -> None:
    with pytest.raises(DecodeError, match=problem):
        decode(MetadataRequest, 12, body_with_tags(tags))


class Tagged(Message, versions="0", flexible="0+"):
    name: str = string("0+", tag=1)
    number: int = int32("0+", tag=2)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ("02 02 04 00000001 01 01 01", "tag 1 after tag 2"),
        ("02 01 01 01 01 01 01", "tag 1 after tag 1"),
        ("01 02 05 00000001 00", "the field of tag 2 took 4 bytes, not the 5 declared"),
        ("01 02 03 00000001", "the field of tag 2 took 4 bytes, not the 3 declared"),
        ("01 01 01 05 61626364", "the field of tag 1 took 5 bytes, not the 1 declared"),
        ("01 01 01 00", "null in Tagged.name"),
        ("41", "65 tagged fields, more than 64"),
    ],
)
def test_sections_of_known_tagged_fields(data: str, problem: str) -> None:
    with pytest.raises(DecodeError, match=problem):
        decode(Tagged, 0, bytes.fromhex(data))


def test_text_that_is_not_utf8() -> None:
    with pytest.raises(DecodeError, match="SaslHandshakeRequest v0: 'utf-8' codec"):
        decode(SaslHandshakeRequest, 0, bytes.fromhex("0001 ff"))


@pytest.mark.parametrize("data", ["0002 61", "0003 6162", "7fff", "00", ""])
def test_text_one_byte_longer_than_the_data(data: str) -> None:
    with pytest.raises(DecodeError):
        decode(SaslHandshakeRequest, 0, bytes.fromhex(data))


def test_any_marker_that_is_not_negative_announces_a_structure() -> None:
    for marker, present in (("00", True), ("01", True), ("7f", True), ("80", False), ("ff", False)):
        data = bytes.fromhex("01 00000007" + marker + "0274 00000001 00 00")
        request = decode(DescribeTopicPartitionsRequest, 0, data if present else data[:6] + b"\0")
        assert (request.cursor is not None) == present


def test_null_where_there_is_none() -> None:
    with pytest.raises(DecodeError, match=r"null in SaslHandshakeRequest\.mechanism"):
        decode(SaslHandshakeRequest, 0, bytes.fromhex("ffff"))
    with pytest.raises(DecodeError, match=r"null in SaslAuthenticateRequest\.auth_bytes"):
        decode(SaslAuthenticateRequest, 0, bytes.fromhex("ffffffff"))
    with pytest.raises(DecodeError, match=r"null in SaslAuthenticateRequest\.auth_bytes"):
        decode(SaslAuthenticateRequest, 2, bytes.fromhex("00"))


def test_elements_that_take_no_bytes_are_capped() -> None:
    class Hollow(Message, versions="0"):
        items: list[Hollow.Item] = array("Item", "0+")

        class Item(Struct):
            later: int = int8("1+")

    assert len(decode(Hollow, 0, MAX_EMPTY_ELEMENTS.to_bytes(4)).items) == MAX_EMPTY_ELEMENTS
    with pytest.raises(DecodeError, match="1025 elements"):
        decode(Hollow, 0, (MAX_EMPTY_ELEMENTS + 1).to_bytes(4))


def test_structures_that_contain_themselves_are_refused_when_compiled() -> None:
    class Loop(Message, versions="0"):
        items: list[Loop.Item] = array("Item", "0+")

        class Item(Struct):
            items: list[Loop.Item] = array("Item", "0+")

    with pytest.raises(RecursionError):
        decode(Loop, 0, bytes(4))
