"""The admin services of the gRPC door on three nodes: every node answers every call, whoever has to carry it out."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import grpc
import pytest
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status
from tests.compat import confluent
from tests.compat.clusters import Cluster, until
from tests.compat.conftest import OF_THREE, cluster_flavour, on_kafka
from tests.compat.servers import HOST, quiet_ports

from odradek.v1 import cluster_service_pb2, config_service_pb2, group_service_pb2, topic_service_pb2

pytestmark = [
    pytest.mark.timeout(180),
    pytest.mark.skipif(on_kafka(), reason="Apache Kafka has no gRPC door"),
]
T = TypeVar("T")
MODULES = {
    "TopicService": topic_service_pb2,
    "ConfigService": config_service_pb2,
    "GroupService": group_service_pb2,
    "ClusterService": cluster_service_pb2,
}
NODES = (1, 2, 3)
CATCH_UP_S = 1.0  # how long a node waits until it sees what another one did for it; then it answers anyway
UNKNOWN_TOPIC = (grpc.StatusCode.NOT_FOUND, "UNKNOWN_TOPIC_OR_PARTITION")
TOPIC, NODE = (config_service_pb2.CONFIG_RESOURCE_TYPE_TOPIC, config_service_pb2.CONFIG_RESOURCE_TYPE_NODE)


class Doors:
    """The gRPC doors of a cluster, by node."""

    def __init__(self, cluster: Cluster, ports: dict[int, int]) -> None:
        self.cluster = cluster
        self._channels = {node: grpc.insecure_channel(f"{HOST}:{port}") for node, port in ports.items()}

    def ask(self, node: int, service: str, method: str, /, timeout_s: float = 20.0, **fields: Any) -> Any:
        module = MODULES[service]
        request = getattr(module, f"{method}Request")(**fields)
        answer = getattr(module, f"{method}Response")
        call: Any = self._channels[node].unary_unary(
            f"/odradek.v1.{service}/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=answer.FromString,
        )
        return call(request, timeout=timeout_s)

    def controller(self) -> int:
        def look() -> int | None:
            named = {
                self.ask(node, "ClusterService", "GetCluster").controller_id for node in self.cluster.running
            }
            return named.pop() if len(named) == 1 and -1 not in named else None

        return until(look, 60, "one active controller")

    def close(self) -> None:
        for channel in self._channels.values():
            channel.close()


@pytest.fixture(scope="module")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doors]:
    ports = dict(zip(NODES, quiet_ports(len(NODES)), strict=True))
    own = {node: {"odradek.grpc.listener": f"{HOST}:{port}"} for node, port in ports.items()}
    folder = tmp_path_factory.mktemp("cluster")
    with Cluster(cluster_flavour(), folder, properties=OF_THREE, own=own) as cluster:
        cluster.start()
        doors = Doors(cluster, ports)
        yield doors
        doors.close()


def others(node: int) -> list[int]:
    return [other for other in NODES if other != node]


def reason(error: Any) -> str:
    """The Kafka name in the details."""
    info: Any = ErrorInfo()
    for key, value in error.trailing_metadata():
        if key == "grpc-status-details-bin":
            Status.FromString(value).details[0].Unpack(info)
    return str(info.reason)


def refused(call: Callable[[], object]) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as raised:
        call()
    error: Any = raised.value
    return error.code(), reason(error)


def in_sync_topic(doors: Doors, name: str, partitions: int) -> str:
    through = others(doors.controller())[0]
    doors.ask(through, "TopicService", "CreateTopic", name=name, partition_count=partitions)
    doors.cluster.await_in_sync({name: partitions}, 3)
    return name


def test_every_node_says_the_same_of_the_cluster(doors: Doors) -> None:
    clusters: list[Any] = []
    quorums: list[Any] = []

    def all_say_the_same() -> bool:
        """Not at once: each node hears for itself of a controller, and of nodes that were silent."""
        clusters[:] = [cluster_as_told_by(doors, node) for node in NODES]
        quorums[:] = [quorum_as_told_through(doors, node) for node in NODES]
        assert len({answer.cluster_id for answer in clusters}) == 1
        named = {answer.controller_id for answer in clusters} | {quorum.leader_id for quorum in quorums}
        return (
            len(named) == 1
            and all(one.alive for answer in clusters for one in answer.nodes)
            and all(voter.last_heard_ms >= 0 and voter.current for one in quorums for voter in one.voters)
        )

    until(all_say_the_same, 60, lambda: f"one answer of all nodes: {clusters} {quorums}")


def cluster_as_told_by(doors: Doors, node: int) -> Any:
    answer = doors.ask(node, "ClusterService", "GetCluster")
    assert answer.answered_by == node
    assert [one.node_id for one in answer.nodes] == list(NODES)
    assert {listener.name for one in answer.nodes for listener in one.listeners} == {"GRPC", "PLAINTEXT"}
    return answer


def quorum_as_told_through(doors: Doors, node: int) -> Any:
    quorum = doors.ask(node, "ClusterService", "GetQuorum")
    assert [voter.node_id for voter in quorum.voters] == list(NODES)
    (leader,) = [voter for voter in quorum.voters if voter.node_id == quorum.leader_id]
    assert leader.last_heard_ms == 0 and quorum.commit_index <= leader.log_end_index
    return quorum


def test_topics_are_made_changed_and_deleted_through_a_node_that_is_not_the_controller(doors: Doors) -> None:
    one, other = others(doors.controller())

    def ask(method: str, **fields: Any) -> Any:
        return doors.ask(one, "TopicService", method, **fields)

    def topic() -> Any | None:
        try:
            return ask("GetTopic", name="made").topic
        except grpc.RpcError as error:
            assert (error.code(), reason(error)) == UNKNOWN_TOPIC
            return None

    made = seen_when_done(
        lambda: ask("CreateTopic", name="made", partition_count=3).topic,
        lambda made: getattr(topic(), "topic_id", None) == made.topic_id,
    )
    assert (made.partition_count, made.replication_factor) == (3, 3)
    again = lambda: doors.ask(other, "TopicService", "CreateTopic", name="made")  # noqa: E731
    assert refused(again) == (grpc.StatusCode.ALREADY_EXISTS, "TOPIC_ALREADY_EXISTS")

    seen_when_done(
        lambda: ask("CreatePartitions", topic="made", partition_count=4),
        lambda _: (
            [found.partition for found in ask("ListPartitions", topic="made").partitions] == [0, 1, 2, 3]
        ),
    )
    resource, changes = {"type": TOPIC, "name": "made"}, [{"name": "retention.ms", "value": "86400000"}]
    seen_when_done(
        lambda: doors.ask(one, "ConfigService", "UpdateConfigs", resource=resource, changes=changes),
        lambda _: dict(getattr(topic(), "configs", {})) == {"retention.ms": "86400000"},
    )
    assert ask("GetTopic", name="made").topic.partition_count == 4
    seen_when_done(lambda: ask("DeleteTopic", name="made"), lambda _: topic() is None)


def seen_when_done(change: Callable[[], T], is_seen: Callable[[T], bool]) -> T:
    """Without waiting: what was done through a node is there at that node, unless that waited for it in vain."""
    began = time.monotonic()
    done = change()
    if time.monotonic() - began < CATCH_UP_S:
        assert is_seen(done), f"it was done, and is not seen: {done}"
    else:
        until(lambda: is_seen(done), 20, f"it was done, and is not seen: {done}")
    return done


def test_a_page_may_be_asked_of_another_node_than_the_one_before(doors: Doors) -> None:
    names = [in_sync_topic(doors, f"page-{number}", 1) for number in range(3)]
    found: list[str] = []
    token = ""
    for node in NODES:
        page = doors.ask(
            node, "TopicService", "ListTopics", page_size=1, page_token=token, name_pattern="page-."
        )
        found += [topic.name for topic in page.topics]
        token = page.next_page_token
    assert (found, token) == (names, "")


def test_records_are_deleted_at_all_leaders_through_any_node(doors: Doors) -> None:
    name = in_sync_topic(doors, "records", 6)
    producer = confluent.producer(doors.cluster)
    for partition in range(6):
        for number in range(10):
            producer.produce(name, str(number), partition=partition)
    assert producer.flush(30) == 0
    led = {one.leader_id for one in doors.ask(1, "TopicService", "ListPartitions", topic=name).partitions}
    assert len(led) > 1
    for node, offset in zip(NODES, (3, 5, -1), strict=True):
        before = [{"topic": name, "partition": number, "offset": offset} for number in range(6)]
        answer = doors.ask(node, "TopicService", "DeleteRecords", before=before)
        kept = [(one.partition, one.offset) for one in answer.log_start_offsets]
        assert kept == [(number, 10 if offset == -1 else offset) for number in range(6)]
    beyond = lambda: doors.ask(  # noqa: E731
        1, "TopicService", "DeleteRecords", before=[{"topic": name, "partition": 5, "offset": 99}]
    )
    assert refused(beyond) == (grpc.StatusCode.OUT_OF_RANGE, "OFFSET_OUT_OF_RANGE")


def test_what_one_node_has_is_told_through_every_node(doors: Doors) -> None:
    for node in NODES:
        for through in NODES:
            dirs = doors.ask(through, "ClusterService", "ListLogDirs", node_id=node).log_dirs
            assert [f"/node{node}/data" in one.path for one in dirs] == [True]
            resource = {"type": NODE, "name": str(node)}
            configs = doors.ask(through, "ConfigService", "ListConfigs", resource=resource, names=["node.id"])
            assert [one.value for one in configs.configs] == [str(node)]
    one, other = others(doors.controller())
    resource = {"type": NODE, "name": str(other)}
    changes = [{"name": "log.retention.ms", "value": "77777777"}]
    doors.ask(one, "ConfigService", "UpdateConfigs", resource=resource, changes=changes)

    def seen() -> bool:
        found = doors.ask(one, "ConfigService", "ListConfigs", resource=resource, names=["log.retention.ms"])
        return [(entry.value, entry.source) for entry in found.configs] == [
            ("77777777", config_service_pb2.CONFIG_SOURCE_NODE)
        ]

    until(seen, 20, "the setting at the node that it is for")


def test_a_group_is_described_and_set_through_a_node_that_does_not_coordinate_it(doors: Doors) -> None:
    name = in_sync_topic(doors, "groups", 6)
    producer = confluent.producer(doors.cluster)
    for partition in range(6):
        for number in range(10):
            producer.produce(name, str(number), partition=partition, timestamp=1_000 + number)
    assert producer.flush(30) == 0
    client = confluent.consumer(doors.cluster, "reading")
    client.subscribe([name])
    until(lambda: client.poll(0.02) is not None and client.assignment(), 60, "an assignment")

    coordinator, member_id = until(lambda: _as_all_nodes_tell(doors, name), 60, "one answer of all nodes")
    through = others(coordinator)[0]
    position = {"topic": name, "partition": 0, "position": {"offset": 1}}
    busy = lambda: doors.ask(  # noqa: E731
        through, "GroupService", "SetGroupOffsets", group_id="reading", positions=[position]
    )
    assert refused(busy) == (grpc.StatusCode.FAILED_PRECONDITION, "NON_EMPTY_GROUP")
    doors.ask(through, "GroupService", "RemoveGroupMember", group_id="reading", member_id=member_id)
    client.close()

    kinds = [{"offset": 4}, {"timestamp_ms": 1_003}, {"timestamp_ms": 9_999}, {"edge": 1}, {"edge": 2}]
    positions = [{"topic": name, "partition": i, "position": kind} for i, kind in enumerate(kinds)]
    answer = until(lambda: _set_when_empty(doors, through, positions), 30, "a group without members")
    assert [one.offset for one in answer.offsets] == [4, 3, 10, 0, 10]
    for node in NODES:
        until(functools.partial(_ends_are_told, doors, node), 30, "the end of every partition")
    doors.ask(through, "GroupService", "DeleteGroup", group_id="reading")
    gone = lambda: doors.ask(through, "GroupService", "GetGroup", group_id="reading")  # noqa: E731
    assert refused(gone) == (grpc.StatusCode.NOT_FOUND, "GROUP_ID_NOT_FOUND")


def _as_all_nodes_tell(doors: Doors, topic: str) -> tuple[int, str] | None:
    """The coordinator and the one member, once all nodes name the same coordinator of a stable group."""
    answers = [doors.ask(node, "GroupService", "GetGroup", group_id="reading").group for node in NODES]
    stable = [group for group in answers if group.state == group_service_pb2.GROUP_STATE_STABLE]
    for group in stable:
        assert group.assignor == "range" and group.generation == 1
        (member,) = group.members
        assert [(one.topic, one.partition) for one in member.partitions] == [(topic, i) for i in range(6)]
    told = {(group.coordinator_id, group.members[0].member_id) for group in stable}
    return told.pop() if len(stable) == len(NODES) and len(told) == 1 else None


def _ends_are_told(doors: Doors, node: int) -> bool:
    """A high watermark is -1 where the leader could not be asked in time; what the group has read is told anyway."""
    listed = doors.ask(node, "GroupService", "ListGroupOffsets", group_id="reading").offsets
    read = {one.partition: one.offset for one in listed}
    assert {i: read[i] for i in range(5)} == {0: 4, 1: 3, 2: 10, 3: 0, 4: 10}
    assert {one.high_watermark for one in listed} <= {10, -1}
    return all(one.high_watermark == 10 for one in listed)


def _set_when_empty(doors: Doors, through: int, positions: list[dict[str, Any]]) -> Any | None:
    try:
        return doors.ask(through, "GroupService", "SetGroupOffsets", group_id="reading", positions=positions)
    except grpc.RpcError as error:
        assert reason(error) == "NON_EMPTY_GROUP", error
        return None


@pytest.fixture(scope="module")
def listed_groups(doors: Doors) -> list[str]:
    """Groups without members, so many that they have different coordinators."""
    name = in_sync_topic(doors, "listed", 1)
    wanted = [f"listed-{number:02}" for number in range(12)]
    position = {"topic": name, "partition": 0, "position": {"edge": 1}}
    for number, group_id in enumerate(wanted):
        node = NODES[number % 3]
        doors.ask(node, "GroupService", "SetGroupOffsets", group_id=group_id, positions=[position])
    return wanted


def test_groups_of_all_coordinators_are_listed_by_every_node_page_by_page(
    doors: Doors, listed_groups: list[str]
) -> None:
    coordinators: set[int] = set()
    for node in NODES:
        groups = until(functools.partial(_groups_by_pages, doors, node), 60, "pages from all coordinators")
        coordinators |= {group.coordinator_id for group in groups}
        found = [group.group_id for group in groups]
        assert [group_id for group_id in found if group_id.startswith("listed-")] == listed_groups
        assert found == sorted(set(found))
    assert len(coordinators) > 1


def _groups_by_pages(doors: Doors, node: int) -> list[Any] | None:
    """None where a coordinator could not be asked: one may be moving to the node that is to have it."""
    groups: list[Any] = []
    token = ""
    while True:
        page = doors.ask(node, "GroupService", "ListGroups", page_size=5, page_token=token)
        assert len(page.groups) <= 5
        if page.errors:
            return None
        groups += page.groups
        token = page.next_page_token
        if not token:
            return groups


def test_a_dead_controller_is_replaced_under_the_calls_and_its_node_is_named_as_missing(
    doors: Doors, listed_groups: list[str]
) -> None:
    dead = doors.controller()
    one, other = others(dead)
    doors.cluster.kill(dead)
    # Kept until somebody leads again.
    doors.ask(one, "TopicService", "CreateTopic", name="after", partition_count=2, replication_factor=2)
    began = time.monotonic()
    missing = lambda: doors.ask(other, "ClusterService", "ListLogDirs", timeout_s=40, node_id=dead)  # noqa: E731
    status, _ = refused(missing)
    assert status is grpc.StatusCode.UNAVAILABLE and time.monotonic() - began < 20

    def dead_is_known() -> bool:
        nodes = doors.ask(one, "ClusterService", "GetCluster").nodes
        return [node.node_id for node in nodes if not node.alive] == [dead]

    until(dead_is_known, 60, "the dead node being counted out")

    def all_coordinators_answer() -> bool:
        answers = [doors.ask(node, "GroupService", "ListGroups", page_size=1000) for node in (one, other)]
        for answer in answers:
            listed = {group.group_id for group in answer.groups} & set(listed_groups)
            assert answer.errors or len(listed) == 12, f"groups are missing, which is not said: {answer}"
        return not any(answer.errors for answer in answers)

    until(all_coordinators_answer, 60, "coordinators among the living")

    def its_partitions_are_unhealthy() -> bool:
        answer = doors.ask(one, "TopicService", "ListPartitions", only_unhealthy=True, page_size=1000)
        found = answer.partitions
        return bool(found) and all(dead in partition.offline_replicas for partition in found)

    until(its_partitions_are_unhealthy, 60, "the partitions of the dead node being counted")
    doors.cluster.start([dead])
