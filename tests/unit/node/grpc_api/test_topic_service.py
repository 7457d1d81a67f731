from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.unit.node.controller.image_world import ImageWorld
from tests.unit.node.grpc_api.node import Asked, FakeOthers, Node, Place, Servicers

from odradek.node.grpc_api.refusal import RefusalError, refused
from odradek.node.grpc_api.topic_service import TopicServicer
from odradek.proto.kafka.errors import ErrorCode
from odradek.v1 import topic_service_pb2 as pb
from odradek.v1.record_pb2 import TopicPartitionOffset as At

INVALID = "INVALID_ARGUMENT"


async def create(node: Node, name: str, **fields: Any) -> pb.Topic:
    answer: pb.CreateTopicResponse = await node.ask("CreateTopic", pb.CreateTopicRequest(name=name, **fields))
    return answer.topic


def viewing(world: ImageWorld) -> Servicers:
    """The service on an image; nothing can be changed."""
    unused: Any = None
    return Servicers.of(TopicServicer(unused, unused, Place(world.image), FakeOthers()))


async def test_a_topic_is_made_with_numbers_defaults_and_configs_and_told() -> None:
    node = await Node.started(num_partitions="3")
    made = await create(node, "t", configs={"retention.ms": "5"})
    assert (made.partition_count, made.replication_factor, dict(made.configs)) == (
        3,
        1,
        {"retention.ms": "5"},
    )
    got = await node.ask("GetTopic", pb.GetTopicRequest(name="t"))
    assert got.topic == made and len(made.topic_id) == 16
    (listed,) = (await node.ask("ListTopics", pb.ListTopicsRequest())).topics
    assert listed.topic_id == made.topic_id and not listed.configs
    assert (await create(node, "placed", assignments=[{"node_ids": [1]}] * 2)).partition_count == 2


async def test_validate_only_makes_nothing() -> None:
    node = await Node.started()
    assert (await create(node, "t", validate_only=True, partition_count=4)).partition_count == 4
    assert node.services.controller.image.topic("t") is None
    assert await node.reason("CreateTopic", pb.CreateTopicRequest(name="!", validate_only=True)) == (
        INVALID,
        "INVALID_TOPIC_EXCEPTION",
    )


@pytest.mark.parametrize(
    ("fields", "status", "name"),
    [
        ({"name": ""}, INVALID, "INVALID_TOPIC_EXCEPTION"),
        ({"name": "a b"}, INVALID, "INVALID_TOPIC_EXCEPTION"),
        ({"name": "there"}, "ALREADY_EXISTS", "TOPIC_ALREADY_EXISTS"),
        ({"name": "t", "partition_count": 0}, INVALID, "INVALID_PARTITIONS"),
        ({"name": "t", "partition_count": -1}, INVALID, "INVALID_PARTITIONS"),
        ({"name": "t", "replication_factor": -1}, INVALID, "INVALID_REPLICATION_FACTOR"),
        ({"name": "t", "replication_factor": 2}, INVALID, "INVALID_REPLICATION_FACTOR"),
        ({"name": "t", "configs": {"no.such": "1"}}, INVALID, "INVALID_CONFIG"),
        ({"name": "t", "assignments": [{"node_ids": [9]}]}, INVALID, "INVALID_REPLICA_ASSIGNMENT"),
        (
            {"name": "t", "partition_count": 1, "assignments": [{"node_ids": [1]}]},
            INVALID,
            "INVALID_REQUEST",
        ),
    ],
)
async def test_a_topic_that_cannot_be(fields: dict[str, Any], status: str, name: str) -> None:
    node = await Node.started()
    await create(node, "there")
    assert await node.reason("CreateTopic", pb.CreateTopicRequest(**fields)) == (status, name)


async def test_a_topic_is_deleted_once() -> None:
    node = await Node.started()
    await create(node, "t")
    await node.ask("DeleteTopic", pb.DeleteTopicRequest(name="t"))
    gone = ("NOT_FOUND", "UNKNOWN_TOPIC_OR_PARTITION")
    assert await node.reason("DeleteTopic", pb.DeleteTopicRequest(name="t")) == gone
    assert await node.reason("GetTopic", pb.GetTopicRequest(name="t")) == gone
    assert await node.reason("DeleteTopic", pb.DeleteTopicRequest()) == (INVALID, "INVALID_REQUEST")
    assert await node.reason("GetTopic", pb.GetTopicRequest()) == (INVALID, "INVALID_REQUEST")


async def test_deletion_may_be_switched_off() -> None:
    node = await Node.started(delete_topic_enable="false")
    await create(node, "t")
    assert await node.reason("DeleteTopic", pb.DeleteTopicRequest(name="t")) == (
        "FAILED_PRECONDITION",
        "TOPIC_DELETION_DISABLED",
    )


async def test_a_topic_grows_and_does_not_shrink() -> None:
    node = await Node.started()
    await create(node, "t", partition_count=2)
    grow = pb.CreatePartitionsRequest(topic="t", partition_count=5, validate_only=True)
    await node.ask("CreatePartitions", grow)
    grow.validate_only = False
    await node.ask("CreatePartitions", grow)
    assert (await node.ask("GetTopic", pb.GetTopicRequest(name="t"))).topic.partition_count == 5
    assert await node.reason("CreatePartitions", grow) == (INVALID, "INVALID_PARTITIONS")
    placed = pb.CreatePartitionsRequest(topic="t", partition_count=6, assignments=[{"node_ids": [9]}])
    assert await node.reason("CreatePartitions", placed) == (INVALID, "INVALID_REPLICA_ASSIGNMENT")
    missing = pb.CreatePartitionsRequest(topic="no", partition_count=6)
    assert await node.reason("CreatePartitions", missing) == ("NOT_FOUND", "UNKNOWN_TOPIC_OR_PARTITION")


async def test_topics_are_listed_by_name_in_pages_and_by_pattern() -> None:
    node = await Node.started()
    for name in ("b", "a", "ab", "c"):
        await create(node, name)
    page = await node.ask("ListTopics", pb.ListTopicsRequest(page_size=3))
    assert [topic.name for topic in page.topics] == ["a", "ab", "b"]
    rest = pb.ListTopicsRequest(page_token=page.next_page_token)
    assert [topic.name for topic in (await node.ask("ListTopics", rest)).topics] == ["c"]
    matching = await node.ask("ListTopics", pb.ListTopicsRequest(name_pattern="a|c"))
    assert [topic.name for topic in matching.topics] == ["a", "c"]  # of the whole name
    other = pb.ListTopicsRequest(page_token=page.next_page_token, name_pattern="a")
    assert await node.reason("ListTopics", other) == (INVALID, "INVALID_REQUEST")
    for wrong in (pb.ListTopicsRequest(name_pattern="("), pb.ListTopicsRequest(page_size=-1)):
        assert await node.reason("ListTopics", wrong) == (INVALID, "INVALID_REQUEST")


async def test_a_partition_tells_where_it_is() -> None:
    world = ImageWorld()
    world.create("t", (1, 2, 3), (2, 3, 1))
    world.fence(3)
    world.put("t", 1, adding_replicas=(1,), removing_replicas=(3,))
    first, second = (await viewing(world).ask("ListPartitions", pb.ListPartitionsRequest())).partitions
    assert (first.topic, first.partition, first.leader_id) == ("t", 0, 1)
    assert (list(first.replicas), list(first.in_sync_replicas)) == ([1, 2, 3], [1, 2])
    assert list(first.offline_replicas) == [3]
    assert (list(second.adding_replicas), list(second.removing_replicas)) == ([1], [3])


async def test_partitions_in_need() -> None:
    world = ImageWorld()
    world.create("t", (1, 2, 3), (1,), (2,))
    world.create("u", (3,), (1,))
    world.fence(3)
    world.put("u", 1, leader=-1)  # without a leader, though all are in sync
    unhealthy = await viewing(world).ask("ListPartitions", pb.ListPartitionsRequest(only_unhealthy=True))
    assert [(one.topic, one.partition, one.leader_id) for one in unhealthy.partitions] == [
        ("t", 0, 1),
        ("u", 0, -1),
        ("u", 1, -1),
    ]


async def test_partitions_of_all_topics_come_in_pages_that_cross_them() -> None:
    world = ImageWorld()
    for name in ("c", "a", "b"):
        world.create(name, (1,), (1,), (1,))
    service = viewing(world)
    seen: list[tuple[str, int]] = []
    token = ""
    while True:
        request = pb.ListPartitionsRequest(page_size=2, page_token=token)
        page = await service.ask("ListPartitions", request)
        seen += [(one.topic, one.partition) for one in page.partitions]
        token = page.next_page_token
        if not token:
            break
    assert seen == [(name, number) for name in "abc" for number in range(3)]
    of_one = await service.ask("ListPartitions", pb.ListPartitionsRequest(topic="b"))
    assert {one.topic for one in of_one.partitions} == {"b"}
    missing = pb.ListPartitionsRequest(topic="no")
    assert await service.reason("ListPartitions", missing) == ("NOT_FOUND", "UNKNOWN_TOPIC_OR_PARTITION")


async def test_changes_are_the_active_controllers() -> None:
    place = Place(ImageWorld().image, active_controller_id=3)
    unused: Any = None
    methods = Servicers.of(TopicServicer(unused, unused, place, FakeOthers())).methods
    wheres = {name: method.where and method.where(None) for name, method in methods.items()}
    assert wheres == {
        "ListTopics": None,
        "GetTopic": None,
        "CreateTopic": 3,
        "DeleteTopic": 3,
        "ListPartitions": None,
        "CreatePartitions": 3,
        "DeleteRecords": None,
    }


# -- DeleteRecords


def before(*asked: tuple[str, int, int]) -> pb.DeleteRecordsRequest:
    return pb.DeleteRecordsRequest(before=[At(topic=t, partition=p, offset=o) for t, p, o in asked])


async def test_records_before_an_offset_are_deleted() -> None:
    node = await Node.started()
    await create(node, "t", partition_count=2)
    await node.write("t", 0, 10)
    await node.write("t", 1, 5)
    answer = await node.ask("DeleteRecords", before(("t", 1, -1), ("t", 0, 4)))
    assert list(answer.log_start_offsets) == list(before(("t", 1, 5), ("t", 0, 4)).before)


@pytest.mark.parametrize(
    ("asked", "status", "name"),
    [
        ([], INVALID, "INVALID_REQUEST"),
        ([("t", 0, -2)], INVALID, "INVALID_REQUEST"),
        ([("t", 0, 1), ("t", 0, 2)], INVALID, "INVALID_REQUEST"),
        ([("", 0, 1)], INVALID, "INVALID_REQUEST"),
        ([("t", 0, 11)], "OUT_OF_RANGE", "OFFSET_OUT_OF_RANGE"),
        ([("t", 7, 0)], "NOT_FOUND", "UNKNOWN_TOPIC_OR_PARTITION"),
        ([("compacted", 0, 0)], "FAILED_PRECONDITION", "POLICY_VIOLATION"),
    ],
)
async def test_records_that_cannot_be_deleted(asked: list[Any], status: str, name: str) -> None:
    node = await Node.started()
    await create(node, "t")
    await create(node, "compacted", configs={"cleanup.policy": "compact"})
    await node.write("t", 0, 10)
    assert await node.reason("DeleteRecords", before(*asked)) == (status, name)


async def test_the_first_refusal_names_its_partition_and_the_others_are_done() -> None:
    node = await Node.started()
    await create(node, "t", partition_count=3)
    await node.write("t", 2, 3)
    refusal = await node.refusal("DeleteRecords", before(("t", 1, 5), ("t", 0, 6), ("t", 2, 3)))
    assert refusal.metadata == {"topic": "t", "partition": "1"}
    assert "partition 1 of topic 't' has no offset 5" in refusal.message
    assert node.services.list_offsets.list_offset("t", 2, -2, -1, 0).offset == 3


class Led:
    """Partitions of t led by nodes 1, 2 and 3, seen from node 1."""

    def __init__(self, node: Node) -> None:
        world = ImageWorld()
        world.create("t", (1, 2), (2, 1), (3, 1), (2, 3))
        self.world = world
        self.others = FakeOthers({2: self.done, 3: self.done})
        place = Place(world.image)
        self.service = Servicers.of(
            TopicServicer(node.services.topics, node.services.records, place, self.others)
        )

    @staticmethod
    def done(request: pb.DeleteRecordsRequest) -> pb.DeleteRecordsResponse:
        return pb.DeleteRecordsResponse(log_start_offsets=request.before)


async def test_each_leader_gets_its_part_and_the_answer_is_in_the_order_of_the_request() -> None:
    node = await Node.started()
    await create(node, "t")
    await node.write("t", 0, 10)
    led = Led(node)
    request = before(("t", 3, 33), ("t", 0, 7), ("t", 2, 22), ("t", 1, 11))
    answer = await led.service.ask("DeleteRecords", request)
    assert list(answer.log_start_offsets) == list(request.before)
    asked = sorted(led.others.asked, key=lambda one: one.node_id)
    path = "/odradek.v1.TopicService/DeleteRecords"
    assert asked == [
        Asked(2, path, before(("t", 3, 33), ("t", 1, 11)), 30.0),
        Asked(3, path, before(("t", 2, 22)), 30.0),
    ]


async def test_what_another_leader_refuses_is_refused() -> None:
    led = Led(await Node.started())
    led.others.answers[3] = refused(ErrorCode.OFFSET_OUT_OF_RANGE, "so says node 3", topic="t")
    refusal = await led.service.refusal("DeleteRecords", before(("t", 1, 1), ("t", 2, 2)))
    assert (refusal.reason, refusal.message) == ("OFFSET_OUT_OF_RANGE", "so says node 3")
    assert [one.node_id for one in led.others.asked] == [2, 3]


async def test_a_part_that_was_passed_on_is_not_passed_on_again() -> None:
    led = Led(await Node.started())
    with pytest.raises(RefusalError, match="UNKNOWN_TOPIC_OR_PARTITION"):
        await led.service.ask("DeleteRecords", before(("t", 1, 1)), is_forwarded=True)
    assert led.others.asked == []


async def test_a_partition_without_leader_may_have_one_later() -> None:
    world = ImageWorld()
    world.create("t", (3,))
    world.fence(3)
    refusal = await viewing(world).refusal("DeleteRecords", before(("t", 0, 1)))
    assert (refusal.status.name, refusal.reason) == ("UNAVAILABLE", "LEADER_NOT_AVAILABLE")
    assert refusal.retry_delay_ms > 0


async def test_replicas_that_do_not_follow_are_waited_for_until_the_deadline() -> None:
    node = await Node.started()
    await create(node, "t")
    await node.write("t", 0, 5)
    node.services.replicas.low_watermark = lambda partition: 0  # a replica that keeps the records
    partition = node.services.replicas.find("t", 0)
    assert not isinstance(partition, ErrorCode)
    assert await node.reason("DeleteRecords", before(("t", 0, 5)), timeout_s=0.01) == (
        "DEADLINE_EXCEEDED",
        "REQUEST_TIMED_OUT",
    )
    waiting = asyncio.create_task(node.ask("DeleteRecords", before(("t", 0, 5)), timeout_s=30.0))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
