"""A host with one node: what users of a group rely on."""

import asyncio
from random import Random

import pytest

from odradek.raft.host import HostSettings, RaftHost
from odradek.raft.ports import NotLeaderError, RaftStoppedError
from odradek.storage.memory_disk import MemoryDisk

SETTINGS = HostSettings(threaded=False)


class Journal:
    """A machine that keeps what it was told, as text."""

    def __init__(self) -> None:
        self.items: list[bytes] = []
        self.leadership: list[tuple[bool, int]] = []

    def apply(self, index: int, data: bytes) -> None:
        self.items.append(data)

    def snapshot(self) -> bytes:
        return b"\n".join(self.items)

    def restore(self, data: bytes) -> None:
        self.items = data.split(b"\n") if data else []

    def on_leadership(self, is_leader: bool, term: int) -> None:
        self.leadership.append((is_leader, term))


def new_disk() -> MemoryDisk:
    disk = MemoryDisk()
    disk.makedirs("data")
    disk.sync_dir("")
    return disk


def host_on(disk: MemoryDisk, settings: HostSettings | None = None) -> RaftHost:
    return RaftHost(1, disk, "data/raft", settings=settings or SETTINGS, random=Random(1))


async def test_one_voter_leads_at_once_and_remembers() -> None:
    disk = new_disk()
    host = host_on(disk)
    await host.start()
    machine = Journal()
    group = host.open_group(0, [1], machine)
    assert not group.is_leader
    await group.wait_until_leader()
    assert machine.leadership == [(True, 1)]
    assert await group.propose(b"a") == 2
    assert await group.propose_many([b"b", b"c"]) == 4
    assert machine.items == [b"a", b"b", b"c"]
    await host.stop()
    disk.crash()

    host = host_on(disk)
    await host.start()
    machine = Journal()
    group = host.open_group(0, [1], machine)
    await group.wait_until_leader()
    assert machine.items == [b"a", b"b", b"c"] and group.term == 2
    await host.stop()


async def test_proposals_of_one_turn_share_one_sync() -> None:
    disk = new_disk()
    host = host_on(disk)
    await host.start()
    groups = [host.open_group(number, [1], Journal()) for number in range(9)]
    await asyncio.gather(*(group.wait_until_leader() for group in groups))
    before = disk.syncs
    await asyncio.gather(*(group.propose(b"x") for group in groups for _ in range(20)))
    assert disk.syncs - before == 1
    await host.stop()


async def test_proposals_before_leadership_and_after_the_end_fail() -> None:
    host = host_on(new_disk())
    await host.start()
    group = host.open_group(0, [1], Journal())
    with pytest.raises(NotLeaderError):
        await group.propose(b"early")
    await group.wait_until_leader()
    waiting = group.propose(b"too late")
    await host.stop()
    with pytest.raises(RaftStoppedError):
        await waiting
    with pytest.raises(RaftStoppedError):
        await group.propose(b"after the end")
