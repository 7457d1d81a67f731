"""Hosts on disks in memory, in virtual time: what the tests of host and group stand on."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from random import Random
from typing import Any

from odradek.raft.core.config import RaftConfig
from odradek.raft.group import RaftGroup
from odradek.raft.host import HostSettings, RaftHost
from odradek.raft.memory_transport import MemoryNetwork
from odradek.storage.memory_disk import MemoryDisk

SETTINGS = HostSettings(threaded=False)
SMALL = HostSettings(
    raft=RaftConfig(snapshot_chunk_bytes=64),
    segment_bytes=600,
    segments_max=3,
    snapshot_log_bytes=900,
    trailing_log_bytes=0,
    threaded=False,
)


class VirtualLoop(asyncio.SelectorEventLoop):
    """Time jumps to the next timer instead of passing."""

    now = 0.0

    def time(self) -> float:
        return self.now

    def _run_once(self) -> None:
        if not self._ready and self._scheduled:  # type: ignore[attr-defined]
            self.now = max(self.now, self._scheduled[0].when())  # type: ignore[attr-defined]
        super()._run_once()  # type: ignore[misc]


def run(main: Coroutine[Any, Any, None]) -> None:
    loop = VirtualLoop()
    try:
        loop.run_until_complete(asyncio.wait_for(main, 3600))
    finally:
        loop.close()


class Journal:
    """A machine that keeps what it was told, as text."""

    def __init__(self) -> None:
        self.items: list[bytes] = []
        self.leadership: list[tuple[bool, int]] = []
        self.restored = 0

    def apply(self, index: int, data: bytes) -> None:
        if data == b"poison":
            raise ValueError("cannot apply this")
        self.items.append(data)

    def snapshot(self) -> bytes:
        return b"\n".join(self.items)

    def restore(self, data: bytes) -> None:
        self.items = data.split(b"\n") if data else []
        self.restored += 1

    def on_leadership(self, is_leader: bool, term: int) -> None:
        self.leadership.append((is_leader, term))


def new_disk() -> MemoryDisk:
    disk = MemoryDisk()
    disk.makedirs("data")
    disk.sync_dir("")
    return disk


def host_on(disk: MemoryDisk, settings: HostSettings = SETTINGS, **arguments: Any) -> RaftHost:
    return RaftHost(1, disk, "data/raft", settings=settings, random=Random(1), **arguments)


async def open_one(host: RaftHost) -> tuple[RaftGroup, Journal]:
    await host.start()
    machine = Journal()
    group = host.open_group(0, [1], machine)
    await group.wait_until_leader()
    return group, machine


class Cluster:
    """Hosts on disks of their own, in virtual time; 1, 2 and 3 found the group."""

    def __init__(self, settings: HostSettings = SETTINGS) -> None:
        self.settings = settings
        self.network = MemoryNetwork(delay_ms=2)
        self.disks = {node_id: new_disk() for node_id in (1, 2, 3, 4, 5)}
        self.hosts: dict[int, RaftHost] = {}
        self.groups: dict[int, RaftGroup] = {}
        self.machines: dict[int, Journal] = {}

    async def start(self, *node_ids: int, voters: Sequence[int] = (1, 2, 3)) -> None:
        for node_id in node_ids:
            host = RaftHost(
                node_id,
                self.disks[node_id],
                "data/raft",
                transport=self.network,
                settings=self.settings,
                random=Random(node_id),
            )
            await host.start()
            self.network.connect(host)
            self.hosts[node_id] = host
            self.machines[node_id] = Journal()
            self.groups[node_id] = host.open_group(0, voters, self.machines[node_id])

    async def crash(self, node_id: int) -> None:
        """Power cut: the host ends without a word, and its disk loses what was not synced."""
        self.network.disconnect(node_id)
        host = self.hosts.pop(node_id)
        host._services = None
        del self.groups[node_id], self.machines[node_id]
        self.disks[node_id].crash(Random(node_id))

    async def leader(self, *among: int) -> int:
        """The node that leads, as soon as one of these (or of all) does."""
        allowed = among or (1, 2, 3, 4, 5)

        def leaders() -> list[int]:
            return [
                node_id for node_id in allowed if node_id in self.groups and self.groups[node_id].is_leader
            ]

        await self.until(leaders)
        return leaders()[0]

    async def until(self, condition: Callable[[], object]) -> None:
        for _ in range(2000):
            if condition():
                return
            await asyncio.sleep(0.01)
        raise AssertionError("it did not happen in 20 s")

    async def same(self, items: list[bytes]) -> None:
        await self.until(lambda: all(machine.items == items for machine in self.machines.values()))


def with_cluster(story: Callable[[Cluster], Awaitable[None]], settings: HostSettings = SETTINGS) -> None:
    async def main() -> None:
        cluster = Cluster(settings)
        await cluster.start(1, 2, 3)
        await story(cluster)
        for host in cluster.hosts.values():
            await host.stop()

    run(main())
