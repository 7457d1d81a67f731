"""Quorum arithmetic: who has won a vote, and how far a log is committed.
 Decides both questions for any set of voters, also of even size, and for a joint configuration (a quorum of
both halves). Knows nothing of messages or roles. Invariant: two quorums of one configuration share a voter,
so a quorum of n voters is n // 2 + 1 of them. Source: Raft thesis 3.4, 3.6 and 4.3.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum


class VoteResult(IntEnum):
    PENDING = 0
    WON = 1
    LOST = 2


def quorum_size(voters: int) -> int:
    """The smallest number of `voters` of which any two groups overlap."""
    return voters // 2 + 1


def quorum_value(values: Iterable[int]) -> int:
    """The largest value that a quorum has reached (one value per voter). `values` must not be empty."""
    ordered = sorted(values)
    return ordered[len(ordered) - quorum_size(len(ordered))]


def vote_result(voters: frozenset[int], votes: Mapping[int, bool]) -> VoteResult:
    """Won when a quorum said yes, lost when a quorum can no longer say yes. Votes of non-voters do not
    count."""
    yes = sum(1 for voter in voters if votes.get(voter, False))
    missing = sum(1 for voter in voters if voter not in votes)
    needed = quorum_size(len(voters))
    if yes >= needed:
        return VoteResult.WON
    return VoteResult.PENDING if yes + missing >= needed else VoteResult.LOST


@dataclass(frozen=True, slots=True)
class Configuration:
    """Who takes part. `outgoing` holds the old voters while membership changes (joint), otherwise nobody.
    `learners` get the log and never count; while joint, one of the old voters may be a learner to be."""

    incoming: frozenset[int]
    outgoing: frozenset[int] = frozenset()
    learners: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        if not self.incoming:
            raise ValueError("a configuration needs at least one voter")
        if both := self.incoming & self.learners:
            raise ValueError(f"voters cannot be learners at once: {sorted(both)}")

    @property
    def is_joint(self) -> bool:
        return bool(self.outgoing)

    @property
    def voters(self) -> frozenset[int]:
        return self.incoming | self.outgoing

    @property
    def members(self) -> frozenset[int]:
        """Everyone who gets the log."""
        return self.incoming | self.outgoing | self.learners

    def vote_result(self, votes: Mapping[int, bool]) -> VoteResult:
        result = vote_result(self.incoming, votes)
        if not self.outgoing:
            return result
        other = vote_result(self.outgoing, votes)
        if VoteResult.LOST in (result, other):
            return VoteResult.LOST
        return VoteResult.WON if result == other == VoteResult.WON else VoteResult.PENDING

    def quorum_value(self, value_of: Callable[[int], int]) -> int:
        """The largest value that a quorum (of both halves) has reached: a commit index, or a time of
        contact."""
        value = quorum_value(map(value_of, self.incoming))
        return min(value, quorum_value(map(value_of, self.outgoing))) if self.outgoing else value
