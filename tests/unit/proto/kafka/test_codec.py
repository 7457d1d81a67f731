"""What bytes look like, written out by hand; what is refused; what is shared and what is copied."""

from __future__ import annotations

import pytest

from odradek.proto.kafka.codec import (
    Buffer,
    DecodeError,
    EncodeError,
    decode,
    decode_exactly,
    decode_from,
    encode,
    encode_onto,
    encode_to_bytes,
)
from odradek.proto.kafka.messages.coordinator import FindCoordinatorRequest
from odradek.proto.kafka.messages.fetch import FetchRequest, FetchResponse
from odradek.proto.kafka.messages.metadata import (
    DescribeTopicPartitionsRequest,
    MetadataRequest,
    MetadataResponse,
)
from odradek.proto.kafka.messages.produce import ProduceRequest, ProduceResponse
from odradek.proto.kafka.messages.raft import UpdateRaftVoterResponse
from odradek.proto.kafka.messages.topics import CreateTopicsRequest
from odradek.proto.kafka.schema import (
    Message,
    Struct,
    array,
    boolean,
    float64,
    int8,
    int16,
    int32,
    int64,
    octets,
    record_batches,
    string,
    struct,
    uint16,
    uuid,
)

PartitionProduceData = ProduceRequest.PartitionProduceData
TopicProduceData = ProduceRequest.TopicProduceData


class Everything(Message, versions="0-1", flexible="1+"):
    """One field of each type, in the classic form (version 0) and the compact form (version 1)."""

    tiny: int = int8("0+")
    small: int = int16("0+")
    port: int = uint16("0+")
    plain: int = int32("0+")
    large: int = int64("0+")
    real: float = float64("0+")
    flag: bool = boolean("0+")
    id: bytes = uuid("0+")
    text: str = string("0+")
    note: str | None = string("0+", nullable="0+", default=None)
    blob: bytes = octets("0+")
    batch: Buffer | None = record_batches("0+", nullable="0+")
    numbers: list[int] = array(int32, "0+")
    ids: list[bytes] = array(uuid, "0+")
    flags: list[bool] = array(boolean, "0+")
    words: list[str] | None = array(string, "0+", nullable="0+", default=None)
    blobs: list[bytes] = array(octets, "0+")
    inner: Everything.Inner = struct("Inner", "0+")
    inners: list[Everything.Inner] = array("Inner", "0+")
    maybe: Everything.Inner | None = struct("Inner", "0+", nullable="0+", default=None)
    tagged: str = string("1+", default="usual", tag=0)
    tagged_list: list[Everything.Inner] = array("Inner", "1+", tag=3)
    tagged_inner: Everything.Inner = struct("Inner", "1+", tag=7)

    class Inner(Struct):
        value: int = int8("0+")


FILLED = Everything(
    tiny=-1,
    small=-2,
    port=0xFFFE,
    plain=-3,
    large=-4,
    real=0.5,
    flag=True,
    id=bytes(range(16)),
    text="é",
    note="n",
    blob=b"b",
    batch=b"records",
    numbers=[1, -1],
    ids=[bytes(16)],
    flags=[True, False],
    words=["a", ""],
    blobs=[b"x"],
    inner=Everything.Inner(value=1),
    inners=[Everything.Inner(value=2)],
    maybe=Everything.Inner(value=3),
)
FIXED = "ff fffe fffe fffffffd fffffffffffffffc 3fe0000000000000 01 000102030405060708090a0b0c0d0e0f"
CLASSIC = bytes.fromhex(
    FIXED + "0002 c3a9 0001 6e 00000001 62 00000007 7265636f726473"
    "00000002 00000001 ffffffff 00000001 00000000000000000000000000000000 00000002 0100"
    "00000002 0001 61 0000 00000001 00000001 78 01 00000001 02 01 03"
)
COMPACT = bytes.fromhex(
    FIXED + "03 c3a9 02 6e 02 62 08 7265636f726473"
    "03 00000001 ffffffff 02 00000000000000000000000000000000 03 0100"
    "03 02 61 01 02 02 78 0100 02 0200 01 0300 00"
)


@pytest.mark.parametrize(("version", "expected"), [(0, CLASSIC), (1, COMPACT)])
def test_every_type_in_both_forms(version: int, expected: bytes) -> None:
    assert encode_to_bytes(FILLED, version).hex() == expected.hex()
    assert decode_exactly(Everything, version, expected) == FILLED


def test_null_is_minus_one_or_zero() -> None:
    empty = Everything()
    assert decode_exactly(Everything, 0, encode_to_bytes(empty, 0)) == empty
    assert decode_exactly(Everything, 1, encode_to_bytes(empty, 1)) == empty
    request = ProduceRequest(acks=1, timeout_ms=2)
    assert encode_to_bytes(request, 8).hex() == "ffff00010000000200000000"
    assert encode_to_bytes(request, 9).hex() == "000001000000020100"


def test_tagged_fields_are_written_when_they_differ_from_their_default() -> None:
    head = encode_to_bytes(Everything(), 1)[:-1]
    message = Everything(
        tagged="x", tagged_list=[Everything.Inner(value=5)], tagged_inner=Everything.Inner(value=6)
    )
    encoded = encode_to_bytes(message, 1)
    assert encoded == head + bytes.fromhex("0300 02 027803 03 02050007 02 0600")
    assert decode_exactly(Everything, 1, encoded) == message
    assert decode_exactly(Everything, 1, head + b"\0") == Everything()
    only_default = Everything(tagged="usual", tagged_inner=Everything.Inner(value=0))
    assert encode_to_bytes(only_default, 1) == head + b"\0"


def test_unknown_tagged_fields_are_skipped() -> None:
    head = encode_to_bytes(Everything(), 1)[:-1]
    assert decode_exactly(Everything, 1, head + bytes.fromhex("02 00 02 0278 63 03 aabbcc")).tagged == "x"
    request = encode_to_bytes(FindCoordinatorRequest(key_type=1), 4)
    assert (
        decode_exactly(FindCoordinatorRequest, 4, request[:-1] + bytes.fromhex("01 05 02 aabb")).key_type == 1
    )


def test_a_nullable_structure_has_a_marker() -> None:
    request = DescribeTopicPartitionsRequest(response_partition_limit=7)
    assert encode_to_bytes(request, 0).hex() == "0100000007ff00"
    request.cursor = DescribeTopicPartitionsRequest.Cursor(topic_name="t", partition_index=1)
    encoded = encode_to_bytes(request, 0)
    assert encoded.hex() == "0100000007010274000000010000"
    assert decode_exactly(DescribeTopicPartitionsRequest, 0, encoded) == request


def test_a_nullable_array_by_version() -> None:
    assert encode_to_bytes(MetadataRequest(topics=None), 1).hex() == "ffffffff"
    assert decode(MetadataRequest, 1, bytes.fromhex("ffffffff")).topics is None
    assert decode(MetadataRequest, 1, bytes(4)).topics == []
    with pytest.raises(DecodeError, match=r"null in MetadataRequest\.topics"):
        decode(MetadataRequest, 0, bytes.fromhex("ffffffff"))
    with pytest.raises(EncodeError):
        encode(MetadataRequest(topics=None), 0)


def test_fields_of_other_versions_are_ignored_and_default() -> None:
    topic = FetchRequest.FetchTopic(topic="name", topic_id=bytes(range(16)))
    request = FetchRequest(replica_id=7, topics=[topic], rack_id="r")
    old = decode_exactly(FetchRequest, 4, encode_to_bytes(request, 4))
    assert (old.replica_id, old.rack_id, old.topics[0].topic) == (7, "", "name")
    assert old.topics[0].topic_id == bytes(16)
    new = decode_exactly(FetchRequest, 17, encode_to_bytes(request, 17))
    assert (new.replica_id, new.rack_id, new.topics[0].topic) == (-1, "r", "")
    assert new.topics[0].topic_id == bytes(range(16))
    assert new.topics[0].partitions == []


@pytest.mark.parametrize("length", [0, 1, 126, 127, 128, 16382, 16383, 16384, 32767])
def test_lengths_around_the_steps_of_a_varint(length: int) -> None:
    text = Everything(text="x" * length, blob=bytes(length), numbers=[7] * length, words=["w"] * length)
    for version in (0, 1):
        assert decode_exactly(Everything, version, encode_to_bytes(text, version)) == text


def test_a_string_beyond_32767_bytes_only_fits_the_compact_form() -> None:
    long = Everything(text="é" * 16384)
    with pytest.raises(EncodeError):
        encode(long, 0)
    assert decode_exactly(Everything, 1, encode_to_bytes(long, 1)) == long


@pytest.mark.parametrize(
    "message",
    [
        Everything(tiny=128),
        Everything(small=-32769),
        Everything(port=-1),
        Everything(id=b"short"),
        Everything(id=bytes(17)),
        Everything(ids=[b"short"]),
        Everything(text=None),  # type: ignore[arg-type]
        Everything(numbers=None),  # type: ignore[arg-type]
        Everything(numbers=["one"]),  # type: ignore[list-item]
        Everything(inner=None),  # type: ignore[arg-type]
        Everything(words=[None]),  # type: ignore[list-item]
        Everything(blob="text"),  # type: ignore[arg-type]
        Everything(text="\ud800"),
    ],
    ids=repr,
)
@pytest.mark.parametrize("version", [0, 1])
def test_what_cannot_be_expressed(message: Everything, version: int) -> None:
    with pytest.raises(EncodeError, match=f"Everything v{version}"):
        encode(message, version)


def test_a_version_that_does_not_exist() -> None:
    with pytest.raises(DecodeError, match="ProduceRequest has no version 2"):
        decode(ProduceRequest, 2, bytes(100))
    with pytest.raises(EncodeError, match="ProduceRequest has no version 14"):
        encode(ProduceRequest(), 14)


def produce(records: Buffer) -> ProduceRequest:
    partition = PartitionProduceData(index=3, records=records)
    return ProduceRequest(topic_data=[TopicProduceData(name="t", partition_data=[partition])])


def test_encoded_records_are_the_callers_own_buffer() -> None:
    records = bytearray(b"records")
    buffers = encode(produce(records), 9)
    assert len(buffers) == 3
    assert buffers[1] is records
    assert b"".join(buffers) == encode_to_bytes(produce(b"records"), 9)


def test_decoded_records_are_a_writable_view_of_the_input() -> None:
    frame = bytearray(encode_to_bytes(produce(b"records"), 9))
    for data in (frame, memoryview(frame)):
        records = decode(ProduceRequest, 9, data).topic_data[0].partition_data[0].records
        assert isinstance(records, memoryview)
        position = frame.index(b"ecords") - 1
        records[0] = 0x52
        assert frame[position : position + 7] == b"Records"
        records[0] = 0x72


def test_decoded_bytes_are_copied() -> None:
    frame = bytearray(encode_to_bytes(FILLED, 1))
    message = decode(Everything, 1, memoryview(frame))
    frame[:] = bytes(len(frame))
    assert (message.blob, message.id, message.blobs, message.text) == (b"b", bytes(range(16)), [b"x"], "é")


def test_several_records_fields_keep_their_places() -> None:
    def response(*records: Buffer | None) -> FetchResponse:
        partitions = [
            FetchResponse.PartitionData(partition_index=index, records=value, aborted_transactions=None)
            for index, value in enumerate(records)
        ]
        return FetchResponse(
            responses=[FetchResponse.FetchableTopicResponse(topic="t", partitions=partitions)]
        )

    message = response(b"one", None, b"", b"four" * 100)
    buffers = encode(message, 12)
    assert [bytes(buffer) for buffer in buffers[1::2]] == [b"one", b"four" * 100]
    assert decode_exactly(FetchResponse, 12, b"".join(buffers)) == message


def test_the_prefix_becomes_part_of_the_first_buffer() -> None:
    prefix = bytearray(b"head")
    buffers = encode_onto(ProduceResponse(throttle_time_ms=1), 9, prefix)
    assert buffers[0] is prefix
    assert bytes(prefix) == b"head" + encode_to_bytes(ProduceResponse(throttle_time_ms=1), 9)


def test_bytes_after_the_message() -> None:
    encoded = encode_to_bytes(FILLED, 1)
    assert decode(Everything, 1, encoded + b"rest") == FILLED
    assert decode_from(Everything, 1, encoded + b"rest") == (FILLED, len(encoded))
    with pytest.raises(DecodeError, match="4 bytes left over"):
        decode_exactly(Everything, 1, encoded + b"rest")


def test_decoding_starts_at_the_offset() -> None:
    encoded = b"header" + encode_to_bytes(FILLED, 0)
    assert decode_from(Everything, 0, encoded, 6) == (FILLED, len(encoded))
    with pytest.raises(DecodeError):
        decode(Everything, 0, encoded, len(encoded) + 1)


def test_metadata_of_a_broker_written_out() -> None:
    response = MetadataResponse(
        brokers=[MetadataResponse.MetadataResponseBroker(node_id=1, host="h", port=9092)],
        cluster_id="c",
        controller_id=1,
        topics=[
            MetadataResponse.MetadataResponseTopic(
                name="t",
                topic_id=bytes(range(16)),
                partitions=[
                    MetadataResponse.MetadataResponsePartition(
                        leader_id=1, leader_epoch=5, replica_nodes=[1, 2], isr_nodes=[1]
                    )
                ],
            )
        ],
    )
    expected = (
        "00000000 02 00000001 0268 00002384 00 00 0263 00000001"
        "02 0000 0274 000102030405060708090a0b0c0d0e0f 00"
        "02 0000 00000000 00000001 00000005 03 00000001 00000002 02 00000001 01 00"
        "80000000 00 00"
    )
    assert encode_to_bytes(response, 12) == bytes.fromhex(expected)
    assert decode_exactly(MetadataResponse, 12, bytes.fromhex(expected)) == response


def test_a_tagged_structure_with_its_default_is_absent() -> None:
    assert encode_to_bytes(UpdateRaftVoterResponse(), 0).hex() == "00000000000000"


def test_records_of_our_own_need_no_key() -> None:
    class TopicRecord(Message, versions="0-1", flexible="0+"):
        name: str = string("0+")
        replicas: list[int] = array(int32, "0+")
        rack: str | None = string("1+", nullable="1+", default=None)

    record = TopicRecord(name="t", replicas=[1, 2, 3])
    for version in (0, 1):
        assert decode_exactly(TopicRecord, version, encode_to_bytes(record, version)) == record


def test_a_structure_declared_elsewhere_can_be_an_element() -> None:
    class Node(Struct):
        id: int = int32("0+")

    class Ring(Message, versions="0"):
        nodes: list[Node] = array(Node, "0+")

    ring = Ring(nodes=[Node(id=1), Node(id=2)])
    assert decode_exactly(Ring, 0, encode_to_bytes(ring, 0)) == ring


def test_a_default_that_is_not_zero_survives_versions_without_the_field() -> None:
    request = decode(CreateTopicsRequest, 2, encode_to_bytes(CreateTopicsRequest(), 2))
    assert request.timeout_ms == 60000
