"""What DescribeConfigs tells about topics and brokers: value, source and synonyms of every name.

Decides: which value counts for a name, where it came from, and which weaker values stand behind it.
Passwords are never given away. The node's own wire types are not known here.

Source: the answers of Kafka 4.3.1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from odradek.node.config.definitions import (
    BrokerDefinition,
    UpdateMode,
    broker_definition,
    broker_names,
    synonyms_of,
)
from odradek.node.config.node_config import ConfigSource, NodeConfig, SetValue
from odradek.storage.config_types import ConfigDefinition, ConfigType, format_value
from odradek.storage.log_config import in_topic_unit, topic_definitions


class ConfigEntry(NamedTuple):
    """One setting as a client sees it. `value` is None for a password, and where there is no value.

    `synonyms` are the values that count and that would count, the strongest first.
    """

    name: str
    value: str | None
    source: ConfigSource
    is_read_only: bool
    is_sensitive: bool
    synonyms: tuple[tuple[str, str | None, ConfigSource], ...]
    type: ConfigType
    documentation: str


def topic_entries(overrides: Mapping[str, str], config: NodeConfig) -> list[ConfigEntry]:
    """Every topic config of a topic with these overrides, in alphabetical order."""
    return [
        _topic_entry(definition, overrides, config)
        for name, definition in topic_definitions().items()
        if not name.startswith("internal.")
    ]


def broker_entries(config: NodeConfig) -> list[ConfigEntry]:
    """Every broker setting of a node, in alphabetical order."""
    return [_broker_entry(name, config) for name in broker_names() if not _known(name).is_internal]


def cluster_entries(config: NodeConfig) -> list[ConfigEntry]:
    """The settings changed for the whole cluster: what a broker resource without a name answers."""
    wanted = ConfigSource.DYNAMIC_DEFAULT_BROKER_CONFIG
    return [
        _entry(_known(name).value, value.text, value.source, (), is_read_only=False)
        for name in broker_names()
        for value in config.set_values(name)
        if value.name == name and value.source is wanted
    ]


def _known(name: str) -> BrokerDefinition:
    definition = broker_definition(name)
    assert definition is not None, name
    return definition


def _topic_entry(
    definition: ConfigDefinition, overrides: Mapping[str, str], config: NodeConfig
) -> ConfigEntry:
    name = definition.name
    synonyms = [] if not definition.synonyms else _with_defaults(definition.synonyms[0], config)
    if name in overrides:
        text = format_value(definition.parse(overrides[name])) or ""
        synonyms.insert(0, SetValue(name, text, ConfigSource.DYNAMIC_TOPIC_CONFIG))
    if not synonyms:
        return _entry(definition, definition.default, ConfigSource.DEFAULT_CONFIG, (), is_read_only=False)
    first = synonyms[0]
    value: str | None = first.text
    if first.name != name:
        parsed = _known(first.name).value.parse(first.text)
        value = format_value(in_topic_unit(first.name, parsed))
    return _entry(definition, value, first.source, tuple(synonyms), is_read_only=False)


def _broker_entry(name: str, config: NodeConfig) -> ConfigEntry:
    definition = _known(name)
    synonyms = _with_defaults(name, config)
    value = format_value(config.value(name))
    own = [synonym for synonym in synonyms if synonym.name == name]
    source = own[0].source if own else ConfigSource.DEFAULT_CONFIG
    read_only = definition.update_mode is UpdateMode.READ_ONLY
    return _entry(definition.value, value, source, tuple(synonyms), is_read_only=read_only)


def _with_defaults(name: str, config: NodeConfig) -> list[SetValue]:
    """The values of a broker setting and its synonyms, the defaults last."""
    values = config.set_values(name)
    for synonym in synonyms_of(name):
        default = _known(synonym).value.default
        if default is not None:
            values.append(SetValue(synonym, default, ConfigSource.DEFAULT_CONFIG))
    return values


def _entry(
    definition: ConfigDefinition,
    value: str | None,
    source: ConfigSource,
    synonyms: tuple[SetValue, ...],
    *,
    is_read_only: bool,
) -> ConfigEntry:
    secret = definition.type is ConfigType.PASSWORD
    return ConfigEntry(
        name=definition.name,
        value=None if secret else value,
        source=source,
        is_read_only=is_read_only,
        is_sensitive=secret,
        synonyms=tuple((one.name, None if secret else one.text, one.source) for one in synonyms),
        type=definition.type,
        documentation=definition.documentation,
    )
