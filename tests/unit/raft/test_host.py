"""A host with its groups: on one node, on three in virtual time, and on disks that fail."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from random import Random
from typing import Any

import pytest

from odradek.raft.core.config import RaftConfig
from odradek.raft.group import RaftGroup
from odradek.raft.host import HostSettings, RaftHost
from odradek.raft.memory_transport import MemoryNetwork
from odradek.raft.ports import (
    ApplyError,
    NotLeaderError,
    ProposalQueueFullError,
    ProposalTooLargeError,
    RaftStoppedError,
)
from odradek.storage.disk import DiskError, DiskLockedError
from odradek.storage.memory_disk import MemoryDisk
from odradek.storage.os_disk import OsDisk

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


class TestOneNode:
    def test_one_voter_leads_at_once_and_remembers(self) -> None:
        async def main() -> None:
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
            group, machine = await open_one(host_on(disk))
            assert machine.items == [b"a", b"b", b"c"] and group.term == 2
            # Not one election timeout passed.
            assert asyncio.get_running_loop().time() == 0

        run(main())

    def test_proposals_of_one_turn_share_one_sync(self) -> None:
        async def main() -> None:
            disk = new_disk()
            host = host_on(disk)
            await host.start()
            groups = [host.open_group(number, [1], Journal()) for number in range(9)]
            await asyncio.gather(*(group.wait_until_leader() for group in groups))
            before = disk.syncs
            await asyncio.gather(*(group.propose(b"x") for group in groups for _ in range(20)))
            assert disk.syncs - before == 1
            await host.stop()

        run(main())

    def test_proposals_before_leadership_and_after_the_end_fail(self) -> None:
        async def main() -> None:
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

        run(main())

    def test_limits(self) -> None:
        async def main() -> None:
            limits = RaftConfig(proposal_bytes_max=1000, uncommitted_bytes_max=2500)
            host = host_on(new_disk(), HostSettings(raft=limits, threaded=False))
            group, _ = await open_one(host)
            with pytest.raises(ProposalTooLargeError):
                await group.propose(b"x" * 1001)
            results = await asyncio.gather(
                *(group.propose(b"x" * 1000) for _ in range(3)), return_exceptions=True
            )
            assert [type(result) for result in results] == [int, int, ProposalQueueFullError]
            assert await group.propose(b"x" * 1000) > 0
            await host.stop()

        run(main())

    def test_a_proposal_of_eight_mebibytes(self) -> None:
        async def main() -> None:
            disk = new_disk()
            host = host_on(disk)
            group, _ = await open_one(host)
            await group.propose(b"x" * (8 << 20))
            await host.stop()
            _, machine = await open_one(host_on(disk))
            assert [len(item) for item in machine.items] == [8 << 20]

        run(main())

    def test_a_cancelled_proposal_is_applied_all_the_same(self) -> None:
        async def main() -> None:
            host = host_on(new_disk())
            group, machine = await open_one(host)
            group.propose(b"a").cancel()
            await group.propose(b"b")
            assert machine.items == [b"a", b"b"]
            await host.stop()

        run(main())

    def test_snapshots_bound_the_log_on_disk_and_in_memory(self) -> None:
        async def main() -> None:
            disk = new_disk()
            host = host_on(disk, SMALL)
            await host.start()
            machine, quiet = Journal(), Journal()
            group, other = host.open_group(0, [1], machine), host.open_group(1, [1], quiet)
            await other.wait_until_leader()
            await other.propose(b"once")
            for number in range(300):
                await group.propose(b"%03d" % number)
            # The quiet group would hold the oldest file for ever; it was made to take a snapshot.
            assert len(disk.listdir("data/raft/wal")) <= 4
            snapshots = sorted(disk.listdir("data/raft/snapshots"))
            assert [name[0] for name in snapshots] == ["0", "0", "1"]
            assert group.raft.log.last_index - group.raft.log.base_index < 60
            await host.stop()
            disk.crash()
            host = host_on(disk, SMALL)
            await host.start()
            machine, quiet = Journal(), Journal()
            group, other = host.open_group(0, [1], machine), host.open_group(1, [1], quiet)
            assert machine.restored == 1
            await group.wait_until_leader()
            await other.wait_until_leader()
            assert machine.items == [b"%03d" % number for number in range(300)] and quiet.items == [b"once"]
            await host.stop()

        run(main())

    def test_a_second_host_on_the_directory_is_refused(self) -> None:
        async def main() -> None:
            disk = new_disk()
            host = host_on(disk)
            await host.start()
            with pytest.raises(DiskLockedError):
                await host_on(disk).start()
            await host.stop()
            await open_one(host_on(disk))

        run(main())

    async def test_with_threads_and_a_real_disk(self, tmp_path: Any) -> None:
        path = f"{tmp_path}/raft"
        host = RaftHost(1, OsDisk(), path)
        group, machine = await open_one(host)
        await asyncio.gather(*(group.propose(b"%d" % number) for number in range(500)))
        group.take_snapshot()
        await group.propose(b"last")
        await host.stop()
        host = RaftHost(1, OsDisk(), path)
        _, again = await open_one(host)
        assert again.items == machine.items == [*(b"%d" % number for number in range(500)), b"last"]
        await host.stop()


class TestFailures:
    def test_a_machine_that_breaks_stops_its_group_only(self) -> None:
        """The same bad entry would break every replica: it stops the group, not the process, and not the
        others."""

        async def main() -> None:
            disk, failures = new_disk(), list[Exception]()
            host = host_on(disk, on_failure=failures.append)
            group, machine = await open_one(host)
            other = host.open_group(1, [1], Journal())
            await other.wait_until_leader()
            with pytest.raises(RaftStoppedError):
                await group.propose_many([b"good", b"poison", b"never applied"])
            assert machine.items == [b"good"]
            assert [type(failure) for failure in failures] == [ApplyError]
            assert not group.is_leader
            await other.propose(b"fine")
            await host.stop()

        run(main())

    def test_a_failed_sync_acknowledges_nothing_any_more(self) -> None:
        async def main() -> None:
            disk, failures = new_disk(), list[Exception]()
            host = host_on(disk, on_failure=failures.append)
            group, machine = await open_one(host)
            await group.propose(b"a")
            disk.fail_call(2)
            with pytest.raises(RaftStoppedError):
                await group.propose(b"b")
            with pytest.raises(RaftStoppedError):
                await group.propose(b"c")
            assert machine.items == [b"a"] and len(failures) == 1 and isinstance(failures[0], DiskError)
            calls = disk.calls
            await asyncio.sleep(10)
            assert disk.calls == calls
            await host.stop()

        run(main())

    def test_a_damaged_group_does_not_lead_and_the_others_do(self) -> None:
        async def main() -> None:
            disk = new_disk()
            host = host_on(disk)
            group, _ = await open_one(host)
            other = host.open_group(1, [1], Journal())
            await other.wait_until_leader()
            await group.propose(b"something long enough")
            await group.propose(b"later")
            await other.propose(b"x")
            await host.stop()
            name = f"data/raft/wal/{disk.listdir('data/raft/wal')[0]}"
            disk.flip_bit(name, disk.read(name).index(b"something long"))
            for _ in range(2):
                # Also after another restart: the damage is on record.
                host = host_on(disk)
                await host.start()
                group, other = host.open_group(0, [1], Journal()), host.open_group(1, [1], Journal())
                await other.wait_until_leader()
                await asyncio.sleep(60)
                assert group.damaged and not group.is_leader and not other.damaged
                with pytest.raises(NotLeaderError):
                    await group.propose(b"y")
                await host.stop()

        run(main())

    @pytest.mark.parametrize("sticky", [False, True])
    def test_every_single_failing_disk_call(self, sticky: bool) -> None:
        """Whichever call fails: what was acknowledged is there after a power cut, and nothing hangs."""

        async def session(disk: MemoryDisk, acknowledged: list[bytes], first: int) -> None:
            host = host_on(disk, SMALL)
            try:
                group, _ = await open_one(host)
                for number in range(first, first + 24):
                    data = b"%d" % number * 20
                    await group.propose(data)
                    acknowledged.append(data)
            except (DiskError, RaftStoppedError):
                pass
            finally:
                try:
                    await host.stop()
                except DiskError:
                    assert sticky or host.failure is None

        async def main() -> None:
            failing, done = 0, False
            while not done:
                failing += 1
                disk, acknowledged = new_disk(), list[bytes]()
                await session(disk, acknowledged, 100)
                disk.fail_call(failing, sticky=sticky)
                target = disk.calls + failing
                await session(disk, acknowledged, 200)
                done = disk.calls < target
                disk.heal()
                disk.crash(Random(failing))
                host = host_on(disk, SMALL)
                group, machine = await open_one(host)
                assert not group.damaged, failing
                assert [item for item in machine.items if item in acknowledged] == acknowledged, failing
                await host.stop()
            assert failing > 100

        run(main())


class Cluster:
    """Three hosts on disks of their own, in virtual time."""

    def __init__(self, settings: HostSettings = SETTINGS) -> None:
        self.settings = settings
        self.network = MemoryNetwork(delay_ms=2)
        self.disks = {node_id: new_disk() for node_id in (1, 2, 3)}
        self.hosts: dict[int, RaftHost] = {}
        self.groups: dict[int, RaftGroup] = {}
        self.machines: dict[int, Journal] = {}

    async def start(self, *node_ids: int) -> None:
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
            self.groups[node_id] = host.open_group(0, [1, 2, 3], self.machines[node_id])

    async def crash(self, node_id: int) -> None:
        """Power cut: the host ends without a word, and its disk loses what was not synced."""
        self.network.disconnect(node_id)
        host = self.hosts.pop(node_id)
        host._services = None
        del self.groups[node_id], self.machines[node_id]
        self.disks[node_id].crash(Random(node_id))

    async def leader(self, *among: int) -> int:
        """The node that leads, as soon as one of these (or of all) does."""
        allowed = among or (1, 2, 3)

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


class TestThreeNodes:
    def test_a_group_of_three_replicates(self) -> None:
        async def story(cluster: Cluster) -> None:
            leader = await cluster.leader()
            await asyncio.gather(*(cluster.groups[leader].propose(b"%d" % number) for number in range(100)))
            await cluster.same([b"%d" % number for number in range(100)])
            follower = next(node_id for node_id in (1, 2, 3) if node_id != leader)
            assert cluster.groups[follower].leader_id == leader
            with pytest.raises(NotLeaderError) as caught:
                await cluster.groups[follower].propose(b"x")
            assert caught.value.leader_id == leader

        with_cluster(story)

    def test_a_leader_that_is_cut_off_fails_its_proposals_and_another_takes_over(self) -> None:
        async def story(cluster: Cluster) -> None:
            old = await cluster.leader()
            await cluster.groups[old].propose(b"a")
            others = {1, 2, 3} - {old}
            cluster.network.cut({old}, others)
            lost = cluster.groups[old].propose(b"lost")
            new = await cluster.leader(*others)
            await cluster.groups[new].propose(b"b")
            with pytest.raises(NotLeaderError):
                await lost
            assert cluster.machines[old].leadership[-1][0] is False
            cluster.network.mend()
            await cluster.same([b"a", b"b"])

        with_cluster(story)

    def test_all_nodes_lose_power_and_nothing_acknowledged(self) -> None:
        async def story(cluster: Cluster) -> None:
            items = []
            for number in range(5):
                leader = await cluster.leader()
                items.append(b"%d" % number)
                await cluster.groups[leader].propose(items[-1])
                for node_id in (1, 2, 3):
                    await cluster.crash(node_id)
                await cluster.start(1, 2, 3)
            await cluster.leader()
            await cluster.same(items)

        with_cluster(story)

    def test_a_node_that_was_away_gets_a_snapshot(self) -> None:
        async def story(cluster: Cluster) -> None:
            leader = await cluster.leader()
            away = next(node_id for node_id in (1, 2, 3) if node_id != leader)
            await cluster.crash(away)
            items = [b"%03d" % number for number in range(200)]
            for item in items:
                await cluster.groups[await cluster.leader()].propose(item)
            await cluster.start(away)
            await cluster.same(items)
            assert cluster.machines[away].restored >= 1
            await cluster.crash(away)
            await cluster.start(away)
            await cluster.same(items)

        with_cluster(story, SMALL)

    def test_a_node_that_lost_its_log_is_refilled_and_then_counts_again(self) -> None:
        async def story(cluster: Cluster) -> None:
            leader = await cluster.leader()
            for text in (b"something long enough", b"b"):
                await cluster.groups[leader].propose(text)
            await cluster.same([b"something long enough", b"b"])
            victim = next(node_id for node_id in (1, 2, 3) if node_id != leader)
            await cluster.hosts.pop(victim).stop()
            disk = cluster.disks[victim]
            name = f"data/raft/wal/{disk.listdir('data/raft/wal')[0]}"
            disk.flip_bit(name, disk.read(name).index(b"something long"))
            await cluster.start(victim)
            assert cluster.groups[victim].damaged
            await cluster.until(lambda: not cluster.groups[victim].damaged)
            await cluster.same([b"something long enough", b"b"])
            await cluster.crash(victim)
            await cluster.start(victim)
            assert not cluster.groups[victim].damaged
            await cluster.crash(leader)
            await cluster.groups[await cluster.leader()].propose(b"c")

        with_cluster(story)
