"""This layer's commands as Kafka's requests to another node, and its answers back."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.node.app.partitions_in_memory import CONTEXT

from odradek.node.app.offsets import CommitCommand, PartitionToCommit, TopicToCommit, TopicToFetch
from odradek.node.coordinator.group.commands import (
    GroupProtocol,
    Heartbeat,
    JoinGroup,
    LeaveGroup,
    LeavingMember,
    SyncGroup,
)
from odradek.node.interbroker.elsewhere import GRACE_MS, ElsewhereOverKafka
from odradek.node.partition.fetch_session import FetchPartition
from odradek.proto.kafka.codec import decode, encode
from odradek.proto.kafka.errors import ErrorCode
from odradek.proto.kafka.messages import classic_group as groups
from odradek.proto.kafka.messages import offsets
from odradek.proto.kafka.messages.fetch import FetchResponse
from odradek.proto.kafka.messages.list_offsets import ListOffsetsResponse
from odradek.proto.kafka.messages.produce import ProduceResponse
from odradek.proto.kafka.schema import Message

E = ErrorCode


class Peer:
    """Node 2: every request and answer goes through its bytes, so what a version has no room for is lost."""

    def __init__(self, answer: Message | Exception) -> None:
        self.answer = answer
        self.request_: Any = None
        self.timeout_ms = 0
        self.client_id = ""

    async def request(
        self, node_id: int, message: Message, version: int, timeout_ms: int, client_id: str = ""
    ) -> Message:
        assert node_id == 2
        self.request_ = _through(message, version)
        self.timeout_ms, self.client_id = timeout_ms, client_id
        if isinstance(self.answer, Exception):
            raise self.answer
        return _through(self.answer, version)


def _through(message: Message, version: int) -> Message:
    return decode(type(message), version, bytearray(b"".join(encode(message, version))), 0)


async def test_produce() -> None:
    found = ProduceResponse.PartitionProduceResponse(
        index=3,
        error_code=int(E.INVALID_RECORD),
        base_offset=-1,
        log_append_time_ms=5,
        record_errors=[
            ProduceResponse.BatchIndexAndErrorMessage(batch_index=1, batch_index_error_message="no")
        ],
        error_message="bad",
    )
    topic = ProduceResponse.TopicProduceResponse(name="t", partition_responses=[found])
    peer = Peer(ProduceResponse(responses=[topic]))
    result = await ElsewhereOverKafka(peer).produce(2, "t", 3, bytearray(b"batch"), 1, 700)
    assert (result.error, result.error_message, result.log_append_time_ms) == (E.INVALID_RECORD, "bad", 5)
    assert [tuple(one) for one in result.record_errors] == [(1, "no")]
    sent = peer.request_.topic_data[0]
    assert (peer.request_.acks, peer.request_.timeout_ms, sent.name) == (1, 700, "t")
    assert (sent.partition_data[0].index, bytes(sent.partition_data[0].records)) == (3, b"batch")
    assert peer.timeout_ms == 700 + GRACE_MS


async def test_fetch_answers_in_the_order_asked() -> None:
    def data(index: int, error: ErrorCode = E.NONE) -> FetchResponse.PartitionData:
        return FetchResponse.PartitionData(
            partition_index=index,
            error_code=int(error),
            high_watermark=10 + index,
            records=b"batches",
            aborted_transactions=None,
        )

    topics = [
        FetchResponse.FetchableTopicResponse(topic="u", partitions=[data(0)]),
        FetchResponse.FetchableTopicResponse(topic="t", partitions=[data(1, E.OFFSET_OUT_OF_RANGE), data(0)]),
    ]
    peer = Peer(FetchResponse(responses=topics))
    asked = [
        FetchPartition(name, bytes(16), at, 5, 100, 4)
        for name, at in (("t", 0), ("u", 0), ("t", 1), ("t", 2))
    ]
    how = {"max_bytes": 1000, "max_wait_ms": 300, "isolation_level": 1}
    found = await ElsewhereOverKafka(peer).fetch(2, asked, **how)
    assert [one.asked for one in found] == asked
    assert [one.error for one in found] == [E.NONE, E.NONE, E.OFFSET_OUT_OF_RANGE, E.UNKNOWN_SERVER_ERROR]
    assert bytes(found[0].records) == b"batches" and found[1].high_watermark == 10
    request = peer.request_
    assert (request.max_wait_ms, request.min_bytes, request.max_bytes, request.isolation_level) == (
        300,
        1,
        1000,
        1,
    )
    assert [topic.topic for topic in request.topics] == ["t", "u"]
    assert request.topics[0].partitions[0].current_leader_epoch == 4
    peer.answer = FetchResponse(error_code=int(E.KAFKA_STORAGE_ERROR))
    assert {one.error for one in await ElsewhereOverKafka(peer).fetch(2, asked, **how)} == {
        E.KAFKA_STORAGE_ERROR
    }


async def test_list_offset() -> None:
    found = ListOffsetsResponse.ListOffsetsPartitionResponse(
        partition_index=1, timestamp=9, offset=8, leader_epoch=7
    )
    peer = Peer(
        ListOffsetsResponse(
            topics=[ListOffsetsResponse.ListOffsetsTopicResponse(name="t", partitions=[found])]
        )
    )
    listed = await ElsewhereOverKafka(peer).list_offset(2, "t", 1, -2, 1)
    assert (listed.error, listed.timestamp, listed.offset, listed.leader_epoch) == (E.NONE, 9, 8, 7)
    assert peer.request_.topics[0].partitions[0].timestamp == -2 and peer.request_.isolation_level == 1


async def test_join_waits_as_long_as_a_rebalance_and_carries_who_asks() -> None:
    member = groups.JoinGroupResponse.JoinGroupResponseMember(
        member_id="m", group_instance_id="i", metadata=b"x"
    )
    peer = Peer(
        groups.JoinGroupResponse(
            generation_id=4,
            protocol_type="consumer",
            protocol_name="range",
            leader="m",
            member_id="m",
            members=[member],
        )
    )
    command = JoinGroup(
        "g", "", "i", "who", "/host", 6000, 60_000, "consumer", (GroupProtocol("range", b"y"),)
    )
    joined = await ElsewhereOverKafka(peer).join(2, CONTEXT, command)
    assert (joined.error, joined.member_id, joined.generation, joined.leader_id) == (E.NONE, "m", 4, "m")
    assert joined.members == (("m", "i", b"x"),) and joined.protocol_name == "range"
    request = peer.request_
    assert (request.session_timeout_ms, request.rebalance_timeout_ms, request.group_instance_id) == (
        6000,
        60_000,
        "i",
    )
    assert peer.client_id == "test" and peer.timeout_ms == 66_000 + GRACE_MS


async def test_the_rest_of_a_membership() -> None:
    peer = Peer(groups.SyncGroupResponse(assignment=b"a", protocol_type="consumer", protocol_name="range"))
    elsewhere = ElsewhereOverKafka(peer)
    synced = await elsewhere.sync(2, SyncGroup("g", 4, "m", "i", "consumer", "range", {"m": b"a"}))
    assert synced == (E.NONE, b"a", "consumer", "range")
    assert peer.request_.assignments[0].assignment == b"a" and peer.request_.generation_id == 4
    peer.answer = groups.HeartbeatResponse(error_code=int(E.REBALANCE_IN_PROGRESS))
    assert await elsewhere.heartbeat(2, Heartbeat("g", 4, "m", "i")) is E.REBALANCE_IN_PROGRESS
    assert peer.request_.group_instance_id == "i"
    left = groups.LeaveGroupResponse.MemberResponse(
        member_id="m", group_instance_id="i", error_code=int(E.UNKNOWN_MEMBER_ID)
    )
    peer.answer = groups.LeaveGroupResponse(members=[left])
    result = await elsewhere.leave(2, LeaveGroup("g", (LeavingMember("m", "i", "why"),)))
    assert result.members == (("m", "i", E.UNKNOWN_MEMBER_ID),) and peer.request_.members[0].reason == "why"


async def test_commits_and_what_was_committed() -> None:
    answer = offsets.OffsetCommitResponse
    partition = answer.OffsetCommitResponsePartition
    peer: Peer = Peer(
        answer(
            topics=[
                answer.OffsetCommitResponseTopic(name="t", partitions=[partition(partition_index=1)]),
                answer.OffsetCommitResponseTopic(
                    name="u",
                    partitions=[partition(partition_index=0, error_code=int(E.UNKNOWN_TOPIC_OR_PARTITION))],
                ),
            ]
        )
    )
    command = CommitCommand(
        "g",
        4,
        "m",
        "i",
        [
            TopicToCommit("t", bytes(16), [PartitionToCommit(1, 7, -1, "note")]),
            TopicToCommit("u", bytes(16), [PartitionToCommit(0, 8, -1, "")]),
        ],
    )
    outcomes = await ElsewhereOverKafka(peer).commit(2, command)
    assert outcomes == [E.NONE, E.UNKNOWN_TOPIC_OR_PARTITION]
    sent = peer.request_.topics[0].partitions[0]
    assert (sent.committed_offset, sent.committed_metadata) == (7, "note")
    found = offsets.OffsetFetchResponse.OffsetFetchResponsePartitions(
        partition_index=1, committed_offset=7, metadata=None
    )
    topic = offsets.OffsetFetchResponse.OffsetFetchResponseTopics(name="t", partitions=[found])
    peer.answer = offsets.OffsetFetchResponse(
        groups=[offsets.OffsetFetchResponse.OffsetFetchResponseGroup(group_id="g", topics=[topic])]
    )
    committed = await ElsewhereOverKafka(peer).committed(2, "g", [TopicToFetch("t", bytes(16), [1])])
    assert committed.topics[0].partitions[0][:3] == (1, E.NONE, 7)
    assert committed.topics[0].partitions[0].metadata == ""
    await ElsewhereOverKafka(peer).committed(2, "g", None)
    assert peer.request_.groups[0].topics is None


@pytest.mark.parametrize("failure", [ConnectionError("gone"), TimeoutError()])
async def test_failures_are_the_callers(failure: Exception) -> None:
    with pytest.raises(type(failure)):
        await ElsewhereOverKafka(Peer(failure)).heartbeat(2, Heartbeat("g", 1, "m", None))
