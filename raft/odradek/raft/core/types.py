"""Words of the consensus core: entries, hard state, roles.
 Decides nothing. A *term* is a number that grows with every election, an *index* is a position in the log,
starting at 1. Index 0 with term 0 is the empty log. Source: Ongaro, "Consensus: Bridging Theory and
Practice", 3.3.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final, NamedTuple, Protocol

from .quorum import Configuration

NO_NODE: Final = -1
"""No vote, no leader. (0 is a valid node id in Kafka's configuration.)"""

NORMAL: Final = 0
"""Kind of an entry that carries a proposal for the state machine."""
NOOP: Final = 1
"""Kind of the empty entry with which a leader opens its term; never shown to the state machine."""
CONFIGURATION: Final = 2
"""Kind of an entry that says who the voters and learners are (`membership`); in force once it is in the log."""


class Entry(NamedTuple):
    """One log entry. Its index follows from its place in the list that holds it."""

    term: int
    kind: int
    data: bytes


class HardState(NamedTuple):
    """What a node must find again after a crash.

    `commit` is only a lower bound (it travels with other writes); `term` and `vote` are exact. `damaged` says
    that acknowledged entries were lost: the node neither votes nor leads until a leader refilled it.
    """

    term: int = 0
    vote: int = NO_NODE
    commit: int = 0
    damaged: bool = False


class Role(IntEnum):
    FOLLOWER = 0
    PRE_CANDIDATE = 1
    CANDIDATE = 2
    LEADER = 3


@dataclass(frozen=True, slots=True)
class SnapshotMeta:
    """A state of the machine after applying `index` (an entry of `term`), `size` bytes long. `configuration` was
    in force at `index`."""

    index: int
    term: int
    size: int
    configuration: Configuration


class Random(Protocol):
    """The part of `random.Random` that the core draws from."""

    def randrange(self, start: int, stop: int, /) -> int: ...
