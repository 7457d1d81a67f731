"""The settings of replication, read once from the node's configuration. Times in ms, sizes in bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from odradek.node.config import NodeConfig

RACK_AWARE_SELECTOR: Final = "org.apache.kafka.common.replica.RackAwareReplicaSelector"


@dataclass(frozen=True, slots=True)
class ReplicationConfig:
    """Defaults are Kafka's."""

    lag_ms_max: int = 30_000
    fetch_wait_ms_max: int = 500
    fetch_bytes_min: int = 1
    fetch_bytes_max: int = 1_048_576
    """Of one partition in one answer."""
    response_bytes_max: int = 10_485_760
    backoff_ms_max: int = 1_000
    request_timeout_ms: int = 30_000
    is_rack_aware: bool = False
    """Whether consumers are sent to a replica in their own rack (KIP-392)."""


def replication_config(config: NodeConfig) -> ReplicationConfig:
    return ReplicationConfig(
        lag_ms_max=config.replica_lag_time_max_ms,
        fetch_wait_ms_max=config.replica_fetch_wait_max_ms,
        fetch_bytes_min=config.replica_fetch_min_bytes,
        fetch_bytes_max=config.replica_fetch_max_bytes,
        response_bytes_max=config.replica_fetch_response_max_bytes,
        backoff_ms_max=config.replica_fetch_backoff_ms,
        request_timeout_ms=config.replica_socket_timeout_ms,
        is_rack_aware=config.replica_selector_class == RACK_AWARE_SELECTOR,
    )
