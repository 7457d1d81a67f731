from __future__ import annotations

import pytest

from odradek.proto.kafka.api import ApiKey
from odradek.proto.kafka.codec import DecodeError, EncodeError, decode_exactly, encode_to_bytes
from odradek.proto.kafka.headers import (
    RequestHeader,
    decode_request_header,
    decode_response_header,
    encode_request_frame,
    encode_response_frame,
)
from odradek.proto.kafka.messages import header as derived
from odradek.proto.kafka.messages.api_versions import ApiVersionsRequest, ApiVersionsResponse
from odradek.proto.kafka.messages.classic_group import HeartbeatResponse
from odradek.proto.kafka.messages.fetch import FetchResponse
from odradek.proto.kafka.messages.metadata import MetadataRequest, MetadataResponse
from odradek.proto.kafka.messages.produce import ProduceRequest


def test_request_header_without_tagged_fields() -> None:
    frame = bytes.fromhex("0003 0008 00000007 0002 6d65 ffffffff")
    assert decode_request_header(frame) == (RequestHeader(3, 8, 7, "me"), 12)


def test_request_header_with_tagged_fields_keeps_the_classic_client_id() -> None:
    frame = bytes.fromhex("0003 0009 00000007 0002 6d65 01 05 02 aabb 00")
    assert decode_request_header(memoryview(frame)) == (RequestHeader(3, 9, 7, "me"), 17)


def test_a_client_id_may_be_null_or_empty() -> None:
    assert decode_request_header(bytes.fromhex("0003 0008 00000007 ffff"))[0].client_id is None
    assert decode_request_header(bytes.fromhex("0003 0008 00000007 0000"))[0].client_id == ""


def test_key_and_version_are_not_judged() -> None:
    assert decode_request_header(bytes.fromhex("7fff 0001 00000001 ffff")) == (
        RequestHeader(32767, 1, 1, None),
        10,
    )
    assert decode_request_header(bytes.fromhex("0012 7fff 00000001 ffff 00"))[0].api_version == 32767


@pytest.mark.parametrize(
    "frame",
    [
        "",
        "0003 0008 00000007",
        "0003 0008 00000007 0003 6d65",
        "0003 0009 00000007 ffff",
        "0003 0009 00000007 ffff 41",
        "0003 0009 00000007 ffff 01 00 01",
    ],
)
def test_broken_request_headers(frame: str) -> None:
    with pytest.raises(DecodeError, match="request header"):
        decode_request_header(bytes.fromhex(frame))


@pytest.mark.parametrize("version", [3, 9, 13])
@pytest.mark.parametrize("client_id", [None, "", "kcat", "é"])
def test_request_frames_are_read_back(version: int, client_id: str | None) -> None:
    partition = ProduceRequest.PartitionProduceData(records=b"records")
    topic = ProduceRequest.TopicProduceData(partition_data=[partition])
    request = ProduceRequest(acks=-1, topic_data=[topic])
    header = RequestHeader(ApiKey.PRODUCE, version, 99, client_id)
    frame = b"".join(encode_request_frame(header, request))
    assert int.from_bytes(frame[:4]) == len(frame) - 4
    read, position = decode_request_header(frame[4:])
    assert read == header
    assert decode_exactly(ProduceRequest, version, frame[4:], position) == request


def test_the_header_is_what_the_derived_class_says() -> None:
    for version, header_version in ((8, 1), (9, 2)):
        frame = b"".join(
            encode_request_frame(RequestHeader(3, version, 5, "id"), MetadataRequest(topics=None))
        )
        theirs = derived.RequestHeader(
            request_api_key=3, request_api_version=version, correlation_id=5, client_id="id"
        )
        assert frame[4:].startswith(encode_to_bytes(theirs, header_version))


def test_a_header_that_does_not_fit() -> None:
    with pytest.raises(EncodeError):
        encode_request_frame(RequestHeader(3, 9, 5, "x" * 32768), MetadataRequest())


def test_response_frames() -> None:
    classic = b"".join(encode_response_frame(7, ApiKey.HEARTBEAT, 3, HeartbeatResponse(error_code=27)))
    assert classic.hex() == "0000000a0000000700000000001b"
    flexible = b"".join(encode_response_frame(7, ApiKey.HEARTBEAT, 4, HeartbeatResponse(error_code=27)))
    assert flexible.hex() == "0000000c000000070000000000001b00"
    assert decode_response_header(flexible[4:], ApiKey.HEARTBEAT, 4) == (7, 5)
    assert decode_response_header(classic[4:], ApiKey.HEARTBEAT, 3) == (7, 4)


def test_an_api_versions_response_never_has_tagged_fields_in_its_header() -> None:
    for version in range(6):
        response = ApiVersionsResponse(error_code=35)
        frame = b"".join(encode_response_frame(9, ApiKey.API_VERSIONS, version, response))
        assert frame[4:10].hex() == "000000090023"
        assert decode_response_header(frame[4:], ApiKey.API_VERSIONS, version) == (9, 4)
    request = b"".join(encode_request_frame(RequestHeader(18, 3, 9, None), ApiVersionsRequest()))
    assert request[4:].hex().startswith("0012000300000009ffff0001")


def test_the_size_counts_every_buffer() -> None:
    partition = FetchResponse.PartitionData(records=bytes(5000))
    topic = FetchResponse.FetchableTopicResponse(topic="t", partitions=[partition, partition])
    buffers = encode_response_frame(1, ApiKey.FETCH, 12, FetchResponse(responses=[topic]))
    assert len(buffers) == 5
    assert int.from_bytes(bytes(buffers[0][:4])) == sum(map(len, buffers)) - 4


@pytest.mark.parametrize("frame", ["", "000000", "00000001", "00000001 41", "00000001 01 00 01"])
def test_broken_response_headers(frame: str) -> None:
    with pytest.raises(DecodeError, match="response header"):
        decode_response_header(bytes.fromhex(frame), ApiKey.METADATA, 9)
    with pytest.raises(EncodeError):
        encode_response_frame(1, ApiKey.METADATA, 99, MetadataResponse())


def test_a_client_id_that_is_not_utf_8_is_taken_with_replacements_as_kafka_takes_it() -> None:
    header, position = decode_request_header(bytes.fromhex("0003 0008 00000007 0001 ff"))
    assert header.client_id == "\ufffd" and position == 11
