"""Consensus on nodes: when the metadata is current, and who comes to lead the coordinator shards."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from functools import wraps
from random import Random
from typing import Any

import pytest
from tests.unit.raft.raft_cluster import run

from odradek.node.config import ConfigError, NodeConfig
from odradek.node.ports import Address, Batch, NodePorts, system_ports
from odradek.node.quorum import Quorum
from odradek.raft.core.quorum import Configuration
from odradek.storage.memory_disk import MemoryDisk


def in_virtual_time(story: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """A busy machine is no reason to elect another leader."""

    @wraps(story)
    def test() -> None:
        run(story())

    return test


class Network:
    """Transports that hand batches over in the next turn of the loop."""

    def __init__(self) -> None:
        self.receivers: dict[int, Callable[[Batch], None]] = {}
        self.on_lost: dict[int, Callable[[int], None]] = {}
        self.on_found: dict[int, Callable[[int], None]] = {}
        self.port = 0

    def join(
        self,
        node_id: int,
        cluster_id: Callable[[], str],
        peers: Mapping[int, Address],
        on_batch: Callable[[Batch], None],
        on_peer_lost: Callable[[int], None],
        on_peer_found: Callable[[int], None],
    ) -> Network:
        self.receivers[node_id] = on_batch
        self.on_lost[node_id] = on_peer_lost
        self.on_found[node_id] = on_peer_found
        return self

    async def start(self, host: str, port: int) -> None:
        if port == 1:
            raise OSError(13, "Permission denied")

    def send(self, to: int, batch: Batch) -> None:
        asyncio.get_running_loop().call_soon(self._deliver, to, batch)

    def _deliver(self, to: int, batch: Batch) -> None:
        if to in self.receivers:
            self.receivers[to](batch)

    async def stop(self) -> None:
        """Nothing to end."""


class Machine:
    def __init__(self) -> None:
        self.applied: list[bytes] = []

    def apply(self, index: int, data: bytes) -> None:
        self.applied.append(data)

    def snapshot(self) -> bytes:
        return b""

    def restore(self, data: bytes) -> None:
        self.applied.clear()

    def on_leadership(self, is_leader: bool, term: int) -> None:
        """Nobody asks."""


def config(node_id: int, voters: int, controller_port: int = 19093) -> NodeConfig:
    return NodeConfig(
        {
            "process.roles": "broker,controller",
            "node.id": str(node_id),
            "listeners": f"PLAINTEXT://h:9092,CONTROLLER://h:{controller_port}",
            "controller.listener.names": "CONTROLLER",
            "controller.quorum.voters": ",".join(f"{one}@h:{one}" for one in range(1, voters + 1)),
            "controller.quorum.fetch.timeout.ms": "50",
        }
    )


def made(network: Network, node_id: int, voters: int, controller_port: int = 19093) -> Quorum:
    ports: NodePorts = replace(
        system_ports(asyncio.get_running_loop()),
        random=Random(node_id),
        raft_transport=network.join,
        is_threaded=False,
    )

    def fail(error: BaseException) -> None:
        raise AssertionError("consensus failed") from error

    return Quorum(
        config(node_id, voters, controller_port), ports, MemoryDisk(), lambda: "c", fail, lambda lost: None
    )


@in_virtual_time
async def test_alone_everything_is_led_here_at_once() -> None:
    quorum = made(Network(), 1, 1)
    assert quorum.is_alone
    await quorum.start()
    quorum.open(Machine(), [Machine(), Machine()])
    await quorum.current()
    assert quorum.metadata.is_leader and all(shard.is_leader for shard in quorum.shards)
    await quorum.stop()


@in_virtual_time
async def test_the_metadata_is_current_once_what_was_committed_before_is_applied() -> None:
    network = Network()
    quorums = [made(network, node_id, 3) for node_id in (1, 2, 3)]
    machines = [Machine() for _ in quorums]
    for quorum, machine in zip(quorums, machines, strict=True):
        await quorum.start()
        quorum.open(machine, [])
    await asyncio.gather(*(quorum.current() for quorum in quorums))
    leader = next(quorum for quorum in quorums if quorum.metadata.is_leader)
    await leader.metadata.propose(b"agreed")
    for quorum, machine in zip(quorums, machines, strict=True):
        await quorum.current()
        assert machine.applied == [b"agreed"]
    for quorum in quorums:
        await quorum.stop()


@in_virtual_time
async def test_shards_come_to_their_nodes() -> None:
    network = Network()
    quorums = [made(network, node_id, 3) for node_id in (1, 2, 3)]
    for quorum in quorums:
        quorum.balance_interval_s = 0.05
        await quorum.start()
        quorum.open(Machine(), [Machine() for _ in range(6)])
    async with asyncio.timeout(20):
        for number in range(6):
            await quorums[number % 3].shards[number].wait_until_leader()
    for quorum in quorums:
        await quorum.stop()


@in_virtual_time
async def test_a_shard_is_not_given_back_to_a_node_that_has_just_returned() -> None:
    network = Network()
    quorums = [made(network, node_id, 3) for node_id in (1, 2, 3)]
    for quorum in quorums:
        quorum.balance_interval_s = 0.02
        await quorum.start()
        quorum.open(Machine(), [Machine()])
    first, second, _ = (quorum.shards[0] for quorum in quorums)
    async with asyncio.timeout(20):
        await first.wait_until_leader()
        for other in (2, 3):
            network.on_lost[other](1)
            network.on_found[other](1)
        await first.transfer_leadership(2)
        await second.wait_until_leader()
        await asyncio.sleep(0.2)
        assert second.is_leader
        quorums[1].settled_after_s = 0.1
        await first.wait_until_leader()
    for quorum in quorums:
        await quorum.stop()


@in_virtual_time
async def test_a_node_that_will_stop_hands_over_what_it_leads() -> None:
    network = Network()
    quorums = [made(network, node_id, 3) for node_id in (1, 2, 3)]
    for quorum in quorums:
        await quorum.start()
        quorum.open(Machine(), [Machine()])
    await asyncio.gather(*(quorum.current() for quorum in quorums))
    leader = next(quorum for quorum in quorums if quorum.metadata.is_leader)
    await leader.metadata.propose(b"agreed")
    await leader.hand_over()
    assert not leader.metadata.is_leader and not leader.shards[0].is_leader
    for quorum in quorums:
        await quorum.stop()


@in_virtual_time
async def test_a_voter_is_taken_out_and_comes_back_in_all_groups() -> None:
    network = Network()
    quorums = [made(network, node_id, 3) for node_id in (1, 2, 3)]
    machines = [Machine() for _ in quorums]
    for quorum, machine in zip(quorums, machines, strict=True):
        quorum.balance_interval_s = 0.02
        await quorum.start()
        quorum.open(machine, [Machine(), Machine(), Machine()])
    await asyncio.gather(*(quorum.current() for quorum in quorums))

    async def change(voters: set[int]) -> None:
        leader = next(quorum for quorum in quorums if quorum.metadata.is_leader)
        assert leader.voter_changes is not None
        await leader.voter_changes.change(frozenset(voters), until_committed=True)

    async def everywhere(voters: set[int]) -> None:
        """Until all groups of all nodes have these voters, and the others learn."""
        learners = {1, 2, 3} - voters
        async with asyncio.timeout(20):
            while True:
                found = {group.membership for quorum in quorums for group in quorum.groups}
                if found == {Configuration(frozenset(voters), frozenset(), frozenset(learners))}:
                    return
                await asyncio.sleep(0.005)

    first = next(quorum for quorum in quorums if quorum.metadata.is_leader)._config.node_id
    rest = {1, 2, 3} - {first}
    await change(rest)  # the leader itself
    await everywhere(rest)
    async with asyncio.timeout(20):
        await next(iter(quorum for quorum in quorums if quorum._config.node_id in rest)).current()
    leader = next(quorum for quorum in quorums if quorum.metadata.is_leader)
    await leader.metadata.propose(b"agreed")
    for quorum, machine in zip(quorums, machines, strict=True):
        await quorum.current()
        assert machine.applied == [b"agreed"], "who only learns has it too"
    await change({1, 2, 3})
    await everywhere({1, 2, 3})
    for quorum in quorums:
        await quorum.stop()


@in_virtual_time
async def test_an_address_that_cannot_be_had_is_named() -> None:
    quorum = made(Network(), 1, 3, controller_port=1)
    with pytest.raises(ConfigError, match="cannot listen on h:1: Permission denied"):
        await quorum.start()
    await quorum.stop()
