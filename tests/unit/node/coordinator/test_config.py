from odradek.node.coordinator.config import GroupConfig


def test_defaults_are_those_of_kafka() -> None:
    config = GroupConfig()
    assert (config.min_session_timeout_ms, config.max_session_timeout_ms) == (6_000, 30 * 60_000)
    assert config.initial_rebalance_delay_ms == 3_000
    assert config.offset_metadata_max_bytes == 4_096
    assert config.offsets_retention_ms == 10_080 * 60_000
    assert config.offsets_retention_check_interval_ms == 600_000
