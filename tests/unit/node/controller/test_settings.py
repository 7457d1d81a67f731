from __future__ import annotations

from odradek.node.config import NodeConfig
from odradek.node.controller.settings import ControllerSettings


def test_a_node_without_other_voters_is_alone() -> None:
    settings = ControllerSettings.of(NodeConfig())
    assert settings == ControllerSettings()
    assert settings.is_alone


def test_of_several_voters_each_is_watched() -> None:
    config = NodeConfig(
        {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": "1@a:1,2@b:1,3@c:1",
            "listeners": "PLAINTEXT://a:9092,CONTROLLER://a:1",
            "controller.listener.names": "CONTROLLER",
            "broker.session.timeout.ms": "5000",
            "broker.heartbeat.interval.ms": "500",
            "auto.leader.rebalance.enable": "false",
            "leader.imbalance.check.interval.seconds": "7",
        }
    )
    settings = ControllerSettings.of(config)
    assert not settings.is_alone
    assert (settings.session_timeout_ms, settings.heartbeat_interval_ms) == (5_000, 500)
    assert (settings.balances_leaders, settings.balance_interval_ms) == (False, 7_000)
