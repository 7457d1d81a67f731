from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from tests.unit.node.app.test_quorum import World as QuorumWorld
from tests.unit.node.controller.image_world import ImageWorld
from tests.unit.node.grpc_api.node import NOW_MS, Asked, FakeOthers, Node, Place, Servicers

from odradek.node.app.log_dirs import DescribedDirectory
from odradek.node.grpc_api.cluster_service import ClusterServicer, Facts
from odradek.node.grpc_api.refusal import refused
from odradek.proto.kafka.errors import ErrorCode
from odradek.v1 import cluster_service_pb2 as pb
from odradek.v1.record_pb2 import TopicPartition

INVALID = "INVALID_ARGUMENT"
UNUSED: Any = None


def partitions(*pairs: tuple[str, int]) -> list[TopicPartition]:
    return [TopicPartition(topic=topic, partition=partition) for topic, partition in pairs]


def outcomes(answer: Any) -> list[tuple[str, int, str]]:
    """(topic, partition, Kafka's name or "")"""
    return [(one.topic, one.partition, one.error.reason) for one in answer.outcomes]


def looking(
    place: Place, min_isr: Callable[[str], int] = lambda topic: 1, *, log_dirs: Any = None, **services: Any
) -> Servicers:
    servicer = ClusterServicer(
        services.get("reassignments", UNUSED),
        services.get("elections", UNUSED),
        services.get("quorum", UNUSED),
        log_dirs,
        place,
        services.get("others", FakeOthers()),
        Facts("1.2.3", lambda: NOW_MS, min_isr),
    )
    return Servicers.of(servicer)


# -- GetCluster, GetQuorum


async def test_the_health_of_a_cluster() -> None:
    world = ImageWorld()
    world.register(replace(world.image.brokers[2], rack="b"))
    world.unfence(2)
    world.create("t", (1, 2, 3), (2, 3))
    world.create("u", (3,), (1,))
    world.fence(3)
    place = Place(world.image, active_controller_id=2)
    answer = await looking(place, {"t": 3, "u": 2}.__getitem__).ask("GetCluster", pb.GetClusterRequest())
    assert (answer.cluster_id, answer.controller_id, answer.answered_by) == ("c", 2, 1)
    assert (answer.topic_count, answer.partition_count) == (2, 4)
    # u-0 has no leader and nobody in sync; t-0 and t-1 lack node 3. The two replicas of t-1 are fewer than what
    # min.insync.replicas 3 asks for, and u-1 has all that it can have.
    assert answer.leaderless_partition_count == 1
    assert answer.under_replicated_partition_count == 3
    assert answer.under_min_in_sync_partition_count == 3
    assert (answer.version, answer.time_ms) == ("1.2.3", NOW_MS)
    told = [(one.node_id, one.alive, one.rack, one.leader_count, one.replica_count) for one in answer.nodes]
    assert told == [(1, True, "", 2, 2), (2, True, "b", 1, 2), (3, False, "", 0, 3)]
    assert answer.nodes[0].listeners == [pb.Listener(name="PLAINTEXT", host="host1", port=9092)]


async def test_a_cluster_without_controller_says_so() -> None:
    service = looking(Place(ImageWorld().image, active_controller_id=None))
    assert (await service.ask("GetCluster", pb.GetClusterRequest())).controller_id == -1


async def test_a_node_that_is_alone_answers_for_itself() -> None:
    node = await Node.started()
    answer = await node.ask("GetCluster", pb.GetClusterRequest())
    assert (answer.cluster_id, answer.controller_id) == ("cluster-id-of-22-chars", 1)
    assert answer.version and answer.time_ms == NOW_MS


async def test_the_quorum_as_its_leader_sees_it() -> None:
    world = QuorumWorld()
    service = looking(Place(ImageWorld().image), quorum=world.service)
    answer = await service.ask("GetQuorum", pb.GetQuorumRequest())
    assert (answer.leader_id, answer.term, answer.commit_index) == (1, 3, 10)
    voters = [(one.node_id, one.log_end_index, one.last_heard_ms, one.current) for one in answer.voters]
    assert voters == [(1, 12, 0, True), (2, 12, 10, True), (3, 7, 2_000, False)]
    world.group.is_leader = False
    assert await service.reason("GetQuorum", pb.GetQuorumRequest()) == ("UNAVAILABLE", "NOT_CONTROLLER")


# -- reassignments and elections


async def test_reassignments_are_begun_listed_in_pages_and_taken_back() -> None:
    node = await Node.started()
    world = ImageWorld()
    world.create("b", (1,), (1,))
    world.create("a", (1,))
    for topic, number in (("b", 0), ("b", 1), ("a", 0)):
        world.put(topic, number, replicas=(2, 1), isr=(1,), adding_replicas=(2,), removing_replicas=(1,))
    node.adopt(world)
    page = await node.ask("ListReassignments", pb.ListReassignmentsRequest(page_size=2))
    assert [(one.topic, one.partition) for one in page.reassignments] == [("a", 0), ("b", 0)]
    first = page.reassignments[0]
    assert (list(first.replicas), list(first.adding_replicas)) == ([2, 1], [2])
    assert list(first.removing_replicas) == [1]
    rest = pb.ListReassignmentsRequest(page_token=page.next_page_token)
    (last,) = (await node.ask("ListReassignments", rest)).reassignments
    assert (last.topic, last.partition) == ("b", 1)

    changes = [
        pb.ReassignmentChange(topic="b", partition=1),
        pb.ReassignmentChange(topic="no", partition=0, node_ids=[1]),
        pb.ReassignmentChange(topic="b", partition=0, node_ids=[9]),
        pb.ReassignmentChange(topic="a", partition=0, node_ids=[3, 1]),
    ]
    answer = await node.ask("AlterReassignments", pb.AlterReassignmentsRequest(changes=changes))
    assert outcomes(answer) == [
        ("b", 1, ""),
        ("no", 0, "UNKNOWN_TOPIC_OR_PARTITION"),
        ("b", 0, "INVALID_REPLICA_ASSIGNMENT"),
        ("a", 0, ""),
    ]
    assert not answer.outcomes[0].HasField("error") and answer.outcomes[1].error.message
    moving = (await node.ask("ListReassignments", pb.ListReassignmentsRequest())).reassignments
    assert [(one.topic, one.partition, list(one.adding_replicas)) for one in moving] == [
        ("a", 0, [3]),
        ("b", 0, [2]),
    ]


async def test_reassignments_that_cannot_be_asked_for() -> None:
    node = await Node.started()
    twice = pb.ReassignmentChange(topic="t", partition=0, node_ids=[1])
    for request in (
        pb.AlterReassignmentsRequest(),
        pb.AlterReassignmentsRequest(changes=[twice, twice]),
        pb.AlterReassignmentsRequest(changes=[pb.ReassignmentChange(node_ids=[1])]),
    ):
        assert await node.reason("AlterReassignments", request) == (INVALID, "INVALID_REQUEST")


async def test_preferred_leaders_lead_again_and_others_where_none_is_left() -> None:
    node = await Node.started()
    world = ImageWorld(unclean=False)
    world.create("t", (1, 2), (2, 1), (1, 2))
    world.put("t", 0, leader=2)
    world.put("t", 2, leader=-1, isr=())
    node.adopt(world)
    asked = partitions(("t", 1), ("t", 0), ("no", 3))
    answer = await node.ask("ElectLeaders", pb.ElectLeadersRequest(partitions=asked))
    assert outcomes(answer) == [
        ("t", 1, "ELECTION_NOT_NEEDED"),
        ("t", 0, ""),
        ("no", 3, "UNKNOWN_TOPIC_OR_PARTITION"),
    ]
    assert [one.error.retriable for one in answer.outcomes] == [False, False, False]
    unclean = pb.ElectLeadersRequest(type=pb.ELECTION_TYPE_UNCLEAN)
    assert outcomes(await node.ask("ElectLeaders", unclean)) == [("t", 2, "")]
    assert outcomes(await node.ask("ElectLeaders", unclean)) == []
    image = node.services.controller.image
    assert [place.leader for place in image.topics_by_name["t"].partitions] == [1, 2, 1]


async def test_elections_that_cannot_be_asked_for() -> None:
    node = await Node.started()
    for request in (
        pb.ElectLeadersRequest(type=7),  # type: ignore[arg-type]
        pb.ElectLeadersRequest(partitions=partitions(("t", 0), ("t", 0))),
    ):
        assert await node.reason("ElectLeaders", request) == (INVALID, "INVALID_REQUEST")


async def test_a_node_that_is_not_the_active_controller_any_more_has_done_nothing() -> None:
    node = await Node.started()
    node.resign()
    passing = ("UNAVAILABLE", "NOT_CONTROLLER")
    change = pb.ReassignmentChange(topic="t", partition=0, node_ids=[1])
    assert await node.reason("AlterReassignments", pb.AlterReassignmentsRequest(changes=[change])) == passing
    assert await node.reason("ListReassignments", pb.ListReassignmentsRequest()) == passing
    assert await node.reason("ElectLeaders", pb.ElectLeadersRequest()) == passing
    some = pb.ElectLeadersRequest(partitions=partitions(("t", 0)))
    assert await node.reason("ElectLeaders", some) == passing


async def test_what_only_the_active_controller_knows_is_its_to_answer() -> None:
    methods = looking(Place(ImageWorld().image, active_controller_id=3)).methods
    wheres = {name: method.where and method.where(None) for name, method in methods.items()}
    assert wheres == {
        "GetCluster": None,
        "GetQuorum": 3,
        "ListReassignments": 3,
        "AlterReassignments": 3,
        "ElectLeaders": 3,
        "ListLogDirs": None,
    }


# -- ListLogDirs


class Directories:
    """`LogDirsService`, as far as it is asked."""

    def directories(self, asked: None) -> list[DescribedDirectory]:
        moved = [("t", 0, 10, 3)]
        return [
            DescribedDirectory(ErrorCode.NONE, "/a", 100, 60, [("t", 1, 5), ("t", 0, 15)]),
            DescribedDirectory(ErrorCode.KAFKA_STORAGE_ERROR, "/b", -1, -1, [], moved),
        ]


async def test_log_directories_with_their_partitions_and_the_copies_that_move_there() -> None:
    service = looking(Place(ImageWorld().image), log_dirs=Directories())
    a, b = (await service.ask("ListLogDirs", pb.ListLogDirsRequest(node_id=1))).log_dirs
    assert (a.path, a.HasField("error"), a.total_bytes, a.usable_bytes) == ("/a", False, 100, 60)
    assert [(one.topic, one.partition, one.size_bytes, one.offset_lag) for one in a.partitions] == [
        ("t", 0, 15, 0),
        ("t", 1, 5, 0),
    ]
    assert (b.error.reason, b.total_bytes) == ("KAFKA_STORAGE_ERROR", -1)
    assert [(one.size_bytes, one.offset_lag) for one in b.partitions] == [(10, 3)]


async def test_log_directories_of_another_node_are_told_by_it() -> None:
    others = FakeOthers({2: pb.ListLogDirsResponse(log_dirs=[pb.LogDir(path="/two")])})
    service = looking(Place(ImageWorld().image), others=others)
    request = pb.ListLogDirsRequest(node_id=2)
    assert (await service.ask("ListLogDirs", request)).log_dirs[0].path == "/two"
    assert others.asked == [Asked(2, "/odradek.v1.ClusterService/ListLogDirs", request, 5.0)]
    others.answers[2] = refused(ErrorCode.NETWORK_EXCEPTION, "it is gone")
    assert await service.reason("ListLogDirs", request) == ("UNAVAILABLE", "NETWORK_EXCEPTION")


@pytest.mark.parametrize("node_id", [4, -1])
async def test_log_directories_of_nobody(node_id: int) -> None:
    service = looking(Place(ImageWorld().image))
    request = pb.ListLogDirsRequest(node_id=node_id)
    assert await service.reason("ListLogDirs", request) == ("NOT_FOUND", "BROKER_ID_NOT_REGISTERED")


async def test_a_question_is_passed_on_once() -> None:
    service = looking(Place(ImageWorld().image))
    request = pb.ListLogDirsRequest(node_id=2)
    status, _ = await service.reason("ListLogDirs", request, is_forwarded=True)
    assert status == "UNAVAILABLE"
