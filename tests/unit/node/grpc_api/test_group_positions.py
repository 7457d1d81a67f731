from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from odradek.node.app.list_offsets import EARLIEST, LATEST, ListedOffset
from odradek.node.app.offset_lookups import LookUp
from odradek.node.app.offsets import PartitionToCommit
from odradek.node.grpc_api.group_positions import Found, commit_of, positions_of
from odradek.node.grpc_api.refusal import RefusalError
from odradek.proto.kafka.errors import ErrorCode
from odradek.v1 import group_service_pb2 as pb
from odradek.v1 import record_pb2


class Log:
    """A partition that holds the offsets 5 to 9; the record at offset n has the timestamp 10 n."""

    def __init__(self, error: ErrorCode = ErrorCode.NONE) -> None:
        self.error = error
        self.asked: list[LookUp] = []

    async def find(self, asked: Sequence[LookUp], timeout_s: float) -> list[ListedOffset]:
        self.asked += asked
        return [self._at(one.timestamp) for one in asked]

    def _at(self, timestamp: int) -> ListedOffset:
        if self.error is not ErrorCode.NONE:
            return ListedOffset(self.error)
        if timestamp == LATEST:
            return ListedOffset(ErrorCode.NONE, -1, 10, 3)
        if timestamp == EARLIEST:
            return ListedOffset(ErrorCode.NONE, -1, 5, 2)
        offset = max(5, -(-timestamp // 10))
        return (
            ListedOffset(ErrorCode.NONE, 10 * offset, offset, 1) if offset < 10 else ListedOffset(self.error)
        )


def at(**position: Any) -> pb.GroupPosition:
    return pb.GroupPosition(
        topic="t", partition=4, position=record_pb2.Position(**position) if position else None, metadata="m"
    )


@pytest.mark.parametrize(
    ("position", "found"),
    [
        (at(offset=5), Found(5, -1)),
        (at(offset=10), Found(10, -1)),
        (at(timestamp_ms=0), Found(5, 1)),
        (at(timestamp_ms=71), Found(8, 1)),
        (at(timestamp_ms=91), Found(10, 3)),  # behind the last record
        (at(edge=record_pb2.EDGE_UNSPECIFIED), Found(5, 2)),
        (at(edge=record_pb2.EDGE_EARLIEST), Found(5, 2)),
        (at(edge=record_pb2.EDGE_LATEST), Found(10, 3)),
    ],
)
async def test_where_a_position_is(position: pb.GroupPosition, found: Found) -> None:
    assert await positions_of([position], Log(), 1) == [found]


async def test_all_positions_are_looked_up_together_and_answered_in_order() -> None:
    log = Log()
    asked = [at(edge=record_pb2.EDGE_LATEST), at(offset=7), at(timestamp_ms=60)]
    assert [one.offset for one in await positions_of(asked, log, 1)] == [10, 7, 6]
    assert [one.timestamp for one in log.asked] == [LATEST, EARLIEST, LATEST, 60, LATEST]


@pytest.mark.parametrize(
    ("position", "error", "status", "name"),
    [
        (at(), ErrorCode.NONE, "INVALID_ARGUMENT", "INVALID_REQUEST"),
        (at(timestamp_ms=-5), ErrorCode.NONE, "INVALID_ARGUMENT", "INVALID_REQUEST"),
        (at(offset=4), ErrorCode.NONE, "OUT_OF_RANGE", "OFFSET_OUT_OF_RANGE"),
        (at(offset=11), ErrorCode.NONE, "OUT_OF_RANGE", "OFFSET_OUT_OF_RANGE"),
        (at(edge=1), ErrorCode.LEADER_NOT_AVAILABLE, "UNAVAILABLE", "LEADER_NOT_AVAILABLE"),
        (at(edge=1), ErrorCode.REQUEST_TIMED_OUT, "UNAVAILABLE", "NETWORK_EXCEPTION"),
        (at(offset=6), ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, "NOT_FOUND", "UNKNOWN_TOPIC_OR_PARTITION"),
    ],
)
async def test_what_is_no_position(
    position: pb.GroupPosition, error: ErrorCode, status: str, name: str
) -> None:
    with pytest.raises(RefusalError) as raised:
        await positions_of([position], Log(error), 1)
    assert (raised.value.status.name, raised.value.reason) == (status, name)


def test_the_commit_is_nobodys_and_in_order() -> None:
    commit = commit_of("g", [at(offset=1), at(offset=2)], [Found(1, 3), Found(2, -1)])
    assert (commit.group_id, commit.generation, commit.member_id, commit.instance_id) == ("g", -1, "", None)
    assert [(topic.name, list(topic.partitions)) for topic in commit.topics] == [
        ("t", [PartitionToCommit(4, 1, 3, "m")]),
        ("t", [PartitionToCommit(4, 2, -1, "m")]),
    ]
