"""Values, sources and the typed view."""

from __future__ import annotations

from pathlib import Path

import pytest

from odradek.node.config.definitions import broker_definition
from odradek.node.config.listeners import Listener, Voter
from odradek.node.config.node_config import ConfigSource, NodeConfig, SetValue, check_dynamic
from odradek.node.config.properties import parse_properties
from odradek.storage.config_types import ConfigError

_QUICKSTART = parse_properties((Path(__file__).parent / "quickstart.properties").read_text())


def test_nothing_configured_is_a_single_node_on_this_machine_only() -> None:
    config = NodeConfig()
    assert config.is_standalone
    assert config.is_broker
    assert config.is_controller
    assert config.node_id == 1
    assert config.listeners == (Listener("PLAINTEXT", "127.0.0.1", 9092, "PLAINTEXT"),)
    assert config.client_listeners == config.listeners
    assert config.controller_listeners == ()
    assert config.advertised_listeners == {}
    assert config.inter_broker_listener_name == "PLAINTEXT"
    assert config.log_dirs == ("data",)
    assert config.metadata_log_dir == "data"
    assert config.cluster_id is None
    assert config.rack is None


def test_the_quickstart() -> None:
    config = NodeConfig(_QUICKSTART)
    assert not config.is_standalone
    assert config.roles == {"broker", "controller"}
    assert config.quorum_bootstrap_servers == (("localhost", 9093),)
    assert config.quorum_voters == ()
    assert config.client_listeners == (Listener("PLAINTEXT", "", 9092, "PLAINTEXT"),)
    assert config.controller_listeners == (Listener("CONTROLLER", "", 9093, "PLAINTEXT"),)
    assert config.controller_listener_names == ("CONTROLLER",)
    assert config.advertised_listeners["PLAINTEXT"].address == "localhost:9092"
    assert config.inter_broker_listener_name == "PLAINTEXT"
    assert config.security_map["SASL_SSL"] == "SASL_SSL"
    assert config.log_dirs == ("/tmp/kraft-combined-logs",)


def test_kafka_defaults_hold_once_there_are_roles() -> None:
    settings = {
        "process.roles": "broker",
        "node.id": "7",
        "controller.quorum.voters": "1@a:9093,2@b:9093",
        "controller.listener.names": "CONTROLLER",
    }
    config = NodeConfig(settings)
    assert config.listeners == (Listener("PLAINTEXT", "", 9092, "PLAINTEXT"),)
    assert config.log_dirs == ("/tmp/kafka-logs",)
    assert config.quorum_voters == (Voter(1, "a", 9093), Voter(2, "b", 9093))
    assert not config.is_controller


def test_directories() -> None:
    config = NodeConfig({"log.dirs": "/a, /b,/a", "log.dir": "/c", "metadata.log.dir": "/m"})
    assert config.log_dirs == ("/a", "/b")
    assert config.metadata_log_dir == "/m"
    assert NodeConfig({"log.dir": "/c"}).log_dirs == ("/c",)


def test_a_standalone_node_takes_its_first_listener_for_itself() -> None:
    config = NodeConfig(
        {
            "listeners": "MINE://:1,OTHER://:2",
            "listener.security.protocol.map": "MINE:PLAINTEXT,OTHER:PLAINTEXT",
        }
    )
    assert config.inter_broker_listener_name == "MINE"
    assert NodeConfig({"broker.id": "4"}).node_id == 4


def test_typed_settings_have_kafkas_defaults() -> None:
    config = NodeConfig()
    assert config.num_partitions == 1
    assert config.auto_create_topics_enable is True
    assert config.message_max_bytes == 1_048_588
    assert config.socket_request_max_bytes == 104_857_600
    assert config.connections_max_idle_ms == 600_000
    assert config.max_connections == 2**31 - 1
    assert config.group_initial_rebalance_delay_ms == 0, "as in the server.properties that comes with Kafka"
    assert config.offsets_retention_minutes == 10_080
    assert config.coordinator_shards == 8
    assert NodeConfig({"num.partitions": " 6 "}).num_partitions == 6


def test_the_address_of_grpc() -> None:
    assert NodeConfig().grpc_listener is None
    assert NodeConfig({"odradek.grpc.listener": "[::1]:50051"}).grpc_listener == ("::1", 50051)
    assert NodeConfig({"odradek.grpc.advertised.listener": "a.example:1"}).grpc_advertised == ("a.example", 1)
    with pytest.raises(ConfigError, match=r"odradek\.grpc\.listener.*expected host:port"):
        NodeConfig({"odradek.grpc.listener": "50051"})


def test_every_typed_setting_can_be_read_and_is_declared_as_acted_on_or_known() -> None:
    config = NodeConfig()
    for attribute, descriptor in vars(NodeConfig).items():
        if type(descriptor).__name__ != "_Setting":
            continue
        value = getattr(config, attribute)
        assert broker_definition(descriptor._name) is not None
        assert value == config.value(descriptor._name)


def test_connection_limits_of_single_addresses() -> None:
    config = NodeConfig({"max.connections.per.ip.overrides": "127.0.0.1:3"})
    assert config.max_connections_per_ip_overrides == {"127.0.0.1": 3}


def test_topics_get_the_nodes_defaults_and_then_their_own_values() -> None:
    config = NodeConfig(
        {"log.retention.minutes": "2", "log.cleanup.policy": "compact", "log.flush.interval.ms": "9"}
    )
    assert config.topic_defaults.retention_ms == 120_000
    assert config.topic_defaults.cleanup_policy == {"compact"}
    assert config.topic_defaults.flush_ms == 9
    assert config.topic_defaults.flush_messages == 1
    assert config.topic_log_config({}) is config.topic_defaults
    own = config.topic_log_config({"retention.ms": "5"})
    assert own.retention_ms == 5
    assert own.cleanup_policy == {"compact"}


def test_unknown_names_are_carried_without_effect() -> None:
    config = NodeConfig({"no.such.name": "x"})
    assert config.is_set("no.such.name")
    assert not config.is_set("num.partitions")


def test_a_value_changed_while_running_counts_before_the_file() -> None:
    static = NodeConfig({"log.retention.hours": "1", "max.connections": "5"})
    changed = static.with_dynamic(
        {"log.retention.ms": "10", "max.connections": "6"}, {"max.connections": "7"}
    )
    assert changed.topic_defaults.retention_ms == 10
    assert changed.max_connections == 7
    assert static.max_connections == 5
    assert changed.set_values("log.retention.ms") == [
        SetValue("log.retention.ms", "10", ConfigSource.DYNAMIC_DEFAULT_BROKER_CONFIG),
        SetValue("log.retention.hours", "1", ConfigSource.STATIC_BROKER_CONFIG),
    ]
    assert [value.text for value in changed.set_values("max.connections")] == ["7", "6", "5"]


def test_a_node_without_roles_stays_complete_when_something_changes() -> None:
    changed = NodeConfig({"log.dirs": "d"}).with_dynamic({"num.network.threads": "4"}, {})
    assert changed.is_standalone
    assert changed.log_dirs == ("d",)


@pytest.mark.parametrize(
    ("name", "text", "per_broker", "sentence"),
    [
        ("no.such.name", "1", True, "not a broker configuration"),
        ("node.id", "1", True, "cannot be changed while the node runs"),
        ("listeners", "PLAINTEXT://:1", False, "for single brokers only"),
        ("log.retention.ms", "soon", False, "expected a whole number"),
    ],
)
def test_changes_that_are_refused(name: str, text: str, per_broker: bool, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        check_dynamic(name, text, per_broker=per_broker)


def test_changes_that_are_allowed() -> None:
    check_dynamic("log.retention.ms", "5", per_broker=False)
    check_dynamic("log.retention.ms", "5", per_broker=True)
    check_dynamic("listeners", "PLAINTEXT://:1", per_broker=True)


def test_metrics_and_health_are_nowhere_unless_told() -> None:
    assert NodeConfig().http_listener is None
    assert NodeConfig({"odradek.http.listener": "0.0.0.0:9644"}).http_listener == ("0.0.0.0", 9644)
    assert NodeConfig({"odradek.http.listener": "[::1]:9644"}).http_listener == ("::1", 9644)
    with pytest.raises(ConfigError, match=r"odradek\.http\.listener"):
        NodeConfig({"odradek.http.listener": "9644"})
