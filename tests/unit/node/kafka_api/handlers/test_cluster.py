from __future__ import annotations

import pytest
from tests.unit.node.controller.metadata_node import CONTEXT, MetadataNode, over_the_wire

from odradek.node.kafka_api.handlers.cluster import ClusterHandlers
from odradek.proto.kafka.codec import decode_exactly, encode_to_bytes
from odradek.proto.kafka.errors import ErrorCode
from odradek.proto.kafka.messages.cluster import DescribeClusterRequest, DescribeClusterResponse


def describe(node: MetadataNode, version: int, request: DescribeClusterRequest) -> DescribeClusterResponse:
    request = decode_exactly(DescribeClusterRequest, version, encode_to_bytes(request, version))
    return over_the_wire(ClusterHandlers(node.cluster).describe_cluster(CONTEXT, request, version), version)


@pytest.mark.parametrize("version", range(3))
async def test_brokers_and_controller(version: int) -> None:
    node = await MetadataNode().start()
    await node.join(node.broker(2, fenced=True, rack="r"))
    request = DescribeClusterRequest(include_fenced_brokers=True, include_cluster_authorized_operations=True)
    response = describe(node, version, request)
    assert (response.error_code, response.cluster_id, response.controller_id) == (0, "a-cluster", 1)
    assert response.cluster_authorized_operations == 8096
    found = [(one.broker_id, one.host, one.port, one.rack, one.is_fenced) for one in response.brokers]
    fenced = [(2, "host2", 9092, "r", True)] if version >= 2 else []
    assert found == [(1, "dialled", 19092, None, False), *fenced]


async def test_operations_only_where_asked_for() -> None:
    response = describe(await MetadataNode().start(), 2, DescribeClusterRequest())
    assert response.cluster_authorized_operations == -(2**31)


@pytest.mark.parametrize(
    ("endpoint_type", "error"),
    [(2, ErrorCode.MISMATCHED_ENDPOINT_TYPE), (9, ErrorCode.UNSUPPORTED_ENDPOINT_TYPE)],
)
async def test_only_brokers_are_described_here(endpoint_type: int, error: ErrorCode) -> None:
    response = describe(await MetadataNode().start(), 1, DescribeClusterRequest(endpoint_type=endpoint_type))
    assert (response.error_code, response.endpoint_type) == (error, 1)
    assert response.error_message
