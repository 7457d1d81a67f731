"""Variables of the apache/kafka image."""

from __future__ import annotations

import pytest

from odradek.node.config.environment import CLUSTER_ID, settings_from_environment


@pytest.mark.parametrize(
    ("variable", "name"),
    [
        ("KAFKA_LOG_DIRS", "log.dirs"),
        ("KAFKA_LISTENER_SECURITY_PROTOCOL_MAP", "listener.security.protocol.map"),
        ("KAFKA_A__B", "a_b"),
        ("KAFKA_A___B", "a-b"),
        ("KAFKA_SASL_JAAS_CONFIG", "sasl.jaas.config"),
        ("KAFKA_CFG_NODE_ID", "node.id"),
        ("KAFKA_CLUSTER_ID", CLUSTER_ID),
        ("CLUSTER_ID", CLUSTER_ID),
    ],
)
def test_names(variable: str, name: str) -> None:
    assert settings_from_environment({variable: "v"}) == {name: "v"}


@pytest.mark.parametrize(
    "variable",
    [
        "KAFKA_HEAP_OPTS",
        "KAFKA_OPTS",
        "KAFKA_JMX_OPTS",
        "KAFKA_JMX_PORT",
        "KAFKA_JMX_HOSTNAME",
        "KAFKA_LOG4J_OPTS",
        "KAFKA_LOG4J_ROOT_LOGLEVEL",
        "KAFKA_LOG4J_LOGGERS",
        "KAFKA_TOOLS_LOG4J_LOGLEVEL",
        "KAFKA_GC_LOG_OPTS",
        "KAFKA_JVM_PERFORMANCE_OPTS",
        "KAFKA_HOME",
        "KAFKA_VERSION",
        "KAFKA_PORT",
        "KAFKA_PORT_9092_TCP_ADDR",
        "KAFKA_SERVICE_HOST",
        "KAFKA_SERVICE_PORT_CLIENTS",
        "PATH",
        "MY_KAFKA_LOG_DIRS",
    ],
)
def test_variables_that_are_no_settings(variable: str) -> None:
    assert settings_from_environment({variable: "v"}) == {}


def test_the_plain_prefix_wins_over_the_older_one() -> None:
    for order in (("KAFKA_NODE_ID", "KAFKA_CFG_NODE_ID"), ("KAFKA_CFG_NODE_ID", "KAFKA_NODE_ID")):
        environ = {name: name for name in order}
        assert settings_from_environment(environ) == {"node.id": "KAFKA_NODE_ID"}
    assert settings_from_environment({"CLUSTER_ID": "a", "KAFKA_CLUSTER_ID": "b"}) == {CLUSTER_ID: "b"}
