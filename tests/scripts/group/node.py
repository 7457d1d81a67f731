"""The coordinator as a node has it, over an in-memory log: what the tests of the use cases and handlers talk to."""

from __future__ import annotations

import asyncio
from itertools import count

from odradek.node.app.context import RequestContext
from odradek.node.app.groups import Endpoint, GroupsService
from odradek.node.app.offsets import OffsetsService
from odradek.node.coordinator.config import GroupConfig
from odradek.node.coordinator.runtime import CoordinatorRuntime, Shard

CONTEXT = RequestContext("client", "User:ANONYMOUS", "PLAINTEXT", "dialled", 9092, "c1", "10.0.0.7")


class MemoryLog:
    """Commits at once."""

    is_leader = True

    leader_id: int | None = 1

    def __init__(self, machine: Shard) -> None:
        self._machine = machine
        self._index = 0

    def propose(self, data: bytes) -> asyncio.Future[int]:
        self._index += 1
        self._machine.apply(self._index, data)
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        future.set_result(self._index)
        return future

    def read_index(self) -> asyncio.Future[int]:
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        future.set_result(self._index)
        return future


class Topics:
    """Topics by name: (id, partitions)."""

    def __init__(self) -> None:
        self.topics: dict[str, tuple[bytes, int]] = {"t": (b"t" * 16, 2), "u": (b"u" * 16, 1)}

    def topic_name(self, topic_id: bytes) -> str | None:
        return next((name for name, (known, _) in self.topics.items() if known == topic_id), None)

    def topic_id(self, name: str) -> bytes | None:
        found = self.topics.get(name)
        return found[0] if found else None

    def partition_count(self, name: str) -> int:
        found = self.topics.get(name)
        return found[1] if found else 0


class Node:
    """Call it on a running loop. `leading=False`: the shards have not heard from their logs."""

    def __init__(self, leading: bool = True, shards: int = 3) -> None:
        numbers = count(1)
        config = GroupConfig(initial_rebalance_delay_ms=0)
        loop = asyncio.get_running_loop()
        self.runtime = CoordinatorRuntime(
            1, shards, config, loop, lambda: 1_000, lambda prefix: f"{prefix}-{next(numbers)}"
        )
        self.topics = Topics()
        self.logs: list[MemoryLog] = []
        self.groups = GroupsService(
            self.runtime,
            config,
            lambda context, node_id: Endpoint(node_id, context.local_host, context.local_port),
        )
        self.offsets = OffsetsService(self.runtime, self.topics)
        for index, machine in enumerate(self.runtime.state_machines()):
            log = MemoryLog(machine)
            log.is_leader = leading
            self.logs.append(log)
            self.runtime.attach(index, log)

    def lose(self) -> None:
        for log in self.logs:
            log.leader_id = None
        for machine in self.runtime.state_machines():
            machine.on_leadership(False, 2)
