"""Limits that cannot work are refused; pauses grow and end growing."""

import pytest

from odradek.raft.core.config import RaftConfig
from odradek.raft.transport_limits import TransportLimits


def test_pauses_double_up_to_a_limit() -> None:
    limits = TransportLimits(retry_first_ms=50, retry_max_ms=1000)
    assert [limits.retry_ms(failures) for failures in range(1, 8)] == [50, 100, 200, 400, 800, 1000, 1000]
    assert limits.retry_ms(10_000) == 1000


def test_whatever_the_core_sends_fits() -> None:
    limits, core = TransportLimits(), RaftConfig()
    assert limits.message_bytes_max > core.proposal_bytes_max + core.append_bytes_max
    assert limits.message_bytes_max > core.snapshot_chunk_bytes


@pytest.mark.parametrize(
    "changes",
    [
        {"retry_first_ms": 0},
        {"queue_messages_max": -1},
        {"write_bytes_max": 17, "message_bytes_max": 16},
        {"message_bytes_max": 100, "write_bytes_max": 10, "queue_bytes_max": 99},
    ],
)
def test_what_cannot_work_is_refused(changes: dict[str, int]) -> None:
    with pytest.raises(ValueError):
        TransportLimits(**changes)
