"""A node as the servicers of the gRPC door see it, without a server, sockets, threads or a disk, and other nodes that
answer what a test says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any, TypeVar

import pytest
from google.protobuf.message import Message
from tests.unit.node.controller.image_world import ImageWorld

from odradek.node.app.context import RequestContext
from odradek.node.app.produce import ProduceCommand, ProducePartition
from odradek.node.config import NodeConfig
from odradek.node.controller.image import BrokerImage, MetadataImage
from odradek.node.coordinator.runtime import Shard
from odradek.node.grpc_api.methods import Call, Method
from odradek.node.grpc_api.refusal import RefusalError
from odradek.node.grpc_api.services import servicers
from odradek.node.ports import system_ports
from odradek.node.runtime.alarm import Alarm
from odradek.node.services import Services
from odradek.proto.kafka.record_batch import Record, build_batch
from odradek.storage.flusher import OnFailure, Post, SteppedFlusher
from odradek.storage.log_dirs import LogDirs
from odradek.storage.memory_disk import MemoryDisk

M = TypeVar("M", bound=Message)
NODE = 1
NOW_MS = 1_700_000_000_000
CONTEXT = RequestContext("test", "User:ANONYMOUS", "GRPC", "127.0.0.1", 50051, "c", "127.0.0.1")


def a_call(*, is_forwarded: bool = False, timeout_s: float | None = None) -> Call:
    now_s = asyncio.get_running_loop().time
    deadline_s = None if timeout_s is None else now_s() + timeout_s
    return Call(CONTEXT, now_s, deadline_s, is_forwarded=is_forwarded)


class ProposesAtOnce:
    """A Raft log of one voter: what is proposed is applied before `propose` returns."""

    is_leader = True
    leader_id: int | None = NODE

    def __init__(self, apply: Callable[[int, bytes], None]) -> None:
        self._apply = apply
        self.index = 0

    def propose(self, data: bytes) -> asyncio.Future[int]:
        self.index += 1
        self._apply(self.index, data)
        return self.read_index()

    def read_index(self) -> asyncio.Future[int]:
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        future.set_result(self.index)
        return future


@dataclass
class Asked:
    node_id: int
    path: str
    request: Any
    timeout_s: float


@dataclass
class FakeOthers:
    """`OtherNodes`: `answers` by node, each a message, an exception, or a function of the request."""

    answers: dict[int, Any] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)

    async def ask(
        self, node_id: int, path: str, call: Call, request: Message, answer: type[M], timeout_s: float
    ) -> M:
        self.asked.append(Asked(node_id, path, request, timeout_s))
        found = self.answers[node_id]
        if callable(found):
            found = found(request)
        if isinstance(found, Exception):
            raise found
        assert isinstance(found, answer), found
        return found


@dataclass
class Place:
    """`Location`, of an image that a test makes."""

    image: MetadataImage
    node_id: int = NODE
    active_controller_id: int | None = NODE


class Servicers:
    """The methods of services by name, called as the server does on the node that has to carry them out."""

    def __init__(self, methods: Mapping[str, Method]) -> None:
        self.methods = methods

    @classmethod
    def of(cls, *services: Any) -> Servicers:
        return cls({method.name: method for one in services for method in one.methods()})

    async def ask(
        self, name: str, request: Message, *, is_forwarded: bool = False, timeout_s: float | None = None
    ) -> Any:
        method = self.methods[name]
        assert type(request) is method.request, (name, request)
        return await method.call(a_call(is_forwarded=is_forwarded, timeout_s=timeout_s), request)

    async def refusal(self, name: str, request: Message, **how: Any) -> RefusalError:
        with pytest.raises(RefusalError) as raised:
            await self.ask(name, request, **how)
        return raised.value

    async def reason(self, name: str, request: Message, **how: Any) -> tuple[str, str]:
        """(status, Kafka's name)"""
        refusal = await self.refusal(name, request, **how)
        return refusal.status.name, refusal.reason


class Node(Servicers):
    """Node 1, which leads everything. Other nodes may be registered with `join`."""

    def __init__(self, **settings: str) -> None:
        loop = asyncio.get_running_loop()
        self.flushers: list[SteppedFlusher] = []
        dirs = LogDirs(MemoryDisk(), ["data"], loop.call_soon, flusher=self._flusher)
        dirs.start(0)
        given = {"offsets.topic.num.partitions": "4", "group.initial.rebalance.delay.ms": "0"}
        config = NodeConfig(given | {name.replace("_", "."): value for name, value in settings.items()})
        ports = replace(system_ports(loop), random=Random(1), wall_ms=lambda: NOW_MS)
        self.services = Services(config, dirs, ports, loop, lambda on_due: Alarm(loop, on_due), _nowhere)
        self.others = FakeOthers()
        self.metadata = ProposesAtOnce(self.services.controller.machine.apply)
        self.services.controller.attach(self.metadata)
        self.shards = self.services.coordinators.state_machines()
        self.shard_logs = [ProposesAtOnce(shard.apply) for shard in self.shards]
        for index, shard_log in enumerate(self.shard_logs):
            self.services.coordinators.attach(index, shard_log)
        everything = {
            method.name: method
            for servicer in servicers(self.services, self.others)
            for method in servicer.methods()
        }
        super().__init__(everything)

    @classmethod
    async def started(cls, **settings: str) -> Node:
        node = cls(**settings)
        await node.services.controller.start("cluster-id-of-22-chars", BrokerImage(NODE, 0, bytes(16), {}))
        return node

    def _flusher(self, name: str, post: Post, on_failure: OnFailure) -> SteppedFlusher:
        self.flushers.append(SteppedFlusher(name, post, on_failure))
        return self.flushers[-1]

    def adopt(self, world: ImageWorld) -> None:
        """The metadata is that of `world` from now on."""
        self.services.controller.machine.restore(world.state.snapshot())
        self.metadata.index = world.image.applied_index

    def resign(self) -> None:
        """Node 2 is the active controller."""
        self.metadata.is_leader, self.metadata.leader_id = False, 2
        self.services.controller.on_leadership(False, 2)

    async def write(self, topic: str, partition: int, count: int, first_ms: int = NOW_MS) -> None:
        """Records with timestamps of `first_ms`, one ms more, ..."""
        batch = build_batch([Record(at, first_ms + at, b"k", b"v", ()) for at in range(count)])
        command = ProduceCommand(-1, 1000, 12, [ProducePartition(topic, partition, batch)])
        (result,) = await self.services.produce.produce(CONTEXT, command).wait()
        assert result.error.name == "NONE", result

    def shard(self, group_id: str) -> Shard:
        return next(shard for shard in self.shards if group_id in shard.groups.groups)


async def _nowhere(request: Any, version: int) -> Any:
    raise ConnectionError(f"{request!r} needs the whole node")
