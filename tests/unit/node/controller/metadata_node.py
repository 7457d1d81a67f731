"""A node's metadata half without Raft and sockets: what the tests of its use cases and handlers talk to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from random import Random
from types import MappingProxyType
from typing import TypeVar

from odradek.node.app.cluster import ClusterService
from odradek.node.app.configs import ConfigsService
from odradek.node.app.context import RequestContext
from odradek.node.app.metadata import MetadataService
from odradek.node.app.producer_ids import ProducerIdService
from odradek.node.app.topics import TopicsService
from odradek.node.config import NodeConfig
from odradek.node.controller.controller import Controller
from odradek.node.controller.effective import EffectiveConfigs
from odradek.node.controller.image import BrokerImage, Endpoint, MetadataImage
from odradek.node.controller.records import RegisterBrokerRecord, Result
from odradek.node.controller.state import MetadataState
from odradek.node.controller.topics import NewTopic
from odradek.node.runtime.alarm import Alarm
from odradek.proto.kafka.codec import decode_exactly, encode_to_bytes
from odradek.proto.kafka.schema import Message

M = TypeVar("M", bound=Message)

CONTEXT = RequestContext("client", "User:ANONYMOUS", "PLAINTEXT", "dialled", 19092, "c1", "10.0.0.7")
NO_SETTINGS: Mapping[str, str] = MappingProxyType({})


class MemoryLog:
    """Commits one turn of the loop after the proposal."""

    def __init__(self, machine: MetadataState) -> None:
        self.machine = machine
        self.is_leader = True
        self.leader_id: int | None = 1
        self.index = 0

    def read_index(self) -> asyncio.Future[int]:
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        future.set_result(0)
        return future

    def propose(self, data: bytes) -> asyncio.Future[int]:
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(self._commit, data, future)
        return future

    def _commit(self, data: bytes, future: asyncio.Future[int]) -> None:
        self.index += 1
        self.machine.apply(self.index, data)
        future.set_result(self.index)


def new_alarm(on_due: Callable[[int], int | None]) -> Alarm:
    return Alarm(asyncio.get_running_loop(), on_due)


class MetadataNode:
    """Broker 1. `await start()` first."""

    def __init__(self, settings: Mapping[str, str] = NO_SETTINGS) -> None:
        self.config = NodeConfig(settings)
        self.effective = EffectiveConfigs(self.config)
        self.controller = Controller(1, self.effective, Random(7), new_alarm)
        self.log = MemoryLog(self.controller.machine)
        self.controller.attach(self.log)
        self.cluster = ClusterService(1, self.config.advertised_listeners, self.current)
        self.metadata = MetadataService(
            self.current,
            self.controller,
            lambda: self.effective.node(self.image).auto_create_topics_enable,
            lambda: self.config.max_request_partition_size_limit,
        )
        self.topics = TopicsService(self.controller, lambda: self.config.delete_topic_enable)
        self.configs = ConfigsService(1, self.current, self.effective.node, self.controller)
        self.producer_ids = ProducerIdService(self.controller)

    def current(self) -> MetadataImage:
        return self.controller.image

    @property
    def image(self) -> MetadataImage:
        return self.controller.image

    async def start(self, *topics: NewTopic) -> MetadataNode:
        await self.controller.start("a-cluster", self.broker(1))
        await self.create(*topics)
        return self

    async def create(self, *topics: NewTopic) -> None:
        await self.controller.create_topics(topics)

    async def join(self, broker: BrokerImage) -> None:
        """Another broker, live or fenced, registers."""
        await self.controller.run(lambda image: Result([RegisterBrokerRecord.of(broker)], None))

    @staticmethod
    def broker(broker_id: int, *, fenced: bool = False, rack: str | None = None) -> BrokerImage:
        return BrokerImage(
            broker_id,
            epoch=1,
            incarnation_id=bytes([broker_id]) * 16,
            endpoints={"PLAINTEXT": Endpoint(f"host{broker_id}", 9092, "PLAINTEXT")},
            rack=rack,
            fenced=fenced,
        )


def over_the_wire(response: M, version: int) -> M:
    """What a client of this version sees of a response."""
    return decode_exactly(type(response), version, encode_to_bytes(response, version))
