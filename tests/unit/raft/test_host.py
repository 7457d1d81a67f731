"""A host with its groups: start and stop, shared writes, snapshots, and disks that fail."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from tests.unit.raft.raft_cluster import (
    SETTINGS,
    SMALL,
    Journal,
    host_on,
    new_disk,
    open_one,
    run,
)

from odradek.raft.core.messages import AppendRequest, Heartbeat, Message
from odradek.raft.core.types import NORMAL, Entry
from odradek.raft.host import RaftHost
from odradek.raft.memory_transport import MemoryNetwork
from odradek.raft.ports import (
    NotLeaderError,
    RaftStoppedError,
)
from odradek.storage.disk import DiskError, DiskLockedError
from odradek.storage.memory_disk import MemoryDisk
from odradek.storage.os_disk import OsDisk


def host_of_three(node_id: int, network: MemoryNetwork) -> RaftHost:
    random = Random(node_id)
    return RaftHost(node_id, new_disk(), "data/raft", transport=network, settings=SETTINGS, random=random)


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

    @pytest.mark.parametrize("at_a_roll", [False, True])
    def test_a_full_disk_is_waited_for_and_loses_nothing(self, at_a_roll: bool) -> None:
        async def main() -> None:
            disk, failures = new_disk(), list[Exception]()
            host = host_on(disk, SMALL, on_failure=failures.append)
            group, machine = await open_one(host)
            await group.propose(b"before" if not at_a_roll else b"x" * SMALL.segment_bytes)
            disk.capacity = disk.used_bytes
            waiting = [group.propose(b"one"), group.propose(b"two")]
            await asyncio.sleep(10)
            assert not any(future.done() for future in waiting) and not failures
            group.take_snapshot()
            await asyncio.sleep(10)
            disk.capacity = None
            await asyncio.gather(*waiting)
            assert machine.items[1:] == [b"one", b"two"]
            await host.stop()
            disk.crash()
            again = host_on(disk, SMALL)
            _, machine = await open_one(again)
            assert machine.items[1:] == [b"one", b"two"]
            await again.stop()

        run(main())

    def test_a_broken_invariant_ends_the_host(self) -> None:
        async def main() -> None:
            failures = list[Exception]()
            host = host_on(new_disk(), on_failure=failures.append)
            await host.start()
            group = host.open_group(0, [1, 2, 3], Journal())
            leads = AppendRequest(2, 1, 5, 0, 0, 1, (Entry(5, NORMAL, b"a"),))
            host.receive([(0, leads), (0, replace(leads, sender=3))])
            assert len(failures) == 1 and isinstance(failures[0], AssertionError)
            with pytest.raises(RaftStoppedError):
                await group.propose(b"x")
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


class TestManyGroups:
    def test_what_all_groups_have_to_say_to_a_peer_in_a_turn_is_one_batch(self) -> None:
        async def main() -> None:
            sent: list[tuple[int, list[tuple[int, Message]]]] = []
            network = MemoryNetwork()
            hosts = [host_of_three(node_id, network) for node_id in (1, 2, 3)]
            for host in hosts:
                await host.start()
                network.connect(host)
            groups = [
                [host.open_group(number, [1, 2, 3], Journal()) for number in range(20)] for host in hosts
            ]
            await asyncio.sleep(3)
            send = network.send

            def record(to: int, batch: Sequence[tuple[int, Message]]) -> None:
                sent.append((to, list(batch)))
                send(to, batch)

            network.send = record  # type: ignore[method-assign]  # a transport that looks on
            await asyncio.sleep(1)
            leading = {
                host.node_id: sum(group.is_leader for group in groups[at]) for at, host in enumerate(hosts)
            }
            assert sum(leading.values()) == 20
            beats = [(to, batch) for to, batch in sent if isinstance(batch[0][1], Heartbeat)]
            for to, batch in beats:
                sender = batch[0][1].sender
                # The heartbeats of every group that a node leads fall together, whenever it was elected.
                assert to != sender and len(batch) == leading[sender], (sender, to)
                assert {message.sender for _, message in batch} == {sender}
            peers = 2 * sum(count > 0 for count in leading.values())
            assert abs(len(beats) - 10 * peers) <= peers
            for host in hosts:
                await host.stop()

        run(main())

    def test_a_hint_reaches_only_the_groups_that_the_lost_node_leads(self) -> None:
        async def main() -> None:
            host = host_on(new_disk())
            await host.start()
            groups = [host.open_group(number, [1, 2, 3], Journal()) for number in range(2)]
            host.receive([(0, Heartbeat(2, 1, 5, 0)), (1, Heartbeat(3, 1, 5, 0)), (9, Heartbeat(3, 1, 5, 0))])
            host.on_peer_lost(2)
            deadlines = [group.raft.next_deadline for group in groups]
            assert deadlines[0] is not None and deadlines[0] < 50
            assert deadlines[1] is not None and deadlines[1] >= 500
            await host.stop()

        run(main())
