"""Every handler family of the Kafka door, in one list: what this node serves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from odradek.node.app.brokers import BrokersService
from odradek.node.app.cluster import ClusterService
from odradek.node.app.configs import ConfigsService
from odradek.node.app.elections import ElectionsService
from odradek.node.app.features import FeaturesService
from odradek.node.app.fetch import FetchService
from odradek.node.app.groups import GroupsService
from odradek.node.app.leader_hints import LeaderHints
from odradek.node.app.list_offsets import ListOffsetsService
from odradek.node.app.log_dirs import LogDirsService
from odradek.node.app.metadata import MetadataService
from odradek.node.app.offsets import OffsetsService
from odradek.node.app.produce import ProduceService
from odradek.node.app.producer_ids import ProducerIdService
from odradek.node.app.quorum import QuorumService
from odradek.node.app.reassignments import ReassignmentsService
from odradek.node.app.records import RecordsService
from odradek.node.app.topics import TopicsService
from odradek.node.kafka_api.handlers.api_versions import ApiVersionsHandlers
from odradek.node.kafka_api.handlers.classic_group import ClassicGroupHandlers
from odradek.node.kafka_api.handlers.cluster import ClusterHandlers
from odradek.node.kafka_api.handlers.configs import ConfigsHandlers
from odradek.node.kafka_api.handlers.controller import ControllerHandlers
from odradek.node.kafka_api.handlers.coordinator import CoordinatorHandlers
from odradek.node.kafka_api.handlers.elections import ElectionsHandlers
from odradek.node.kafka_api.handlers.envelope import ControllerLocation, EnvelopeHandlers
from odradek.node.kafka_api.handlers.features import FeaturesHandlers
from odradek.node.kafka_api.handlers.fetch import FetchHandlers
from odradek.node.kafka_api.handlers.list_offsets import ListOffsetsHandlers
from odradek.node.kafka_api.handlers.log_dirs import LogDirsHandlers
from odradek.node.kafka_api.handlers.metadata import MetadataHandlers
from odradek.node.kafka_api.handlers.offsets import OffsetsHandlers
from odradek.node.kafka_api.handlers.produce import ProduceHandlers
from odradek.node.kafka_api.handlers.producer_ids import ProducerIdHandlers
from odradek.node.kafka_api.handlers.quorum import QuorumHandlers
from odradek.node.kafka_api.handlers.reassignment import ReassignmentHandlers
from odradek.node.kafka_api.handlers.records import RecordsHandlers
from odradek.node.kafka_api.handlers.topics import TopicsHandlers
from odradek.node.kafka_api.registry import Registry, Route


class Services(Protocol):
    """The use cases that the handlers translate to."""

    @property
    def produce(self) -> ProduceService: ...
    @property
    def fetch(self) -> FetchService: ...
    @property
    def list_offsets(self) -> ListOffsetsService: ...
    @property
    def records(self) -> RecordsService: ...
    @property
    def log_dirs(self) -> LogDirsService: ...
    @property
    def groups(self) -> GroupsService: ...
    @property
    def offsets(self) -> OffsetsService: ...
    @property
    def metadata(self) -> MetadataService: ...
    @property
    def cluster(self) -> ClusterService: ...
    @property
    def topics(self) -> TopicsService: ...
    @property
    def configs(self) -> ConfigsService: ...
    @property
    def producer_ids(self) -> ProducerIdService: ...
    @property
    def brokers(self) -> BrokersService: ...
    @property
    def elections(self) -> ElectionsService: ...
    @property
    def reassignments(self) -> ReassignmentsService: ...
    @property
    def features(self) -> FeaturesService: ...
    @property
    def quorum(self) -> QuorumService: ...
    @property
    def controller(self) -> ControllerLocation: ...
    @property
    def inter_broker_listener(self) -> str:
        """The name of the listener among brokers."""

    @property
    def topic_name(self) -> Callable[[bytes], str | None]:
        """The name of a topic id, None if no topic has it."""


def build_registry(services: Services) -> Registry:
    routes: list[Route] = []
    hints = LeaderHints(services.cluster)
    for family in (
        ProduceHandlers(services.produce, services.topic_name, hints),
        FetchHandlers(services.fetch, services.topic_name, hints),
        ListOffsetsHandlers(services.list_offsets),
        RecordsHandlers(services.records),
        LogDirsHandlers(services.log_dirs),
        MetadataHandlers(services.metadata, services.cluster),
        ClusterHandlers(services.cluster),
        TopicsHandlers(services.topics, services.configs),
        ConfigsHandlers(services.configs),
        ProducerIdHandlers(services.producer_ids),
        ControllerHandlers(services.brokers),
        CoordinatorHandlers(services.groups),
        ClassicGroupHandlers(services.groups),
        OffsetsHandlers(services.offsets),
        ElectionsHandlers(services.elections),
        ReassignmentHandlers(services.reassignments),
        FeaturesHandlers(services.features),
        QuorumHandlers(services.quorum),
        EnvelopeHandlers(lambda: registry, services.controller, services.inter_broker_listener),
        ApiVersionsHandlers(lambda: registry.advertised(), services.features),
    ):
        routes.extend(family.routes())
    registry = Registry(routes)
    return registry
