"""What an operator may ask a group: who leads, how far everyone is.

Decides nothing; a value to look at, out of date as soon as it is made.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from .progress import ProgressState
from .quorum import Configuration
from .raft import Raft
from .replication import Replication
from .types import NO_NODE, Role


@dataclass(frozen=True, slots=True)
class MemberStatus:
    """One voter or learner, as the leader knows it. `match_index` is the end of its log as far as it equals the
    leader's and is durable. Times in ms, on the clock of `now_ms`; None: not in this term."""

    node_id: int
    is_voter: bool
    match_index: int
    state: ProgressState
    last_contact_ms: int | None
    last_caught_up_ms: int | None


@dataclass(frozen=True, slots=True)
class Status:
    """`members` is empty unless this node leads; then it holds the leader too, in the order of node ids."""

    role: Role
    term: int
    leader_id: int | None
    commit_index: int
    applied_index: int
    last_index: int
    configuration: Configuration
    members: tuple[MemberStatus, ...]


def status_of(raft: Raft, now_ms: int) -> Status:
    """The group as this member sees it."""
    log = raft.log
    return Status(
        raft.role,
        raft.term,
        None if raft.leader_id == NO_NODE else raft.leader_id,
        log.commit,
        log.applied,
        log.last_index,
        raft.configuration,
        tuple(_members(raft, raft.replication, now_ms)) if raft.replication is not None else (),
    )


def _members(raft: Raft, replication: Replication, now_ms: int) -> Iterator[MemberStatus]:
    configuration = raft.configuration
    for member in sorted(configuration.members | {raft.node_id}):
        is_voter = member in configuration.voters
        if member == raft.node_id:
            index, state = raft.log.durable_index, ProgressState.REPLICATE
            yield MemberStatus(member, is_voter, index, state, now_ms, now_ms)
        else:
            progress = replication.progress[member]
            contact_ms = progress.contact_ms if progress.was_heard else None
            yield MemberStatus(
                member, is_voter, progress.match_index, progress.state, contact_ms, progress.caught_up_ms
            )
