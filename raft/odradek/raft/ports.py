"""What the shell of a consensus group needs from its owner, and the errors it hands back.

Decides nothing. Everything here is called on the event loop's thread.
"""

from collections.abc import Sequence
from typing import Protocol

from .core.messages import Message


class StateMachine(Protocol):
    """The state that a group replicates. Every node applies the same data in the same order, so `apply` may
    depend on nothing else: no clock, no chance, no set order. An exception from `apply` stops the group, on
    every node, at this very entry; so data is validated before it is proposed."""

    def apply(self, index: int, data: bytes) -> None:
        """Take one committed proposal. Indexes grow, not always by one."""

    def snapshot(self) -> bytes:
        """The whole state, after everything applied so far."""

    def restore(self, data: bytes) -> None:
        """Replace the whole state by that of a snapshot."""

    def on_leadership(self, is_leader: bool, term: int) -> None:
        """Gained: everything committed in earlier terms is applied, and proposals are accepted now. Lost:
        whatever was proposed and not applied may or may not be applied later."""


class Transport(Protocol):
    """Carries messages between nodes. Never blocks and never raises: a message may be lost, late or
    repeated."""

    def send(self, to: int, batch: Sequence[tuple[int, Message]]) -> None:
        """Hand `batch`, pairs of a group id and a message, to `RaftHost.receive` of node `to`, or lose it. Called
        once per peer and turn of the event loop, with the messages of all groups in order."""


class NoTransport:
    """The transport of a cluster of one node: there is nobody to talk to."""

    def send(self, to: int, batch: Sequence[tuple[int, Message]]) -> None:
        """Lose the messages."""


class RaftError(Exception):
    """What was asked for did not, or did not certainly, happen."""


class NotLeaderError(RaftError):
    """This node does not lead the group (any more). A proposal made before may still be applied later.

    `leader_id` is the leader as far as known, or None.
    """

    def __init__(self, leader_id: int | None) -> None:
        super().__init__("no leader is known" if leader_id is None else f"node {leader_id} leads the group")
        self.leader_id = leader_id


class ProposalTooLargeError(RaftError):
    """The proposal can never be accepted; nothing was done."""


class ProposalQueueFullError(RaftError):
    """Too many bytes wait for commitment; nothing was done, later it may work."""


class MembershipChangeError(RaftError):
    """Another change of membership, or a transfer of leadership, is under way; nothing was done, later it may
    work."""


class TransferError(RaftError):
    """The leadership was not handed over: the other node is no voter, or did not take it in time."""


class RaftStoppedError(RaftError):
    """The host or the group stopped, by request or by a failure (`__cause__`)."""


class ApplyError(Exception):
    """The state machine of `group_id` raised while applying or restoring at `index` (`__cause__` says
    what)."""

    def __init__(self, group_id: int, index: int) -> None:
        super().__init__(f"the state machine of group {group_id} failed at index {index}")
        self.group_id = group_id
        self.index = index
