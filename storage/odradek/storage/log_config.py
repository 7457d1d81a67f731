"""Topic configuration: every topic config name of Kafka 4.3, and the values one partition log works with.

Decides: which names a topic may set, their types, defaults and allowed values, which broker settings give the
defaults, and how overrides become a `LogConfig`. Does not decide where overrides are kept or who may change
them.

Differences from Kafka, on purpose: `flush.messages` defaults to 1, because an acknowledged record is on disk
here unless somebody asks for less; a number that is not a number (NaN) is refused.

`LogConfig` itself checks nothing, so that a test can have segments of a few bytes; `parse_topic_configs`
checks everything.
Source: Kafka 4.3.1, definitions of LogConfig and ServerTopicConfigSynonyms, dumped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Final

from odradek.storage.config_types import (
    INT64_MAX,
    ConfigDefinition,
    ConfigError,
    ConfigType,
    ConfigValue,
    InvalidValueError,
    format_value,
)

#: (name, type, default, allowed, broker synonyms from the strongest to the weakest, documentation)
_TOPIC_CONFIGS: Final[tuple[tuple[str, str, str | None, str, str, str], ...]] = (
    ("cleanup.policy", "LIST", "delete", "compact|delete", "log.cleanup.policy",
     "What happens to old segments: delete drops them, compact keeps the last record of each key."),
    ("compression.gzip.level", "INT", "-1", "-1 1..9", "compression.gzip.level",
     "Level used when this node compresses with gzip; -1 is the library's default."),
    ("compression.lz4.level", "INT", "9", "1..17", "compression.lz4.level",
     "Level used when this node compresses with lz4."),
    ("compression.type", "STRING", "producer", "uncompressed|zstd|lz4|snappy|gzip|producer",
     "compression.type",
     "Codec of stored batches; producer keeps what the producer sent."),
    ("compression.zstd.level", "INT", "3", "-131072..22", "compression.zstd.level",
     "Level used when this node compresses with zstd."),
    ("delete.retention.ms", "LONG", "86400000", ">=0", "log.cleaner.delete.retention.ms",
     "How long a tombstone stays in a compacted topic after it could be removed."),
    ("file.delete.delay.ms", "LONG", "60000", ">=0", "log.segment.delete.delay.ms",
     "How long a dropped file keeps its place on disk, so that reads in progress can finish."),
    ("flush.messages", "LONG", "1", ">=1", "log.flush.interval.messages",
     "Records after which the log is synced; 1 syncs before every acknowledgement, many appends at once."),
    ("flush.ms", "LONG", str(INT64_MAX), ">=0", "log.flush.interval.ms log.flush.scheduler.interval.ms",
     "Longest time that an appended record stays unsynced."),
    ("follower.replication.throttled.replicas", "LIST", "", "replicas", "",
     "Replicas whose replication is throttled on the follower's side, as partition:broker pairs, or *."),
    ("index.interval.bytes", "INT", "4096", ">=0", "log.index.interval.bytes",
     "Bytes of log between two entries of the offset index."),
    ("internal.segment.bytes", "INT", None, "", "",
     "Segment size without the lower bound of segment.bytes, for tests."),
    ("leader.replication.throttled.replicas", "LIST", "", "replicas", "",
     "Replicas whose replication is throttled on the leader's side, as partition:broker pairs, or *."),
    ("local.retention.bytes", "LONG", "-2", ">=-2", "log.local.retention.bytes",
     "Bytes kept on local disk with tiered storage; -2 means retention.bytes."),
    ("local.retention.ms", "LONG", "-2", ">=-2", "log.local.retention.ms",
     "Age kept on local disk with tiered storage; -2 means retention.ms."),
    ("max.compaction.lag.ms", "LONG", str(INT64_MAX), ">=1", "log.cleaner.max.compaction.lag.ms",
     "Longest time that a record of a compacted topic waits for compaction."),
    ("max.message.bytes", "INT", "1048588", ">=0", "message.max.bytes",
     "Largest batch accepted, after compression."),
    ("message.timestamp.after.max.ms", "LONG", "3600000", ">=0", "log.message.timestamp.after.max.ms",
     "How far ahead of the node's clock a producer's timestamp may be."),
    ("message.timestamp.before.max.ms", "LONG", str(INT64_MAX), ">=0", "log.message.timestamp.before.max.ms",
     "How far behind the node's clock a producer's timestamp may be."),
    ("message.timestamp.type", "STRING", "CreateTime", "CreateTime|LogAppendTime",
     "log.message.timestamp.type",
     "Whether records keep the producer's time or get the time of the append."),
    ("min.cleanable.dirty.ratio", "DOUBLE", "0.5", "0..1", "log.cleaner.min.cleanable.ratio",
     "Share of a compacted log that must be uncompacted before it is compacted."),
    ("min.compaction.lag.ms", "LONG", "0", ">=0", "log.cleaner.min.compaction.lag.ms",
     "Shortest time that a record of a compacted topic stays uncompacted."),
    ("min.insync.replicas", "INT", "1", ">=1", "min.insync.replicas",
     "In-sync replicas needed for a write with acks=all."),
    ("preallocate", "BOOLEAN", "false", "", "log.preallocate",
     "Whether a new segment takes its whole size on disk at once."),
    ("remote.log.copy.disable", "BOOLEAN", "false", "", "",
     "Stops copying segments to tiered storage while keeping those already there."),
    ("remote.log.delete.on.disable", "BOOLEAN", "false", "", "",
     "Deletes what is in tiered storage when it is switched off for the topic."),
    ("remote.storage.enable", "BOOLEAN", "false", "", "",
     "Keeps old segments of the topic in tiered storage."),
    ("retention.bytes", "LONG", "-1", "", "log.retention.bytes",
     "Size of a partition beyond which its oldest segments are deleted; -1 is no limit."),
    ("retention.ms", "LONG", "604800000", ">=-1",
     "log.retention.ms log.retention.minutes log.retention.hours",
     "Age at which segments are deleted; -1 is no limit."),
    ("segment.bytes", "INT", "1073741824", ">=1048576", "log.segment.bytes",
     "Size at which a new segment is begun."),
    ("segment.index.bytes", "INT", "10485760", ">=4", "log.index.size.max.bytes",
     "Largest size of an index file; a full index begins a new segment."),
    ("segment.jitter.ms", "LONG", "0", ">=0", "log.roll.jitter.ms log.roll.jitter.hours",
     "Largest random time taken off segment.ms, so that partitions do not begin segments together."),
    ("segment.ms", "LONG", "604800000", ">=1", "log.roll.ms log.roll.hours",
     "Age at which a new segment is begun even if the old one is small."),
    ("unclean.leader.election.enable", "BOOLEAN", "false", "", "unclean.leader.election.enable",
     "Whether a replica out of sync may become leader, losing records, when no other is left."),
)  # fmt: skip

#: Milliseconds in the unit that ends a broker setting's name.
_UNITS: Final = {"hours": 3_600_000, "minutes": 60_000}


@dataclass(frozen=True, slots=True, kw_only=True)
class LogConfig:
    """What one partition log works with: topic configs in snake case, bytes and milliseconds.

    "Unlimited" is Kafka's own value: -1 for retention, the largest int64 elsewhere.
    """

    cleanup_policy: frozenset[str] = frozenset({"delete"})
    compression_gzip_level: int = -1
    compression_lz4_level: int = 9
    compression_type: str = "producer"
    compression_zstd_level: int = 3
    delete_retention_ms: int = 86_400_000
    file_delete_delay_ms: int = 60_000
    flush_messages: int = 1
    flush_ms: int = INT64_MAX
    follower_replication_throttled_replicas: tuple[str, ...] = ()
    index_interval_bytes: int = 4096
    leader_replication_throttled_replicas: tuple[str, ...] = ()
    local_retention_bytes: int = -2
    local_retention_ms: int = -2
    max_compaction_lag_ms: int = INT64_MAX
    max_message_bytes: int = 1_048_588
    message_timestamp_after_max_ms: int = 3_600_000
    message_timestamp_before_max_ms: int = INT64_MAX
    message_timestamp_type: str = "CreateTime"
    min_cleanable_dirty_ratio: float = 0.5
    min_compaction_lag_ms: int = 0
    min_insync_replicas: int = 1
    preallocate: bool = False
    remote_log_copy_disable: bool = False
    remote_log_delete_on_disable: bool = False
    remote_storage_enable: bool = False
    retention_bytes: int = -1
    retention_ms: int = 604_800_000
    segment_bytes: int = 1_073_741_824
    segment_index_bytes: int = 10_485_760
    segment_jitter_ms: int = 0
    segment_ms: int = 604_800_000
    unclean_leader_election_enable: bool = False

    @property
    def is_compacted(self) -> bool:
        """True if compaction is one of the cleanup policies."""
        return "compact" in self.cleanup_policy

    @property
    def is_deleted(self) -> bool:
        """True if old segments are deleted by retention."""
        return "delete" in self.cleanup_policy

    @property
    def max_segment_ms(self) -> int:
        """Age at which a segment is rolled: a compacted log may have to roll earlier."""
        return min(self.segment_ms, self.max_compaction_lag_ms) if self.is_compacted else self.segment_ms


DEFAULT_LOG_CONFIG: Final = LogConfig()


@cache
def topic_definitions() -> Mapping[str, ConfigDefinition]:
    """Every topic config by name, in alphabetical order."""
    return {
        name: ConfigDefinition(
            name, ConfigType[kind], default, allowed, tuple(synonyms.split()), documentation
        )
        for name, kind, default, allowed, synonyms, documentation in _TOPIC_CONFIGS
    }


def validate_topic_configs(overrides: Mapping[str, str], defaults: LogConfig = DEFAULT_LOG_CONFIG) -> None:
    """Raises `ConfigError` with a sentence if the overrides of a topic cannot be used."""
    parse_topic_configs(overrides, defaults)


def parse_topic_configs(overrides: Mapping[str, str], defaults: LogConfig = DEFAULT_LOG_CONFIG) -> LogConfig:
    """The configuration of a topic: `overrides` (text by name) over `defaults`. Raises `ConfigError`."""
    if not overrides:
        return defaults
    fields: dict[str, Any] = {}
    definitions = topic_definitions()
    for name, text in overrides.items():
        definition = definitions.get(name)
        if definition is None:
            raise ConfigError(f"{name} is not a topic configuration")
        value = definition.parse(text)
        if name == "internal.segment.bytes":
            continue
        fields[name.replace(".", "_")] = (
            frozenset(value) if isinstance(value, tuple) and name == "cleanup.policy" else value
        )
    if "internal.segment.bytes" in overrides:
        fields["segment_bytes"] = definitions["internal.segment.bytes"].parse(
            overrides["internal.segment.bytes"]
        )
    config = replace(defaults, **fields)
    _check_together(config)
    return config


def topic_value_from_broker(
    topic_config: str, broker_values: Mapping[str, ConfigValue]
) -> tuple[str, ConfigValue] | None:
    """The strongest broker setting behind a topic config, as (broker name, value in the topic's unit).

    `broker_values` holds parsed values; a name that is missing or None does not count. None if none is set.
    """
    for synonym in topic_definitions()[topic_config].synonyms:
        value = broker_values.get(synonym)
        if value is not None:
            return synonym, in_topic_unit(synonym, value)
    return None


def in_topic_unit(broker_name: str, value: ConfigValue) -> ConfigValue:
    """A broker setting in hours or minutes as milliseconds; -1 stays -1 (no limit); the rest as it is."""
    unit = _UNITS.get(broker_name.rpartition(".")[2])
    if unit is None or not isinstance(value, int):
        return value
    return -1 if value < 0 else min(value * unit, INT64_MAX)


def log_config_from_broker(broker_values: Mapping[str, ConfigValue]) -> LogConfig:
    """The defaults that a broker's own settings give to topics. `broker_values`: parsed values by name."""
    overrides: dict[str, str] = {}
    for name in topic_definitions():
        found = topic_value_from_broker(name, broker_values)
        text = None if found is None else format_value(found[1])
        if text is not None:
            overrides[name] = text
    return parse_topic_configs(overrides)


def _check_together(config: LogConfig) -> None:
    if config.remote_storage_enable:
        raise InvalidValueError(
            "remote.storage.enable", "true", "expected false: there is no tiered storage here"
        )
    if config.min_compaction_lag_ms > config.max_compaction_lag_ms:
        raise InvalidValueError(
            "min.compaction.lag.ms",
            str(config.min_compaction_lag_ms),
            f"expected at most max.compaction.lag.ms, which is {config.max_compaction_lag_ms}",
        )
