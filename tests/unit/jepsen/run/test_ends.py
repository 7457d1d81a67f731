"""The end of every key is what its leader says, whoever that is by then."""

from __future__ import annotations

import pytest

from odradek.jepsen.db import requests
from odradek.jepsen.run.ends import high_watermarks, request
from odradek.proto.kafka.errors import ErrorCode
from odradek.proto.kafka.messages.list_offsets import ListOffsetsRequest, ListOffsetsResponse
from odradek.proto.kafka.schema import Message


class _Cluster:
    """`answers`: by node, what it says when asked, the last one for ever."""

    def __init__(
        self, leaders: list[int | None], answers: dict[int, list[tuple[ErrorCode, int] | None]]
    ) -> None:
        self.leaders = leaders
        self.answers = answers

    def leader_of(self, key: str) -> int | None:
        return self.leaders.pop(0) if len(self.leaders) > 1 else self.leaders[0]

    def ask(
        self, node: int, message: Message, version: int, expected: type[requests.M], timeout_s: float = 1.0
    ) -> requests.M:
        assert isinstance(message, ListOffsetsRequest)
        answers = self.answers[node]
        told = answers.pop(0) if len(answers) > 1 else answers[0]
        if told is None:
            raise ConnectionError("closed")
        part = ListOffsetsResponse.ListOffsetsPartitionResponse(error_code=int(told[0]), offset=told[1])
        topic = ListOffsetsResponse.ListOffsetsTopicResponse(name="q", partitions=[part])
        answer: Message = ListOffsetsResponse(topics=[topic])
        assert isinstance(answer, expected)
        return answer


def test_the_leader_is_asked() -> None:
    cluster = _Cluster([2], {2: [(ErrorCode.NONE, 12)]})
    assert high_watermarks(cluster, ["q/0"]) == {"q/0": 12}


def test_it_is_asked_again_until_somebody_leads_and_answers() -> None:
    cluster = _Cluster(
        [None, 1, 2], {1: [None], 2: [(ErrorCode.NOT_LEADER_OR_FOLLOWER, -1), (ErrorCode.NONE, 3)]}
    )
    assert high_watermarks(cluster, ["q/0"]) == {"q/0": 3}


def test_a_key_that_nobody_leads_is_named() -> None:
    with pytest.raises(TimeoutError, match="q/0"):
        high_watermarks(_Cluster([None], {}), ["q/0"], timeout_s=0.0)


def test_the_latest_offset_of_consumers_is_asked_for() -> None:
    asked = request("a/b/3")
    assert (asked.replica_id, asked.topics[0].name) == (-1, "a/b")
    assert (asked.topics[0].partitions[0].partition_index, asked.topics[0].partitions[0].timestamp) == (3, -1)
