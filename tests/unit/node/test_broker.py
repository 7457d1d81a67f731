"""A whole node in the test's process, on loopback and a real directory: start, serve, stop, start again."""

import asyncio
import struct
from pathlib import Path
from typing import TypeVar

import pytest

from odradek.node.app.context import RequestContext
from odradek.node.broker import Broker
from odradek.node.config import ConfigError, load_config
from odradek.node.config.identity import format_uuid
from odradek.node.grpc_api.methods import Servicer
from odradek.node.kafka_api.registry import Route
from odradek.proto.kafka.api import ApiKey
from odradek.proto.kafka.codec import decode
from odradek.proto.kafka.headers import RequestHeader, decode_response_header, encode_request_frame
from odradek.proto.kafka.messages.metadata import MetadataRequest, MetadataResponse
from odradek.proto.kafka.messages.topics import CreateTopicsRequest, CreateTopicsResponse
from odradek.proto.kafka.schema import Message

R = TypeVar("R", bound=Message)


def node(data: Path, *settings: str, listen: str = "127.0.0.1:0") -> Broker:
    return Broker(load_config(data=str(data), listen=listen, assignments=list(settings)).config)


async def ask(broker: Broker, key: ApiKey, version: int, request: Message, answer: type[R]) -> R:
    host, _, port = broker.addresses[0].rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.writelines(encode_request_frame(RequestHeader(int(key), version, 1, "test"), request))
    (size,) = struct.unpack(">i", await asyncio.wait_for(reader.readexactly(4), 20))
    frame = await reader.readexactly(size)
    writer.close()
    return decode(answer, version, frame, decode_response_header(frame, int(key), version)[1])


async def topics(broker: Broker) -> list[str | None]:
    response = await ask(broker, ApiKey.METADATA, 12, MetadataRequest(topics=None), MetadataResponse)
    return [topic.name for topic in response.topics]


async def test_a_node_tells_the_address_that_was_dialled_and_remembers_its_topics(tmp_path: Path) -> None:
    broker = node(tmp_path)
    await broker.start()
    response = await ask(broker, ApiKey.METADATA, 12, MetadataRequest(topics=[]), MetadataResponse)
    (address,) = response.brokers
    assert f"{address.host}:{address.port}" == broker.addresses[0] and address.node_id == 1
    assert response.cluster_id is not None and len(response.cluster_id) == 22
    topic = CreateTopicsRequest.CreatableTopic(name="t", num_partitions=3, replication_factor=1)
    request = CreateTopicsRequest(topics=[topic], timeout_ms=5000)
    created = await ask(broker, ApiKey.CREATE_TOPICS, 7, request, CreateTopicsResponse)
    assert created.topics[0].error_code == 0
    await broker.stop()
    again = node(tmp_path)
    await again.start()
    assert await topics(again) == ["t"]
    await again.stop()


async def test_a_node_whose_directory_has_another_id_tells_where_its_replicas_are(tmp_path: Path) -> None:
    broker = node(tmp_path)
    await broker.start()
    topic = CreateTopicsRequest.CreatableTopic(name="t", num_partitions=2, replication_factor=1)
    request = CreateTopicsRequest(topics=[topic], timeout_ms=5000)
    await ask(broker, ApiKey.CREATE_TOPICS, 7, request, CreateTopicsResponse)
    await broker.stop()
    properties = tmp_path / "meta.properties"
    left_out = ("directory.id=", "#")  # the checksum, too
    kept = [line for line in properties.read_text().splitlines() if not line.startswith(left_out)]
    changed = "A" * 21 + "g"
    properties.write_text("\n".join([*kept, f"directory.id={changed}"]) + "\n")
    again = node(tmp_path)
    heard = asyncio.Event()
    controller = again._services.controller
    controller.subscribe(lambda delta, image: heard.set())
    await again.start()
    (directory_id,) = controller.image.brokers[1].directories
    assert format_uuid(directory_id) == changed

    def are_known() -> bool:
        return all(
            one.directories == (directory_id,) for one in controller.image.topics_by_name["t"].partitions
        )

    async with asyncio.timeout(20):
        while not are_known():
            heard.clear()
            await heard.wait()
    assert [one.leader for one in controller.image.topics_by_name["t"].partitions] == [1, 1]
    await again.stop()


async def test_a_second_node_on_the_directory_is_refused(tmp_path: Path) -> None:
    broker = node(tmp_path)
    await broker.start()
    with pytest.raises(ConfigError, match="in use by another process"):
        await node(tmp_path).start()
    assert await topics(broker) == []
    await broker.stop()


async def test_the_directory_of_another_node_is_refused(tmp_path: Path) -> None:
    broker = node(tmp_path)
    await broker.start()
    await broker.stop()
    with pytest.raises(ConfigError, match="belongs to node 1"):
        await node(tmp_path, "node.id=2").start()


async def test_a_port_that_is_taken_is_one_sentence(tmp_path: Path) -> None:
    broker = node(tmp_path / "a")
    await broker.start()
    with pytest.raises(ConfigError, match=r"cannot listen on 127\.0\.0\.1"):
        await node(tmp_path / "b", listen=broker.addresses[0]).start()
    await broker.stop()


async def test_a_node_with_one_role_is_refused_at_the_start(tmp_path: Path) -> None:
    settings = {
        "process.roles": "broker",
        "node.id": "1",
        "listeners": "PLAINTEXT://127.0.0.1:0",
        "controller.listener.names": "CONTROLLER",
        "controller.quorum.voters": "2@localhost:9093",
    }
    config = load_config(data=str(tmp_path), assignments=[f"{k}={v}" for k, v in settings.items()]).config
    with pytest.raises(ConfigError, match="a node of this release is both"):
        Broker(config)


class _Counting:
    """`Between` that counts what passes."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.servicers: list[str] = []

    def route(self, route: Route) -> Route:
        def call(context: RequestContext, request: Message, version: int) -> object:
            self.seen.append(route.key.name)
            return route.call(context, request, version)

        return route._replace(call=call)

    def servicer(self, servicer: Servicer) -> Servicer:
        self.servicers.append(servicer.service)
        return servicer


async def test_who_stands_between_the_doors_and_the_node_sees_every_request(tmp_path: Path) -> None:
    between = _Counting()
    settings = ["odradek.grpc.listener=127.0.0.1:0"]
    config = load_config(data=str(tmp_path), listen="127.0.0.1:0", assignments=settings).config
    broker = Broker(config, between=between)
    await broker.start()
    assert await topics(broker) == []
    assert between.seen == ["METADATA"]
    assert "odradek.v1.RecordService" in between.servicers
    await broker.stop()
    broker.abort_connections()
