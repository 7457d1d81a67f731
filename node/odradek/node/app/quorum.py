"""The metadata quorum: how far each of its members is, and who its members are.

Decides: how the positions and times that Raft knows become those that Kafka's tools print, and which changes of the
voters are refused before the quorum is asked. How a change proceeds is Raft's (joint consensus).

Offsets here are Raft indexes: an entry at index i has the offset i, and an end offset is one more. Raft counts time on
the loop's clock; a moment of it is told as the wall clock's by how long ago it is.

Voters are added and removed from the nodes of `controller.quorum.voters`, which all nodes know, once the feature
kraft.version is at 1; before, and where there is one voter only, that is UNSUPPORTED_VERSION, as in Kafka.

Source: KIP-595, KIP-836, KIP-853; Kafka 4.3 KafkaRaftClient, AddVoterHandler, RemoveVoterHandler, compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

from odradek.node.controller.controller import ControllerError
from odradek.node.controller.features import KRAFT_VERSION
from odradek.node.controller.image import MetadataImage
from odradek.proto.kafka.errors import ErrorCode
from odradek.raft.core.status import MemberStatus, Status

METADATA_TOPIC: Final = "__cluster_metadata"
NEVER: Final = -1
ZERO_UUID: Final = bytes(16)
LATELY_MS: Final = 1_000
DYNAMIC_VOTERS: Final = 1
"""The level of kraft.version from which voters can change."""


class MetadataGroup(Protocol):
    """`odradek.raft.group.RaftGroup`, of the metadata log."""

    @property
    def is_leader(self) -> bool: ...

    def status(self) -> Status: ...


class Voters(Protocol):
    """Changes who votes, in the metadata group and with it in the coordinator shards."""

    async def change(self, voters: frozenset[int], *, until_committed: bool) -> None:
        """Raises ControllerError. Without `until_committed` it returns once the change is under way."""


class QuorumListener(NamedTuple):
    name: str
    host: str
    port: int


class Member(NamedTuple):
    """One voter or observer; times in ms of the wall clock, -1 for never."""

    node_id: int
    directory_id: bytes
    log_end_offset: int
    last_fetch_ms: int
    last_caught_up_ms: int


class DescribedQuorum(NamedTuple):
    """`now_ms` is the time of the wall clock at which it was so."""

    leader_id: int
    leader_epoch: int
    high_watermark: int
    voters: list[Member]
    observers: list[Member]
    listeners: Mapping[int, Sequence[QuorumListener]]
    now_ms: int = NEVER

    def has_all(self, member: Member) -> bool:
        """It has what was agreed on, or had it a moment ago."""
        lately = self.now_ms - member.last_caught_up_ms <= LATELY_MS and member.last_caught_up_ms != NEVER
        return lately or member.log_end_offset >= self.high_watermark


class VoterKey(NamedTuple):
    """A voter as an administrator names it: a node, and the directory of its metadata log."""

    node_id: int
    directory_id: bytes


class Outcome(NamedTuple):
    error: ErrorCode = ErrorCode.NONE
    message: str | None = None


class QuorumService:
    """`attach` takes the metadata group, once it is open, and who changes its voters (None: they are fixed).

    `listeners` are those of the controllers, as `controller.quorum.voters` has them. `clocks` gives the loop's clock
    and the wall clock, in ms.
    """

    def __init__(
        self,
        image: Callable[[], MetadataImage],
        listeners: Mapping[int, Sequence[QuorumListener]],
        clocks: Callable[[], tuple[int, int]],
    ) -> None:
        self._image = image
        self._listeners = listeners
        self._clocks = clocks
        self._group: MetadataGroup | None = None
        self._voters: Voters | None = None

    def attach(self, group: MetadataGroup, voters: Voters | None = None) -> None:
        self._group = group
        self._voters = voters

    def describe(self) -> DescribedQuorum | ErrorCode:
        """NOT_CONTROLLER where this node does not lead the quorum: only the leader knows the others."""
        group = self._group
        if group is None or not group.is_leader:
            return ErrorCode.NOT_CONTROLLER
        status = group.status()
        assert status.leader_id is not None, "who leads knows it"
        loop_ms, wall_ms = self._clocks()
        offset_ms = wall_ms - loop_ms
        members = [(one.is_voter, self._member(one, offset_ms)) for one in status.members]
        voters = [member for is_voter, member in members if is_voter]
        return DescribedQuorum(
            status.leader_id,
            status.term,
            status.commit_index + 1,
            voters,
            [member for is_voter, member in members if not is_voter],
            {voter.node_id: self._listeners.get(voter.node_id, ()) for voter in voters},
            wall_ms,
        )

    async def add_voter(
        self,
        cluster_id: str | None,
        voter: VoterKey,
        listeners: Sequence[QuorumListener],
        *,
        until_committed: bool,
    ) -> Outcome:
        asked = self._judge(cluster_id, voter)
        if isinstance(asked, Outcome):
            return asked
        change, voters = asked
        if voter.node_id in voters:
            message = f"node {voter.node_id} is a voter already: the voters are {_list(voters)}"
            return Outcome(ErrorCode.DUPLICATE_VOTER, message)
        if not set(listeners).intersection(self._listeners.get(voter.node_id, ())):
            message = (
                f"controller {voter.node_id} is not known here under that address:"
                " name it in controller.quorum.voters of every node"
            )
            return Outcome(ErrorCode.INVALID_REQUEST, message)
        if self._directory_id(voter.node_id) not in (voter.directory_id, ZERO_UUID):
            return Outcome(ErrorCode.INVALID_REQUEST, f"node {voter.node_id} is there with another directory")
        return await _changed(change, voters | {voter.node_id}, until_committed)

    async def remove_voter(self, cluster_id: str | None, voter: VoterKey) -> Outcome:
        asked = self._judge(cluster_id, voter)
        if isinstance(asked, Outcome):
            return asked
        change, voters = asked
        if voter.node_id not in voters or voter.directory_id != self._directory_id(voter.node_id):
            message = f"node {voter.node_id} with that directory is no voter: the voters are {_list(voters)}"
            return Outcome(ErrorCode.VOTER_NOT_FOUND, message)
        if len(voters) == 1:
            return Outcome(ErrorCode.INVALID_REQUEST, "the last voter cannot be removed")
        return await _changed(change, voters - {voter.node_id}, until_committed=True)

    def _judge(self, cluster_id: str | None, voter: VoterKey) -> tuple[Voters, frozenset[int]] | Outcome:
        """Who changes the voters, and the present ones; or why they cannot be changed."""
        if cluster_id is not None and cluster_id != self._image().cluster_id:
            return Outcome(ErrorCode.INCONSISTENT_CLUSTER_ID, f"{cluster_id} is not the id of this cluster")
        if self._group is None or not self._group.is_leader:
            return Outcome(ErrorCode.NOT_CONTROLLER, "this node is not the active controller")
        if voter.node_id < 0 or voter.directory_id == ZERO_UUID:
            return Outcome(ErrorCode.INVALID_REQUEST, "the request does not name a voter and its directory")
        if self._voters is None or self._image().features.get(KRAFT_VERSION, 0) < DYNAMIC_VOTERS:
            message = f"the voters stay those of controller.quorum.voters while {KRAFT_VERSION} is 0"
            return Outcome(ErrorCode.UNSUPPORTED_VERSION, message)
        return self._voters, self._group.status().configuration.voters

    def _member(self, status: MemberStatus, offset_ms: int) -> Member:
        contact_ms, caught_up_ms = status.last_contact_ms, status.last_caught_up_ms
        return Member(
            status.node_id,
            self._directory_id(status.node_id),
            status.match_index + 1,
            NEVER if contact_ms is None else contact_ms + offset_ms,
            NEVER if caught_up_ms is None else caught_up_ms + offset_ms,
        )

    def _directory_id(self, node_id: int) -> bytes:
        """The first log directory of a node, where its metadata log is unless `metadata.log.dir` says otherwise."""
        broker = self._image().brokers.get(node_id)
        return broker.directories[0] if broker is not None and broker.directories else ZERO_UUID


async def _changed(change: Voters, voters: frozenset[int], until_committed: bool) -> Outcome:
    try:
        await change.change(voters, until_committed=until_committed)
    except ControllerError as error:
        return Outcome(error.error, str(error))
    return Outcome()


def _list(voters: Iterable[int]) -> str:
    return ", ".join(map(str, sorted(voters)))
