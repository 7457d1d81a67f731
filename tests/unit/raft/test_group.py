"""One group: proposals, leadership, and three nodes in virtual time."""

import asyncio

import pytest
from tests.unit.raft.raft_cluster import (
    SMALL,
    Cluster,
    Journal,
    host_on,
    new_disk,
    open_one,
    run,
    with_cluster,
)

from odradek.raft.core.config import RaftConfig
from odradek.raft.host import HostSettings
from odradek.raft.ports import (
    ApplyError,
    NotLeaderError,
    ProposalQueueFullError,
    ProposalTooLargeError,
    RaftStoppedError,
)


class TestProposals:
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

    def test_a_cancelled_proposal_is_applied_all_the_same(self) -> None:
        async def main() -> None:
            host = host_on(new_disk())
            group, machine = await open_one(host)
            group.propose(b"a").cancel()
            await group.propose(b"b")
            assert machine.items == [b"a", b"b"]
            await host.stop()

        run(main())

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
