from __future__ import annotations

import tracemalloc

import pytest

from odradek.proto.kafka import api
from odradek.proto.kafka.codec import decode, encode_to_bytes
from odradek.proto.kafka.layout import has_arrays, has_records, layout_of, least_bytes, object_bytes
from odradek.proto.kafka.messages.fetch import FetchRequest, FetchResponse
from odradek.proto.kafka.messages.header import RequestHeader
from odradek.proto.kafka.messages.metadata import MetadataRequest, MetadataResponse
from odradek.proto.kafka.messages.produce import ProduceRequest, ProduceResponse
from odradek.proto.kafka.messages.sasl import SaslHandshakeRequest
from odradek.proto.kafka.schema import Message, Struct, array, int8, string, uuid


def test_fields_by_version() -> None:
    layout = layout_of(FetchRequest, 12, True)
    assert [item.name for item in layout.items][:3] == ["replica_id", "max_wait_ms", "min_bytes"]
    assert [(tag, item.name) for tag, item in layout.tagged] == [(0, "cluster_id")]
    assert [field.name for field in layout.absent] == ["replica_state"]
    newer = layout_of(FetchRequest, 15, True)
    assert [(tag, item.name) for tag, item in newer.tagged] == [(0, "cluster_id"), (1, "replica_state")]
    assert [field.name for field in newer.absent] == ["replica_id"]


def test_nullability_by_version() -> None:
    def topics(version: int) -> bool:
        return layout_of(MetadataRequest, version, False).items[0].nullable

    assert [topics(version) for version in (0, 1, 2)] == [False, True, True]


def test_one_field_may_stay_classic_in_flexible_versions() -> None:
    items = {item.name: item.compact for item in layout_of(RequestHeader, 2, True).items}
    assert items["client_id"] is False


def test_a_tagged_field_needs_a_flexible_version() -> None:
    class Broken(Message, versions="0"):
        name: str = string("0+", tag=0)

    with pytest.raises(AssertionError, match="not flexible"):
        layout_of(Broken, 0, False)


def test_tags_are_in_ascending_order() -> None:
    class Swapped(Message, versions="0", flexible="0+"):
        late: int = int8("0+", tag=5)
        early: int = int8("0+", tag=2)

    assert [tag for tag, _ in layout_of(Swapped, 0, True).tagged] == [2, 5]


def test_records_and_arrays_anywhere_inside() -> None:
    assert has_records(ProduceRequest, 9)
    assert has_records(FetchResponse, 4)
    assert not has_records(FetchRequest, 12)
    assert has_arrays(FetchRequest, 12)
    assert not has_arrays(SaslHandshakeRequest, 1)


@pytest.mark.parametrize("key", sorted(api.APIS))
def test_the_least_size_is_the_size_of_the_smallest_message(key: int) -> None:
    """Nothing but empty strings, empty arrays and nulls."""
    for cls in (api.request_class(key), api.response_class(key)):
        for version in range(cls.INFO.versions.first, cls.INFO.versions.last + 1):
            flexible = version >= cls.INFO.flexible_from
            message = cls()
            for item in layout_of(cls, version, flexible).items:
                if item.nullable and item.kind == "struct":
                    setattr(message, item.name, None)
                elif item.kind in ("string", "octets", "array"):
                    setattr(message, item.name, {"string": "", "octets": b"", "array": []}[item.kind])
            if not any(field.kind == "struct" for field in cls.FIELDS):
                assert len(encode_to_bytes(message, version)) == least_bytes(cls, version, flexible)


class Small(Message, versions="0", flexible="0+"):
    bytes_: list[Small.Byte] = array("Byte", "0+")
    texts: list[Small.Text] = array("Text", "0+")

    class Byte(Struct):
        value: int = int8("0+")

    class Text(Struct):
        one: str = string("0+")
        two: str = string("0+")
        three: str = string("0+")
        id: bytes = uuid("0+")


@pytest.mark.parametrize(
    ("message", "version", "element"),
    [
        (Small(bytes_=[Small.Byte(value=1)] * 20_000), 0, Small.Byte),
        (Small(texts=[Small.Text(one="ab", two="cd", three="ef")] * 20_000), 0, Small.Text),
        (
            ProduceRequest(topic_data=[ProduceRequest.TopicProduceData()] * 20_000),
            9,
            ProduceRequest.TopicProduceData,
        ),
        (
            MetadataResponse(
                topics=[
                    MetadataResponse.MetadataResponseTopic(
                        name="ab",
                        partitions=[MetadataResponse.MetadataResponsePartition(partition_index=999)] * 20_000,
                    )
                ]
            ),
            12,
            MetadataResponse.MetadataResponsePartition,
        ),
        (
            FetchRequest(
                topics=[
                    FetchRequest.FetchTopic(
                        topic="t", partitions=[FetchRequest.FetchPartition(partition=999)] * 20_000
                    )
                ]
            ),
            12,
            FetchRequest.FetchPartition,
        ),
        (
            ProduceResponse(
                responses=[
                    ProduceResponse.TopicProduceResponse(
                        partition_responses=[ProduceResponse.PartitionProduceResponse(base_offset=2**40)]
                        * 20_000
                    )
                ]
            ),
            10,
            ProduceResponse.PartitionProduceResponse,
        ),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_the_estimate_covers_what_a_decoded_element_takes(
    message: Message, version: int, element: type[Struct]
) -> None:
    encoded = encode_to_bytes(message, version)
    decode(type(message), version, encoded)
    tracemalloc.start()
    try:
        decoded = decode(type(message), version, encoded)
        taken = tracemalloc.get_traced_memory()[0] / 20_000
    finally:
        tracemalloc.stop()
    assert decoded == message
    assert 0.3 * object_bytes(element, version) < taken < 1.1 * object_bytes(element, version)
