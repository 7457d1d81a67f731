"""What DescribeConfigs tells, compared with what Kafka 4.3 answers."""

from __future__ import annotations

from odradek.node.config.describe import ConfigEntry, broker_entries, cluster_entries, topic_entries
from odradek.node.config.node_config import ConfigSource, NodeConfig
from odradek.storage.config_types import ConfigType

_STATIC = ConfigSource.STATIC_BROKER_CONFIG
_DEFAULT = ConfigSource.DEFAULT_CONFIG


def _topic(name: str, overrides: dict[str, str], config: NodeConfig) -> ConfigEntry:
    return next(entry for entry in topic_entries(overrides, config) if entry.name == name)


def _broker(name: str, config: NodeConfig) -> ConfigEntry:
    return next(entry for entry in broker_entries(config) if entry.name == name)


def test_a_topic_lists_every_public_config_once() -> None:
    names = [entry.name for entry in topic_entries({}, NodeConfig())]
    assert len(names) == 33
    assert names == sorted(set(names))


def test_a_default_of_a_topic() -> None:
    entry = _topic("retention.ms", {}, NodeConfig())
    assert (entry.value, entry.source, entry.type) == ("604800000", _DEFAULT, ConfigType.LONG)
    assert entry.synonyms == (("log.retention.hours", "168", _DEFAULT),)
    assert not entry.is_read_only


def test_a_brokers_setting_is_the_topics_in_the_topics_unit() -> None:
    entry = _topic("retention.ms", {}, NodeConfig({"log.retention.minutes": "2"}))
    assert (entry.value, entry.source) == ("120000", _STATIC)
    assert entry.synonyms == (
        ("log.retention.minutes", "2", _STATIC),
        ("log.retention.hours", "168", _DEFAULT),
    )


def test_a_topics_own_value_comes_first() -> None:
    entry = _topic(
        "cleanup.policy", {"cleanup.policy": " compact "}, NodeConfig({"log.cleanup.policy": "delete"})
    )
    assert (entry.value, entry.source) == ("compact", ConfigSource.DYNAMIC_TOPIC_CONFIG)
    assert entry.synonyms == (
        ("cleanup.policy", "compact", ConfigSource.DYNAMIC_TOPIC_CONFIG),
        ("log.cleanup.policy", "delete", _STATIC),
        ("log.cleanup.policy", "delete", _DEFAULT),
    )


def test_a_topic_config_without_a_broker_setting() -> None:
    entry = _topic("remote.storage.enable", {}, NodeConfig())
    assert (entry.value, entry.source, entry.synonyms) == ("false", _DEFAULT, ())


def test_values_agree_with_what_the_log_works_with() -> None:
    config = NodeConfig({"log.roll.hours": "1", "log.retention.hours": "-1", "log.flush.interval.ms": "8"})
    overrides = {"segment.bytes": "2000000", "min.cleanable.dirty.ratio": "0.1"}
    log_config = config.topic_log_config(overrides)
    for entry in topic_entries(overrides, config):
        value = getattr(log_config, entry.name.replace(".", "_"))
        if isinstance(value, frozenset | tuple):
            value = ",".join(sorted(value))
        elif isinstance(value, bool):
            value = str(value).lower()
        assert entry.value == str(value), entry.name


def test_a_broker_lists_no_internal_setting_and_no_password() -> None:
    config = NodeConfig({"ssl.key.password": "hunter2"})
    entries = broker_entries(config)
    assert "unstable.api.versions.enable" not in [entry.name for entry in entries]
    entry = _broker("ssl.key.password", config)
    assert entry.is_sensitive
    assert entry.value is None
    assert "hunter2" not in repr(entries)


def test_sources_and_read_only_of_a_broker() -> None:
    config = NodeConfig({"log.dirs": "d"}).with_dynamic({"max.connections": "6"}, {"max.connections": "7"})
    node_id = _broker("node.id", config)
    assert (node_id.value, node_id.is_read_only) == ("1", True)
    assert (_broker("log.dirs", config).value, _broker("log.dirs", config).source) == ("d", _STATIC)
    limit = _broker("max.connections", config)
    assert (limit.value, limit.source, limit.is_read_only) == ("7", ConfigSource.DYNAMIC_BROKER_CONFIG, False)
    assert [source for _, _, source in limit.synonyms] == [
        ConfigSource.DYNAMIC_BROKER_CONFIG,
        ConfigSource.DYNAMIC_DEFAULT_BROKER_CONFIG,
        _DEFAULT,
    ]


def test_a_synonym_that_counts_elsewhere_does_not_change_a_names_own_source() -> None:
    config = NodeConfig({"log.retention.minutes": "2"})
    hours = _broker("log.retention.hours", config)
    assert (hours.value, hours.source) == ("168", _DEFAULT)
    assert _broker("log.retention.ms", config).value is None


def test_the_cluster_lists_only_what_was_changed_for_all() -> None:
    config = NodeConfig({"max.connections": "5"}).with_dynamic(
        {"log.retention.ms": "6"}, {"max.connections": "7"}
    )
    (entry,) = cluster_entries(config)
    assert (entry.name, entry.value) == ("log.retention.ms", "6")
    assert entry.source is ConfigSource.DYNAMIC_DEFAULT_BROKER_CONFIG
    assert not entry.is_read_only
