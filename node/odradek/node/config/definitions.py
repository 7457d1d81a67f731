"""Every broker setting: what is known about a name, and which name an unknown one was probably meant to be.

Decides: the definition behind a name, the groups of names that stand for one another, and whether a name
belongs to a plugin or a listener and is therefore not checked. Does not read files or values.

A row of a table is (name, type, default, allowed, flags, documentation); types and allowed values as in
`odradek.storage.config_types`. The flags are one letter each:
  importance  h high, m medium, l low
  update mode c for the whole cluster at runtime, b per broker at runtime, r at start only
  support     + this node acts on it, ~ nothing here that it could tune, - not acted on yet
  visibility  i internal: not listed by DescribeConfigs

The tables are imported when a definition is first asked for.
Source: Kafka 4.3.1, KafkaConfig and DynamicBrokerConfig, dumped. `log.flush.interval.messages` is 1 here.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from functools import cache
from typing import Final, NamedTuple

from odradek.storage.config_types import ConfigDefinition, ConfigType

#: Settings of one meaning, the strongest first. The first of them that has a value counts.
_SYNONYM_GROUPS: Final = (
    ("log.retention.ms", "log.retention.minutes", "log.retention.hours"),
    ("log.roll.ms", "log.roll.hours"),
    ("log.roll.jitter.ms", "log.roll.jitter.hours"),
    ("log.flush.interval.ms", "log.flush.scheduler.interval.ms"),
    ("log.dirs", "log.dir"),
    ("node.id", "broker.id"),
)

#: Beginnings of names that belong to plugins and clients: passed on, never checked.
_FOREIGN_PREFIXES: Final = (
    "listener.name.",
    "config.providers.",
    "rlmm.config.",
    "rsm.config.",
    "log4j.",
    "metrics.context.",
    "ssl.engine.",
    "confluent.",
)


#: Name, type, default, allowed, flags, documentation.
Row = tuple[str, str, str | None, str, str, str]


class UpdateMode(Enum):
    """When a setting may change."""

    READ_ONLY = "r"
    PER_BROKER = "b"
    CLUSTER_WIDE = "c"


class Support(Enum):
    """What Odradek does with a setting that Kafka knows."""

    ACTS = "+"
    NO_MEANING = "~"
    NOT_YET = "-"


class BrokerDefinition(NamedTuple):
    """One broker setting: its value definition and how Odradek treats it."""

    value: ConfigDefinition
    importance: str
    update_mode: UpdateMode
    support: Support
    is_internal: bool

    @property
    def name(self) -> str:
        """The setting's name."""
        return self.value.name


def broker_definition(name: str) -> BrokerDefinition | None:
    """The definition of a broker setting, None for a name that nobody knows."""
    row = _rows().get(name)
    return None if row is None else _definition(*row)


@cache
def broker_names() -> tuple[str, ...]:
    """The name of every broker setting, in alphabetical order."""
    return tuple(sorted(_rows()))


def synonyms_of(name: str) -> tuple[str, ...]:
    """The names of one meaning with `name`, the strongest first; `name` alone if it has no synonym.

    A name for one listener (`listener.name.internal.max.connections`) falls back on the name for all of them.
    """
    for group in _SYNONYM_GROUPS:
        if name in group:
            return group
    if name.startswith("listener.name."):
        plain = name.split(".", 3)[3:]
        if plain and plain[0] in _rows():
            return (name, plain[0])
    return (name,)


def is_foreign(name: str) -> bool:
    """True for a name that belongs to a plugin, a listener or a client, which nobody here can check."""
    return name.startswith(_FOREIGN_PREFIXES)


def closest_name(name: str) -> str | None:
    """The known name that is most like `name`, None if none is like it."""
    from difflib import get_close_matches

    matches = get_close_matches(name.lower().replace("_", "."), broker_names(), n=1, cutoff=0.7)
    return matches[0] if matches else None


@cache
def _rows() -> Mapping[str, Row]:
    from odradek.node.config import table_cluster, table_groups, table_log, table_network, table_security

    tables = (table_cluster, table_groups, table_log, table_network, table_security)
    return {row[0]: row for table in tables for row in table.ROWS}


@cache
def _definition(
    name: str, kind: str, default: str | None, allowed: str, flags: str, documentation: str
) -> BrokerDefinition:
    value = ConfigDefinition(name, ConfigType[kind], default, allowed, synonyms_of(name)[1:], documentation)
    return BrokerDefinition(value, flags[0], UpdateMode(flags[1]), Support(flags[2]), flags.endswith("i"))
