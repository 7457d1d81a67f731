"""Version by version: what leaves must be what that version can say. Rules of offsets are tested elsewhere."""

from __future__ import annotations

from typing import TypeVar

import pytest
from tests.scripts.group.node import CONTEXT, Node

from odradek.node.kafka_api.handlers.offsets import OffsetsHandlers
from odradek.proto.kafka.codec import decode, encode_to_bytes
from odradek.proto.kafka.errors import ErrorCode
from odradek.proto.kafka.messages.offsets import (
    OffsetCommitRequest,
    OffsetCommitResponse,
    OffsetDeleteRequest,
    OffsetFetchRequest,
    OffsetFetchResponse,
)
from odradek.proto.kafka.schema import Message

M = TypeVar("M", bound=Message)
T, UNKNOWN = b"t" * 16, b"?" * 16


def wire(message: M, version: int) -> M:
    """As the other side sees it."""
    return decode(type(message), version, encode_to_bytes(message, version))


class Kafka:
    """Handlers, called with what would arrive and answering what would leave."""

    def __init__(self, leading: bool = True) -> None:
        self.node = Node(leading)
        self.handlers = OffsetsHandlers(self.node.offsets)

    async def commit(
        self, version: int, generation: int = -1, retention_ms: int = -1
    ) -> OffsetCommitResponse:
        epoch = 7 if version >= 6 else -1
        partitions = [
            OffsetCommitRequest.OffsetCommitRequestPartition(
                partition_index=0,
                committed_offset=42,
                committed_leader_epoch=epoch,
                committed_metadata="m",
            ),
            OffsetCommitRequest.OffsetCommitRequestPartition(partition_index=9, committed_metadata=None),
        ]
        request = OffsetCommitRequest(
            group_id="g",
            generation_id_or_member_epoch=generation,
            retention_time_ms=retention_ms,
            topics=[
                OffsetCommitRequest.OffsetCommitRequestTopic(name="t", topic_id=T, partitions=partitions),
                OffsetCommitRequest.OffsetCommitRequestTopic(
                    name="nope", topic_id=UNKNOWN, partitions=partitions[:1]
                ),
            ],
        )
        answer = await self.handlers.offset_commit(CONTEXT, wire(request, version), version).wait()
        return wire(answer, version)

    async def fetch(
        self, version: int, groups: tuple[str, ...] = ("g",), every: bool = False
    ) -> OffsetFetchResponse:
        request = OffsetFetchRequest(
            group_id=groups[0],
            topics=None
            if every
            else [OffsetFetchRequest.OffsetFetchRequestTopic(name="t", partition_indexes=[0, 1])],
            groups=[
                OffsetFetchRequest.OffsetFetchRequestGroup(
                    group_id=group,
                    topics=None
                    if every
                    else [
                        OffsetFetchRequest.OffsetFetchRequestTopics(
                            name="t", topic_id=T, partition_indexes=[0, 1]
                        )
                    ],
                )
                for group in groups
            ],
        )
        answer = await self.handlers.offset_fetch(CONTEXT, wire(request, version), version)
        return wire(answer, version)


def test_routes_are_the_versions_of_kafka_4_3() -> None:
    routes = OffsetsHandlers.routes(object.__new__(OffsetsHandlers))
    assert {route.key.name: (route.min_version, route.max_version) for route in routes} == {
        "OFFSET_COMMIT": (2, 10),
        "OFFSET_FETCH": (1, 10),
        "OFFSET_DELETE": (0, 0),
    }


@pytest.mark.parametrize("version", range(2, 11))
async def test_commit(version: int) -> None:
    kafka = Kafka()
    answer = await kafka.commit(version)
    missing = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    no_topic = ErrorCode.UNKNOWN_TOPIC_ID if version >= 10 else missing
    errors = [[(p.partition_index, p.error_code) for p in topic.partitions] for topic in answer.topics]
    assert errors == [[(0, 0), (9, missing)], [(0, no_topic)]]
    assert answer.topics[0].name == ("t" if version < 10 else "")
    assert answer.topics[0].topic_id == (T if version >= 10 else bytes(16))


@pytest.mark.parametrize(("version", "expires"), [(2, True), (4, True), (5, False)])
async def test_old_commits_bring_their_retention(version: int, expires: bool) -> None:
    kafka = Kafka()
    await kafka.commit(version, retention_ms=500 if version <= 4 else -1)
    shard = kafka.node.runtime.read("g")
    assert not isinstance(shard, ErrorCode)
    committed = shard.committed_offsets("g")["t"][0]
    assert committed.expire_timestamp_ms == (1_500 if expires else -1)


@pytest.mark.parametrize("version", [8, 9])
async def test_a_generation_of_a_group_that_is_not_there(version: int) -> None:
    answer = await Kafka().commit(version, generation=3)
    expected = ErrorCode.GROUP_ID_NOT_FOUND if version >= 9 else ErrorCode.ILLEGAL_GENERATION
    assert answer.topics[0].partitions[0].error_code == expected


@pytest.mark.parametrize("version", range(1, 8))
async def test_fetch_of_one_group(version: int) -> None:
    kafka = Kafka()
    await kafka.commit(6)
    (topic,) = (await kafka.fetch(version)).topics
    first, second = topic.partitions
    assert (first.committed_offset, first.metadata, first.error_code) == (42, "m", 0)
    assert first.committed_leader_epoch == (7 if version >= 5 else -1)
    assert (second.committed_offset, second.metadata, second.error_code) == (-1, "", 0)
    if version >= 2:
        assert [p.partition_index for p in (await kafka.fetch(version, every=True)).topics[0].partitions] == [
            0
        ]
        assert (await kafka.fetch(version, ("never",), every=True)).topics == []


@pytest.mark.parametrize("version", range(8, 11))
async def test_fetch_of_several_groups(version: int) -> None:
    kafka = Kafka()
    await kafka.commit(9)
    found = (await kafka.fetch(version, ("never", "g"))).groups
    assert [group.group_id for group in found] == ["never", "g"]
    assert [[p.committed_offset for p in group.topics[0].partitions] for group in found] == [
        [-1, -1],
        [42, -1],
    ]
    assert found[1].topics[0].name == ("t" if version < 10 else "")
    assert found[1].topics[0].topic_id == (T if version >= 10 else bytes(16))
    assert {group.error_code for group in found} == {0}
    everything = (await kafka.fetch(version, ("never", "g"), every=True)).groups
    assert [len(group.topics) for group in everything] == [0, 1]


@pytest.mark.parametrize("version", range(1, 11))
async def test_a_coordinator_that_cannot_be_asked(version: int) -> None:
    answer = await Kafka(leading=False).fetch(version)
    loading = ErrorCode.COORDINATOR_LOAD_IN_PROGRESS
    if version == 1:
        assert {p.error_code for p in answer.topics[0].partitions} == {loading}
    elif version < 8:
        assert (answer.error_code, answer.topics) == (loading, [])
    else:
        assert [(group.group_id, group.error_code) for group in answer.groups] == [("g", loading)]


async def test_delete() -> None:
    kafka = Kafka()
    await kafka.commit(9)
    request = OffsetDeleteRequest(
        group_id="g",
        topics=[
            OffsetDeleteRequest.OffsetDeleteRequestTopic(
                name="t",
                partitions=[
                    OffsetDeleteRequest.OffsetDeleteRequestPartition(partition_index=p) for p in (9, 0)
                ],
            )
        ],
    )
    deleted = wire(await kafka.handlers.offset_delete(CONTEXT, wire(request, 0), 0), 0)
    assert [(p.partition_index, p.error_code) for p in deleted.topics[0].partitions] == [(9, 3), (0, 0)]
    assert (await kafka.fetch(9, every=True)).groups[0].topics == []
    request.group_id = "never"
    deleted = wire(await kafka.handlers.offset_delete(CONTEXT, wire(request, 0), 0), 0)
    assert (deleted.error_code, deleted.topics) == (ErrorCode.GROUP_ID_NOT_FOUND, [])
