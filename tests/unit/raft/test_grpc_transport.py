"""Nodes that speak over real sockets: found, heard, lost and found again; and those who do not belong together."""

import asyncio
import gc
import logging
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import uvloop
from tests.unit.raft.grpc_kit import LIMITS, LOOPBACK, Node, Record, addresses
from tests.unit.raft.raft_cluster import SETTINGS, Journal, new_disk

from odradek.raft.core.config import RaftConfig
from odradek.raft.core.messages import Heartbeat, Message, SnapshotChunk
from odradek.raft.core.quorum import Configuration
from odradek.raft.greeting import Address
from odradek.raft.grpc_transport import GrpcTransport
from odradek.raft.host import RaftHost
from odradek.raft.ports import NotLeaderError
from odradek.storage.memory_disk import MemoryDisk

HOUR_MS = 3_600_000
PATIENT = replace(LIMITS, retry_first_ms=HOUR_MS, retry_max_ms=HOUR_MS)
PEER_PROGRAM = """
import asyncio, sys
from odradek.raft.grpc_transport import GrpcTransport
async def main(mine, other):
    peers = {1: ("127.0.0.1", other), 2: ("127.0.0.1", mine)}
    transport = GrpcTransport(2, lambda: "abc", peers, print, lambda peer: None, lambda peer: None)
    await transport.start("127.0.0.1", mine)
    await asyncio.Event().wait()
asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
"""


@pytest.fixture
async def pair() -> AsyncIterator[tuple[Node, Node]]:
    peers = addresses(1, 2)
    async with Node(1, peers) as one, Node(2, peers) as two:
        await one.record.heard("found 2")
        await two.record.heard("found 1")
        yield one, two


async def test_messages_arrive_in_order_with_their_envelope(pair: tuple[Node, Node]) -> None:
    one, two = pair
    for term in range(1, 500):
        one.say(2, term)
    two.say(1, 7)
    await two.record.until(lambda: len(two.terms()) == 499)
    await one.record.until(lambda: one.terms())
    assert two.terms() == list(range(1, 500))
    assert two.record.messages[0] == (0, Heartbeat(1, 2, 1, 0))
    assert one.terms() == [7]


async def test_what_waits_leaves_as_one_write(pair: tuple[Node, Node]) -> None:
    one, two = pair
    for term in range(1, 101):
        one.say(2, term)
    await two.record.until(lambda: len(two.terms()) == 100)
    assert two.record.batches < 10, "all 100 were there before the loop could write"


async def test_a_large_snapshot_chunk_passes(pair: tuple[Node, Node]) -> None:
    one, two = pair
    chunk = SnapshotChunk(1, 2, 3, 4, 3, Configuration(frozenset({1, 2})), 2**40, 2**39, bytes(8 * 2**20))
    one.transport.send(2, [(5, chunk)])
    await two.record.until(lambda: two.record.messages)
    assert two.record.messages == [(5, chunk)]


async def test_what_is_too_large_is_lost_alone(
    pair: tuple[Node, Node], caplog: pytest.LogCaptureFixture
) -> None:
    one, two = pair
    size = one.transport.limits.message_bytes_max
    chunk = SnapshotChunk(1, 2, 3, 4, 3, Configuration(frozenset({1, 2})), size, 0, bytes(size))
    one.transport.send(2, [(5, chunk)])
    one.say(2, 1)
    await two.record.until(lambda: two.record.messages)
    assert two.terms() == [1]
    assert "larger than the limit" in caplog.text
    assert one.record.events == ["found 2"]


async def test_a_stopped_peer_is_lost_and_found_again() -> None:
    peers = addresses(1, 2)
    async with Node(1, peers) as one:
        for life in (1, 2):
            async with Node(2, peers) as two:
                await one.record.heard("found 2", life)
                await two.record.heard("found 1")
                one.say(2, life)
                await two.hears(life)
            await one.record.heard("lost 2", life)
            assert one.transport.connected == ()
            one.say(2, 99)  # has no way now, and raises nothing
    assert one.record.events == ["found 2", "lost 2"] * 2


async def test_what_was_said_before_the_peer_was_there_is_heard() -> None:
    peers = addresses(1, 2)
    async with Node(1, peers, limits=replace(LIMITS, queue_age_ms_max=HOUR_MS)) as one, Node(2, peers) as two:
        one.say(2, 5)
        await two.hears(5)


async def test_what_was_said_long_before_is_not() -> None:
    peers = addresses(1, 2)
    async with Node(1, peers, limits=replace(LIMITS, queue_age_ms_max=1)) as one:
        one.say(2, 5)
        await one.greets(3)  # at least 20 ms of pauses
        async with Node(2, peers) as two:
            await one.record.heard("found 2")
            one.say(2, 6)
            await two.hears(6)
            assert two.terms() == [6]


async def test_a_peer_that_comes_late_is_dialled_when_it_calls() -> None:
    peers = addresses(1, 2)
    async with Node(1, peers, limits=PATIENT) as one, Node(2, peers) as two:
        await two.record.heard("found 1")
        await one.record.heard("found 2")


@pytest.mark.timeout(30)
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGSTOP])
async def test_a_process_that_is_killed_or_frozen_is_lost(end: signal.Signals) -> None:
    """Frozen: its kernel still takes every packet, so that only the missing answer to a ping tells."""
    peers = addresses(1, 2)
    command = [sys.executable, "-c", PEER_PROGRAM, str(peers[2][1]), str(peers[1][1])]
    async with Node(1, peers, limits=replace(LIMITS, keepalive_ms=100, keepalive_timeout_ms=500)) as one:
        process = await asyncio.create_subprocess_exec(*command)
        try:
            await one.record.heard("found 2")
            process.send_signal(end)
            await one.record.heard("lost 2")
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


async def test_a_peer_that_accepts_and_says_nothing_is_never_found() -> None:
    accepted = asyncio.Event()
    server = await asyncio.start_server(lambda reader, writer: accepted.set(), LOOPBACK, 0)
    peers = addresses(1, 3) | {2: (LOOPBACK, int(server.sockets[0].getsockname()[1]))}
    async with Node(1, peers) as one, Node(3, peers):
        await accepted.wait()
        one.say(2, 1)
        await one.record.heard("found 3")
        assert one.record.events == ["found 3"]
    server.close()


def test_a_node_without_peers_neither_listens_nor_loads_grpc() -> None:
    program = """
import asyncio, socket, sys
from odradek.raft.grpc_transport import GrpcTransport
async def main():
    transport = GrpcTransport(1, lambda: "", {1: ("127.0.0.1", 1)}, print, print, print)
    await transport.start("127.0.0.1", 1)
    transport.send(2, [])
    assert transport.port == 1
    await transport.stop()
asyncio.run(main())
assert not [name for name in sys.modules if name.startswith(("grpc", "google.protobuf"))]
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


# -- peers that come and go


async def test_the_first_peers_of_a_node_on_its_own() -> None:
    peers = addresses(1, 2)
    record = Record()
    alone = GrpcTransport(1, lambda: "", {}, record.on_batch, record.on_lost, record.on_found)
    await alone.start(*peers[1])
    async with Node(2, peers) as two:
        alone.set_peers(peers)
        await record.heard("found 2")
        await two.record.heard("found 1")
        await alone.stop()
        await two.record.heard("lost 1")


async def test_a_peer_that_is_taken_off_the_list_is_lost_on_both_sides(pair: tuple[Node, Node]) -> None:
    one, two = pair
    one.transport.set_peers({})
    assert one.record.events == ["found 2", "lost 2"], "at once"
    two.say(1, 1)
    await two.record.heard("lost 1")
    assert one.terms() == []


async def test_a_peer_that_moves() -> None:
    peers = addresses(1, 2)
    moved = peers | {2: addresses(2)[2]}
    async with Node(1, peers) as one, Node(2, moved) as two:
        one.transport.set_peers(moved)
        await one.record.heard("found 2")
        await two.record.heard("found 1")
        one.say(2, 1)
        await two.record.until(lambda: two.terms())


# -- those who do not belong together


async def test_another_cluster_is_refused_once_in_words_and_taken_in_when_that_is_repaired(
    caplog: pytest.LogCaptureFixture,
) -> None:
    peers = addresses(1, 2, 3)
    async with Node(1, peers) as one, Node(2, peers, cluster_id="xyz") as two, Node(3, peers) as three:
        await one.record.heard("found 3")
        one.say(2, 1)
        two.say(1, 1)
        await _lines(caplog, "refuses this node", 4)
        await two.greets(20)
        assert one.record.events == ["found 3"] and two.record.events == []
        lines = [
            line for line in caplog.messages if "node 2 belongs to cluster xyz, node 1 to cluster abc" in line
        ]
        assert sorted(line.partition(":")[0].split()[0] for line in lines) == ["a", "node"], lines
        two.cluster_id = "abc"
        await one.record.heard("found 2")
        await two.record.heard("found 3")
        await three.record.heard("found 2")


async def test_a_cluster_that_is_not_founded_yet_finds_itself() -> None:
    peers = addresses(1, 2)
    async with Node(1, peers, cluster_id="") as one, Node(2, peers, cluster_id="abc") as two:
        await one.record.heard("found 2")
        await two.record.heard("found 1")


async def test_two_nodes_with_the_id_of_the_one_they_call(caplog: pytest.LogCaptureFixture) -> None:
    """Node 2 of another machine was told that it is node 1."""
    peers = addresses(1, 2)
    mistaken = {1: peers[2], 2: peers[1]}
    async with Node(1, peers), Node(1, mistaken):
        await _lines(caplog, "node id 1 is used twice", 2)


async def test_of_two_processes_with_one_id_the_one_at_the_address_is_heard(
    caplog: pytest.LogCaptureFixture,
) -> None:
    peers = addresses(1, 2)
    elsewhere = peers | {2: addresses(2)[2]}
    async with Node(1, peers) as one, Node(2, peers) as real:
        await one.record.heard("found 2")
        await real.record.heard("found 1")
        async with Node(2, elsewhere) as impostor:
            await _lines(caplog, "node id 2 is used twice", 2)
            impostor.say(1, 66)
        await one.record.heard("found 2", 2)  # it was asked once more who lives there
        await real.record.until(lambda: "found 1" in real.record.events)
        real.say(1, 7)
        await one.record.until(lambda: 7 in one.terms())
        assert 66 not in one.terms()


async def test_a_process_with_the_id_of_one_that_comes_later_is_heard_until_then() -> None:
    peers = addresses(1, 2, 3)
    elsewhere = peers | {2: peers[3]}
    speechless = peers | {1: addresses(1)[1]}  # it answers node 1, and cannot call it
    async with Node(1, peers) as one, Node(2, elsewhere) as impostor:
        await impostor.record.heard("found 1")
        impostor.say(1, 66)
        await one.hears(66)
        async with Node(2, speechless):
            await impostor.record.heard("lost 1")


async def test_nothing_is_left_behind(caplog: pytest.LogCaptureFixture) -> None:
    """What is collected later must not complain: of tasks whose outcome nobody took, of servers on a closed loop."""
    peers = addresses(1, 2)
    for _ in range(3):
        async with Node(1, peers) as one, Node(2, peers) as two:
            await one.record.heard("found 2")
            await two.record.heard("found 1")
    gc.collect()
    assert [record.getMessage() for record in caplog.records if record.name == "asyncio"] == []


async def test_a_port_that_is_taken() -> None:
    peers = addresses(1, 2)
    async with Node(1, peers):
        twin = Node(1, peers)
        with pytest.raises(OSError, match=str(peers[1][1])):
            await twin.transport.start(*peers[1])
        await twin.transport.stop()


async def _lines(caplog: pytest.LogCaptureFixture, words: str, count: int) -> None:
    """Until so many log lines hold the words."""
    arrived = asyncio.Event()

    class Bell(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            arrived.set()

    bell = Bell()
    logging.getLogger("odradek.raft").addHandler(bell)
    try:
        while sum(words in line for line in caplog.messages) < count:
            arrived.clear()
            await arrived.wait()
    finally:
        logging.getLogger("odradek.raft").removeHandler(bell)


def test_the_generated_module_is_beside_its_source() -> None:
    from odradek.proto.v1 import raft_pb2

    source = Path(raft_pb2.__file__).with_name("raft.proto")
    services = raft_pb2.DESCRIPTOR.services_by_name
    assert f"service {next(iter(services))}" in source.read_text(encoding="utf-8")


# -- consensus over it


class Told(Journal):
    """A machine that can be waited for."""

    def __init__(self, record: Record) -> None:
        super().__init__()
        self._record = record

    def apply(self, index: int, data: bytes) -> None:
        super().apply(index, data)
        self._record.note("applied")

    async def ends_with(self, data: bytes) -> None:
        await self._record.until(lambda: self.items[-1:] == [data])


#: A leader is to be one still when it is asked, also where this process has to wait for a processor.
STEADY = replace(SETTINGS, raft=RaftConfig(election_timeout_ms=2_000))


class Member:
    """A consensus node with its transport; the disk outlives it."""

    def __init__(self, node_id: int, peers: dict[int, Address], disk: MemoryDisk) -> None:
        self.record = Record()
        self.machine = Told(self.record)
        self.peers, self.node_id = peers, node_id
        self.transport = GrpcTransport(
            node_id, lambda: "abc", peers, self._receive, self._lost, self.record.on_found, LIMITS
        )
        self.host = RaftHost(node_id, disk, "data/raft", transport=self.transport, settings=STEADY)

    def _receive(self, batch: Sequence[tuple[int, Message]]) -> None:
        self.host.receive(batch)

    def _lost(self, peer: int) -> None:
        self.host.on_peer_lost(peer)
        self.record.on_lost(peer)

    async def start(self) -> None:
        await self.host.start()
        self.groups = [self.host.open_group(group, list(self.peers), self.machine) for group in (0, 1)]
        await self.transport.start(*self.peers[self.node_id])

    async def stop(self) -> None:
        await self.transport.stop()
        await self.host.stop()


async def _leader(members: dict[int, Member]) -> int:
    waiting = {
        asyncio.ensure_future(member.groups[0].wait_until_leader()): node_id
        for node_id, member in members.items()
    }
    done, others = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    for other in others:
        other.cancel()
    return waiting[done.pop()]


@pytest.mark.parametrize("loop_kind", ["asyncio", "uvloop"])
def test_three_hosts_agree_lose_their_leader_and_heal(loop_kind: str) -> None:
    loop = asyncio.new_event_loop() if loop_kind == "asyncio" else uvloop.new_event_loop()
    try:
        loop.run_until_complete(_three_hosts())
    finally:
        loop.close()


async def _three_hosts() -> None:
    peers = addresses(1, 2, 3)
    disks = {node_id: new_disk() for node_id in peers}
    members = {node_id: Member(node_id, peers, disks[node_id]) for node_id in peers}
    await asyncio.gather(*(member.start() for member in members.values()))
    first = await _leader(members)
    await members[first].groups[0].propose_many([b"%d" % number for number in range(100)])

    gone = members.pop(first)
    await gone.stop()
    for member in members.values():
        await member.record.heard(f"lost {first}")
    second = await _leader(members)
    assert second != first
    await members[second].groups[0].propose(b"without you")

    members[first] = Member(first, peers, disks[first])
    await members[first].start()
    await members[first].record.heard(f"found {second}")
    await _propose(members, b"together")
    expected = [*(b"%d" % number for number in range(100)), b"without you"]
    for member in members.values():
        await member.machine.ends_with(b"together")
    for member in members.values():
        assert member.machine.items[:101] == expected
        await member.stop()


async def _propose(members: dict[int, Member], data: bytes) -> None:
    """By whoever leads: the leader may change while the third node comes back."""
    while True:
        try:
            await members[await _leader(members)].groups[0].propose(data)
            return
        except NotLeaderError:
            continue
