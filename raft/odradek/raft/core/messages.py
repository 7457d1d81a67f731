"""What consensus nodes say to each other: one frozen class per message, every field always meaningful.
 Decides nothing. `term` is the sender's term, with two exceptions: a `PreVoteRequest` and a granted
`PreVoteResponse` carry the term the candidate would campaign in. Source: Raft figures 3.1 and 5.3, thesis 9.6
(pre-vote).
"""

from dataclasses import dataclass

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
    """Leaves only when the sender's own term and vote are durable."""

    sender: int
    to: int
    term: int
    last_index: int
    last_term: int


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
    """`commit` never exceeds what the receiver is known to hold."""

    sender: int
    to: int
    term: int
    commit: int


@dataclass(frozen=True, slots=True)
class HeartbeatResponse:
    """Also the answer to any message of a leader whose term is over: it carries the newer term back."""

    sender: int
    to: int
    term: int


@dataclass(frozen=True, slots=True)
class SnapshotChunk:
    """Bytes [`offset`, `offset` + len(`data`)) of the snapshot (`index`, `index_term`), `total` bytes
    long."""

    sender: int
    to: int
    term: int
    index: int
    index_term: int
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
)
FromLeader = AppendRequest | Heartbeat | SnapshotChunk
