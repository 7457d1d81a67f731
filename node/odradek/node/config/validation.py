"""Which combinations of settings are refused, and with which sentence.

Decides: the rules between settings. What a single value may be is in the tables; how listeners are written
is in `listeners`. Every function returns nothing or raises `ConfigError`.

Source: the rules of Kafka 4.3.1's KafkaConfig for KRaft, tried case by case. Differences: a listener on
0.0.0.0 needs no `advertised.listeners`, because clients are told the address they used; TLS and SASL are
refused for now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from odradek.storage.config_types import ConfigError, InvalidValueError

if TYPE_CHECKING:
    from odradek.node.config.node_config import NodeConfig

#: (lower setting, upper setting): the first may not be larger than the second.
_ORDERED: Final = (
    ("replica.fetch.wait.max.ms", "replica.socket.timeout.ms"),
    ("replica.fetch.wait.max.ms", "replica.lag.time.max.ms"),
    *(
        (f"group.{kind}.{low}{what}", f"group.{kind}.{high}{what}")
        for kind in ("consumer", "share", "streams")
        for what in ("session.timeout.ms", "heartbeat.interval.ms", "assignment.interval.ms")
        for low, high in (("min.", ""), ("", "max."))
    ),
    ("group.share.min.record.lock.duration.ms", "group.share.record.lock.duration.ms"),
    ("group.share.record.lock.duration.ms", "group.share.max.record.lock.duration.ms"),
    ("group.share.min.delivery.count.limit", "group.share.delivery.count.limit"),
    ("group.share.delivery.count.limit", "group.share.max.delivery.count.limit"),
    ("group.share.min.partition.max.record.locks", "group.share.partition.max.record.locks"),
    ("group.share.partition.max.record.locks", "group.share.max.partition.max.record.locks"),
)
_ROLE_SETTINGS: Final = ("controller.quorum.voters", "controller.quorum.bootstrap.servers")


def check_standalone(settings: Mapping[str, str]) -> None:
    """Refuses settings that need `process.roles` where it is missing."""
    if "zookeeper.connect" in settings:
        raise ConfigError(
            "zookeeper.connect without process.roles is a configuration for Kafka with ZooKeeper;"
            " a configuration for KRaft is needed, with process.roles and node.id"
        )
    for name in _ROLE_SETTINGS:
        if settings.get(name, "").strip():
            raise ConfigError(f"{name} needs process.roles, which is missing: broker, controller, or both")


def check(config: NodeConfig) -> None:
    """Every rule between settings."""
    _check_identity(config)
    if not config.is_standalone:
        _check_quorum(config)
        _check_controller_listeners(config)
    _check_broker_listeners(config)
    _check_security(config)
    _check_limits(config)
    _check_ordered(config)


def _check_identity(config: NodeConfig) -> None:
    if (
        config.is_set("node.id")
        and config.is_set("broker.id")
        and config.value("broker.id") != config.node_id
    ):
        raise ConfigError(
            f"node.id={config.node_id} and broker.id={config.value('broker.id')} must be the same"
        )
    if config.node_id < 0:
        raise InvalidValueError("broker.id", str(config.node_id), "expected a whole number, at least 0")


def _check_quorum(config: NodeConfig) -> None:
    voters = [voter.node_id for voter in config.quorum_voters]
    if not voters and not config.quorum_bootstrap_servers:
        raise ConfigError(
            "with process.roles, controller.quorum.bootstrap.servers or controller.quorum.voters must say"
            " where the controllers are"
        )
    if voters and config.is_controller and config.node_id not in voters:
        raise ConfigError(
            f"controller.quorum.voters has the ids {voters}, but not node.id={config.node_id}, which has the"
            " role controller"
        )
    if config.node_id in voters and not config.is_controller:
        raise ConfigError(
            f"controller.quorum.voters has node.id={config.node_id}, which does not have the role controller"
        )


def _check_controller_listeners(config: NodeConfig) -> None:
    if not config.controller_listener_names:
        raise ConfigError(
            "controller.listener.names is missing: with process.roles it names the controllers' listener"
        )
    names = {listener.name for listener in config.listeners}
    missing = [name for name in config.controller_listener_names if name not in names]
    if config.is_controller and missing:
        raise ConfigError(
            f"controller.listener.names has {', '.join(missing)}, which listeners does not have"
        )
    if not config.is_controller and config.controller_listeners:
        raise ConfigError(
            f"listeners has {config.controller_listeners[0].name}, a controller listener, on a node without"
            " the role controller"
        )
    if not config.is_broker:
        if config.client_listeners:
            raise ConfigError(
                f"listeners has {config.client_listeners[0].name}, which is not in controller.listener.names,"
                " on a node with process.roles=controller"
            )
        if config.is_set("inter.broker.listener.name") and config.inter_broker_listener_name in names:
            raise ConfigError("inter.broker.listener.name is a controller listener")


def _check_broker_listeners(config: NodeConfig) -> None:
    if config.is_set("inter.broker.listener.name") and config.is_set("security.inter.broker.protocol"):
        raise ConfigError("inter.broker.listener.name and security.inter.broker.protocol exclude each other")
    names = [listener.name for listener in config.client_listeners]
    all_names = {listener.name for listener in config.listeners} | set(config.controller_listener_names)
    unknown = [name for name in config.advertised_listeners if name not in all_names]
    if unknown:
        raise ConfigError(f"advertised.listeners has {', '.join(unknown)}, which listeners does not have")
    for listener in config.advertised_listeners.values():
        if listener.host in ("0.0.0.0", "::"):
            raise ConfigError(
                f"advertised.listeners has {listener.address}, an address that no client can connect to"
            )
    if not config.is_broker:
        return
    if not names:
        raise ConfigError(
            "listeners has no listener for clients: all of them are in controller.listener.names"
        )
    advertised = [name for name in config.advertised_listeners if name in names] or names
    if config.advertised_listeners and not any(name in names for name in config.advertised_listeners):
        raise ConfigError("advertised.listeners has no listener for clients")
    if config.inter_broker_listener_name not in advertised:
        raise ConfigError(
            f"the listener among brokers is {config.inter_broker_listener_name} (inter.broker.listener.name"
            f" or security.inter.broker.protocol), but the advertised ones are {', '.join(advertised)}"
        )


def _check_security(config: NodeConfig) -> None:
    for listener in config.listeners:
        if listener.protocol != "PLAINTEXT":
            raise ConfigError(
                f"listener {listener.name} uses {listener.protocol}, which Odradek does not speak yet; only"
                " PLAINTEXT listeners can be served"
            )


def _check_limits(config: NodeConfig) -> None:
    queued, largest = config.queued_max_request_bytes, config.socket_request_max_bytes
    if 0 < queued < largest:
        allowed = f"expected -1, or at least socket.request.max.bytes, which is {largest}"
        raise InvalidValueError("queued.max.request.bytes", str(queued), allowed)
    overrides = config.max_connections_per_ip_overrides
    if config.max_connections_per_ip == 0 and not overrides:
        allowed = "0 needs exceptions in max.connections.per.ip.overrides"
        raise InvalidValueError("max.connections.per.ip", "0", allowed)
    for name in ("log.retention.ms", "log.retention.minutes", "log.retention.hours"):
        if config.value(name) == 0:
            raise InvalidValueError(name, "0", "expected -1 for no limit, or at least 1")
    for name, least in (("log.roll.ms", 1), ("log.roll.jitter.ms", 0)):
        value = config.value(name)
        if isinstance(value, int) and value < least:
            raise InvalidValueError(name, str(value), f"expected at least {least}")
    protocols = config.elements("group.coordinator.rebalance.protocols")
    if "classic" not in protocols:
        raise InvalidValueError(
            "group.coordinator.rebalance.protocols", ",".join(protocols), "classic cannot be left out"
        )


def _check_ordered(config: NodeConfig) -> None:
    for lower, upper in _ORDERED:
        low, high = config.value(lower), config.value(upper)
        assert isinstance(low, int) and isinstance(high, int), (lower, upper)
        if low > high and (config.is_set(lower) or not config.is_set(upper)):
            raise InvalidValueError(lower, str(low), f"expected at most {upper}, which is {high}")
        if low > high:
            raise InvalidValueError(upper, str(high), f"expected at least {lower}, which is {low}")
    for kind in ("consumer", "share", "streams"):
        interval, timeout = f"group.{kind}.heartbeat.interval.ms", f"group.{kind}.session.timeout.ms"
        low, high = config.value(interval), config.value(timeout)
        assert isinstance(low, int) and isinstance(high, int), (interval, timeout)
        if low >= high:
            raise InvalidValueError(interval, str(low), f"expected less than {timeout}, which is {high}")
