"""What the .proto promises is served, as it is written there."""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pool
from google.protobuf.message_factory import GetMessageClass
from tests.unit.node.grpc_api.node import FakeOthers, Node

from odradek.node.grpc_api.methods import Method, Servicer, Shape
from odradek.node.grpc_api.services import servicers
from odradek.v1 import (
    cluster_service_pb2,
    config_service_pb2,
    group_service_pb2,
    log_service_pb2,
    record_service_pb2,
    topic_service_pb2,
)

MODULES: tuple[Any, ...] = (
    cluster_service_pb2,
    config_service_pb2,
    group_service_pb2,
    log_service_pb2,
    record_service_pb2,
    topic_service_pb2,
)


def shape_of(described: Any) -> Shape:
    streams = described.client_streaming, described.server_streaming
    return {
        (False, False): Shape.UNARY,
        (True, False): Shape.CLIENT_STREAM,
        (True, True): Shape.BIDIRECTIONAL,
    }[streams]


async def served() -> dict[str, Servicer]:
    node = await Node.started()
    return {servicer.service: servicer for servicer in servicers(node.services, FakeOthers())}


async def test_every_service_and_every_method_of_the_proto_is_served_in_its_shape() -> None:
    promised = {
        f"{service.full_name}.{method.name}": (GetMessageClass(method.input_type), shape_of(method))
        for module in MODULES
        for service in module.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    }
    found = {
        f"{name}.{method.name}": (method.request, method.shape)
        for name, servicer in (await served()).items()
        for method in servicer.methods()
    }
    assert found == promised


async def test_a_node_that_has_to_be_found_is_found_by_the_request_alone() -> None:
    """`where` is asked before anything is checked: it must stand what is not allowed."""
    wheres: list[Method] = [
        method for servicer in (await served()).values() for method in servicer.methods() if method.where
    ]
    assert len(wheres) >= 14
    for method in wheres:
        assert method.where is not None
        assert method.where(method.request()) == 1, method.name


async def test_no_service_is_there_twice() -> None:
    node = await Node.started()
    names = [servicer.service for servicer in servicers(node.services, FakeOthers())]
    assert len(set(names)) == len(names) == len(MODULES)
    pool = descriptor_pool.Default()
    assert all(pool.FindServiceByName(name) for name in names)
