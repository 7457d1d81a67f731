"""The broker table: complete, consistent with itself and with the topic table."""

from __future__ import annotations

import pytest

from odradek.node.config.definitions import (
    Support,
    UpdateMode,
    broker_definition,
    broker_names,
    closest_name,
    is_foreign,
    synonyms_of,
)
from odradek.storage.log_config import topic_definitions


def test_every_setting_of_kafka_and_our_own() -> None:
    own = [name for name in broker_names() if name.startswith("odradek.")]
    # 360 of KafkaConfig, 3 quota rates that exist only while running.
    assert len(broker_names()) - len(own) == 363
    assert list(broker_names()) == sorted(set(broker_names()))


def test_every_default_is_allowed() -> None:
    for name in broker_names():
        definition = broker_definition(name)
        assert definition is not None
        if definition.value.default:
            definition.value.parse(definition.value.default)


def test_what_we_act_on_is_documented() -> None:
    for name in broker_names():
        definition = broker_definition(name)
        assert definition is not None
        assert definition.importance in "hml"
        assert definition.value.documentation or definition.support is not Support.ACTS, name


def test_the_settings_behind_topic_configs_agree_with_them() -> None:
    for topic in topic_definitions().values():
        for synonym in topic.synonyms:
            broker = broker_definition(synonym)
            assert broker is not None
            same_name = synonym.endswith((".hours", ".minutes")) or broker.value.default is None
            assert same_name or broker.value.default == topic.default, synonym
            assert broker.value.type == topic.type or synonym.endswith((".hours", ".minutes")), synonym


@pytest.mark.parametrize(
    ("name", "mode", "support"),
    [
        ("log.retention.ms", UpdateMode.CLUSTER_WIDE, Support.ACTS),
        ("log.retention.hours", UpdateMode.READ_ONLY, Support.ACTS),
        ("listeners", UpdateMode.PER_BROKER, Support.ACTS),
        ("num.io.threads", UpdateMode.CLUSTER_WIDE, Support.NO_MEANING),
        ("authorizer.class.name", UpdateMode.READ_ONLY, Support.NOT_YET),
    ],
)
def test_flags(name: str, mode: UpdateMode, support: Support) -> None:
    definition = broker_definition(name)
    assert definition is not None
    assert (definition.name, definition.update_mode, definition.support) == (name, mode, support)


def test_an_unknown_name_has_no_definition() -> None:
    assert broker_definition("no.such.name") is None


@pytest.mark.parametrize(
    ("name", "synonyms"),
    [
        ("log.retention.hours", ("log.retention.ms", "log.retention.minutes", "log.retention.hours")),
        ("log.dir", ("log.dirs", "log.dir")),
        ("num.partitions", ("num.partitions",)),
        (
            "listener.name.internal.max.connections",
            ("listener.name.internal.max.connections", "max.connections"),
        ),
        ("listener.name.internal.unheard.of", ("listener.name.internal.unheard.of",)),
    ],
)
def test_synonyms(name: str, synonyms: tuple[str, ...]) -> None:
    assert synonyms_of(name) == synonyms


@pytest.mark.parametrize(
    ("name", "closest"),
    [
        ("num.partition", "num.partitions"),
        ("log_dirs", "log.dirs"),
        ("NODE.ID", "node.id"),
        ("log.segment.byte", "log.segment.bytes"),
        ("qqq", None),
    ],
)
def test_the_closest_name(name: str, closest: str | None) -> None:
    assert closest_name(name) == closest


def test_names_of_plugins_are_not_ours_to_check() -> None:
    assert is_foreign("listener.name.external.ssl.keystore.location")
    assert is_foreign("log4j.logger.kafka")
    assert not is_foreign("listeners")
