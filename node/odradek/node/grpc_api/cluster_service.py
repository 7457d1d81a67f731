"""ClusterService: the nodes, and where partitions live, from any node. Translates only.

Reassignments, elections and the quorum are the active controller's; log directories are told by the node that has them.
Source: proto/odradek/v1/cluster_service.proto.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

from odradek.node.app.cluster import GRPC_NODES_LISTENER
from odradek.node.app.cluster_health import health_of
from odradek.node.app.elections import ElectionsService, ElectionType
from odradek.node.app.log_dirs import DescribedDirectory, LogDirsService
from odradek.node.app.quorum import NEVER, DescribedQuorum, Member, QuorumService
from odradek.node.app.reassignments import Move, ReassignmentsService
from odradek.node.controller.image import BrokerImage
from odradek.node.controller.reassignment import Reassignment
from odradek.node.grpc_api.arguments import chosen, distinct, some
from odradek.node.grpc_api.methods import Call, Location, Method, OtherNodes
from odradek.node.grpc_api.paging import Paging
from odradek.node.grpc_api.refusal import error_message, refused
from odradek.proto.kafka.errors import ErrorCode
from odradek.v1 import cluster_service_pb2 as pb

TIMEOUT_MS: Final = 30_000
ASK_TIMEOUT_S: Final = 5.0


class Facts(NamedTuple):
    """What a node knows beside the image. `min_insync_replicas` is the setting of a topic by its name."""

    version: str
    wall_ms: Callable[[], int]
    min_insync_replicas: Callable[[str], int]


class Outcome(Protocol):
    """What became of one partition."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def error(self) -> ErrorCode: ...
    @property
    def message(self) -> str | None: ...


class ClusterServicer:
    service: Final = "odradek.v1.ClusterService"

    def __init__(
        self,
        reassignments: ReassignmentsService,
        elections: ElectionsService,
        quorum: QuorumService,
        log_dirs: LogDirsService,
        location: Location,
        others: OtherNodes,
        facts: Facts,
    ) -> None:
        self._reassignments = reassignments
        self._elections = elections
        self._quorum = quorum
        self._log_dirs = log_dirs
        self._location = location
        self._others = others
        self._facts = facts

    def methods(self) -> list[Method]:
        def controller(_: object) -> int | None:
            return self._location.active_controller_id

        alter, list_ = self.alter_reassignments, self.list_reassignments
        return [
            Method("GetCluster", pb.GetClusterRequest, self.get_cluster),
            Method("GetQuorum", pb.GetQuorumRequest, self.get_quorum, where=controller),
            Method("ListReassignments", pb.ListReassignmentsRequest, list_, where=controller),
            Method("AlterReassignments", pb.AlterReassignmentsRequest, alter, where=controller),
            Method("ElectLeaders", pb.ElectLeadersRequest, self.elect_leaders, where=controller),
            Method("ListLogDirs", pb.ListLogDirsRequest, self.list_log_dirs),
        ]

    # -- the cluster

    async def get_cluster(self, call: Call, request: pb.GetClusterRequest) -> pb.GetClusterResponse:
        image = self._location.image
        health = health_of(image, self._facts.min_insync_replicas)
        controller_id = self._location.active_controller_id
        return pb.GetClusterResponse(
            cluster_id=image.cluster_id,
            controller_id=-1 if controller_id is None else controller_id,
            nodes=[
                _node(broker, health.leaders.get(node_id, 0), health.replicas.get(node_id, 0))
                for node_id, broker in sorted(image.brokers.items())
            ],
            topic_count=len(image.topics_by_name),
            partition_count=health.partitions,
            leaderless_partition_count=health.leaderless,
            under_replicated_partition_count=health.under_replicated,
            under_min_in_sync_partition_count=health.under_min_in_sync,
            answered_by=self._location.node_id,
            version=self._facts.version,
            time_ms=self._facts.wall_ms(),
        )

    async def get_quorum(self, call: Call, request: pb.GetQuorumRequest) -> pb.GetQuorumResponse:
        quorum = self._quorum.describe()
        if isinstance(quorum, ErrorCode):
            raise refused(quorum)
        return pb.GetQuorumResponse(
            leader_id=quorum.leader_id,
            term=quorum.leader_epoch,
            commit_index=quorum.high_watermark - 1,
            voters=[_voter(member, quorum) for member in quorum.voters],
        )

    # -- where partitions live, at the active controller

    async def list_reassignments(
        self, call: Call, request: pb.ListReassignmentsRequest
    ) -> pb.ListReassignmentsResponse:
        paging = Paging("reassignments", [], request.page_size, request.page_token)
        ongoing = self._reassignments.ongoing(None)
        if isinstance(ongoing, ErrorCode):
            raise refused(ongoing)
        moves = sorted(
            (one for topic in ongoing.values() for one in topic), key=lambda one: (one.topic, one.partition)
        )
        page, token = paging.take(moves, lambda one: (one.topic, one.partition))
        return pb.ListReassignmentsResponse(
            reassignments=[_reassignment(one) for one in page], next_page_token=token
        )

    async def alter_reassignments(
        self, call: Call, request: pb.AlterReassignmentsRequest
    ) -> pb.AlterReassignmentsResponse:
        some(request.changes, "changes")
        asked = distinct(((one.topic, one.partition) for one in request.changes), "changes")
        answer = await self._reassignments.alter(
            [Move(one.topic, one.partition, tuple(one.node_ids) or None) for one in request.changes],
            allow_replication_factor_change=True,
            timeout_ms=call.timeout_ms(TIMEOUT_MS),
        )
        if answer.error is not ErrorCode.NONE:
            raise refused(answer.error, answer.message)
        return pb.AlterReassignmentsResponse(outcomes=_outcomes(asked, answer.topics))

    async def elect_leaders(self, call: Call, request: pb.ElectLeadersRequest) -> pb.ElectLeadersResponse:
        chosen(request.type, dict(pb.ElectionType.items()), "type")
        is_unclean = request.type == pb.ELECTION_TYPE_UNCLEAN
        asked = distinct(((one.topic, one.partition) for one in request.partitions), "partitions")
        answer = await self._elections.elect_leaders(
            ElectionType.UNCLEAN if is_unclean else ElectionType.PREFERRED,
            asked or None,
            timeout_ms=call.timeout_ms(TIMEOUT_MS),
        )
        if answer.error is not ErrorCode.NONE:
            messages = (one.message for topic in answer.topics.values() for one in topic)
            raise refused(answer.error, next(messages, None))
        told = asked or sorted(
            (one.topic, one.partition) for topic in answer.topics.values() for one in topic
        )
        return pb.ElectLeadersResponse(outcomes=_outcomes(told, answer.topics))

    # -- log directories, at the node that has them

    async def list_log_dirs(self, call: Call, request: pb.ListLogDirsRequest) -> pb.ListLogDirsResponse:
        node_id = request.node_id
        if node_id == self._location.node_id:
            return pb.ListLogDirsResponse(
                log_dirs=[_log_dir(one) for one in self._log_dirs.directories(None)]
            )
        if node_id not in self._location.image.brokers:
            raise refused(
                ErrorCode.BROKER_ID_NOT_REGISTERED, f"there is no node {node_id}", node_id=str(node_id)
            )
        if call.is_forwarded:
            raise refused(ErrorCode.BROKER_NOT_AVAILABLE, f"this is node {self._location.node_id}")
        path = f"/{self.service}/ListLogDirs"
        return await self._others.ask(node_id, path, call, request, pb.ListLogDirsResponse, ASK_TIMEOUT_S)


def _node(broker: BrokerImage, leaders: int, replicas: int) -> pb.ClusterNode:
    return pb.ClusterNode(
        node_id=broker.broker_id,
        alive=not broker.fenced,
        rack=broker.rack or "",
        listeners=[
            pb.Listener(name=name, host=endpoint.host, port=endpoint.port)
            for name, endpoint in sorted(broker.endpoints.items())
            if name != GRPC_NODES_LISTENER
        ],
        leader_count=leaders,
        replica_count=replicas,
    )


def _voter(member: Member, quorum: DescribedQuorum) -> pb.QuorumVoter:
    if member.node_id == quorum.leader_id:
        last_heard_ms = 0
    elif member.last_fetch_ms == NEVER:
        last_heard_ms = -1
    else:
        last_heard_ms = max(0, quorum.now_ms - member.last_fetch_ms)
    return pb.QuorumVoter(
        node_id=member.node_id,
        log_end_index=member.log_end_offset - 1,
        last_heard_ms=last_heard_ms,
        current=quorum.has_all(member),
    )


def _reassignment(one: Reassignment) -> pb.Reassignment:
    return pb.Reassignment(
        topic=one.topic,
        partition=one.partition,
        replicas=one.replicas,
        adding_replicas=one.adding,
        removing_replicas=one.removing,
    )


def _outcomes(
    asked: Iterable[tuple[str, int]], answers: Mapping[str, Sequence[Outcome]]
) -> list[pb.PartitionOutcome]:
    """In the order asked."""
    told = {(one.topic, one.partition): one for topic in answers.values() for one in topic}
    outcomes: list[pb.PartitionOutcome] = []
    for topic, partition in asked:
        outcome = pb.PartitionOutcome(topic=topic, partition=partition)
        found = told[topic, partition]
        if found.error is not ErrorCode.NONE:
            outcome.error.CopyFrom(error_message(found.error, found.message))
        outcomes.append(outcome)
    return outcomes


def _log_dir(described: DescribedDirectory) -> pb.LogDir:
    answer = pb.LogDir(
        path=described.path, total_bytes=described.total_bytes, usable_bytes=described.usable_bytes
    )
    if described.error is not ErrorCode.NONE:
        answer.error.CopyFrom(error_message(described.error))
    for topic, partition, size_bytes in sorted(described.partitions):
        answer.partitions.add(topic=topic, partition=partition, size_bytes=size_bytes)
    for topic, partition, size_bytes, lag in sorted(described.futures):
        answer.partitions.add(topic=topic, partition=partition, size_bytes=size_bytes, offset_lag=lag)
    return answer
