from __future__ import annotations

from dataclasses import replace

import pytest
from tests.unit.node.controller.metadata_node import MetadataNode

from odradek.node.app.quorum import DescribedQuorum, Member, QuorumListener, QuorumService, VoterKey
from odradek.node.controller.controller import ControllerError
from odradek.node.controller.image import MetadataImage
from odradek.proto.kafka.errors import ErrorCode
from odradek.raft.core.progress import ProgressState
from odradek.raft.core.quorum import Configuration
from odradek.raft.core.status import MemberStatus, Status
from odradek.raft.core.types import Role

LOOP_MS, WALL_MS = 5_000, 1_700_000_000_000
LISTENERS = {node: [QuorumListener("CONTROLLER", f"host{node}", 9093)] for node in (1, 2, 3, 4)}
DIRECTORY = {node: bytes([node]) * 16 for node in (1, 2, 3, 4)}


def member(
    node_id: int, match_index: int, contact_ms: int | None, caught_up_ms: int | None, *, is_voter: bool = True
) -> MemberStatus:
    return MemberStatus(node_id, is_voter, match_index, ProgressState.PROBE, contact_ms, caught_up_ms)


class Group:
    def __init__(self) -> None:
        self.is_leader = True
        self.voters = frozenset((1, 2, 3))

    def status(self) -> Status:
        members = (
            member(1, 12, LOOP_MS, LOOP_MS),
            member(2, 12, 4_990, 4_900),
            member(3, 7, 3_000, None),
            member(4, 0, None, None, is_voter=False),
        )
        configuration = Configuration(self.voters, frozenset(), frozenset((4,)))
        return Status(Role.LEADER, 3, 1, 10, 10, 12, configuration, members)


class Changes:
    def __init__(self) -> None:
        self.made: list[tuple[frozenset[int], bool]] = []
        self.failure: ControllerError | None = None

    async def change(self, voters: frozenset[int], *, until_committed: bool) -> None:
        if self.failure is not None:
            raise self.failure
        self.made.append((voters, until_committed))


class World:
    """Nodes 1 to 3 vote, 3 has never registered as a broker; 4 learns."""

    def __init__(self, *, level: int = 1, may_change: bool = True) -> None:
        self.group = Group()
        self.changes = Changes()
        brokers = {
            node: replace(MetadataNode.broker(node), directories=(DIRECTORY[node], b"?" * 16))
            for node in (1, 2)
        }
        image = MetadataImage(cluster_id="a-cluster", brokers=brokers, features={"kraft.version": level})
        self.service = QuorumService(lambda: image, LISTENERS, lambda: (LOOP_MS, WALL_MS))
        self.service.attach(self.group, self.changes if may_change else None)


def test_what_the_leader_knows_of_everybody() -> None:
    quorum = World().service.describe()
    assert isinstance(quorum, DescribedQuorum)
    assert (quorum.leader_id, quorum.leader_epoch, quorum.high_watermark) == (1, 3, 11)
    assert quorum.voters == [
        Member(1, DIRECTORY[1], 13, WALL_MS, WALL_MS),
        Member(2, DIRECTORY[2], 13, WALL_MS - 10, WALL_MS - 100),
        Member(3, bytes(16), 8, WALL_MS - 2_000, -1),
    ]
    assert quorum.observers == [Member(4, bytes(16), 1, -1, -1)]  # nothing known of it yet
    assert quorum.listeners == {node: LISTENERS[node] for node in (1, 2, 3)}
    assert quorum.now_ms == WALL_MS


def test_who_has_all_that_was_agreed_on() -> None:
    quorum = World().service.describe()
    assert isinstance(quorum, DescribedQuorum)
    assert [quorum.has_all(one) for one in quorum.voters] == [True, True, False]
    late = quorum.voters[2]
    assert quorum.has_all(late._replace(log_end_offset=quorum.high_watermark))
    assert quorum.has_all(late._replace(last_caught_up_ms=WALL_MS - 1_000))
    assert not quorum.has_all(late._replace(last_caught_up_ms=WALL_MS - 1_001))


def test_who_does_not_lead_knows_nothing() -> None:
    world = World()
    world.group.is_leader = False
    assert world.service.describe() is ErrorCode.NOT_CONTROLLER
    unattached = QuorumService(MetadataImage, LISTENERS, lambda: (LOOP_MS, WALL_MS))
    assert unattached.describe() is ErrorCode.NOT_CONTROLLER


async def add(world: World, node: int, cluster_id: str | None = None, **changes: object) -> ErrorCode:
    listeners = changes.get("listeners", [QuorumListener("CONTROLLER", f"host{node}", 9093)])
    assert isinstance(listeners, list)
    directory = changes.get("directory", b"d" * 16)
    assert isinstance(directory, bytes)
    outcome = await world.service.add_voter(
        cluster_id, VoterKey(node, directory), listeners, until_committed=bool(changes.get("waits", True))
    )
    assert bool(outcome.message) is (outcome.error is not ErrorCode.NONE)
    return outcome.error


async def test_a_voter_comes_in() -> None:
    world = World()
    assert await add(world, 4, "a-cluster") is ErrorCode.NONE
    assert await add(world, 4, waits=False) is ErrorCode.NONE
    everybody = frozenset((1, 2, 3, 4))
    assert world.changes.made == [(everybody, True), (everybody, False)]


async def test_who_cannot_come_in() -> None:
    world = World()
    assert await add(world, 4, "another") is ErrorCode.INCONSISTENT_CLUSTER_ID
    assert await add(world, 2) is ErrorCode.DUPLICATE_VOTER
    assert await add(world, -1) is ErrorCode.INVALID_REQUEST
    assert await add(world, 4, directory=bytes(16)) is ErrorCode.INVALID_REQUEST
    assert await add(world, 4, listeners=[]) is ErrorCode.INVALID_REQUEST
    elsewhere = [QuorumListener("CONTROLLER", "elsewhere", 9093)]
    assert await add(world, 4, listeners=elsewhere) is ErrorCode.INVALID_REQUEST
    assert await add(world, 5) is ErrorCode.INVALID_REQUEST
    world.group.voters = frozenset((1, 3))
    assert await add(world, 2, directory=DIRECTORY[1]) is ErrorCode.INVALID_REQUEST
    assert world.changes.made == []
    assert await add(world, 2, directory=DIRECTORY[2]) is ErrorCode.NONE
    world.changes.made.clear()
    assert world.changes.made == []


async def test_a_voter_is_taken_out() -> None:
    world = World()
    outcome = await world.service.remove_voter("a-cluster", VoterKey(2, DIRECTORY[2]))
    assert outcome.error is ErrorCode.NONE
    assert world.changes.made == [(frozenset((1, 3)), True)]


@pytest.mark.parametrize(
    ("key", "error"),
    [
        (VoterKey(9, DIRECTORY[2]), ErrorCode.VOTER_NOT_FOUND),
        (VoterKey(2, DIRECTORY[1]), ErrorCode.VOTER_NOT_FOUND),
        (VoterKey(2, bytes(16)), ErrorCode.INVALID_REQUEST),
        (VoterKey(-1, DIRECTORY[2]), ErrorCode.INVALID_REQUEST),
    ],
)
async def test_who_cannot_be_taken_out(key: VoterKey, error: ErrorCode) -> None:
    world = World()
    assert (await world.service.remove_voter(None, key)).error is error
    assert world.changes.made == []


async def test_the_last_voter_stays() -> None:
    world = World()
    world.group.voters = frozenset((2,))
    outcome = await world.service.remove_voter(None, VoterKey(2, DIRECTORY[2]))
    assert outcome.error is ErrorCode.INVALID_REQUEST


@pytest.mark.parametrize("world", [World(level=0), World(may_change=False)])
async def test_voters_that_are_given_by_the_configuration_stay(world: World) -> None:
    assert await add(world, 4) is ErrorCode.UNSUPPORTED_VERSION
    outcome = await world.service.remove_voter(None, VoterKey(2, DIRECTORY[2]))
    assert outcome.error is ErrorCode.UNSUPPORTED_VERSION


async def test_without_leadership_and_when_it_is_lost() -> None:
    world = World()
    world.group.is_leader = False
    assert await add(world, 4) is ErrorCode.NOT_CONTROLLER
    world.group.is_leader = True
    world.changes.failure = ControllerError(ErrorCode.REQUEST_TIMED_OUT, "another change is under way")
    assert await add(world, 4) is ErrorCode.REQUEST_TIMED_OUT
