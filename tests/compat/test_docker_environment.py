"""Environment variables stand for the settings that the apache/kafka image makes of them: Kafka's own code is asked."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from odradek.jepsen.db.kafka_jars import JarsMissing, kafka_classpath, missing_toolchain
from odradek.node.config.environment import CLUSTER_ID, settings_from_environment
from odradek.node.config.properties import parse_properties

# The jars may have to be fetched first.
pytestmark = [pytest.mark.clients, pytest.mark.timeout(1200)]

VARIABLES = {
    "KAFKA_NODE_ID": "1",
    "KAFKA_PROCESS_ROLES": "broker,controller",
    "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
    "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
    "KAFKA_LISTENERS": "PLAINTEXT://:9092,CONTROLLER://:9093",
    "KAFKA_A_B": "dot",
    "KAFKA_A__B": "underscore",
    "KAFKA_A___B": "dash",
    "KAFKA_A____B": "four",
    "KAFKA_A_____B": "five",
    "KAFKA_Mixed_CASE": "lower",
    "KAFKA_KAFKA_X": "twice",
    "KAFKA_EMPTY_ONE": "",
    "KAFKA_SPACES": "a  b",
}
OF_THE_IMAGE = {
    "KAFKA_HEAP_OPTS": "-Xmx1g",
    "KAFKA_OPTS": "-Da=b",
    "KAFKA_JMX_OPTS": "-Da=b",
    "KAFKA_JMX_HOSTNAME": "h",
    "KAFKA_GC_LOG_OPTS": "-Xlog",
    "KAFKA_JVM_PERFORMANCE_OPTS": "-server",
    "KAFKA_VERSION": "4.3.1",
    "KAFKA_LOG4J_OPTS": "-Da=b",
    "KAFKA_LOG4J_LOGGERS": "kafka=INFO",
    "KAFKA_LOG4J_ROOT_LOGLEVEL": "INFO",
    "KAFKA_TOOLS_LOG4J_LOGLEVEL": "INFO",
}


def of_kafka(folder: Path, environ: dict[str, str]) -> dict[str, str]:
    """What the image's start program writes into server.properties."""
    try:
        reason = missing_toolchain()
        classpath = "" if reason else kafka_classpath()
    except JarsMissing as error:
        reason = str(error)
    if reason is not None:
        pytest.skip(f"no Kafka jars: {reason}")
    for name in ("defaults", "mounted", "final"):
        (folder / name).mkdir()
    for name in ("server.properties", "log4j2.yaml", "tools-log4j2.yaml"):
        (folder / "defaults" / name).write_text("a: b\n" if name.endswith("yaml") else "of.default=1\n")
    command = ["java", "-Xmx128m", "-cp", classpath, "kafka.docker.KafkaDockerWrapper", "setup"]
    command += ["-D", str(folder / "defaults"), "-M", str(folder / "mounted"), "-F", str(folder / "final")]
    # It goes on to format the storage, which is none of our business, and may fail.
    subprocess.run(
        command, env={"PATH": os.environ["PATH"], **environ}, capture_output=True, timeout=60, check=False
    )
    return parse_properties((folder / "final" / "server.properties").read_text())


def test_the_same_settings_come_out(tmp_path: Path) -> None:
    environ = VARIABLES | OF_THE_IMAGE | {"KAFKA_LOG_DIRS": str(tmp_path / "data")}
    expected = of_kafka(tmp_path, environ)
    found = settings_from_environment(environ)
    assert expected["a_b"] == "underscore" and "of.default" not in expected
    assert {name: value.strip() for name, value in found.items()} == {
        name: value.strip() for name, value in expected.items()
    }


def test_what_we_leave_out_beyond_that_is_no_setting_of_kafka(tmp_path: Path) -> None:
    """Variables that a container gets from Kubernetes or a start script; Kafka warns of them and goes on."""
    others = {
        "KAFKA_PORT": "tcp://10.0.0.1:9092",
        "KAFKA_SERVICE_HOST": "10.0.0.1",
        "KAFKA_HOME": "/opt/kafka",
    }
    names = of_kafka(tmp_path, VARIABLES | others).keys()
    assert {"port", "service.host", "home"} <= names
    assert settings_from_environment(others) == {}


def test_the_cluster_id_is_a_variable_without_prefix() -> None:
    assert settings_from_environment({"CLUSTER_ID": "x"}) == {CLUSTER_ID: "x"}
