import pytest
from tests.unit.node.app.data_path import NOW_MS, World, batch
from tests.unit.node.kafka_api.handlers.wire_call import call

from odradek.node.kafka_api.handlers.list_offsets import ListOffsetsHandlers
from odradek.proto.kafka.errors import ErrorCode
from odradek.proto.kafka.messages.list_offsets import (
    ListOffsetsRequest,
    ListOffsetsResponse,
    OffsetForLeaderEpochRequest,
    OffsetForLeaderEpochResponse,
)


def handlers() -> ListOffsetsHandlers:
    world = World()
    world.produce(("t", 0, batch(3)))
    world.flush()
    return ListOffsetsHandlers(world.list_offsets)


def request(*timestamps: int, indices: tuple[int, ...] = (0,)) -> ListOffsetsRequest:
    asked = [
        ListOffsetsRequest.ListOffsetsPartition(partition_index=index, timestamp=timestamp)
        for timestamp in timestamps
        for index in indices
    ]
    return ListOffsetsRequest(
        replica_id=-1, topics=[ListOffsetsRequest.ListOffsetsTopic(name="t", partitions=asked)]
    )


@pytest.mark.parametrize("version", range(1, 12))
def test_every_version_finds_the_ends_and_a_time(version: int) -> None:
    for timestamp, offset in ((-1, 3), (-2, 0), (NOW_MS, 0), (NOW_MS + 1, -1)):
        response = call(handlers().list_offsets, request(timestamp), version, ListOffsetsResponse)
        answer = response.topics[0].partitions[0]
        assert (answer.error_code, answer.offset) == (0, offset), (version, timestamp)


@pytest.mark.parametrize(("timestamp", "first"), [(-3, 7), (-4, 8), (-5, 9), (-6, 11)])
def test_special_positions_need_their_version(timestamp: int, first: int) -> None:
    for version in (first - 1, first):
        response = call(handlers().list_offsets, request(timestamp), version, ListOffsetsResponse)
        error = ErrorCode.NONE if version == first else ErrorCode.UNSUPPORTED_VERSION
        assert response.topics[0].partitions[0].error_code == error


def test_a_partition_asked_for_twice_is_refused_twice() -> None:
    response = call(handlers().list_offsets, request(-1, indices=(0, 0)), 7, ListOffsetsResponse)
    assert [p.error_code for p in response.topics[0].partitions] == [ErrorCode.INVALID_REQUEST] * 2


@pytest.mark.parametrize("version", [2, 3, 4])
def test_epochs(version: int) -> None:
    asked = [
        OffsetForLeaderEpochRequest.OffsetForLeaderPartition(partition=index, leader_epoch=0)
        for index in (0, 9)
    ]
    topic = OffsetForLeaderEpochRequest.OffsetForLeaderTopic(topic="t", partitions=asked)
    response = call(
        handlers().offset_for_leader_epoch,
        OffsetForLeaderEpochRequest(topics=[topic]),
        version,
        OffsetForLeaderEpochResponse,
    )
    known, unknown = response.topics[0].partitions
    assert (known.error_code, known.leader_epoch, known.end_offset) == (0, 0, 3)
    assert unknown.error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION


@pytest.mark.parametrize("timestamp", [-7, -100])
def test_a_position_that_nobody_knows_is_refused(timestamp: int) -> None:
    response = call(handlers().list_offsets, request(timestamp), 11, ListOffsetsResponse)
    assert response.topics[0].partitions[0].error_code == ErrorCode.UNSUPPORTED_VERSION
