"""Timeouts and limits of the core. Each has a unit, and a value that cannot work is refused here."""

from dataclasses import dataclass

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, slots=True)
class RaftConfig:
    """`election_timeout_ms` is the shortest silence after which a follower campaigns; the deadline is drawn
    from [timeout, 2 x timeout). It is also the time without a quorum after which a leader steps down."""

    election_timeout_ms: int = 500
    heartbeat_interval_ms: int = 100
    leader_lost_delay_ms_max: int = 50
    """A follower whose connection to the leader broke campaigns within this time, and again after one to two times
    it, until an election timeout has passed or a leader is heard."""
    append_bytes_max: int = 1 * MIB
    """Entries of one message; a single larger entry still travels, alone."""
    inflight_appends_max: int = 64
    inflight_bytes_max: int = 16 * MIB
    proposal_bytes_max: int = 8 * MIB
    uncommitted_bytes_max: int = 64 * MIB
    apply_bytes_max: int = 8 * MIB
    """Entries handed out for application in one `Ready`."""
    reads_waiting_max: int = 100_000
    """Reads of all nodes that wait for the leader's word; those of one node and turn are one."""
    snapshot_chunk_bytes: int = 512 * KIB
    snapshot_bytes_max: int = 1024 * MIB

    def __post_init__(self) -> None:
        if not 0 < self.heartbeat_interval_ms < self.election_timeout_ms:
            raise ValueError(
                f"heartbeat_interval_ms ({self.heartbeat_interval_ms}) must be positive and below "
                f"election_timeout_ms ({self.election_timeout_ms})"
            )
        for name in (
            "leader_lost_delay_ms_max",
            "reads_waiting_max",
            "append_bytes_max",
            "inflight_appends_max",
            "inflight_bytes_max",
            "proposal_bytes_max",
            "apply_bytes_max",
            "snapshot_chunk_bytes",
            "snapshot_bytes_max",
        ):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be positive, not {getattr(self, name)}")
        if self.uncommitted_bytes_max < self.proposal_bytes_max:
            raise ValueError("uncommitted_bytes_max must hold at least one proposal of proposal_bytes_max")
