from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from tests.unit.node.controller.image_world import ImageWorld
from tests.unit.node.grpc_api.node import NOW_MS, Asked, FakeOthers, Node, Place, Servicers

from odradek.node.app.list_offsets import ListedOffset
from odradek.node.app.offset_lookups import LookUp
from odradek.node.controller.topics import NewTopic
from odradek.node.coordinator.group.commands import GroupProtocol, JoinGroup, SyncGroup
from odradek.node.coordinator.group.consumer_protocol import encode_assignment, encode_subscription
from odradek.node.grpc_api.group_service import GroupServicer
from odradek.node.grpc_api.paging import Paging
from odradek.node.grpc_api.refusal import refused
from odradek.proto.kafka.errors import ErrorCode
from odradek.v1 import group_service_pb2 as pb
from odradek.v1 import record_pb2

INVALID = "INVALID_ARGUMENT"


async def with_topic(partitions: int = 3) -> Node:
    node = await Node.started()
    await node.services.controller.create_topics([NewTopic("t", partitions, 1)])
    return node


async def join(
    node: Node, group_id: str, instance_id: str | None = None, assignment: bytes | None = None
) -> str:
    """The one member of a group, which reads t-0 and t-2; its id."""
    groups = node.services.groups
    protocols = (GroupProtocol("range", encode_subscription(["t"])),)
    command = JoinGroup(
        group_id, "", instance_id, "a-client", "a-host", 10_000, 10_000, "consumer", protocols, False
    )
    joined = await groups.join(command).wait()
    assert joined.error is ErrorCode.NONE, joined
    mine = encode_assignment({"t": [2, 0]}) if assignment is None else assignment
    synced = await groups.sync(
        SyncGroup(
            group_id, joined.generation, joined.member_id, instance_id, None, None, {joined.member_id: mine}
        )
    ).wait()
    assert synced.error is ErrorCode.NONE, synced
    return joined.member_id


def at(partition: int, topic: str = "t", metadata: str = "", **position: Any) -> pb.GroupPosition:
    return pb.GroupPosition(
        topic=topic,
        partition=partition,
        position=record_pb2.Position(**position) if position else None,
        metadata=metadata,
    )


async def set_offsets(node: Node, group_id: str, *positions: pb.GroupPosition) -> list[int]:
    request = pb.SetGroupOffsetsRequest(group_id=group_id, positions=positions)
    return [one.offset for one in (await node.ask("SetGroupOffsets", request)).offsets]


async def read(node: Node, group_id: str, **page: Any) -> list[tuple[int, int, int]]:
    """(partition, offset, high watermark)"""
    answer = await node.ask("ListGroupOffsets", pb.ListGroupOffsetsRequest(group_id=group_id, **page))
    return [(one.partition, one.offset, one.high_watermark) for one in answer.offsets]


def partitions(*numbers: int, topic: str = "t") -> list[record_pb2.TopicPartition]:
    return [record_pb2.TopicPartition(topic=topic, partition=number) for number in numbers]


# -- one group


async def test_a_group_with_its_member_and_what_it_reads() -> None:
    node = await with_topic()
    member_id = await join(node, "g", "an-instance")
    group = (await node.ask("GetGroup", pb.GetGroupRequest(group_id="g"))).group
    (member,) = group.members
    assert (member.member_id, member.instance_id) == (member_id, "an-instance")
    assert (member.client_id, member.client_host) == ("a-client", "a-host")
    assert list(member.partitions) == partitions(0, 2)
    assert (group.state, group.protocol_type, group.assignor) == (pb.GROUP_STATE_STABLE, "consumer", "range")
    assert (group.coordinator_id, group.generation) == (1, 1)


async def test_an_assignment_that_is_not_kafkas_is_not_looked_into() -> None:
    node = await with_topic()
    await join(node, "g", assignment=b"\0\1\0\0\0\7what?")
    (member,) = (await node.ask("GetGroup", pb.GetGroupRequest(group_id="g"))).group.members
    assert not member.partitions


async def test_a_group_that_is_not_there() -> None:
    node = await with_topic()
    missing = ("NOT_FOUND", "GROUP_ID_NOT_FOUND")
    assert await node.reason("GetGroup", pb.GetGroupRequest(group_id="no")) == missing
    assert await node.reason("DeleteGroup", pb.DeleteGroupRequest(group_id="no")) == missing
    gone = pb.DeleteGroupOffsetsRequest(group_id="no", partitions=partitions(0))
    assert await node.reason("DeleteGroupOffsets", gone) == missing
    assert await read(node, "no") == []


@pytest.mark.parametrize(
    ("name", "request_"),
    [
        ("GetGroup", pb.GetGroupRequest()),
        ("DeleteGroup", pb.DeleteGroupRequest()),
        ("ListGroupOffsets", pb.ListGroupOffsetsRequest()),
        ("ListGroupOffsets", pb.ListGroupOffsetsRequest(group_id="g", page_size=-1)),
        ("ListGroupOffsets", pb.ListGroupOffsetsRequest(group_id="g", page_token="foreign")),
        ("SetGroupOffsets", pb.SetGroupOffsetsRequest(positions=[at(0, offset=0)])),
        ("SetGroupOffsets", pb.SetGroupOffsetsRequest(group_id="g")),
        ("SetGroupOffsets", pb.SetGroupOffsetsRequest(group_id="g", positions=[at(0)])),
        ("SetGroupOffsets", pb.SetGroupOffsetsRequest(group_id="g", positions=[at(0, timestamp_ms=-1)])),
        ("SetGroupOffsets", pb.SetGroupOffsetsRequest(group_id="g", positions=[at(0, offset=0)] * 2)),
        ("SetGroupOffsets", pb.SetGroupOffsetsRequest(group_id="g", positions=[at(0, topic="", offset=0)])),
        ("DeleteGroupOffsets", pb.DeleteGroupOffsetsRequest(partitions=partitions(0))),
        ("DeleteGroupOffsets", pb.DeleteGroupOffsetsRequest(group_id="g")),
        ("RemoveGroupMember", pb.RemoveGroupMemberRequest(member_id="m")),
        ("RemoveGroupMember", pb.RemoveGroupMemberRequest(group_id="g")),
        ("RemoveGroupMember", pb.RemoveGroupMemberRequest(group_id="g", instance_id="")),
        ("ListGroups", pb.ListGroupsRequest(page_size=-1)),
        ("ListGroups", pb.ListGroupsRequest(page_token="foreign")),
        ("ListGroups", pb.ListGroupsRequest(states=[pb.GROUP_STATE_UNSPECIFIED])),
        ("ListGroups", pb.ListGroupsRequest(states=[9])),  # type: ignore[list-item]
    ],
)
async def test_requests_that_cannot_be_right(name: str, request_: Any) -> None:
    node = await with_topic()
    assert await node.reason(name, request_) == (INVALID, "INVALID_REQUEST")


async def test_a_member_is_taken_out_by_either_of_its_names() -> None:
    node = await with_topic()
    remove = pb.RemoveGroupMemberRequest
    member_id = await join(node, "g")
    await node.ask("RemoveGroupMember", remove(group_id="g", member_id=member_id))
    assert await node.reason("RemoveGroupMember", remove(group_id="g", member_id=member_id)) == (
        "NOT_FOUND",
        "UNKNOWN_MEMBER_ID",
    )
    await join(node, "h", "an-instance")
    await node.ask("RemoveGroupMember", remove(group_id="h", instance_id="an-instance"))
    assert (await node.ask("GetGroup", pb.GetGroupRequest(group_id="h"))).group.state == pb.GROUP_STATE_EMPTY
    missing = remove(group_id="no", instance_id="an-instance")
    assert await node.reason("RemoveGroupMember", missing) == ("NOT_FOUND", "UNKNOWN_MEMBER_ID")


async def test_a_group_with_members_is_not_deleted() -> None:
    node = await with_topic()
    member_id = await join(node, "g")
    busy = ("FAILED_PRECONDITION", "NON_EMPTY_GROUP")
    assert await node.reason("DeleteGroup", pb.DeleteGroupRequest(group_id="g")) == busy
    await node.ask("RemoveGroupMember", pb.RemoveGroupMemberRequest(group_id="g", member_id=member_id))
    await node.ask("DeleteGroup", pb.DeleteGroupRequest(group_id="g"))
    assert (await node.ask("ListGroups", pb.ListGroupsRequest())).groups == []


# -- how far a group has read


async def test_a_group_is_set_to_offsets_times_and_ends() -> None:
    node = await with_topic(5)
    for partition in range(5):
        await node.write("t", partition, 10, NOW_MS)
    node.services.records.delete_records("t", 3, 2)
    set_to = await set_offsets(
        node,
        "g",
        at(4, edge=record_pb2.EDGE_LATEST),
        at(3, edge=record_pb2.EDGE_EARLIEST),
        at(2, timestamp_ms=NOW_MS + 6),
        at(1, timestamp_ms=NOW_MS + 99),
        at(0, offset=4, metadata="mine"),
    )
    assert set_to == [10, 2, 6, 10, 4]
    assert await read(node, "g") == [(0, 4, 10), (1, 10, 10), (2, 6, 10), (3, 2, 10), (4, 10, 10)]
    first, second = (await node.ask("ListGroupOffsets", pb.ListGroupOffsetsRequest(group_id="g"))).offsets[:2]
    assert (first.topic, first.metadata, first.leader_epoch) == ("t", "mine", -1)
    assert second.leader_epoch == 0


async def test_offsets_of_a_group_come_in_pages() -> None:
    node = await with_topic()
    await set_offsets(node, "g", *(at(partition, offset=0) for partition in range(3)))
    page = await node.ask("ListGroupOffsets", pb.ListGroupOffsetsRequest(group_id="g", page_size=2))
    assert [one.partition for one in page.offsets] == [0, 1]
    assert await read(node, "g", page_size=2, page_token=page.next_page_token) == [(2, 0, 0)]
    other = pb.ListGroupOffsetsRequest(group_id="h", page_token=page.next_page_token)
    assert await node.reason("ListGroupOffsets", other) == (INVALID, "INVALID_REQUEST")


@pytest.mark.parametrize(
    ("position", "status", "name"),
    [
        (at(0, offset=11), "OUT_OF_RANGE", "OFFSET_OUT_OF_RANGE"),
        (at(0, offset=1), "OUT_OF_RANGE", "OFFSET_OUT_OF_RANGE"),
        (at(0, offset=-1), "OUT_OF_RANGE", "OFFSET_OUT_OF_RANGE"),
        (at(9, offset=0), "NOT_FOUND", "UNKNOWN_TOPIC_OR_PARTITION"),
        (at(0, topic="no", edge=1), "NOT_FOUND", "UNKNOWN_TOPIC_OR_PARTITION"),
        (at(0, offset=5, metadata="m" * 5000), INVALID, "OFFSET_METADATA_TOO_LARGE"),
    ],
)
async def test_positions_that_a_group_cannot_have(position: Any, status: str, name: str) -> None:
    node = await with_topic()
    await node.write("t", 0, 10)
    node.services.records.delete_records("t", 0, 2)
    request = pb.SetGroupOffsetsRequest(group_id="g", positions=[at(1, offset=0), position])
    refusal = await node.refusal("SetGroupOffsets", request)
    assert (refusal.status.name, refusal.reason) == (status, name)
    assert (refusal.metadata["topic"], refusal.metadata["partition"]) == (
        position.topic,
        str(position.partition),
    )


async def test_a_group_that_reads_is_not_set() -> None:
    node = await with_topic()
    await join(node, "g")
    for offset in (0, 99):  # members are said before what else is wrong
        request = pb.SetGroupOffsetsRequest(group_id="g", positions=[at(0, offset=offset)])
        assert await node.reason("SetGroupOffsets", request) == ("FAILED_PRECONDITION", "NON_EMPTY_GROUP")
    assert await read(node, "g") == []


async def test_a_member_that_comes_while_positions_are_looked_up_is_noticed() -> None:
    node = await with_topic()

    class Joins:
        async def find(self, asked: Any, timeout_s: float) -> list[ListedOffset]:
            await join(node, "g")
            return [ListedOffset(ErrorCode.NONE, -1, 0, 0) for _ in asked]

    services = node.services
    servicer = GroupServicer(
        services.groups,
        services.offsets,
        Joins(),  # type: ignore[arg-type]
        services.coordinators,
        services.controller,
        node.others,
    )
    request = pb.SetGroupOffsetsRequest(group_id="g", positions=[at(0, offset=0)])
    assert await Servicers.of(servicer).reason("SetGroupOffsets", request) == (
        "FAILED_PRECONDITION",
        "NON_EMPTY_GROUP",
    )


async def test_offsets_are_forgotten_unless_they_are_in_use() -> None:
    node = await with_topic()
    await set_offsets(node, "g", at(0, offset=0), at(1, offset=0))
    delete = pb.DeleteGroupOffsetsRequest(group_id="g", partitions=partitions(1))
    await node.ask("DeleteGroupOffsets", delete)
    assert await read(node, "g") == [(0, 0, 0)]
    missing = pb.DeleteGroupOffsetsRequest(group_id="g", partitions=partitions(9))
    assert await node.reason("DeleteGroupOffsets", missing) == ("NOT_FOUND", "UNKNOWN_TOPIC_OR_PARTITION")
    await join(node, "g")
    assert await node.reason("DeleteGroupOffsets", delete) == (
        "FAILED_PRECONDITION",
        "GROUP_SUBSCRIBED_TO_TOPIC",
    )


class Silent:
    """Leaders, of which that of partition 1 does not answer."""

    def __init__(self) -> None:
        self.asked: list[LookUp] = []

    async def find(self, asked: list[LookUp], timeout_s: float) -> list[ListedOffset]:
        self.asked += asked
        late, found = ListedOffset(ErrorCode.REQUEST_TIMED_OUT), ListedOffset(ErrorCode.NONE, -1, 7, 0)
        return [late if one.partition == 1 else found for one in asked]


async def test_a_leader_that_does_not_answer_leaves_its_high_watermark_out_and_stops_a_change() -> None:
    node = await with_topic()
    await set_offsets(node, "g", *(at(partition, offset=0) for partition in range(3)))
    services, silent = node.services, Silent()
    servicer = GroupServicer(
        services.groups,
        services.offsets,
        silent,  # type: ignore[arg-type]
        services.coordinators,
        services.controller,
        node.others,
    )
    service = Servicers.of(servicer)
    answer = await service.ask("ListGroupOffsets", pb.ListGroupOffsetsRequest(group_id="g", page_size=2))
    assert [one.high_watermark for one in answer.offsets] == [7, -1]
    assert silent.asked == [LookUp("t", 0, -1), LookUp("t", 1, -1)]  # of this page alone
    request = pb.SetGroupOffsetsRequest(group_id="g", positions=[at(0, edge=2), at(1, edge=2)])
    assert await service.reason("SetGroupOffsets", request) == ("UNAVAILABLE", "NETWORK_EXCEPTION")
    assert (await read(node, "g"))[0] == (0, 0, 0)


# -- coordinators


async def test_a_coordinator_that_loads_or_has_moved_is_asked_again() -> None:
    node = await with_topic()
    await set_offsets(node, "g", at(0, offset=0))
    shard = node.shard("g")
    log = node.shard_logs[node.shards.index(shard)]
    log.leader_id = 2
    shard.on_leadership(False, 2)
    requests = {
        "GetGroup": pb.GetGroupRequest(group_id="g"),
        "DeleteGroup": pb.DeleteGroupRequest(group_id="g"),
        "ListGroupOffsets": pb.ListGroupOffsetsRequest(group_id="g"),
        "SetGroupOffsets": pb.SetGroupOffsetsRequest(group_id="g", positions=[at(0, offset=0)]),
        "DeleteGroupOffsets": pb.DeleteGroupOffsetsRequest(group_id="g", partitions=partitions(0)),
        "RemoveGroupMember": pb.RemoveGroupMemberRequest(group_id="g", member_id="m"),
    }
    for name, request in requests.items():
        assert await node.reason(name, request) == ("UNAVAILABLE", "NOT_COORDINATOR"), name
        where = node.methods[name].where
        assert where is not None and where(request) == 2, name
    log.leader_id = 1
    for name, request in requests.items():
        assert await node.reason(name, request) == ("UNAVAILABLE", "COORDINATOR_LOAD_IN_PROGRESS"), name
    log.leader_id = None
    where = node.methods["GetGroup"].where
    assert where is not None and where(requests["GetGroup"]) is None


# -- all groups


class Three:
    """Node 1 of three, with the coordinators of `node`; the others, numbered from `first`, are led by `leaders`. The
    other nodes answer what a test says, or that they have no groups."""

    def __init__(self, node: Node, leaders: Sequence[int | None] = (2, 3)) -> None:
        self.first = len(node.shards)
        self.leaders_: list[int | None] = [*[1] * self.first, *leaders]
        self.others = FakeOthers({2: self.answer(0), 3: self.answer(1)})
        services = node.services
        unused: Any = None
        servicer = GroupServicer(
            services.groups, services.offsets, unused, self, Place(ImageWorld().image), self.others
        )
        self.service = Servicers.of(servicer)

    def answer(self, *coordinators: int, groups: Sequence[pb.Group] = ()) -> pb.ListGroupsResponse:
        """By a node that answers for these of the other coordinators."""
        numbers = [self.first + number for number in coordinators]
        return pb.ListGroupsResponse(groups=groups, coordinators=numbers)

    def leader_of(self, group_id: str) -> int | None:
        return 1

    def leaders(self) -> list[int | None]:
        return self.leaders_


class Other:
    """A node that pages through its groups as node 1 does, and answers for one coordinator, `number`."""

    def __init__(self, node: Node, node_id: int, number: int) -> None:
        unused: Any = None
        place = Place(ImageWorld().image, node_id=node_id)
        servicer = GroupServicer(
            node.services.groups, node.services.offsets, unused, unused, place, FakeOthers()
        )
        self._servicer = servicer
        self._number = number

    def __call__(self, request: pb.ListGroupsRequest) -> pb.ListGroupsResponse:
        paging = Paging("groups", sorted(set(request.states)), request.page_size, request.page_token)
        answer = self._servicer._own_groups(paging, [])
        answer.coordinators[:] = [self._number]
        return answer


async def with_groups(*group_ids: str) -> Node:
    node = await with_topic()
    for group_id in group_ids:
        await set_offsets(node, group_id, at(0, offset=0))
    return node


async def test_groups_of_all_nodes_are_one_list_whatever_the_size_of_a_page() -> None:
    names = [f"g{number:02}" for number in range(20)]
    nodes = [await with_groups(*names[number::3]) for number in range(3)]
    for size in (1, 2, 3, 7, 20, 100):
        three = Three(nodes[0])
        three.others.answers = {2: Other(nodes[1], 2, three.first), 3: Other(nodes[2], 3, three.first + 1)}
        seen: list[str] = []
        owners: set[int] = set()
        token = ""
        pages = 0
        while True:
            request = pb.ListGroupsRequest(page_size=size, page_token=token)
            page = await three.service.ask("ListGroups", request)
            assert len(page.groups) <= size and not page.errors
            seen += [group.group_id for group in page.groups]
            owners |= {group.coordinator_id for group in page.groups}
            pages += 1
            token = page.next_page_token
            if not token:
                break
        assert seen == names and owners == {1, 2, 3}
        assert pages == -(-len(names) // size)


async def test_a_full_page_of_one_node_alone_is_not_the_end() -> None:
    three = Three(await with_topic())
    three.others.answers[2] = Other(await with_groups("a", "b", "c"), 2, three.first)
    page = await three.service.ask("ListGroups", pb.ListGroupsRequest(page_size=2))
    assert [group.group_id for group in page.groups] == ["a", "b"]
    rest = pb.ListGroupsRequest(page_size=2, page_token=page.next_page_token)
    last = await three.service.ask("ListGroups", rest)
    assert ([group.group_id for group in last.groups], last.next_page_token) == (["c"], "")


async def test_other_nodes_are_asked_the_same_with_little_time() -> None:
    three = Three(await with_groups("a"))
    request = pb.ListGroupsRequest(states=[pb.GROUP_STATE_EMPTY], page_size=5)
    await three.service.ask("ListGroups", request)
    path = "/odradek.v1.GroupService/ListGroups"
    assert three.others.asked == [Asked(2, path, request, 2.0), Asked(3, path, request, 2.0)]


async def test_a_node_that_is_asked_for_another_tells_its_own_groups() -> None:
    three = Three(await with_groups("a", "b"))
    answer = await three.service.ask("ListGroups", pb.ListGroupsRequest(), is_forwarded=True)
    assert [group.group_id for group in answer.groups] == ["a", "b"]
    assert list(answer.coordinators) == list(range(three.first)) and three.others.asked == []


async def test_coordinators_that_could_not_be_asked_are_named() -> None:
    three = Three(await with_groups("b"), [3, 2, 4, None, None])
    three.others.answers = {
        2: refused(ErrorCode.NETWORK_EXCEPTION, "it is gone"),
        3: three.answer(0, groups=[pb.Group(group_id="a", coordinator_id=3)]),
        4: refused(ErrorCode.BROKER_NOT_AVAILABLE, "node 4 is not reached by gRPC"),
    }
    answer = await three.service.ask("ListGroups", pb.ListGroupsRequest())
    assert [group.group_id for group in answer.groups] == ["a", "b"]
    told = [(one.reason, one.message, one.retriable) for one in answer.errors]
    assert told == [
        ("COORDINATOR_NOT_AVAILABLE", f"2 of {three.first + 5} coordinators are being elected", True),
        ("NETWORK_EXCEPTION", "node 2: it is gone", True),
        ("BROKER_NOT_AVAILABLE", "node 4: node 4 is not reached by gRPC", False),
    ]


async def test_a_group_that_moves_while_it_is_listed_is_told_once() -> None:
    three = Three(await with_groups("a"))
    three.others.answers[2] = three.answer(-1, 0, groups=[pb.Group(group_id="a", coordinator_id=2)])
    answer = await three.service.ask("ListGroups", pb.ListGroupsRequest())
    assert [group.group_id for group in answer.groups] == ["a"]
    assert not answer.errors and not answer.coordinators


async def test_a_coordinator_that_moved_past_the_question_is_missing_and_said_to_be() -> None:
    """Node 2 was asked when it did not lead any more, node 3 before it did."""
    three = Three(await with_groups("a"), [2, 3, 2])
    (error,) = (await three.service.ask("ListGroups", pb.ListGroupsRequest())).errors
    assert (error.reason, error.message) == (
        "COORDINATOR_NOT_AVAILABLE",
        f"1 of {three.first + 3} coordinators are being elected",
    )


async def test_groups_that_are_loading_here_are_missing_and_said_to_be() -> None:
    node = await with_groups("a")
    node.shard_logs[0].is_leader = False
    node.shards[0].on_leadership(False, 2)
    answer = await Three(node).service.ask("ListGroups", pb.ListGroupsRequest())
    (error,) = answer.errors
    assert (error.reason, error.retriable) == ("COORDINATOR_LOAD_IN_PROGRESS", True)
    assert error.message.startswith("node 1: ")


async def test_groups_by_state() -> None:
    node = await with_groups("empty")
    await join(node, "stable")

    async def listed(*states: pb.GroupState) -> list[tuple[str, str]]:
        groups = (await node.ask("ListGroups", pb.ListGroupsRequest(states=states))).groups
        return [(group.group_id, pb.GroupState.Name(group.state)) for group in groups]

    both = [("empty", "GROUP_STATE_EMPTY"), ("stable", "GROUP_STATE_STABLE")]
    assert await listed() == both
    assert await listed(pb.GROUP_STATE_STABLE, pb.GROUP_STATE_EMPTY, pb.GROUP_STATE_EMPTY) == both
    assert await listed(pb.GROUP_STATE_STABLE) == both[1:]
    assert await listed(pb.GROUP_STATE_DEAD) == []
    (stable,) = (await node.ask("ListGroups", pb.ListGroupsRequest(states=[pb.GROUP_STATE_STABLE]))).groups
    assert (stable.protocol_type, stable.assignor, stable.generation) == ("consumer", "range", 0)
    assert not stable.members
