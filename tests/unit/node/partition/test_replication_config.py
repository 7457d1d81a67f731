"""The settings of replication come from the node's."""

from odradek.node.config import NodeConfig
from odradek.node.partition.replication_config import (
    RACK_AWARE_SELECTOR,
    ReplicationConfig,
    replication_config,
)


def test_the_defaults_are_those_of_kafka() -> None:
    assert replication_config(NodeConfig()) == ReplicationConfig()


def test_what_is_set_is_used() -> None:
    config = replication_config(
        NodeConfig({"replica.lag.time.max.ms": "5000", "replica.selector.class": RACK_AWARE_SELECTOR})
    )
    assert config.lag_ms_max == 5_000 and config.is_rack_aware
    assert not replication_config(NodeConfig({"replica.selector.class": "my.Own"})).is_rack_aware
