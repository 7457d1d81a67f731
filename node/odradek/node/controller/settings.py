"""What the controller reads of a node's settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from odradek.node.config import NodeConfig


@dataclass(frozen=True, slots=True)
class ControllerSettings:
    """`is_alone`: this node is the only voter: nobody could take over, so nobody is watched and nothing is fenced.

    `imbalance_percentage`: how many of the partitions that prefer a broker may be led elsewhere before leadership goes
    back to it; none, as in Kafka since it has no setting for it (4.0).
    """

    is_alone: bool = True
    session_timeout_ms: int = 2_000
    heartbeat_interval_ms: int = 250
    balances_leaders: bool = True
    imbalance_percentage: int = 0
    balance_interval_ms: int = 300_000

    @classmethod
    def of(cls, config: NodeConfig) -> Self:
        return cls(
            is_alone=all(voter.node_id == config.node_id for voter in config.quorum_voters),
            session_timeout_ms=config.broker_session_timeout_ms,
            heartbeat_interval_ms=config.broker_heartbeat_interval_ms,
            balances_leaders=config.auto_leader_rebalance_enable,
            balance_interval_ms=config.leader_imbalance_check_interval_seconds * 1000,
        )
