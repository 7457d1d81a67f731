"""What consensus nodes say to each other: one frozen class per message, every field always meaningful.
 Decides nothing. `term` is the sender's term, with two exceptions: a `PreVoteRequest` and a granted
`PreVoteResponse` carry the term the candidate would campaign in. Source: Raft figures 3.1 and 5.3, thesis 9.6
(pre-vote), 3.10 (transfer), 6.4 (reads).
"""

from dataclasses import dataclass

from .quorum import Configuration
from .types import Entry


@dataclass(frozen=True, slots=True)
class PreVoteRequest:
    """Would you vote for me in `term`? Changes nothing at the receiver."""

    sender: int
    to: int
    term: int
    last_index: int
    last_term: int


@dataclass(frozen=True, slots=True)
class PreVoteResponse:
    sender: int
    to: int
    term: int
    granted: bool


@dataclass(frozen=True, slots=True)
class VoteRequest:
    """Leaves only when the sender's own term and vote are durable. `is_transfer`: the present leader asked for
    this campaign, so that hearing it is no reason to refuse."""

    sender: int
    to: int
    term: int
    last_index: int
    last_term: int
    is_transfer: bool = False


@dataclass(frozen=True, slots=True)
class VoteResponse:
    """Leaves only when the sender's vote is durable."""

    sender: int
    to: int
    term: int
    granted: bool


@dataclass(frozen=True, slots=True)
class AppendRequest:
    """`entries` follow directly after the entry (`prev_index`, `prev_term`); `commit` is the leader's commit
    index."""

    sender: int
    to: int
    term: int
    prev_index: int
    prev_term: int
    commit: int
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class AppendAccepted:
    """The sender's log equals the leader's up to `index`, and that part is durable at the sender."""

    sender: int
    to: int
    term: int
    index: int


@dataclass(frozen=True, slots=True)
class AppendRejected:
    """The sender does not hold (`prev_index`, the term asked for).

    (`hint_index`, `hint_term`) is the last place at which both logs may still agree. `log_lost`: the sender
    lost entries which it had acknowledged; the leader must forget what it knew of it.
    """

    sender: int
    to: int
    term: int
    prev_index: int
    hint_index: int
    hint_term: int
    log_lost: bool


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """`commit` never exceeds what the receiver is known to hold. `read_round` is the newest round of reads that
    waits for a quorum's word that this leader still leads; 0 before the first."""

    sender: int
    to: int
    term: int
    commit: int
    read_round: int = 0


@dataclass(frozen=True, slots=True)
class HeartbeatResponse:
    """Also the answer to any message of a leader whose term is over: it carries the newer term back.
    `read_round` is that of the heartbeat it answers."""

    sender: int
    to: int
    term: int
    read_round: int = 0


@dataclass(frozen=True, slots=True)
class SnapshotChunk:
    """Bytes [`offset`, `offset` + len(`data`)) of the snapshot (`index`, `index_term`), `total` bytes long.
    `configuration` is the one in force at `index`."""

    sender: int
    to: int
    term: int
    index: int
    index_term: int
    configuration: Configuration
    total: int
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class SnapshotProgress:
    """The sender holds the bytes of the snapshot at `index` up to `next_offset` (in memory, not durable)."""

    sender: int
    to: int
    term: int
    index: int
    next_offset: int


@dataclass(frozen=True, slots=True)
class TimeoutNow:
    """The leader asks the receiver, which holds its whole log, to campaign at once and without a pre-vote."""

    sender: int
    to: int
    term: int


@dataclass(frozen=True, slots=True)
class ReadIndexRequest:
    """How far must I have applied for a read to be linearizable? `read_id` is unique among all reads of the
    sender, also across restarts, so that an answer to an older read is never taken for this one's."""

    sender: int
    to: int
    term: int
    read_id: int


@dataclass(frozen=True, slots=True)
class ReadIndexAccepted:
    """Whoever applied `index` has seen everything that was acknowledged before the read `read_id` began."""

    sender: int
    to: int
    term: int
    read_id: int
    index: int


@dataclass(frozen=True, slots=True)
class ReadIndexRejected:
    """The sender does not lead, or has too many reads waiting."""

    sender: int
    to: int
    term: int
    read_id: int


Message = (
    PreVoteRequest
    | PreVoteResponse
    | VoteRequest
    | VoteResponse
    | AppendRequest
    | AppendAccepted
    | AppendRejected
    | Heartbeat
    | HeartbeatResponse
    | SnapshotChunk
    | SnapshotProgress
    | TimeoutNow
    | ReadIndexRequest
    | ReadIndexAccepted
    | ReadIndexRejected
)
FromLeader = AppendRequest | Heartbeat | SnapshotChunk | TimeoutNow
"""What only the leader of `term` sends."""
