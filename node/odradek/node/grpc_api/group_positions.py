"""Positions that a group is set to: what they are as offsets, and the commit that sets them.

Translates only: where a time or an end is, the leader of the partition says. Source: proto/odradek/v1/record.proto,
`Position`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

from odradek.node.app.list_offsets import EARLIEST, LATEST, ListedOffset
from odradek.node.app.offset_lookups import LookUp
from odradek.node.app.offsets import ZERO_ID, CommitCommand, PartitionToCommit, TopicToCommit
from odradek.node.grpc_api.log_service import timestamp_of
from odradek.node.grpc_api.refusal import invalid, refused
from odradek.proto.kafka.errors import ErrorCode
from odradek.v1 import group_service_pb2 as pb

NO_EPOCH: Final = -1


class LookUps(Protocol):
    """`odradek.node.app.offset_lookups.OffsetLookUps`."""

    async def find(self, asked: Sequence[LookUp], timeout_s: float) -> list[ListedOffset]: ...


class Found(NamedTuple):
    offset: int
    leader_epoch: int


async def positions_of(
    positions: Sequence[pb.GroupPosition], look_ups: LookUps, timeout_s: float
) -> list[Found]:
    """One offset for each, in order. Raises RefusalError: INVALID_ARGUMENT for a position that says nothing,
    OUT_OF_RANGE for an offset that the partition does not hold, and what its leader refuses."""
    asked: list[LookUp] = []
    for one in positions:
        asked.extend(LookUp(one.topic, one.partition, timestamp) for timestamp in _timestamps(one))
    answers = iter(await look_ups.find(asked, timeout_s))
    return [_found(one, [next(answers) for _ in _timestamps(one)]) for one in positions]


def commit_of(group_id: str, positions: Sequence[pb.GroupPosition], found: Sequence[Found]) -> CommitCommand:
    """The commit of nobody, which a group without members takes; its outcomes are in the order of `positions`."""
    return CommitCommand(
        group_id,
        -1,
        "",
        None,
        [
            TopicToCommit(
                one.topic,
                ZERO_ID,
                [PartitionToCommit(one.partition, at.offset, at.leader_epoch, one.metadata)],
            )
            for one, at in zip(positions, found, strict=True)
        ],
    )


def _timestamps(one: pb.GroupPosition) -> tuple[int, ...]:
    """What is looked up. An offset is compared with both ends; where no record is as late as a time, the end counts."""
    kind = one.position.WhichOneof("kind")
    if kind is None:
        raise invalid(
            f"the position of partition {one.partition} of topic '{one.topic}' is missing:"
            " allowed are an offset, a timestamp_ms and an edge"
        )
    if kind == "offset":
        return EARLIEST, LATEST
    timestamp = timestamp_of(one.position)
    return (timestamp, LATEST) if kind == "timestamp_ms" else (timestamp,)


def _found(one: pb.GroupPosition, answers: Sequence[ListedOffset]) -> Found:
    place = {"topic": one.topic, "partition": str(one.partition)}
    name = f"partition {one.partition} of topic '{one.topic}'"
    for answer in answers:
        if answer.error is ErrorCode.UNKNOWN_TOPIC_OR_PARTITION:
            raise refused(answer.error, f"there is no {name}", **place)
        if answer.error is ErrorCode.REQUEST_TIMED_OUT:
            # Nothing was changed yet, so it is not unknown what became of the call.
            raise refused(ErrorCode.NETWORK_EXCEPTION, f"the leader of {name} did not answer", **place)
        if answer.error is not ErrorCode.NONE:
            raise refused(answer.error, None, **place)
    if one.position.WhichOneof("kind") != "offset":
        hit = next(answer for answer in answers if answer.offset >= 0)
        return Found(hit.offset, hit.leader_epoch)
    earliest, latest = answers[0].offset, answers[1].offset
    offset = one.position.offset
    if not earliest <= offset <= latest:
        message = f"{name} holds the offsets {earliest} to {latest}, not {offset}"
        raise refused(ErrorCode.OFFSET_OUT_OF_RANGE, message, **place)
    return Found(offset, NO_EPOCH)
