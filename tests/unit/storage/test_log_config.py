"""Topic configs: the table against Kafka's facts, and overrides over defaults."""

from __future__ import annotations

from dataclasses import fields

import pytest

from odradek.storage.config_types import ConfigError, ConfigValue
from odradek.storage.log_config import (
    DEFAULT_LOG_CONFIG,
    LogConfig,
    in_topic_unit,
    log_config_from_broker,
    parse_topic_configs,
    topic_definitions,
    topic_value_from_broker,
    validate_topic_configs,
)

INT64_MAX = 2**63 - 1


def test_every_topic_config_of_kafka_is_there() -> None:
    assert len(topic_definitions()) == 34
    assert list(topic_definitions()) == sorted(topic_definitions())


def test_the_table_and_the_class_have_the_same_names_and_defaults() -> None:
    names = {field.name for field in fields(LogConfig)}
    assert names == {name.replace(".", "_") for name in topic_definitions()} - {"internal_segment_bytes"}
    for name, definition in topic_definitions().items():
        if name == "internal.segment.bytes":
            continue
        value = definition.default_value
        expected = frozenset(value) if name == "cleanup.policy" and isinstance(value, tuple) else value
        assert getattr(DEFAULT_LOG_CONFIG, name.replace(".", "_")) == expected, name


def test_every_default_is_allowed() -> None:
    for definition in topic_definitions().values():
        if definition.default is not None:
            definition.parse(definition.default)


def test_acknowledged_records_are_synced_unless_somebody_asks_for_less() -> None:
    assert DEFAULT_LOG_CONFIG.flush_messages == 1
    assert parse_topic_configs({"flush.messages": str(INT64_MAX)}).flush_messages == INT64_MAX


def test_overrides_are_typed_and_leave_the_rest() -> None:
    defaults = LogConfig(retention_ms=5)
    config = parse_topic_configs(
        {
            "cleanup.policy": "compact, delete",
            "segment.bytes": "1048576",
            "preallocate": "true",
            "min.cleanable.dirty.ratio": "0.25",
            "leader.replication.throttled.replicas": "0:1,1:2",
        },
        defaults,
    )
    assert config.cleanup_policy == {"compact", "delete"}
    assert config.segment_bytes == 1048576
    assert config.preallocate is True
    assert config.min_cleanable_dirty_ratio == 0.25
    assert config.leader_replication_throttled_replicas == ("0:1", "1:2")
    assert config.retention_ms == 5


def test_no_overrides_are_the_defaults_themselves() -> None:
    defaults = LogConfig(retention_ms=5)
    assert parse_topic_configs({}, defaults) is defaults


@pytest.mark.parametrize(
    ("name", "text", "part"),
    [
        ("segment.bytes", "1048575", "at least 1048576"),
        ("retention.ms", "-2", "at least -1"),
        ("compression.type", "none", "one of uncompressed, zstd"),
        ("cleanup.policy", "none", "a list of compact, delete"),
        ("no.such.name", "1", "not a topic configuration"),
        ("min.insync.replicas", "0", "at least 1"),
    ],
)
def test_a_refusal_says_name_and_allowed(name: str, text: str, part: str) -> None:
    with pytest.raises(ConfigError) as refused:
        validate_topic_configs({name: text})
    assert name in str(refused.value)
    assert part in str(refused.value)


def test_compaction_lags_in_the_wrong_order_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"at most max\.compaction\.lag\.ms, which is 5"):
        parse_topic_configs({"min.compaction.lag.ms": "10", "max.compaction.lag.ms": "5"})


def test_the_internal_segment_size_has_no_lower_bound() -> None:
    assert parse_topic_configs({"internal.segment.bytes": "100"}).segment_bytes == 100
    assert parse_topic_configs({"internal.segment.bytes": "9", "segment.bytes": "2000000"}).segment_bytes == 9


@pytest.mark.parametrize(
    ("values", "name", "expected"),
    [
        ({"log.retention.hours": 168}, "retention.ms", ("log.retention.hours", 604_800_000)),
        (
            {"log.retention.hours": 168, "log.retention.minutes": 2},
            "retention.ms",
            ("log.retention.minutes", 120_000),
        ),
        (
            {"log.retention.hours": 1, "log.retention.minutes": 2, "log.retention.ms": 3},
            "retention.ms",
            ("log.retention.ms", 3),
        ),
        (
            {"log.retention.hours": 1, "log.retention.ms": None},
            "retention.ms",
            ("log.retention.hours", 3_600_000),
        ),
        ({"log.retention.hours": -1}, "retention.ms", ("log.retention.hours", -1)),
        ({"log.roll.hours": 2}, "segment.ms", ("log.roll.hours", 7_200_000)),
        ({"log.roll.jitter.hours": 1}, "segment.jitter.ms", ("log.roll.jitter.hours", 3_600_000)),
        ({"log.flush.scheduler.interval.ms": 9}, "flush.ms", ("log.flush.scheduler.interval.ms", 9)),
        ({}, "retention.ms", None),
        ({"retention.ms": 5}, "retention.ms", None),
        ({}, "remote.storage.enable", None),
    ],
)
def test_broker_synonyms(
    values: dict[str, ConfigValue], name: str, expected: tuple[str, ConfigValue] | None
) -> None:
    assert topic_value_from_broker(name, values) == expected


def test_hours_never_overflow() -> None:
    assert in_topic_unit("log.retention.hours", 2**62) == INT64_MAX
    assert in_topic_unit("log.cleanup.policy", ("delete",)) == ("delete",)


def test_defaults_from_a_broker() -> None:
    config = log_config_from_broker(
        {
            "log.cleanup.policy": ("compact",),
            "message.max.bytes": 5,
            "log.retention.minutes": 1,
            "log.preallocate": True,
        }
    )
    assert config.cleanup_policy == {"compact"}
    assert config.max_message_bytes == 5
    assert config.retention_ms == 60_000
    assert config.preallocate is True


def test_policies_and_the_age_of_a_segment() -> None:
    deleted = LogConfig(segment_ms=10, max_compaction_lag_ms=5)
    compacted = LogConfig(cleanup_policy=frozenset({"compact"}), segment_ms=10, max_compaction_lag_ms=5)
    assert (deleted.is_deleted, deleted.is_compacted, deleted.max_segment_ms) == (True, False, 10)
    assert (compacted.is_deleted, compacted.is_compacted, compacted.max_segment_ms) == (False, True, 5)


def test_tiered_storage_is_refused_not_ignored() -> None:
    with pytest.raises(ConfigError, match="tiered storage"):
        parse_topic_configs({"remote.storage.enable": "true"})
