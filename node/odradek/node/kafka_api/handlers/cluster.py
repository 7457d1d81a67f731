"""DescribeCluster.

Keys: 60. Versions: 0-2. Behaviour: the cluster id, a controller and the brokers this client can reach.
Version notes: 1 asks for brokers (1) or controllers (2); controllers are told on the controllers' listener
only; 2 can ask for fenced brokers too. Not implemented: nothing.
"""

from __future__ import annotations

from typing import Final

from odradek.node.app.cluster import CLUSTER_OPERATIONS, ClusterService
from odradek.node.app.context import RequestContext
from odradek.node.kafka_api.registry import Route
from odradek.proto.kafka.api import ApiKey
from odradek.proto.kafka.errors import ErrorCode
from odradek.proto.kafka.messages.cluster import DescribeClusterRequest, DescribeClusterResponse

_BROKERS: Final = 1
_CONTROLLERS: Final = 2
_NOT_ASKED: Final = -(2**31)


class ClusterHandlers:
    def __init__(self, service: ClusterService) -> None:
        self._service = service

    def routes(self) -> list[Route]:
        return [Route(ApiKey.DESCRIBE_CLUSTER, 0, 2, self.describe_cluster)]

    def describe_cluster(
        self, context: RequestContext, request: DescribeClusterRequest, version: int
    ) -> DescribeClusterResponse:
        if request.endpoint_type != _BROKERS:
            if request.endpoint_type == _CONTROLLERS:
                error, message = (
                    ErrorCode.MISMATCHED_ENDPOINT_TYPE,
                    "controllers are described by controllers",
                )
            else:
                error, message = ErrorCode.UNSUPPORTED_ENDPOINT_TYPE, "endpoints are brokers or controllers"
            return DescribeClusterResponse(error_code=error, error_message=message)
        brokers = self._service.brokers(context, include_fenced=request.include_fenced_brokers)
        asks_operations = request.include_cluster_authorized_operations
        return DescribeClusterResponse(
            cluster_id=self._service.cluster_id,
            controller_id=self._service.controller_id,
            brokers=[
                DescribeClusterResponse.DescribeClusterBroker(
                    broker_id=broker.broker_id,
                    host=broker.host,
                    port=broker.port,
                    rack=broker.rack,
                    is_fenced=broker.fenced,
                )
                for broker in brokers
            ],
            cluster_authorized_operations=CLUSTER_OPERATIONS if asks_operations else _NOT_ASKED,
        )
