"""How the compiled encoders are written: what every message costs is decided by these shapes."""

from __future__ import annotations

from odradek.proto.kafka.codec import encode
from odradek.proto.kafka.encoder import compile_encoder
from odradek.proto.kafka.messages.classic_group import HeartbeatResponse
from odradek.proto.kafka.messages.fetch import FetchResponse
from odradek.proto.kafka.messages.list_offsets import ListOffsetsResponse


def test_a_version_is_compiled_once() -> None:
    encode(HeartbeatResponse(), 4)
    compiled = HeartbeatResponse.ENCODERS[4]
    encode(HeartbeatResponse(), 4)
    assert HeartbeatResponse.ENCODERS[4] is compiled


def test_fields_of_fixed_size_are_packed_together_with_the_closing_tag_section() -> None:
    calls = compile_encoder(HeartbeatResponse, 4).__code__.co_names
    assert sum(name.startswith("p") and name[1:].isdigit() for name in calls) == 1


def test_small_pieces_are_joined_into_one_buffer() -> None:
    partitions = [ListOffsetsResponse.ListOffsetsPartitionResponse(partition_index=n) for n in range(50)]
    topic = ListOffsetsResponse.ListOffsetsTopicResponse(name="t", partitions=partitions)
    assert len(encode(ListOffsetsResponse(topics=[topic]), 6)) == 1


def test_records_stand_between_joined_pieces() -> None:
    partitions = [FetchResponse.PartitionData(records=bytes(10)) for _ in range(3)]
    topic = FetchResponse.FetchableTopicResponse(topic="t", partitions=partitions)
    assert len(encode(FetchResponse(responses=[topic]), 12)) == 7
