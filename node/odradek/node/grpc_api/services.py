"""Every servicer of the gRPC door, in one list: what this node serves there."""

from __future__ import annotations

from collections.abc import Callable
from importlib import metadata
from typing import Protocol

from odradek.node.app.cluster import ClusterService
from odradek.node.app.configs import ConfigsService
from odradek.node.app.consume.service import ConsumeService
from odradek.node.app.elections import ElectionsService
from odradek.node.app.fetch import FetchService
from odradek.node.app.groups import GroupsService
from odradek.node.app.leaders import Leaders
from odradek.node.app.list_offsets import ListOffsetsService
from odradek.node.app.log_dirs import LogDirsService
from odradek.node.app.metadata import MetadataService
from odradek.node.app.offset_lookups import OffsetLookUps
from odradek.node.app.offsets import OffsetsService
from odradek.node.app.produce import ProduceService
from odradek.node.app.producer_ids import ProducerIdService
from odradek.node.app.publish import PublishService
from odradek.node.app.quorum import QuorumService
from odradek.node.app.reassignments import ReassignmentsService
from odradek.node.app.records import RecordsService
from odradek.node.app.topics import TopicsService
from odradek.node.grpc_api.cluster_service import ClusterServicer, Facts
from odradek.node.grpc_api.config_service import ConfigServicer
from odradek.node.grpc_api.group_service import GroupLocation, GroupServicer
from odradek.node.grpc_api.log_service import LogServicer
from odradek.node.grpc_api.methods import Location, OtherNodes, Servicer
from odradek.node.grpc_api.record_service import RecordServicer
from odradek.node.grpc_api.topic_service import TopicServicer
from odradek.storage.log_config import LogConfig


class Services(Protocol):
    """The use cases that the servicers translate to: `odradek.node.services.Services`."""

    @property
    def produce(self) -> ProduceService: ...
    @property
    def fetch(self) -> FetchService: ...
    @property
    def list_offsets(self) -> ListOffsetsService: ...
    @property
    def metadata(self) -> MetadataService: ...
    @property
    def cluster(self) -> ClusterService: ...
    @property
    def producer_ids(self) -> ProducerIdService: ...
    @property
    def controller(self) -> Location: ...
    @property
    def topics(self) -> TopicsService: ...
    @property
    def records(self) -> RecordsService: ...
    @property
    def reassignments(self) -> ReassignmentsService: ...
    @property
    def elections(self) -> ElectionsService: ...
    @property
    def quorum(self) -> QuorumService: ...
    @property
    def log_dirs(self) -> LogDirsService: ...
    @property
    def configs(self) -> ConfigsService: ...
    @property
    def groups(self) -> GroupsService: ...
    @property
    def offsets(self) -> OffsetsService: ...
    @property
    def leaders(self) -> Leaders: ...
    @property
    def coordinators(self) -> GroupLocation: ...
    @property
    def wall_ms(self) -> Callable[[], int]: ...
    @property
    def log_config(self) -> Callable[[str], LogConfig]: ...
    @property
    def publish(self) -> PublishService: ...
    @property
    def consume(self) -> ConsumeService: ...


def servicers(services: Services, others: OtherNodes) -> list[Servicer]:
    return [
        RecordServicer(services.publish, services.consume),
        LogServicer(
            services.produce,
            services.fetch,
            services.list_offsets,
            services.metadata,
            services.cluster,
            services.producer_ids,
        ),
        TopicServicer(services.topics, services.records, services.controller, others),
        ConfigServicer(services.configs, services.controller, others),
        GroupServicer(
            services.groups,
            services.offsets,
            OffsetLookUps(services.leaders),
            services.coordinators,
            services.controller,
            others,
        ),
        ClusterServicer(
            services.reassignments,
            services.elections,
            services.quorum,
            services.log_dirs,
            services.controller,
            others,
            Facts(_version(), services.wall_ms, lambda topic: services.log_config(topic).min_insync_replicas),
        ),
    ]


def _version() -> str:
    try:
        return metadata.version("odradek")
    except metadata.PackageNotFoundError:
        return "unknown"
