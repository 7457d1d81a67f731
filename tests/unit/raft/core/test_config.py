import pytest

from odradek.raft.core.config import RaftConfig


def test_values_that_cannot_work_are_refused() -> None:
    with pytest.raises(ValueError, match="heartbeat_interval_ms"):
        RaftConfig(election_timeout_ms=100, heartbeat_interval_ms=100)
    with pytest.raises(ValueError, match="append_bytes_max"):
        RaftConfig(append_bytes_max=0)
    with pytest.raises(ValueError, match="uncommitted_bytes_max"):
        RaftConfig(uncommitted_bytes_max=1)
