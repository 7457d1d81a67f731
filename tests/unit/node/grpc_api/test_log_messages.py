"""What is written and read by hand is what protobuf writes and reads."""

from __future__ import annotations

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from odradek.node.grpc_api.log_messages import batches_of, decode_produce, encode_fetched
from odradek.v1 import log_service_pb2 as pb

TOPICS = st.text(max_size=20)
INT32 = st.integers(-(2**31), 2**31 - 1)


@given(
    st.lists(
        st.tuples(
            TOPICS, INT32, st.integers(-1, 2**62), st.one_of(st.binary(max_size=300), st.just(b"x" * 40_000))
        )
    ),
    st.booleans(),
)
def test_a_fetch_response(partitions: list[tuple[str, int, int, bytes]], as_view: bool) -> None:
    messages = [pb.FetchedPartition(topic=t, partition=p, high_watermark=o) for t, p, o, _ in partitions]
    beside = [memoryview(records) if as_view else records for *_, records in partitions]
    found = pb.FetchResponse.FromString(encode_fetched(zip(messages, beside, strict=True)))
    for message, (*_, records) in zip(messages, partitions, strict=True):
        message.record_batches = records
    assert found == pb.FetchResponse(partitions=messages)


@given(
    st.lists(
        st.builds(pb.ProducePartition, topic=TOPICS, partition=INT32, record_batch=st.binary(max_size=300))
    ),
    st.sampled_from([0, 1, 2, 77, -1]),
)
def test_a_produce_request(partitions: list[pb.ProducePartition], acks: int) -> None:
    request = pb.ProduceRequest(partitions=partitions)
    request.acks = acks  # type: ignore[assignment]
    assert decode_produce(request.SerializeToString()) == batches_of(request)


@given(st.binary(max_size=60))
def test_any_bytes_come_to_what_protobuf_makes_of_them(data: bytes) -> None:
    try:
        expected = batches_of(pb.ProduceRequest.FromString(data))
    except DecodeError:
        with pytest.raises(DecodeError):
            decode_produce(data)
    else:
        assert decode_produce(data) == expected


def test_fields_of_a_later_version_and_a_topic_that_is_no_text() -> None:
    partition = pb.ProducePartition(topic="t", partition=3, record_batch=b"batch").SerializeToString()
    later = b"\x0a" + bytes((len(partition) + 2,)) + partition + b"\x78\x05" + b"\x7a\x01z"
    assert decode_produce(later).partitions == [("t", 3, bytearray(b"batch"))]
    with pytest.raises(DecodeError):
        decode_produce(b"\x0a\x03\x0a\x01\xff")
