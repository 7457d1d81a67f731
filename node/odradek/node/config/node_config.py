"""The configuration of one node: every broker setting, typed, with where its value came from.

Decides: the value behind each name (dynamic over static over default), the node's roles, listeners and
directories, and the defaults that topics get. Reads no file and no environment: `load` does. Which
combinations are refused is in `validation`.

Invariants: immutable; every value that was set has been parsed, so reading one cannot fail.

Without `process.roles` the node is complete in itself: both roles, node id 1, on 127.0.0.1:9092, data in
`data`, no controller listener. With it, Kafka's defaults and Kafka's rules hold. Source: Kafka 4.3.1,
KafkaConfig."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from functools import cached_property
from types import MappingProxyType
from typing import Final, Generic, NamedTuple, TypeVar

from odradek.node.config import validation
from odradek.node.config.definitions import UpdateMode, broker_definition, synonyms_of
from odradek.node.config.listeners import (
    Listener,
    Voter,
    parse_address,
    parse_ip_limits,
    parse_listeners,
    parse_security_map,
    parse_voters,
)
from odradek.storage.config_types import ConfigError, ConfigValue
from odradek.storage.log_config import (
    LogConfig,
    log_config_from_broker,
    parse_topic_configs,
    topic_definitions,
)

T = TypeVar("T")
_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})
_STANDALONE_DEFAULTS: Final = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "listeners": "PLAINTEXT://127.0.0.1:9092",
    "log.dirs": "data",
    "group.initial.rebalance.delay.ms": "0",  # as in the server.properties that comes with Kafka
}


class ConfigSource(IntEnum):
    """Where a value came from, with the numbers that DescribeConfigs uses."""

    DYNAMIC_TOPIC_CONFIG = 1
    DYNAMIC_BROKER_CONFIG = 2
    DYNAMIC_DEFAULT_BROKER_CONFIG = 3
    STATIC_BROKER_CONFIG = 4
    DEFAULT_CONFIG = 5


class SetValue(NamedTuple):
    """One value somebody gave to a name, as text, and where."""

    name: str
    text: str
    source: ConfigSource


class _Setting(Generic[T]):
    """A broker setting that always has a value, as an attribute."""

    def __init__(self, name: str, kind: type[T]) -> None:
        self._name = name
        self._kind = kind

    def __get__(self, config: NodeConfig, owner: type[NodeConfig]) -> T:
        value = config.value(self._name)
        assert isinstance(value, self._kind), (self._name, value)
        return value


class NodeConfig:
    """Every broker setting. Units are in the names: `_ms` milliseconds, `_bytes` bytes, `_minutes` minutes.

    A setting read often should be kept by its reader: every access looks the name up.
    """

    num_partitions = _Setting("num.partitions", int)
    default_replication_factor = _Setting("default.replication.factor", int)
    auto_create_topics_enable = _Setting("auto.create.topics.enable", bool)
    delete_topic_enable = _Setting("delete.topic.enable", bool)
    message_max_bytes = _Setting("message.max.bytes", int)
    min_insync_replicas = _Setting("min.insync.replicas", int)

    fetch_max_bytes = _Setting("fetch.max.bytes", int)
    max_incremental_fetch_session_cache_slots = _Setting("max.incremental.fetch.session.cache.slots", int)
    max_request_partition_size_limit = _Setting("max.request.partition.size.limit", int)

    socket_request_max_bytes = _Setting("socket.request.max.bytes", int)
    socket_send_buffer_bytes = _Setting("socket.send.buffer.bytes", int)
    socket_receive_buffer_bytes = _Setting("socket.receive.buffer.bytes", int)
    socket_listen_backlog_size = _Setting("socket.listen.backlog.size", int)
    connections_max_idle_ms = _Setting("connections.max.idle.ms", int)
    max_connections = _Setting("max.connections", int)
    max_connections_per_ip = _Setting("max.connections.per.ip", int)
    max_connection_creation_rate = _Setting("max.connection.creation.rate", int)
    queued_max_request_bytes = _Setting("queued.max.request.bytes", int)
    request_timeout_ms = _Setting("request.timeout.ms", int)

    group_initial_rebalance_delay_ms = _Setting("group.initial.rebalance.delay.ms", int)
    group_min_session_timeout_ms = _Setting("group.min.session.timeout.ms", int)
    group_max_session_timeout_ms = _Setting("group.max.session.timeout.ms", int)
    group_max_size = _Setting("group.max.size", int)
    offset_metadata_max_bytes = _Setting("offset.metadata.max.bytes", int)
    offsets_retention_minutes = _Setting("offsets.retention.minutes", int)
    offsets_retention_check_interval_ms = _Setting("offsets.retention.check.interval.ms", int)
    transaction_max_timeout_ms = _Setting("transaction.max.timeout.ms", int)
    producer_id_expiration_ms = _Setting("producer.id.expiration.ms", int)
    producer_id_expiration_check_interval_ms = _Setting("producer.id.expiration.check.interval.ms", int)

    log_retention_check_interval_ms = _Setting("log.retention.check.interval.ms", int)
    log_flush_offset_checkpoint_interval_ms = _Setting("log.flush.offset.checkpoint.interval.ms", int)
    log_flush_start_offset_checkpoint_interval_ms = _Setting(
        "log.flush.start.offset.checkpoint.interval.ms", int
    )
    replica_high_watermark_checkpoint_interval_ms = _Setting(
        "replica.high.watermark.checkpoint.interval.ms", int
    )
    replica_lag_time_max_ms = _Setting("replica.lag.time.max.ms", int)
    replica_fetch_wait_max_ms = _Setting("replica.fetch.wait.max.ms", int)
    replica_fetch_min_bytes = _Setting("replica.fetch.min.bytes", int)
    replica_fetch_max_bytes = _Setting("replica.fetch.max.bytes", int)
    replica_fetch_response_max_bytes = _Setting("replica.fetch.response.max.bytes", int)
    replica_fetch_backoff_ms = _Setting("replica.fetch.backoff.ms", int)
    replica_socket_timeout_ms = _Setting("replica.socket.timeout.ms", int)
    leader_replication_throttled_rate = _Setting("leader.replication.throttled.rate", int)
    follower_replication_throttled_rate = _Setting("follower.replication.throttled.rate", int)
    replica_alter_log_dirs_bytes_per_second = _Setting("replica.alter.log.dirs.io.max.bytes.per.second", int)
    metadata_snapshot_bytes = _Setting("metadata.log.max.record.bytes.between.snapshots", int)

    broker_heartbeat_interval_ms = _Setting("broker.heartbeat.interval.ms", int)
    broker_session_timeout_ms = _Setting("broker.session.timeout.ms", int)
    auto_leader_rebalance_enable = _Setting("auto.leader.rebalance.enable", bool)
    leader_imbalance_check_interval_seconds = _Setting("leader.imbalance.check.interval.seconds", int)
    controlled_shutdown_enable = _Setting("controlled.shutdown.enable", bool)
    initial_broker_registration_timeout_ms = _Setting("initial.broker.registration.timeout.ms", int)
    quorum_fetch_timeout_ms = _Setting("controller.quorum.fetch.timeout.ms", int)

    coordinator_shards = _Setting("odradek.coordinator.shards", int)
    open_files_max = _Setting("odradek.storage.open.files.max", int)

    grpc_required = _Setting("odradek.grpc.required", bool)
    http_metrics_partitions = _Setting("odradek.http.metrics.partitions", bool)

    def __init__(
        self,
        static: Mapping[str, str] = _NOTHING,
        *,
        cluster_wide: Mapping[str, str] = _NOTHING,
        per_broker: Mapping[str, str] = _NOTHING,
    ) -> None:
        """`static`: text by name, from file, environment and the command line; unknown ones are ignored.
        `cluster_wide`, `per_broker`: what was changed while running, the last the strongest.

        Raises `ConfigError` for a value or a combination that is not allowed.
        """
        self._layers = (
            (ConfigSource.DYNAMIC_BROKER_CONFIG, per_broker),
            (ConfigSource.DYNAMIC_DEFAULT_BROKER_CONFIG, cluster_wide),
            (ConfigSource.STATIC_BROKER_CONFIG, static),
        )
        settings = {**static, **cluster_wide, **per_broker}
        self.is_standalone = "process.roles" not in settings
        self._values: dict[str, ConfigValue] = {}
        if self.is_standalone:
            validation.check_standalone(settings)
            for name, text in _STANDALONE_DEFAULTS.items():
                if not any(synonym in settings for synonym in synonyms_of(name)):
                    settings[name] = text
        for name, text in settings.items():
            definition = broker_definition(name)
            if definition is not None:
                self._values[name] = definition.value.parse(text)
        self._read_identity()
        self._read_listeners()
        validation.check(self)

    def _read_identity(self) -> None:
        self.roles: frozenset[str] = frozenset(self.elements("process.roles"))
        node_id = self.value("node.id")
        if node_id is None and self.is_set("broker.id"):
            node_id = self.value("broker.id")
        if not isinstance(node_id, int):
            raise ConfigError("node.id is missing: with process.roles, every node needs a number of its own")
        self.node_id = node_id
        self.cluster_id: str | None = self._text("odradek.cluster.id")
        self.rack: str | None = self._text("broker.rack")
        self.replica_selector_class: str | None = self._text("replica.selector.class")
        self.log_dirs: tuple[str, ...] = self.elements("log.dirs") or self.elements("log.dir")
        self.metadata_log_dir: str = self._text("metadata.log.dir") or self.log_dirs[0]
        self.quorum_voters: tuple[Voter, ...] = parse_voters(self.elements("controller.quorum.voters"))
        bootstrap = "controller.quorum.bootstrap.servers"
        self.quorum_bootstrap_servers = tuple(
            parse_address(bootstrap, text) for text in self.elements(bootstrap)
        )

    def _read_listeners(self) -> None:
        self.controller_listener_names = tuple(
            name.upper() for name in self.elements("controller.listener.names")
        )
        self.security_map = self._security_map()
        self.listeners = parse_listeners("listeners", self.elements("listeners"), self.security_map)
        advertised = parse_listeners(
            "advertised.listeners", self.elements("advertised.listeners"), self.security_map
        )
        http = self._text("odradek.http.listener")
        #: (host, port) for metrics and health; None for nowhere.
        self.http_listener = None if http is None else parse_address("odradek.http.listener", http)
        grpc = self._text("odradek.grpc.listener")
        #: (host, port) for gRPC; None for nowhere.
        self.grpc_listener = None if grpc is None else parse_address("odradek.grpc.listener", grpc)
        grpc = self._text("odradek.grpc.advertised.listener")
        self.grpc_advertised = (
            None if grpc is None else parse_address("odradek.grpc.advertised.listener", grpc)
        )
        #: By listener name; empty without `advertised.listeners`. A host may be empty: only the port is
        #: advertised.
        self.advertised_listeners: Mapping[str, Listener] = {
            listener.name: listener for listener in advertised
        }
        self.inter_broker_listener_name = self._inter_broker_listener_name()

    def _security_map(self) -> Mapping[str, str]:
        mapping = parse_security_map(str(self.value("listener.security.protocol.map")))
        if self.is_set("listener.security.protocol.map"):
            return mapping
        used = {element.partition("://")[0].upper() for element in self.elements("listeners")}
        if all(mapping.get(name, "PLAINTEXT") == "PLAINTEXT" for name in used):
            # Controllers may have a listener of any name without a map, as long as nothing else is encrypted.
            for name in self.controller_listener_names:
                mapping.setdefault(name, "PLAINTEXT")
        return mapping

    def _inter_broker_listener_name(self) -> str:
        name = self._text("inter.broker.listener.name")
        if name is not None:
            return name.upper()
        if self.is_standalone and self.client_listeners and not self.is_set("security.inter.broker.protocol"):
            return self.client_listeners[0].name
        return str(self.value("security.inter.broker.protocol"))

    @property
    def is_broker(self) -> bool:
        """True if this node stores partitions and serves clients."""
        return "broker" in self.roles

    @property
    def is_controller(self) -> bool:
        """True if this node votes in Raft."""
        return "controller" in self.roles

    @property
    def client_listeners(self) -> tuple[Listener, ...]:
        """Listeners of the broker role."""
        return tuple(one for one in self.listeners if one.name not in self.controller_listener_names)

    @property
    def controller_listeners(self) -> tuple[Listener, ...]:
        """Listeners of the controller role."""
        return tuple(one for one in self.listeners if one.name in self.controller_listener_names)

    @cached_property
    def max_connections_per_ip_overrides(self) -> Mapping[str, int]:
        """Connections allowed from an address, where it differs from `max_connections_per_ip`."""
        return parse_ip_limits(str(self.value("max.connections.per.ip.overrides")))

    @cached_property
    def topic_defaults(self) -> LogConfig:
        """The configuration of a topic that sets nothing."""
        names = {synonym for definition in topic_definitions().values() for synonym in definition.synonyms}
        return log_config_from_broker({name: self.value(name) for name in names})

    def topic_log_config(self, overrides: Mapping[str, str]) -> LogConfig:
        """The configuration of a topic: its own values over this node's. Raises `ConfigError`."""
        return parse_topic_configs(overrides, self.topic_defaults)

    def value(self, name: str) -> ConfigValue:
        """The value of a known name, its default if nobody set it. Synonyms are not looked at."""
        if name in self._values:
            return self._values[name]
        definition = broker_definition(name)
        assert definition is not None, name
        return definition.value.default_value

    def elements(self, name: str) -> tuple[str, ...]:
        """The value of a list; empty if there is none."""
        value = self.value(name)
        return value if isinstance(value, tuple) else ()

    def is_set(self, name: str) -> bool:
        """True if somebody gave a value to this very name."""
        return any(name in settings for _, settings in self._layers)

    def set_values(self, name: str) -> list[SetValue]:
        """The values given to a name and its synonyms, the one that counts first; without the default."""
        names = synonyms_of(name)
        return [
            SetValue(synonym, settings[synonym].strip(), source)
            for source, settings in self._layers
            for synonym in names
            if synonym in settings
        ]

    def with_dynamic(self, cluster_wide: Mapping[str, str], per_broker: Mapping[str, str]) -> NodeConfig:
        """The same node with other values changed while running. Raises `ConfigError`."""
        return NodeConfig(self._layers[2][1], cluster_wide=cluster_wide, per_broker=per_broker)

    def _text(self, name: str) -> str | None:
        value = self.value(name)
        return value if isinstance(value, str) and value else None


def check_dynamic(name: str, text: str, *, per_broker: bool) -> None:
    """Whether a setting may be changed while running, and to this value. Raises `ConfigError`.

    `per_broker`: the change is for one broker; otherwise for all of them.
    """
    definition = broker_definition(name)
    if definition is None:
        raise ConfigError(f"{name} is not a broker configuration")
    if definition.update_mode is UpdateMode.READ_ONLY:
        raise ConfigError(f"{name} cannot be changed while the node runs")
    if definition.update_mode is UpdateMode.PER_BROKER and not per_broker:
        raise ConfigError(f"{name} can be changed for single brokers only, not for all of them")
    definition.value.parse(text)
