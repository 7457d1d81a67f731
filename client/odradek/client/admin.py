"""Administration of a cluster: topics, settings, groups, and where partitions live.

Every method is one call of the API, by its name in small letters; lists are async iterators that fetch page after
page. Calls go to any node of those given, and to another one when a node does not answer.

Errors: OdradekError, by the class of its reason (`errors`); ValueError for arguments that no request can hold."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Final

from odradek.client.connection import DEFAULT_CLIENT_ID, DEFAULT_TIMEOUT_MS, Connection, Method
from odradek.client.descriptions import (
    Cluster,
    Config,
    ConfigChange,
    ConfigResource,
    Group,
    GroupOffset,
    LogDir,
    Partition,
    PartitionOutcome,
    Quorum,
    Reassignment,
    Topic,
    cluster_of,
    config_of,
    group_of,
    log_dir_of,
    outcome_of,
    quorum_of,
    topic_of,
    value_of,
)
from odradek.client.errors import OdradekError, from_proto, from_reason
from odradek.client.records import Position, TopicPartition
from odradek.v1 import cluster_service_pb2 as cluster_pb
from odradek.v1 import config_service_pb2 as config_pb
from odradek.v1 import group_service_pb2 as group_pb
from odradek.v1 import log_service_pb2 as log_pb
from odradek.v1 import record_pb2
from odradek.v1 import topic_service_pb2 as topic_pb

PAGE_SIZE: Final = 500


class Admin:
    """A connection for administration: `async with Admin("host:port,host:port") as admin`.

    `timeout_ms` is how long a call is tried, at all nodes together. Belongs to one event loop."""

    def __init__(
        self, bootstrap: str, *, client_id: str = DEFAULT_CLIENT_ID, timeout_ms: int = DEFAULT_TIMEOUT_MS
    ) -> None:
        self._connection = Connection(bootstrap, client_id=client_id)
        self._timeout_ms = timeout_ms

    async def __aenter__(self) -> Admin:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self._connection.close()

    # -- topics

    async def list_topics(self, name_pattern: str = "") -> AsyncIterator[Topic]:
        """Topics by name, without their configs; with `name_pattern`, those whose whole name matches it."""
        request = topic_pb.ListTopicsRequest(name_pattern=name_pattern)
        async for page in self._pages(_LIST_TOPICS, request):
            for message in page.topics:
                yield topic_of(message)

    async def get_topic(self, name: str) -> Topic:
        """A topic with the configs that were set for it."""
        return topic_of((await self._call(_GET_TOPIC, topic_pb.GetTopicRequest(name=name))).topic)

    async def create_topic(
        self,
        name: str,
        *,
        partition_count: int | None = None,
        replication_factor: int | None = None,
        configs: Mapping[str, str] | None = None,
        assignments: Sequence[Sequence[int]] = (),
        validate_only: bool = False,
    ) -> Topic:
        """Create a topic. `assignments` instead of numbers: the node ids of partitions 0, 1, 2, ..."""
        request = topic_pb.CreateTopicRequest(
            name=name,
            partition_count=partition_count,
            replication_factor=replication_factor,
            configs=configs or {},
            assignments=_assignments(assignments),
            validate_only=validate_only,
        )
        return topic_of((await self._call_once(_CREATE_TOPIC, request)).topic)

    async def delete_topic(self, name: str) -> None:
        await self._call_once(_DELETE_TOPIC, topic_pb.DeleteTopicRequest(name=name))

    async def list_partitions(
        self, topic: str = "", *, only_unhealthy: bool = False
    ) -> AsyncIterator[Partition]:
        """The partitions of a topic, or of all; `only_unhealthy`: without a leader, or with replicas that are not
        in sync."""
        request = topic_pb.ListPartitionsRequest(topic=topic, only_unhealthy=only_unhealthy)
        async for page in self._pages(_LIST_PARTITIONS, request):
            for message in page.partitions:
                yield value_of(Partition, message)

    async def create_partitions(
        self,
        topic: str,
        partition_count: int,
        *,
        assignments: Sequence[Sequence[int]] = (),
        validate_only: bool = False,
    ) -> None:
        """Give a topic more partitions; `partition_count` is the number afterwards."""
        request = topic_pb.CreatePartitionsRequest(
            topic=topic,
            partition_count=partition_count,
            assignments=_assignments(assignments),
            validate_only=validate_only,
        )
        await self._call_once(_CREATE_PARTITIONS, request)

    async def delete_records(self, before: Mapping[TopicPartition, int]) -> dict[TopicPartition, int]:
        """Delete the records before these offsets, -1 for all that is there; the oldest offsets kept then."""
        request = topic_pb.DeleteRecordsRequest(
            before=[
                record_pb2.TopicPartitionOffset(topic=topic, partition=partition, offset=offset)
                for (topic, partition), offset in before.items()
            ]
        )
        answer = await self._call(_DELETE_RECORDS, request)
        return {TopicPartition(one.topic, one.partition): one.offset for one in answer.log_start_offsets}

    # -- settings

    async def list_configs(
        self, resource: ConfigResource, names: Iterable[str] = ()
    ) -> AsyncIterator[Config]:
        """The settings of a topic, a node or the cluster by name; only `names`, if any."""
        request = config_pb.ListConfigsRequest(resource=_resource(resource), names=list(names))
        async for page in self._pages(_LIST_CONFIGS, request):
            for message in page.configs:
                yield config_of(message)

    async def update_configs(
        self, resource: ConfigResource, changes: Iterable[ConfigChange], *, validate_only: bool = False
    ) -> None:
        """Change settings of one resource: all of the changes are made, or none."""
        messages = [
            config_pb.ConfigChange(
                name=change.name,
                operation=f"CONFIG_OPERATION_{change.operation.upper()}",
                value=change.value,
            )
            for change in changes
        ]
        request = config_pb.UpdateConfigsRequest(
            resource=_resource(resource), changes=messages, validate_only=validate_only
        )
        await self._call(_UPDATE_CONFIGS, request)

    # -- groups

    async def list_groups(self, states: Iterable[str] = ()) -> AsyncIterator[Group]:
        """Groups by name, without members; only those in one of `states`, if any ("stable", "empty", ...).

        Where coordinators could not be asked their groups are missing: the error is raised after the others."""
        request = group_pb.ListGroupsRequest(states=[f"GROUP_STATE_{state.upper()}" for state in states])
        failed = []
        async for page in self._pages(_LIST_GROUPS, request):
            for message in page.groups:
                yield group_of(message)
            failed += page.errors
        if failed:
            raise from_proto(failed[0])

    async def get_group(self, group_id: str) -> Group:
        """A group with its members."""
        return group_of((await self._call(_GET_GROUP, group_pb.GetGroupRequest(group_id=group_id))).group)

    async def delete_group(self, group_id: str) -> None:
        """Delete a group that has no members, and its offsets."""
        await self._call_once(_DELETE_GROUP, group_pb.DeleteGroupRequest(group_id=group_id))

    async def list_group_offsets(self, group_id: str) -> AsyncIterator[GroupOffset]:
        """How far a group has read, by topic and partition. One that does not exist has read nothing."""
        async for page in self._pages(
            _LIST_GROUP_OFFSETS, group_pb.ListGroupOffsetsRequest(group_id=group_id)
        ):
            for message in page.offsets:
                yield value_of(GroupOffset, message)

    async def set_group_offsets(
        self, group_id: str, positions: Mapping[TopicPartition, Position | int]
    ) -> dict[TopicPartition, int]:
        """Move a group that has no members; the offsets it has then."""
        request = group_pb.SetGroupOffsetsRequest(
            group_id=group_id,
            positions=[
                group_pb.GroupPosition(
                    topic=topic, partition=partition, position=Position.of(place).to_proto()
                )
                for (topic, partition), place in positions.items()
            ],
        )
        answer = await self._call(_SET_GROUP_OFFSETS, request)
        return {TopicPartition(one.topic, one.partition): one.offset for one in answer.offsets}

    async def delete_group_offsets(self, group_id: str, partitions: Iterable[TopicPartition]) -> None:
        """Forget how far a group has read in these partitions."""
        request = group_pb.DeleteGroupOffsetsRequest(group_id=group_id, partitions=_partitions(partitions))
        await self._call(_DELETE_GROUP_OFFSETS, request)

    async def remove_group_member(self, group_id: str, *, member_id: str = "", instance_id: str = "") -> None:
        """Take a member out of a group, by one of its ids."""
        if bool(member_id) == bool(instance_id):
            raise ValueError("give either member_id or instance_id")
        request = group_pb.RemoveGroupMemberRequest(group_id=group_id)
        if member_id:
            request.member_id = member_id
        else:
            request.instance_id = instance_id
        await self._call_once(_REMOVE_GROUP_MEMBER, request)

    # -- the cluster

    async def get_cluster(self, address: str | None = None) -> Cluster:
        """The cluster, as any node sees it, or as the one at `address` (host:port) does."""
        request = cluster_pb.GetClusterRequest()
        if address is None:
            return cluster_of(await self._call(_GET_CLUSTER, request))
        return cluster_of(
            await self._connection.call_at(address, _GET_CLUSTER, request, timeout_ms=self._timeout_ms)
        )

    async def get_quorum(self) -> Quorum:
        """The Raft group that holds the metadata."""
        return quorum_of(await self._call(_GET_QUORUM, cluster_pb.GetQuorumRequest()))

    async def list_reassignments(self) -> AsyncIterator[Reassignment]:
        """Partitions that are moving."""
        async for page in self._pages(_LIST_REASSIGNMENTS, cluster_pb.ListReassignmentsRequest()):
            for message in page.reassignments:
                yield value_of(Reassignment, message)

    async def alter_reassignments(
        self, changes: Mapping[TopicPartition, Sequence[int] | None]
    ) -> list[PartitionOutcome]:
        """Move partitions to these nodes, the preferred leader first; None takes a move back."""
        request = cluster_pb.AlterReassignmentsRequest(
            changes=[
                cluster_pb.ReassignmentChange(topic=topic, partition=partition, node_ids=nodes or ())
                for (topic, partition), nodes in changes.items()
            ]
        )
        return [outcome_of(one) for one in (await self._call(_ALTER_REASSIGNMENTS, request)).outcomes]

    async def elect_leaders(
        self, partitions: Iterable[TopicPartition] = (), *, unclean: bool = False
    ) -> list[PartitionOutcome]:
        """Have partitions (all, if none are given) led by their preferred replica; `unclean`: by any live replica
        where no in-sync one is left, at the price of records that it does not have."""
        kind = cluster_pb.ELECTION_TYPE_UNCLEAN if unclean else cluster_pb.ELECTION_TYPE_PREFERRED
        request = cluster_pb.ElectLeadersRequest(type=kind, partitions=_partitions(partitions))
        return [outcome_of(one) for one in (await self._call(_ELECT_LEADERS, request)).outcomes]

    async def list_log_dirs(self, node_id: int) -> AsyncIterator[LogDir]:
        """The log directories of a node."""
        answer = await self._call(_LIST_LOG_DIRS, cluster_pb.ListLogDirsRequest(node_id=node_id))
        for message in answer.log_dirs:
            yield log_dir_of(message)

    # -- offsets

    async def list_offsets(
        self, positions: Mapping[TopicPartition, Position | int]
    ) -> dict[TopicPartition, int]:
        """The offset of each position; -1: no record is as new as the time asked for. Asks the partitions' leaders,
        and looks for them again while they change."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._timeout_ms / 1000
        left = {TopicPartition(*tp): Position.of(place) for tp, place in positions.items()}
        found: dict[TopicPartition, int] = {}
        attempt = 0
        while left:
            error = await self._ask_leaders(left, found)
            left = {tp: place for tp, place in left.items() if tp not in found}
            pause = self._connection.backoff_ms(attempt) / 1000
            if error is not None and (not error.is_retriable or loop.time() + pause >= deadline):
                raise error
            if left:
                attempt += 1
                await asyncio.sleep(pause)
        return found

    async def _ask_leaders(
        self, positions: Mapping[TopicPartition, Position], found: dict[TopicPartition, int]
    ) -> OdradekError | None:
        """Ask every leader once, and put what they say into `found`; the error of one of the rest."""
        topics = sorted({tp.topic for tp in positions})
        metadata = await self._call(_METADATA, log_pb.MetadataRequest(topics=topics))
        addresses = {node.node_id: f"{_bracketed(node.host)}:{node.port}" for node in metadata.nodes}
        leaders = {
            TopicPartition(topic.name, one.partition): addresses.get(one.leader_id)
            for topic in metadata.topics
            for one in topic.partitions
        }
        asked: dict[str, list[TopicPartition]] = defaultdict(list)
        error: OdradekError | None = None
        for tp in positions:
            if tp not in leaders:
                raise from_reason(
                    "UNKNOWN_TOPIC_OR_PARTITION", f"there is no partition {tp.partition} of {tp.topic!r}"
                )
            address = leaders[tp]
            if address is None:
                error = from_reason(
                    "LEADER_NOT_AVAILABLE", f"nobody leads partition {tp.partition} of {tp.topic!r}"
                )
            else:
                asked[address].append(tp)
        for address, partitions in asked.items():
            request = log_pb.ListOffsetsRequest(
                partitions=[
                    log_pb.ListOffsetsPartition(
                        topic=tp.topic, partition=tp.partition, position=positions[tp].to_proto()
                    )
                    for tp in partitions
                ]
            )
            try:
                answer = await self._connection.call_at(
                    address, _LIST_OFFSETS, request, timeout_ms=self._timeout_ms
                )
            except OdradekError as failed:
                error = failed
                continue
            for one in answer.partitions:
                if one.HasField("error"):
                    error = from_proto(one.error)
                else:
                    found[TopicPartition(one.topic, one.partition)] = one.offset
        return error

    # -- calls

    async def _call(self, method: Method[Any, Any], request: Any) -> Any:
        return await self._connection.call(method, request, timeout_ms=self._timeout_ms)

    async def _call_once(self, method: Method[Any, Any], request: Any) -> Any:
        """A call that must not be made twice: creating what was just created would be refused. With several nodes
        to ask, a question finds one that answers first."""
        if len(self._connection.addresses) > 1:
            await self._call(_GET_CLUSTER, cluster_pb.GetClusterRequest())
        return await self._connection.call(method, request, timeout_ms=self._timeout_ms, is_repeatable=False)

    async def _pages(self, method: Method[Any, Any], request: Any) -> AsyncIterator[Any]:
        request.page_size = PAGE_SIZE
        while True:
            page = await self._call(method, request)
            yield page
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def _assignments(assignments: Iterable[Sequence[int]]) -> list[topic_pb.ReplicaAssignment]:
    return [topic_pb.ReplicaAssignment(node_ids=list(nodes)) for nodes in assignments]


def _partitions(partitions: Iterable[TopicPartition]) -> list[record_pb2.TopicPartition]:
    return [record_pb2.TopicPartition(topic=topic, partition=partition) for topic, partition in partitions]


def _resource(resource: ConfigResource) -> config_pb.ConfigResource:
    return config_pb.ConfigResource(type=f"CONFIG_RESOURCE_TYPE_{resource.type.upper()}", name=resource.name)


def _method(module: Any, service: str, name: str) -> Method[Any, Any]:
    return Method(f"{service}/{name}", getattr(module, f"{name}Request"), getattr(module, f"{name}Response"))


_LIST_TOPICS: Final = _method(topic_pb, "TopicService", "ListTopics")
_GET_TOPIC: Final = _method(topic_pb, "TopicService", "GetTopic")
_CREATE_TOPIC: Final = _method(topic_pb, "TopicService", "CreateTopic")
_DELETE_TOPIC: Final = _method(topic_pb, "TopicService", "DeleteTopic")
_LIST_PARTITIONS: Final = _method(topic_pb, "TopicService", "ListPartitions")
_CREATE_PARTITIONS: Final = _method(topic_pb, "TopicService", "CreatePartitions")
_DELETE_RECORDS: Final = _method(topic_pb, "TopicService", "DeleteRecords")
_LIST_CONFIGS: Final = _method(config_pb, "ConfigService", "ListConfigs")
_UPDATE_CONFIGS: Final = _method(config_pb, "ConfigService", "UpdateConfigs")
_LIST_GROUPS: Final = _method(group_pb, "GroupService", "ListGroups")
_GET_GROUP: Final = _method(group_pb, "GroupService", "GetGroup")
_DELETE_GROUP: Final = _method(group_pb, "GroupService", "DeleteGroup")
_LIST_GROUP_OFFSETS: Final = _method(group_pb, "GroupService", "ListGroupOffsets")
_SET_GROUP_OFFSETS: Final = _method(group_pb, "GroupService", "SetGroupOffsets")
_DELETE_GROUP_OFFSETS: Final = _method(group_pb, "GroupService", "DeleteGroupOffsets")
_REMOVE_GROUP_MEMBER: Final = _method(group_pb, "GroupService", "RemoveGroupMember")
_GET_CLUSTER: Final = _method(cluster_pb, "ClusterService", "GetCluster")
_GET_QUORUM: Final = _method(cluster_pb, "ClusterService", "GetQuorum")
_LIST_REASSIGNMENTS: Final = _method(cluster_pb, "ClusterService", "ListReassignments")
_ALTER_REASSIGNMENTS: Final = _method(cluster_pb, "ClusterService", "AlterReassignments")
_ELECT_LEADERS: Final = _method(cluster_pb, "ClusterService", "ElectLeaders")
_LIST_LOG_DIRS: Final = _method(cluster_pb, "ClusterService", "ListLogDirs")
_METADATA: Final = _method(log_pb, "LogService", "Metadata")
_LIST_OFFSETS: Final = _method(log_pb, "LogService", "ListOffsets")
