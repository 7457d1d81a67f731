"""Limits and timeouts of the transport between nodes. Each has a unit, and what cannot work is refused here."""

from dataclasses import dataclass

from .core.config import MIB


@dataclass(frozen=True, slots=True)
class TransportLimits:
    """Silent loss of a peer (no packet comes back at all) is noticed after keepalive and timeout together at the
    latest; a broken connection at once."""

    message_bytes_max: int = 16 * MIB
    """The largest message on the wire, in both directions; above `RaftConfig.proposal_bytes_max`, because an entry
    travels whole."""
    write_bytes_max: int = 1 * MIB
    """What waits is put together up to this size; a single larger message leaves alone."""
    queue_bytes_max: int = 32 * MIB
    """Per peer."""
    queue_messages_max: int = 8192
    """Per peer."""
    queue_age_ms_max: int = 500
    """What waited longer for a connection to come up is lost: an election timeout later nobody needs it."""
    greeting_timeout_ms: int = 2000
    """From dialling to the other side's welcome, and from a connection to its hello."""
    retry_first_ms: int = 50
    retry_max_ms: int = 1000
    keepalive_ms: int = 2000
    keepalive_timeout_ms: int = 2000
    streams_max: int = 256
    """Open incoming streams, of friends and strangers."""

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be positive, not {getattr(self, name)}")
        if not self.write_bytes_max <= self.message_bytes_max <= self.queue_bytes_max:
            raise ValueError("write_bytes_max <= message_bytes_max <= queue_bytes_max does not hold")

    def retry_ms(self, failures: int) -> int:
        """The pause after the `failures`-th failure in a row, from 1."""
        return min(self.retry_first_ms << min(failures - 1, 16), self.retry_max_ms)
