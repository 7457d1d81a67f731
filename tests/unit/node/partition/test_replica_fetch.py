"""A follower's requests as Kafka reads them."""

from tests.unit.node.app.data_path import World

from odradek.node.partition.fetch_schedule import Ask, Followed
from odradek.node.partition.replica_fetch import (
    FETCH_VERSION,
    LATEST,
    LIST_OFFSETS_VERSION,
    FetchRequest,
    ListOffsetsRequest,
    ListOffsetsResponse,
    fetch_request,
    list_offsets_request,
    listed_offset,
)
from odradek.node.partition.replication_config import ReplicationConfig
from odradek.proto.kafka.codec import decode, encode
from odradek.proto.kafka.errors import ErrorCode


def one(topic: bytes, index: int) -> Followed:
    followed = Followed(topic * 16, index)
    followed.leader_epoch, followed.fetch_offset, followed.last_epoch, followed.log_start_offset = 5, 10, 4, 2
    return followed


def test_positions_are_told_by_topic_id_with_the_replica_and_its_broker_epoch() -> None:
    ask = Ask(77, 3, [one(b"a", 0), one(b"b", 1), one(b"a", 2)], [(b"c" * 16, 4), (b"c" * 16, 5)], 250)
    request = fetch_request(ask, 2, 99, ReplicationConfig(fetch_bytes_max=1_000, response_bytes_max=5_000))
    request = decode(FetchRequest, FETCH_VERSION, bytearray(b"".join(encode(request, FETCH_VERSION))))
    assert (request.replica_state.replica_id, request.replica_state.replica_epoch) == (2, 99)
    assert (request.session_id, request.session_epoch, request.max_wait_ms) == (77, 3, 250)
    assert (request.min_bytes, request.max_bytes) == (1, 5_000)
    asked = {(t.topic_id[:1], p.partition) for t in request.topics for p in t.partitions}
    assert asked == {(b"a", 0), (b"a", 2), (b"b", 1)}
    position = request.topics[0].partitions[0]
    assert (position.current_leader_epoch, position.fetch_offset, position.last_fetched_epoch) == (5, 10, 4)
    assert (position.log_start_offset, position.partition_max_bytes) == (2, 1_000)
    assert [(t.topic_id[:1], t.partitions) for t in request.forgotten_topics_data] == [(b"c", [4, 5])]


def test_the_ends_of_the_leaders_log_are_asked_for_as_a_replica() -> None:
    request = list_offsets_request(World().partition(), 2, LATEST)
    data = bytearray(b"".join(encode(request, LIST_OFFSETS_VERSION)))
    request = decode(ListOffsetsRequest, LIST_OFFSETS_VERSION, data)
    asked = request.topics[0].partitions[0]
    assert (request.replica_id, request.topics[0].name, asked.timestamp) == (2, "t", -1)
    answer = ListOffsetsResponse.ListOffsetsPartitionResponse(offset=7)
    topic = ListOffsetsResponse.ListOffsetsTopicResponse(partitions=[answer])
    assert listed_offset(ListOffsetsResponse(topics=[topic])) == 7
    answer.error_code = ErrorCode.NOT_LEADER_OR_FOLLOWER
    assert listed_offset(ListOffsetsResponse(topics=[topic])) is ErrorCode.NOT_LEADER_OR_FOLLOWER
    assert listed_offset(ListOffsetsResponse()) is ErrorCode.UNKNOWN_SERVER_ERROR
