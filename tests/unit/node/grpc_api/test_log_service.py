from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from tests.unit.node.controller.image_world import ImageWorld
from tests.unit.node.grpc_api.node import CONTEXT, NOW_MS, Node, Servicers

from odradek.node.app.cluster import ClusterService
from odradek.node.app.producer_ids import ProducerIdService
from odradek.node.controller.controller import ControllerError
from odradek.node.controller.topics import NewTopic
from odradek.node.grpc_api.log_service import LogServicer
from odradek.proto.kafka.errors import ErrorCode
from odradek.proto.kafka.record_batch import Record, build_batch, iter_headers, iter_records
from odradek.v1 import log_service_pb2 as pb
from odradek.v1 import record_pb2

INVALID = "INVALID_ARGUMENT"


async def with_topic(**configs: str) -> Node:
    node = await Node.started()
    (outcome,) = await node.services.controller.create_topics([NewTopic("t", 2, 1, configs=configs)])
    assert outcome.error is ErrorCode.NONE
    return node


def batch(count: int = 1, first_ms: int = NOW_MS, **producer: int) -> bytes:
    return bytes(build_batch([Record(at, first_ms + at, b"k", b"v", ()) for at in range(count)], **producer))


def to(partition: int, data: bytes, topic: str = "t") -> pb.ProducePartition:
    return pb.ProducePartition(topic=topic, partition=partition, record_batch=data)


def of(partition: int, offset: int = 0, topic: str = "t", **fields: Any) -> pb.FetchPartition:
    return pb.FetchPartition(topic=topic, partition=partition, offset=offset, **fields)


def offsets(batches: bytes) -> list[int]:
    return [record.offset for at, _ in iter_headers(batches) for record in iter_records(batches, at)]


async def produce(node: Servicers, *partitions: pb.ProducePartition, **fields: Any) -> list[Any]:
    answer = await node.ask("Produce", pb.ProduceRequest(partitions=partitions, **fields), timeout_s=20.0)
    return list(answer.partitions)


async def fetch(node: Servicers, *partitions: pb.FetchPartition, **fields: Any) -> list[Any]:
    answer = await node.ask("Fetch", pb.FetchRequest(partitions=partitions, **fields))
    return list(pb.FetchResponse.FromString(answer).partitions)


# -- Produce


@pytest.mark.parametrize("acks", [record_pb2.ACKS_UNSPECIFIED, record_pb2.ACKS_ALL, record_pb2.ACKS_LEADER])
async def test_batches_are_written_each_to_its_partition(acks: record_pb2.Acks) -> None:
    node = await with_topic()
    first = await produce(node, to(1, batch(3)), to(0, batch(2)), acks=acks)
    assert [(one.topic, one.partition, one.base_offset) for one in first] == [("t", 1, 0), ("t", 0, 0)]
    assert all(not one.HasField("error") and one.log_append_time_ms == -1 for one in first)
    (second,) = await produce(node, to(1, batch(1)), acks=acks)
    assert second.base_offset == 3


async def test_a_batch_that_is_refused_does_not_stop_the_others() -> None:
    node = await with_topic(**{"max.message.bytes": "200"})
    damaged = bytearray(batch())
    damaged[-1] ^= 1
    written = await produce(
        node, to(0, batch()), to(7, batch()), to(1, bytes(damaged)), to(0, batch(), topic="no")
    )
    assert [one.error.reason for one in written] == [
        "",
        "UNKNOWN_TOPIC_OR_PARTITION",
        "CORRUPT_MESSAGE",
        "UNKNOWN_TOPIC_OR_PARTITION",
    ]
    assert written[1].base_offset == -1 and written[1].error.message and written[1].error.code == 3
    (large,) = await produce(node, to(0, batch(100)))
    assert (large.error.reason, large.error.retriable) == ("MESSAGE_TOO_LARGE", False)
    for nothing in (b"", b"x"):
        (one,) = await produce(node, to(0, nothing))
        assert one.HasField("error")


async def test_the_bytes_of_a_request_stay_as_they_were() -> None:
    node = await with_topic()
    await produce(node, to(0, batch(3)))
    request = pb.ProduceRequest(partitions=[to(0, batch(2))])
    before = request.SerializeToString()
    await node.ask("Produce", request)
    assert request.SerializeToString() == before


async def test_a_batch_of_an_idempotent_producer_is_written_once() -> None:
    node = await with_topic()
    data = batch(2, producer_id=7, producer_epoch=0, base_sequence=0)
    for _ in range(2):
        (one,) = await produce(node, to(0, data))
        assert (one.base_offset, one.HasField("error")) == (0, False)
    (gap,) = await produce(node, to(0, batch(1, producer_id=7, producer_epoch=0, base_sequence=9)))
    assert gap.error.reason == "OUT_OF_ORDER_SEQUENCE_NUMBER"


async def test_the_time_of_writing_is_told_where_the_topic_wants_it() -> None:
    node = await with_topic(**{"message.timestamp.type": "LogAppendTime"})
    (one,) = await produce(node, to(0, batch(1, 5)))
    assert one.log_append_time_ms == NOW_MS


async def test_writes_that_cannot_be_right() -> None:
    node = await with_topic()
    assert await node.reason("Produce", pb.ProduceRequest()) == (INVALID, "INVALID_REQUEST")
    acks: Any = 9
    request = pb.ProduceRequest(partitions=[to(0, batch())], acks=acks)
    assert await node.reason("Produce", request) == (INVALID, "INVALID_REQUIRED_ACKS")


# -- Fetch


async def test_what_was_written_is_read_in_whole_batches() -> None:
    node = await with_topic()
    await produce(node, to(0, batch(3)))
    await produce(node, to(0, batch(2)))
    (one,) = await fetch(node, of(0, 1))
    assert offsets(one.record_batches) == [
        0,
        1,
        2,
        3,
        4,
    ]  # from the beginning of the batch that holds offset 1
    assert (one.high_watermark, one.last_stable_offset, one.log_start_offset) == (5, 5, 0)
    assert not one.HasField("error") and not one.HasField("preferred_read_replica")
    (limited,) = await fetch(node, of(0, max_bytes=1))
    assert offsets(limited.record_batches) == [0, 1, 2]


async def test_partitions_are_answered_in_order_each_alone() -> None:
    node = await with_topic()
    await produce(node, to(1, batch()))
    answers = await fetch(node, of(1), of(9), of(0, 5), of(0, topic="no"), of(0))
    assert [(one.topic, one.partition, one.error.reason) for one in answers] == [
        ("t", 1, ""),
        ("t", 9, "UNKNOWN_TOPIC_OR_PARTITION"),
        ("t", 0, "OFFSET_OUT_OF_RANGE"),
        ("no", 0, "UNKNOWN_TOPIC_OR_PARTITION"),
        ("t", 0, ""),
    ]


async def test_a_reader_waits_for_what_is_written() -> None:
    node = await with_topic()
    waiting = asyncio.create_task(fetch(node, of(0), max_wait_ms=60_000))
    await asyncio.sleep(0)
    await produce(node, to(0, batch()))
    (one,) = await asyncio.wait_for(waiting, 20)
    assert one.record_batches


async def test_a_reader_that_gives_up_leaves_nothing_waiting() -> None:
    node = await with_topic()
    waiting = asyncio.create_task(fetch(node, of(0), max_wait_ms=60_000))
    await asyncio.sleep(0)
    partition = node.services.replicas.find("t", 0)
    assert not isinstance(partition, ErrorCode)
    assert node.services.replicas.watchers.has(partition)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not node.services.replicas.watchers.has(partition)


async def test_epochs_of_a_reader() -> None:
    node = await with_topic()
    await produce(node, to(0, batch()))
    (current,) = await fetch(node, of(0, leader_epoch=0))
    assert not current.HasField("error")
    (newer,) = await fetch(node, of(0, leader_epoch=9))
    assert (newer.error.reason, newer.HasField("leader")) == ("UNKNOWN_LEADER_EPOCH", False)


@pytest.mark.parametrize(
    "fields",
    [
        {"max_wait_ms": -1},
        {"min_bytes": -1},
        {"max_bytes": -1},
        {"isolation_level": 9},
        {"partitions": [of(0, max_bytes=-1)]},
    ],
)
async def test_reads_that_cannot_be_right(fields: dict[str, Any]) -> None:
    node = await with_topic()
    assert await node.reason("Fetch", pb.FetchRequest(**fields)) == (INVALID, "INVALID_REQUEST")


# -- Metadata, and who leads


async def elsewhere() -> Node:
    """Node 1 of three: t-0 is led by node 2, t-1 by nobody, t-2 by node 1."""
    node = await Node.started()
    world = ImageWorld()
    world.create("t", (2, 1), (3,), (1, 2))
    world.fence(3)
    node.adopt(world)
    return node


async def test_who_does_not_lead_says_who_does() -> None:
    node = await elsewhere()
    (written,) = await produce(node, to(0, batch()))
    (read,) = await fetch(node, of(0))
    for one in (written, read):
        assert one.error.reason == "NOT_LEADER_OR_FOLLOWER" and one.error.retriable
        assert (one.leader.node_id, one.leader.leader_epoch) == (2, 0)


async def test_topics_and_who_leads_what() -> None:
    node = await elsewhere()
    answer = await node.ask("Metadata", pb.MetadataRequest())
    assert answer.cluster_id == "c"
    (topic,) = answer.topics
    assert (topic.name, topic.topic_id) == ("t", b"t---------------")
    told = [(one.partition, one.leader_id, list(one.replicas)) for one in topic.partitions]
    assert told == [(0, 2, [2, 1]), (1, -1, [3]), (2, 1, [1, 2])]
    assert [list(one.offline_replicas) for one in topic.partitions] == [[], [3], []]
    assert list(topic.partitions[0].in_sync_replicas) == [2, 1]
    asked = await node.ask("Metadata", pb.MetadataRequest(topics=["no", "t", "!"]))
    assert [(one.name, one.error.reason) for one in asked.topics] == [
        ("no", "UNKNOWN_TOPIC_OR_PARTITION"),
        ("t", ""),
        ("!", "INVALID_TOPIC_EXCEPTION"),
    ]


async def test_nodes_are_those_that_are_alive_and_speak_grpc() -> None:
    world = ImageWorld((1, 2, 3, 4))
    brokers = dict(world.image.brokers)
    for node_id in (1, 2, 3):
        endpoint = brokers[node_id].endpoints["PLAINTEXT"]._replace(port=50_000 + node_id)
        brokers[node_id] = replace(brokers[node_id], endpoints={"GRPC": endpoint})
    brokers[3] = replace(brokers[3], fenced=True)
    image = replace(world.image, brokers=brokers)
    cluster = ClusterService(1, {}, lambda: image)
    node = await with_topic()
    services = node.services
    servicer = LogServicer(
        services.produce,
        services.fetch,
        services.list_offsets,
        services.metadata,
        cluster,
        services.producer_ids,
    )
    answer = await Servicers.of(servicer).ask("Metadata", pb.MetadataRequest())
    # This node is where the client has reached it.
    assert [(one.node_id, one.host, one.port) for one in answer.nodes] == [
        (1, CONTEXT.local_host, CONTEXT.local_port),
        (2, "host2", 50_002),
    ]
    assert answer.controller_id == 1


async def test_a_topic_is_made_by_being_asked_for_if_the_client_wants_that() -> None:
    node = await Node.started()
    created: list[str] = []

    class Creator:
        async def create_topics(self, new: Any) -> list[Any]:
            created.extend(topic.name for topic in new)
            return []

    node.services.metadata._creator = Creator()
    await node.ask("Metadata", pb.MetadataRequest(topics=["a"]))
    await asyncio.sleep(0)
    assert created == []
    answer = await node.ask("Metadata", pb.MetadataRequest(topics=["b"], create_topics=True))
    assert answer.topics[0].error.reason == "UNKNOWN_TOPIC_OR_PARTITION"
    await asyncio.sleep(0)
    assert created == ["b"]


# -- ListOffsets


def where(partition: int, topic: str = "t", leader_epoch: int | None = None, **position: Any) -> Any:
    return pb.ListOffsetsPartition(
        topic=topic,
        partition=partition,
        leader_epoch=leader_epoch,
        position=record_pb2.Position(**position) if position else None,
    )


async def test_times_and_ends_as_offsets() -> None:
    node = await with_topic()
    await produce(node, to(0, batch(5)))
    asked = [
        where(0, edge=record_pb2.EDGE_EARLIEST),
        where(0, edge=record_pb2.EDGE_UNSPECIFIED),
        where(0, edge=record_pb2.EDGE_LATEST),
        where(0, timestamp_ms=NOW_MS + 2),
        where(0, timestamp_ms=NOW_MS + 9),
        where(9, edge=record_pb2.EDGE_LATEST),
        where(0, edge=record_pb2.EDGE_LATEST, leader_epoch=5),
    ]
    answer = await node.ask("ListOffsets", pb.ListOffsetsRequest(partitions=asked))
    assert [(one.offset, one.timestamp_ms, one.error.reason) for one in answer.partitions] == [
        (0, -1, ""),
        (0, -1, ""),
        (5, -1, ""),
        (2, NOW_MS + 2, ""),
        (-1, -1, ""),
        (-1, -1, "UNKNOWN_TOPIC_OR_PARTITION"),
        (-1, -1, "UNKNOWN_LEADER_EPOCH"),
    ]
    assert answer.partitions[0].leader_epoch == 0


@pytest.mark.parametrize(
    "position", [{}, {"offset": 3}, {"timestamp_ms": -1}, {"edge": 9}], ids=lambda one: str(one)
)
async def test_positions_that_are_not_looked_up(position: dict[str, Any]) -> None:
    node = await with_topic()
    request = pb.ListOffsetsRequest(partitions=[where(0, **position)])
    assert await node.reason("ListOffsets", request) == (INVALID, "INVALID_REQUEST")


# -- InitProducerId


class Blocks:
    def __init__(self) -> None:
        self.failure: ControllerError | None = None

    async def allocate_producer_ids(self, count: int = 1000) -> int:
        if self.failure is not None:
            raise self.failure
        return 5000


async def test_an_identity_that_nobody_had() -> None:
    services = (await Node.started()).services
    blocks = Blocks()
    servicer = LogServicer(
        services.produce,
        services.fetch,
        services.list_offsets,
        services.metadata,
        services.cluster,
        ProducerIdService(blocks),
    )
    service = Servicers.of(servicer)
    blocks.failure = ControllerError(ErrorCode.NOT_CONTROLLER, "nobody leads")
    request = pb.InitProducerIdRequest()
    assert await service.reason("InitProducerId", request) == ("UNAVAILABLE", "NOT_CONTROLLER")
    blocks.failure = None
    fresh = [await service.ask("InitProducerId", request) for _ in range(2)]
    assert [(one.producer_id, one.producer_epoch) for one in fresh] == [(5000, 0), (5001, 0)]


async def test_all_is_answered_by_the_node_that_is_asked() -> None:
    node = await Node.started()
    for name in ("Produce", "Fetch", "Metadata", "ListOffsets", "InitProducerId"):
        assert node.methods[name].where is None
