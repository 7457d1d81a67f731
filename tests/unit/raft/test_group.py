"""One group: proposals, leadership, and three nodes in virtual time."""

import asyncio
from functools import partial

import pytest
from tests.unit.raft.raft_cluster import (
    SETTINGS,
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
from odradek.raft.group import RaftGroup
from odradek.raft.host import HostSettings
from odradek.raft.ports import (
    ApplyError,
    MembershipChangeError,
    NotLeaderError,
    ProposalQueueFullError,
    ProposalTooLargeError,
    RaftStoppedError,
    TransferError,
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


def followers(cluster: Cluster, leader: int) -> list[int]:
    return [node_id for node_id in sorted(cluster.groups) if node_id != leader]


class TestReads:
    def test_a_follower_reads_what_the_leader_acknowledged(self) -> None:
        async def story(cluster: Cluster) -> None:
            leader = await cluster.leader()
            for number in range(20):
                item = b"%d" % number
                index = await cluster.groups[leader].propose(item)
                for node_id in (1, 2, 3):
                    assert await cluster.groups[node_id].read_index() >= index
                    assert cluster.machines[node_id].items[-1] == item

        with_cluster(story)

    def test_reads_of_one_turn_cost_one_round(self) -> None:
        async def story(cluster: Cluster) -> None:
            leader = await cluster.leader()
            await asyncio.gather(*(cluster.groups[leader].read_index() for _ in range(500)))
            office = cluster.groups[leader].raft._office
            assert office is not None and office.reads.number == 1

        with_cluster(story)

    def test_a_leader_that_is_cut_off_answers_no_read(self) -> None:
        async def story(cluster: Cluster) -> None:
            leader = await cluster.leader()
            cluster.network.cut({leader}, set(followers(cluster, leader)))
            with pytest.raises(NotLeaderError):
                await cluster.groups[leader].read_index()
            new = await cluster.leader(*followers(cluster, leader))
            assert await cluster.groups[new].read_index() > 0
            with pytest.raises(NotLeaderError):
                await cluster.groups[leader].read_index()

        with_cluster(story)

    def test_one_voter_reads_at_once_and_nobody_after_the_end(self) -> None:
        async def main() -> None:
            host = host_on(new_disk())
            group, _ = await open_one(host)
            index = await group.propose(b"a")
            assert await group.read_index() == index
            waiting = group.read_index()
            await host.stop()
            with pytest.raises(RaftStoppedError):
                await waiting
            with pytest.raises(RaftStoppedError):
                await group.read_index()

        run(main())


class TestTransfer:
    def test_the_leadership_moves_within_milliseconds_and_loses_nothing(self) -> None:
        async def story(cluster: Cluster) -> None:
            leader, now = await cluster.leader(), asyncio.get_running_loop().time
            await cluster.groups[leader].propose(b"a")
            to, before = followers(cluster, leader)[-1], now()
            await cluster.groups[leader].transfer_leadership(to)
            assert await cluster.leader() == to and now() - before < 0.1
            await cluster.groups[to].propose(b"b")
            await cluster.same([b"a", b"b"])

        with_cluster(story)

    def test_proposals_meanwhile_are_sent_to_the_successor_and_a_failed_transfer_ends(self) -> None:
        async def story(cluster: Cluster) -> None:
            leader = await cluster.leader()
            away, other = followers(cluster, leader)
            await cluster.crash(away)
            await cluster.groups[leader].propose(b"a")
            transfer = cluster.groups[leader].transfer_leadership(away)
            with pytest.raises(NotLeaderError) as refused:
                await cluster.groups[leader].propose(b"refused")
            assert refused.value.leader_id == away
            with pytest.raises(TransferError):
                await cluster.groups[leader].transfer_leadership(other)
            with pytest.raises(MembershipChangeError):
                await cluster.groups[leader].change_membership([1, 2, 3], [4])
            with pytest.raises(TransferError):
                await transfer
            await cluster.groups[leader].propose(b"b")
            assert cluster.groups[leader].is_leader

        with_cluster(story)

    def test_who_cannot_be_a_successor_and_who_cannot_hand_over(self) -> None:
        async def story(cluster: Cluster) -> None:
            leader = await cluster.leader()
            for to in (leader, 9):
                with pytest.raises(TransferError):
                    await cluster.groups[leader].transfer_leadership(to)
            with pytest.raises(NotLeaderError):
                await cluster.groups[followers(cluster, leader)[0]].transfer_leadership(leader)

        with_cluster(story)


class TestMembership:
    def test_a_new_node_becomes_a_learner_then_a_voter_and_an_old_one_leaves(self) -> None:
        async def story(cluster: Cluster) -> None:
            leader = await cluster.leader()
            items = [b"%03d" % number for number in range(100)]
            for item in items:
                await cluster.groups[leader].propose(item)
            await cluster.start(4)
            group = cluster.groups[leader]
            await group.change_membership([1, 2, 3], [4])
            assert (group.membership.incoming, group.membership.learners) == (
                frozenset({1, 2, 3}),
                frozenset({4}),
            )
            await cluster.same(items)
            learner = next(member for member in group.status().members if member.node_id == 4)
            assert not learner.is_voter and learner.match_index == group.status().last_index
            old = followers(cluster, leader)[0]
            voters = sorted({1, 2, 3, 4} - {old})
            await group.change_membership(voters)
            assert group.membership.incoming == set(voters) and not group.membership.is_joint
            # The removed one was told, and does not campaign any more.
            await cluster.until(lambda: old not in cluster.groups[old].membership.members)
            assert cluster.groups[old].raft.next_deadline is None
            await cluster.crash(leader)
            new = await cluster.leader()
            assert new in voters
            await cluster.groups[new].propose(b"end")
            # Who comes back finds the voters on its disk, whatever it is told.
            await cluster.start(leader)
            await cluster.crash(old)
            await cluster.same([*items, b"end"])
            assert cluster.groups[leader].membership.incoming == set(voters)

        for settings in (SETTINGS, SMALL):
            with_cluster(story, settings)

    def test_a_leader_removes_itself_and_hands_over(self) -> None:
        async def story(cluster: Cluster) -> None:
            leader, now = await cluster.leader(), asyncio.get_running_loop().time
            others = followers(cluster, leader)
            before = now()
            await cluster.groups[leader].change_membership(others)
            new = await cluster.leader()
            assert new in others and now() - before < 0.2
            await cluster.groups[new].propose(b"a")
            # The one that left hears no more, and disturbs nobody.
            await asyncio.sleep(30)
            assert (
                cluster.groups[new].is_leader and cluster.groups[leader].raft.term < cluster.groups[new].term
            )

        with_cluster(story)

    def test_one_change_at_a_time_and_only_by_the_leader(self) -> None:
        async def story(cluster: Cluster) -> None:
            leader = await cluster.leader()
            first = cluster.groups[leader].change_membership([1, 2, 3], [4])
            with pytest.raises(MembershipChangeError):
                await cluster.groups[leader].change_membership([1, 2, 3], [5])
            await first
            with pytest.raises(NotLeaderError):
                await cluster.groups[followers(cluster, leader)[0]].change_membership([1])
            for voters, learners in (([], []), ([1, 2], [2])):
                with pytest.raises(ValueError, match="voter"):
                    cluster.groups[leader].change_membership(voters, learners)

        with_cluster(story)

    def test_a_change_without_a_majority_of_the_new_does_not_happen(self) -> None:
        async def story(cluster: Cluster) -> None:
            leader = await cluster.leader()
            change = cluster.groups[leader].change_membership([leader, 4, 5])
            await asyncio.sleep(5)
            assert not change.done() or isinstance(change.exception(), NotLeaderError)
            await cluster.start(4, 5)
            await cluster.until(
                lambda: all(
                    cluster.groups[node_id].membership.incoming == {leader, 4, 5}
                    and not cluster.groups[node_id].membership.is_joint
                    for node_id in (leader, 4, 5)
                )
            )

        with_cluster(story)

    def test_the_host_is_told(self) -> None:
        async def story(cluster: Cluster) -> None:
            told: dict[int, list[list[int]]] = {node_id: [] for node_id in cluster.hosts}

            def tell(node_id: int, group: RaftGroup) -> None:
                told[node_id].append(sorted(group.membership.members))

            for node_id, host in cluster.hosts.items():
                host.on_membership = partial(tell, node_id)
            await cluster.start(4)
            leader = await cluster.leader()
            await cluster.groups[leader].change_membership([1, 2, 3, 4])
            await cluster.groups[leader].change_membership([1, 2, 3])
            await cluster.until(lambda: all(heard[-1] == [1, 2, 3] for heard in told.values()))
            assert all([1, 2, 3, 4] in heard for heard in told.values())

        with_cluster(story)

    def test_one_voter_grows_to_three_and_shrinks_again(self) -> None:
        async def main() -> None:
            cluster = Cluster()
            await cluster.start(1, voters=[1])
            await cluster.groups[1].wait_until_leader()
            await cluster.groups[1].propose(b"alone")
            await cluster.start(2, 3, voters=[1])
            await cluster.groups[1].change_membership([1], [2, 3])
            await cluster.groups[1].change_membership([1, 2, 3])
            await cluster.groups[1].propose(b"together")
            await cluster.same([b"alone", b"together"])
            await cluster.groups[1].change_membership([2])
            await cluster.groups[2].wait_until_leader()
            await cluster.groups[2].propose(b"alone again")
            await cluster.crash(2)
            await cluster.start(2, voters=[1, 2, 3])
            await cluster.groups[2].wait_until_leader()
            await cluster.until(lambda: cluster.machines[2].items == [b"alone", b"together", b"alone again"])
            for host in cluster.hosts.values():
                await host.stop()

        run(main())


class TestPeerHints:
    def test_a_lost_connection_to_the_leader_starts_an_election_at_once(self) -> None:
        async def story(cluster: Cluster) -> None:
            leader, now = await cluster.leader(), asyncio.get_running_loop().time
            await cluster.groups[leader].propose(b"a")
            before = now()
            await cluster.crash(leader)
            for host in cluster.hosts.values():
                host.on_peer_lost(leader)
            new = await cluster.leader()
            assert now() - before < 0.3
            await cluster.groups[new].propose(b"b")

        with_cluster(story)

    def test_a_living_leader_stays(self) -> None:
        async def story(cluster: Cluster) -> None:
            leader = await cluster.leader()
            term = cluster.groups[leader].term
            for _ in range(20):
                cluster.hosts[followers(cluster, leader)[0]].on_peer_lost(leader)
                cluster.hosts[leader].on_peer_lost(followers(cluster, leader)[0])
                await asyncio.sleep(0.3)
            assert cluster.groups[leader].is_leader and cluster.groups[leader].term == term

        with_cluster(story)
