"""The configs of groups and of client metrics subscriptions: names, types, limits and defaults.

A group config falls back on the broker setting of the same meaning, which may also bound it. Facts only.
Source: Kafka 4.3.1 GroupConfig and ClientMetricsConfigs, observed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Final, NamedTuple

from odradek.storage.config_types import ConfigDefinition, ConfigType, InvalidValueError, split_list

#: (name, type, default, allowed, broker setting of the default, broker settings of the bounds, documentation)
_GROUP_CONFIGS: Final = (
    ("consumer.assignment.interval.ms", "INT", "1000", ">=0", "group.consumer.assignment.interval.ms",
     ("group.consumer.min.assignment.interval.ms", "group.consumer.max.assignment.interval.ms"),
     "Shortest time between two assignments of a consumer group."),
    ("consumer.heartbeat.interval.ms", "INT", "5000", ">=1", "group.consumer.heartbeat.interval.ms",
     ("group.consumer.min.heartbeat.interval.ms", "group.consumer.max.heartbeat.interval.ms"),
     "How often a member of a consumer group sends a heartbeat."),
    ("consumer.session.timeout.ms", "INT", "45000", ">=1", "group.consumer.session.timeout.ms",
     ("group.consumer.min.session.timeout.ms", "group.consumer.max.session.timeout.ms"),
     "Silence after which a member of a consumer group is taken for dead."),
    ("share.assignment.interval.ms", "INT", "1000", ">=0", "group.share.assignment.interval.ms",
     ("group.share.min.assignment.interval.ms", "group.share.max.assignment.interval.ms"),
     "Shortest time between two assignments of a share group."),
    ("share.auto.offset.reset", "STRING", "latest", "", "", ("", ""),
     "Where a share group starts: earliest, latest, or by_duration: with an ISO 8601 duration back."),
    ("share.delivery.count.limit", "INT", "5", ">=2", "group.share.delivery.count.limit",
     ("group.share.min.delivery.count.limit", "group.share.max.delivery.count.limit"),
     "Deliveries of one record before it is given up."),
    ("share.heartbeat.interval.ms", "INT", "5000", ">=1", "group.share.heartbeat.interval.ms",
     ("group.share.min.heartbeat.interval.ms", "group.share.max.heartbeat.interval.ms"),
     "How often a member of a share group sends a heartbeat."),
    ("share.isolation.level", "STRING", "read_uncommitted", "read_committed|read_uncommitted", "", ("", ""),
     "Whether a share group sees records of transactions that are not committed."),
    ("share.partition.max.record.locks", "INT", "2000", ">=100", "group.share.partition.max.record.locks",
     ("group.share.min.partition.max.record.locks", "group.share.max.partition.max.record.locks"),
     "Records of one partition that a share group may hold acquired."),
    ("share.record.lock.duration.ms", "INT", "30000", ">=1000", "group.share.record.lock.duration.ms",
     ("group.share.min.record.lock.duration.ms", "group.share.max.record.lock.duration.ms"),
     "How long a record stays acquired by one consumer."),
    ("share.renew.acknowledge.enable", "BOOLEAN", "true", "", "", ("", ""),
     "Whether a consumer may prolong its hold on a record."),
    ("share.session.timeout.ms", "INT", "45000", ">=1", "group.share.session.timeout.ms",
     ("group.share.min.session.timeout.ms", "group.share.max.session.timeout.ms"),
     "Silence after which a member of a share group is taken for dead."),
    ("streams.assignment.interval.ms", "INT", "1000", ">=0", "group.streams.assignment.interval.ms",
     ("group.streams.min.assignment.interval.ms", "group.streams.max.assignment.interval.ms"),
     "Shortest time between two assignments of a streams group."),
    ("streams.heartbeat.interval.ms", "INT", "5000", ">=1", "group.streams.heartbeat.interval.ms",
     ("group.streams.min.heartbeat.interval.ms", "group.streams.max.heartbeat.interval.ms"),
     "How often a member of a streams group sends a heartbeat."),
    ("streams.initial.rebalance.delay.ms", "INT", "3000", ">=0", "group.streams.initial.rebalance.delay.ms",
     ("", ""),
     "How long the first assignment of a streams group waits for more members."),
    ("streams.num.standby.replicas", "INT", "0", ">=0", "group.streams.num.standby.replicas",
     ("", "group.streams.max.standby.replicas"),
     "Standby copies of each stateful task."),
    ("streams.session.timeout.ms", "INT", "45000", ">=1", "group.streams.session.timeout.ms",
     ("group.streams.min.session.timeout.ms", "group.streams.max.session.timeout.ms"),
     "Silence after which a member of a streams group is taken for dead."),
)  # fmt: skip

_CLIENT_METRICS_CONFIGS: Final = (
    ("interval.ms", "INT", "300000", "100..3600000",
     "How often the clients of a subscription push their metrics."),
    ("match", "LIST", "", "",
     "Which clients: selectors such as client_id=REGEX, all of which must match."),
    ("metrics", "LIST", "", "",
     "Which metrics: prefixes of names, or * for all."),
)  # fmt: skip

_SELECTORS: Final = frozenset(
    (
        "client_id",
        "client_instance_id",
        "client_software_name",
        "client_software_version",
        "client_source_address",
        "client_source_port",
    )
)
_DURATION: Final = re.compile(r"by_duration:P(?!$)(\d+D)?(T(?=\d)(\d+H)?(\d+M)?(\d+(\.\d+)?S)?)?", re.ASCII)


class GroupConfig(NamedTuple):
    """One group config, the broker setting of its default, those of its bounds ("" where there is none)."""

    definition: ConfigDefinition
    default_setting: str
    lower_bound_setting: str
    upper_bound_setting: str


@cache
def group_configs() -> Mapping[str, GroupConfig]:
    """By name, in alphabetical order."""
    return {
        name: GroupConfig(
            ConfigDefinition(name, ConfigType[kind], default, allowed, (setting,) if setting else (), text),
            setting,
            *bounds,
        )
        for name, kind, default, allowed, setting, bounds, text in _GROUP_CONFIGS
    }


@cache
def client_metrics_definitions() -> Mapping[str, ConfigDefinition]:
    """By name, in alphabetical order."""
    return {
        name: ConfigDefinition(name, ConfigType[kind], default, allowed, (), text)
        for name, kind, default, allowed, text in _CLIENT_METRICS_CONFIGS
    }


def check_offset_reset(text: str) -> None:
    """Raises `InvalidValueError` for what is not a start of a share group."""
    if text not in ("earliest", "latest") and not _DURATION.fullmatch(text):
        raise InvalidValueError(
            "share.auto.offset.reset", text, "expected earliest, latest or by_duration:PnDTnHnMnS"
        )


def check_match(text: str) -> None:
    """Raises `InvalidValueError` for selectors of clients that cannot be used."""
    for selector in split_list(text):
        name, equals, pattern = selector.partition("=")
        if name.strip() not in _SELECTORS or not equals:
            raise InvalidValueError(
                "match",
                selector,
                f"expected name=REGEX with one of the names {', '.join(sorted(_SELECTORS))}",
            )
        try:
            re.compile(pattern.strip())
        except re.error as error:
            raise InvalidValueError("match", selector, f"not a regular expression: {error}") from None
