"""The Java clients, through the console tools that come with Apache Kafka (make test-clients)."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from tests.compat import confluent
from tests.compat.conftest import CreateTopic
from tests.compat.servers import Server
from tests.compat.toolchains import kafka_tool

# The jars may have to be fetched first.
pytestmark = [pytest.mark.clients, pytest.mark.timeout(1200)]
TOOLS = "org.apache.kafka.tools"
GROUPS = f"{TOOLS}.consumer.group.ConsumerGroupCommand"


def tool(node: Server, name: str, *arguments: str, stdin: str = "") -> str:
    return kafka_tool(name, "--bootstrap-server", node.bootstrap, *arguments, stdin=stdin)


def topics(node: Server, *arguments: str) -> str:
    return tool(node, f"{TOOLS}.TopicCommand", *arguments)


def consume(node: Server, topic: str, count: int, *arguments: str) -> list[str]:
    limits = ["--topic", topic, "--max-messages", str(count), "--timeout-ms", "20000"]
    return tool(node, f"{TOOLS}.consumer.ConsoleConsumer", *limits, *arguments).splitlines()


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_console_producer_and_consumer(node: Server, topic: CreateTopic, codec: str) -> None:
    name = topic()
    lines = [f"value {number}" for number in range(200)]
    options = ["--topic", name, "--compression-codec", codec]
    tool(node, f"{TOOLS}.ConsoleProducer", *options, stdin="\n".join(lines) + "\n")
    assert consume(node, name, 200, "--partition", "0", "--offset", "earliest") == lines


def test_console_consumer_with_groups_and_keys(node: Server, topic: CreateTopic) -> None:
    name = topic(3)
    rows = [f"key{number}\tvalue {number}" for number in range(60)]
    keyed = ["--reader-property", "parse.key=true"]
    tool(node, f"{TOOLS}.ConsoleProducer", "--topic", name, *keyed, stdin="\n".join(rows) + "\n")
    show = ["--group", f"java-{name}", "--from-beginning", "--formatter-property", "print.key=true"]
    first = consume(node, name, 40, *show)
    second = consume(node, name, 20, *show)
    assert sorted(first + second) == sorted(rows)
    for isolation in ("read_committed", "read_uncommitted"):
        assert len(consume(node, name, 60, "--from-beginning", "--isolation-level", isolation)) == 60


def test_topics(node: Server) -> None:
    name = f"java-{time.monotonic_ns()}"
    topics(node, "--create", "--topic", name, "--partitions", "3", "--config", "retention.ms=60000")
    assert name in topics(node, "--list").splitlines()
    described = topics(node, "--describe", "--topic", name)
    assert "PartitionCount: 3" in described
    assert "retention.ms=60000" in described
    assert described.count("Leader: ") == 3
    topics(node, "--alter", "--topic", name, "--partitions", "5")
    assert "PartitionCount: 5" in topics(node, "--describe", "--topic", name)
    topics(node, "--delete", "--topic", name)
    assert name not in topics(node, "--list").splitlines()


def test_configs(node: Server, topic: CreateTopic) -> None:
    name = topic()
    target = ["--entity-type", "topics", "--entity-name", name]
    tool(node, "kafka.admin.ConfigCommand", *target, "--alter", "--add-config", "max.message.bytes=5000")
    shown = tool(node, "kafka.admin.ConfigCommand", *target, "--describe")
    assert "max.message.bytes=5000" in shown
    everything = tool(node, "kafka.admin.ConfigCommand", *target, "--describe", "--all")
    assert "segment.bytes=1073741824" in everything
    tool(node, "kafka.admin.ConfigCommand", *target, "--alter", "--delete-config", "max.message.bytes")
    assert "max.message.bytes=5000" not in tool(node, "kafka.admin.ConfigCommand", *target, "--describe")
    brokers = ["--entity-type", "brokers", "--describe", "--all", "--entity-name", broker_id(node)]
    assert "message.max.bytes=1048588" in tool(node, "kafka.admin.ConfigCommand", *brokers)


def broker_id(node: Server) -> str:
    admin = confluent.admin(node)
    return str(admin.describe_cluster().result(10).nodes[0].id)


def test_consumer_groups(node: Server, topic: CreateTopic) -> None:
    name, group = topic(), f"java-{time.monotonic_ns()}"
    confluent.send(node, name, [str(number).encode() for number in range(10)])
    consume(node, name, 4, "--group", group, "--from-beginning")
    assert group in tool(node, GROUPS, "--list").splitlines()
    described = tool(node, GROUPS, "--describe", "--group", group)
    row = next(line.split() for line in described.splitlines() if line.startswith(group))
    assert row[1:6] == [name, "0", "4", "10", "6"]
    assert "Empty" in tool(node, GROUPS, "--describe", "--group", group, "--state")
    reset = ["--reset-offsets", "--group", group, "--topic", name, "--to-offset", "8", "--execute"]
    tool(node, GROUPS, *reset)
    assert consume(node, name, 2, "--group", group) == ["8", "9"]
    earliest = ["--reset-offsets", "--group", group, "--topic", name, "--to-earliest", "--execute"]
    tool(node, GROUPS, *earliest)
    assert consume(node, name, 1, "--group", group) == ["0"]
    tool(node, GROUPS, "--delete-offsets", "--group", group, "--topic", name)
    tool(node, GROUPS, "--delete", "--group", group)
    assert group not in tool(node, GROUPS, "--list").splitlines()


def test_offsets_and_delete_records(node: Server, topic: CreateTopic, tmp_path: Path) -> None:
    name = topic(2)
    confluent.send(node, name, [b"a", b"b", b"c"])
    shell = f"{TOOLS}.GetOffsetShell"
    assert tool(node, shell, "--topic", name).split() == [f"{name}:0:3", f"{name}:1:0"]
    entry = {"topic": name, "partition": 0, "offset": 2}
    plan = tmp_path / "delete.json"
    plan.write_text(json.dumps({"partitions": [entry], "version": 1}))
    output = tool(node, f"{TOOLS}.DeleteRecordsCommand", "--offset-json-file", str(plan))
    assert "low_watermark: 2" in output
    assert f"{name}:0:2" in tool(node, shell, "--topic", name, "--time", "earliest").split()


def test_log_dirs(node: Server, topic: CreateTopic) -> None:
    name = topic()
    confluent.send(node, name, [b"x" * 1000])
    output = tool(node, f"{TOOLS}.LogDirsCommand", "--describe", "--topic-list", name)
    found = json.loads(output.splitlines()[-1])
    (broker,) = found["brokers"]
    (directory,) = broker["logDirs"]
    assert directory["error"] is None
    (partition,) = directory["partitions"]
    assert partition["partition"] == f"{name}-0"
    assert partition["size"] > 1000


def test_broker_api_versions(node: Server) -> None:
    output = tool(node, f"{TOOLS}.BrokerApiVersionsCommand")
    assert f"127.0.0.1:{node.port}" in output
    assert "Produce(0): 0 to 13" in output


def test_performance_tools(node: Server, topic: CreateTopic) -> None:
    name = topic(3)
    load = ["--topic", name, "--num-records", "50000", "--record-size", "100", "--throughput", "-1"]
    output = tool(node, f"{TOOLS}.ProducerPerformance", *load, "--command-property", "acks=all")
    assert "50000 records sent" in output
    read = ["--topic", name, "--num-records", "50000", "--hide-header"]
    assert int(tool(node, f"{TOOLS}.ConsumerPerformance", *read).strip().split(", ")[4]) >= 50_000


def test_end_to_end_latency(node: Server, topic: CreateTopic) -> None:
    load = ["--topic", topic(), "--num-records", "100", "--producer-acks", "all", "--record-size", "100"]
    assert "Avg latency" in tool(node, f"{TOOLS}.EndToEndLatency", *load)
