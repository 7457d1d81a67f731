"""Every servicer of the gRPC door, in one list: what this node serves there."""

from __future__ import annotations

from typing import Protocol

from odradek.node.app.cluster import ClusterService
from odradek.node.app.fetch import FetchService
from odradek.node.app.list_offsets import ListOffsetsService
from odradek.node.app.metadata import MetadataService
from odradek.node.app.produce import ProduceService
from odradek.node.app.producer_ids import ProducerIdService
from odradek.node.app.publish import PublishService
from odradek.node.app.records import RecordsService
from odradek.node.app.topics import TopicsService
from odradek.node.grpc_api.log_service import LogServicer
from odradek.node.grpc_api.methods import Location, OtherNodes, Servicer
from odradek.node.grpc_api.record_service import RecordServicer
from odradek.node.grpc_api.topic_service import TopicServicer


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
    def publish(self) -> PublishService: ...


def servicers(services: Services, others: OtherNodes) -> list[Servicer]:
    return [
        RecordServicer(services.publish),
        LogServicer(
            services.produce,
            services.fetch,
            services.list_offsets,
            services.metadata,
            services.cluster,
            services.producer_ids,
        ),
        TopicServicer(services.topics, services.records, services.controller, others),
    ]
