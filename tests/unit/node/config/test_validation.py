"""Combinations of settings: the same verdicts as Kafka, and sentences that say what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from odradek.node.config.node_config import NodeConfig
from odradek.node.config.properties import parse_properties
from odradek.storage.config_types import ConfigError

_HERE = Path(__file__).parent
_QUICKSTART = parse_properties((_HERE / "quickstart.properties").read_text())

#: Where Odradek differs on purpose. Accepted here: clients are told the address they used, so a listener may
#: be on
#: every address; a listener name may be written in any case; settings of parts that are not here are not
#: checked.
_ACCEPTED_HERE = {
    "listeners=PLAINTEXT://0.0.0.0:9092,CONTROLLER://:9093; advertised.listeners",
    "controller.listener.names=controller",
    "log.cleaner.dedupe.buffer.size=100",
    "offsets.topic.compression.codec=9",
    "early.start.listeners=X",
    "connection.failed.authentication.delay.ms=700000",
    "max.connections.per.ip.overrides=no such host!!:5",
}
#: Refused here: ports that do not exist, one id for two voters, and protocols that are not spoken yet.
_REFUSED_HERE = {
    "listeners=PLAINTEXT://:70000,CONTROLLER://:9093",
    "listeners=PLAINTEXT://:-1,CONTROLLER://:9093",
    "controller.quorum.voters=1@a:1,1@b:2; controller.quorum.bootstrap.servers",
    "controller.quorum.voters=1@a:1,1@b:2",
    "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,PLAINTEXT:SSL,CONTROLLER:PLAINTEXT",
}


def _verdicts() -> list[tuple[str, str]]:
    lines = (_HERE / "kafka_verdicts.txt").read_text().splitlines()
    return [(line[:7], line[7:].strip()) for line in lines if line and not line.startswith("#")]


def _changed(changes: str) -> dict[str, str]:
    settings = dict(_QUICKSTART)
    for change in filter(None, changes.split("; ")):
        name, separator, value = change.partition("=")
        if separator:
            settings[name] = value
        else:
            settings.pop(name, None)
    return settings


def test_the_verdicts_are_about_this_quickstart() -> None:
    assert ("accepts", "") in _verdicts()
    assert len(_verdicts()) > 130


@pytest.mark.parametrize(("verdict", "changes"), _verdicts())
def test_the_same_verdict_as_kafka(verdict: str, changes: str) -> None:
    expected = verdict == "accepts"
    if changes in _ACCEPTED_HERE | _REFUSED_HERE:
        expected = not expected
        assert expected == (changes in _ACCEPTED_HERE)
    try:
        NodeConfig(_changed(changes))
    except ConfigError as error:
        assert not expected, error
    else:
        assert expected


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ("node.id", "node.id is missing"),
        ("broker.id=3", "node.id=1 and broker.id=3 must be the same"),
        ("controller.quorum.bootstrap.servers", "must say where the controllers are"),
        ("controller.quorum.voters=2@h:1", r"has the ids \[2\], but not node.id=1"),
        (
            "listeners=PLAINTEXT://:9092",
            "controller.listener.names has CONTROLLER, which listeners does not have",
        ),
        ("inter.broker.listener.name=NOPE", "the listener among brokers is NOPE"),
        ("advertised.listeners=PLAINTEXT://0.0.0.0:9092", "an address that no client can connect to"),
        ("security.inter.broker.protocol=PLAINTEXT", "exclude each other"),
        (
            "listener.security.protocol.map=PLAINTEXT:SSL,CONTROLLER:PLAINTEXT",
            "uses SSL, which Odradek does not speak",
        ),
        ("queued.max.request.bytes=5", "at least socket.request.max.bytes, which is 104857600"),
        ("max.connections.per.ip=0", "needs exceptions in max.connections.per.ip.overrides"),
        (
            "log.retention.minutes=0",
            "log.retention.minutes=0 is not valid: expected -1 for no limit, or at least 1",
        ),
        ("log.roll.jitter.ms=-1", "expected at least 0"),
        ("group.coordinator.rebalance.protocols=consumer", "classic cannot be left out"),
        (
            "group.consumer.session.timeout.ms=1000",
            "group.consumer.session.timeout.ms=1000 is not valid: expected at least"
            " group.consumer.min.session.timeout.ms, which is 45000",
        ),
        ("replica.fetch.wait.max.ms=40000", "at most replica.socket.timeout.ms, which is 30000"),
        ("group.share.heartbeat.interval.ms=15000; group.share.session.timeout.ms=15000", "at least"),
    ],
)
def test_sentences(changes: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        NodeConfig(_changed(changes))


@pytest.mark.parametrize("protocol", ["SSL", "SASL_PLAINTEXT", "SASL_SSL"])
def test_other_protocols_are_recognised_and_refused(protocol: str) -> None:
    with pytest.raises(ConfigError, match=f"uses {protocol}, which Odradek does not speak yet"):
        NodeConfig({"listeners": f"{protocol}://:9092"})


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (
            {"zookeeper.connect": "localhost:2181", "broker.id": "0"},
            "a configuration for Kafka with ZooKeeper",
        ),
        ({"controller.quorum.voters": "1@h:1"}, "needs process.roles, which is missing"),
        ({"broker.id": "-1"}, "broker.id=-1 is not valid"),
    ],
)
def test_without_process_roles(settings: dict[str, str], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        NodeConfig(settings)


def test_old_settings_beside_process_roles_do_no_harm() -> None:
    assert NodeConfig(_QUICKSTART | {"zookeeper.connect": "x"}).node_id == 1
