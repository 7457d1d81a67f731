"""A whole node and its gRPC door: where it is found, and that it comes and goes with the node."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from odradek.node.broker import Broker
from odradek.node.config import ConfigError, NodeConfig, load_config
from odradek.node.grpc_api.server import GrpcServer
from odradek.node.grpc_door import grpc_endpoints
from odradek.v1 import cluster_service_pb2 as pb

DOOR = "odradek.grpc.listener=127.0.0.1:0"


def node(data: Path, *settings: str) -> Broker:
    return Broker(load_config(data=str(data), listen="127.0.0.1:0", assignments=list(settings)).config)


async def cluster(address: str, timeout_s: float = 20) -> Any:
    async with grpc.aio.insecure_channel(address) as channel:
        ask: Any = channel.unary_unary(
            "/odradek.v1.ClusterService/GetCluster",
            request_serializer=pb.GetClusterRequest.SerializeToString,
            response_deserializer=pb.GetClusterResponse.FromString,
        )
        return await ask(pb.GetClusterRequest(), timeout=timeout_s)


async def test_a_node_tells_where_its_door_is_and_takes_it_along(tmp_path: Path) -> None:
    broker = node(tmp_path, DOOR)
    await broker.start()
    address = broker.grpc_address
    assert address is not None
    (told,) = (await cluster(address)).nodes
    listeners = {listener.name: f"{listener.host}:{listener.port}" for listener in told.listeners}
    assert listeners == {"GRPC": address, "PLAINTEXT": broker.addresses[0]}
    await broker.stop()
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await cluster(address, 5)
    assert raised.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_without_an_address_there_is_no_door(tmp_path: Path) -> None:
    broker = node(tmp_path, "odradek.grpc.listener=")
    await broker.start()
    assert broker.grpc_address is None
    await broker.stop()


async def test_an_address_that_is_taken_stops_the_start_with_a_sentence(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(ConfigError, match=f"cannot listen for gRPC on {taken}: .*--grpc"):
            await node(tmp_path, f"odradek.grpc.listener={taken}").start()


async def test_a_door_that_nobody_asked_for_may_be_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        broker = node(tmp_path, f"odradek.grpc.listener={taken}", "odradek.grpc.required=false")
        await broker.start()
        assert broker.grpc_address is None
        assert "this node speaks no gRPC" in caplog.text
        await broker.stop()


@pytest.mark.parametrize("name", ["GRPC", "GRPC_NODES"])
async def test_the_names_of_the_door_are_no_listeners_of_kafka(tmp_path: Path, name: str) -> None:
    settings = [
        DOOR,
        f"listeners={name}://127.0.0.1:0",
        f"listener.security.protocol.map={name}:PLAINTEXT",
        f"inter.broker.listener.name={name}",
    ]
    broker = Broker(load_config(data=str(tmp_path), assignments=settings).config)
    with pytest.raises(ConfigError, match=f"{name} is a name of odradek.grpc.listener"):
        await broker.start()


def endpoints(bound: str, **settings: str) -> dict[str, str]:
    """What a node registers, whose door is bound to that host, at port 50051."""
    given = {
        "process.roles": "broker,controller",
        "listeners": "PLAINTEXT://0.0.0.0:9092,INTERNAL://0.0.0.0:9094,CONTROLLER://0.0.0.0:9093",
        "advertised.listeners": "PLAINTEXT://public:9092,INTERNAL://private:9094",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "INTERNAL",
        "controller.listener.names": "CONTROLLER",
        "controller.quorum.voters": "1@localhost:9093",
        "node.id": "1",
    }
    config = NodeConfig(given | {name.replace("_", "."): value for name, value in settings.items()})
    server = GrpcServer([], lambda: ("", 0), "GRPC", 1000)
    server.host, server.port = bound, 50051
    return {name: f"{one.host}:{one.port}" for name, one in grpc_endpoints(config, server).items()}


def test_a_door_is_found_where_it_is_bound() -> None:
    assert endpoints("10.0.0.7") == {"GRPC": "10.0.0.7:50051", "GRPC_NODES": "10.0.0.7:50051"}


@pytest.mark.parametrize("everywhere", ["", "0.0.0.0", "::"])
def test_a_door_that_is_bound_everywhere_is_found_where_kafka_is(everywhere: str) -> None:
    assert endpoints(everywhere) == {"GRPC": "public:50051", "GRPC_NODES": "private:50051"}
    alone = endpoints(everywhere, advertised_listeners="PLAINTEXT://:9092,INTERNAL://private:9094")
    assert alone == {"GRPC": "localhost:50051", "GRPC_NODES": "private:50051"}


def test_clients_may_be_told_of_another_address_than_nodes() -> None:
    told = endpoints("0.0.0.0", odradek_grpc_advertised_listener="proxy:443")
    assert told == {"GRPC": "proxy:443", "GRPC_NODES": "private:50051"}
