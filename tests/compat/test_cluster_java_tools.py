"""Apache Kafka's own admin tools operate a cluster of three nodes (make test-clients)."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest
from tests.compat import confluent
from tests.compat.clusters import Cluster, until
from tests.compat.conftest import replicated_topic
from tests.compat.toolchains import kafka_tool

# The jars may have to be fetched first.
pytestmark = [pytest.mark.clients, pytest.mark.timeout(1200)]
TOOLS = "org.apache.kafka.tools"
REASSIGN = f"{TOOLS}.reassign.ReassignPartitionsCommand"
QUORUM = f"{TOOLS}.MetadataQuorumCommand"


def tool(cluster: Cluster, name: str, *arguments: str, stdin: str = "") -> str:
    servers = cluster.bootstrap_of(cluster.running)
    return kafka_tool(name, "--bootstrap-server", servers, *arguments, stdin=stdin)


def topics(cluster: Cluster, *arguments: str) -> str:
    return tool(cluster, f"{TOOLS}.TopicCommand", *arguments)


def described(cluster: Cluster, topic: str) -> dict[int, dict[str, list[int]]]:
    """Partition -> leader, replicas and ISR, as kafka-topics tells them."""
    found = {}
    for line in topics(cluster, "--describe", "--topic", topic).splitlines():
        match = re.search(r"Partition: (\d+)\s+Leader: (\S+)\s+Replicas: (\S*)\s+Isr: (\S*)", line)
        if match:
            numbers = [
                [int(one) for one in text.split(",") if one not in ("", "none")]
                for text in match.groups()[1:]
            ]
            found[int(match[1])] = dict(zip(("leader", "replicas", "isr"), numbers))
    return found


def test_topics(cluster: Cluster) -> None:
    name = f"java-{time.monotonic_ns()}"
    topics(cluster, "--create", "--topic", name, "--partitions", "6", "--replication-factor", "3")
    cluster.await_in_sync({name: 6}, 3)
    found = described(cluster, name)
    assert {part["leader"][0] for part in found.values()} == {1, 2, 3}
    assert all(sorted(part["isr"]) == [1, 2, 3] for part in found.values())
    describe = ["--describe", "--topic", name]
    until(
        lambda: topics(cluster, "--describe", "--under-replicated-partitions").strip() == "", 60, "all well"
    )
    cluster.kill(3)
    until(
        lambda: all(len(part["isr"]) == 2 for part in described(cluster, name).values()), 60, "an ISR of two"
    )
    until(
        lambda: topics(cluster, *describe, "--under-replicated-partitions").count("Partition: ") == 6,
        60,
        "six partitions with too few replicas",
    )
    until(lambda: not topics(cluster, *describe, "--unavailable-partitions").strip(), 60, "leaders for all")
    topics(cluster, "--alter", "--topic", name, "--partitions", "8")
    until(lambda: len(described(cluster, name)) == 8, 60, "eight partitions")
    topics(cluster, "--delete", "--topic", name)
    until(lambda: name not in topics(cluster, "--list").splitlines(), 30, f"{name} gone")


def test_configs_of_topics_and_brokers(cluster: Cluster) -> None:
    topic = replicated_topic(cluster)
    command = "kafka.admin.ConfigCommand"
    of_topic = ["--entity-type", "topics", "--entity-name", topic]

    def await_shown(*texts: str, of: list[str]) -> None:
        """At the node that is asked, which may hear of a change later than the one that passed it on."""
        ask = [command, *of, "--describe"]
        until(lambda: all(text in tool(cluster, *ask) for text in texts), 60, f"{texts} of {of}")

    tool(cluster, command, *of_topic, "--alter", "--add-config", "retention.ms=60000,min.insync.replicas=2")
    await_shown("retention.ms=60000", "min.insync.replicas=2", of=of_topic)
    of_broker = ["--entity-type", "brokers", "--entity-name", "2"]
    tool(cluster, command, *of_broker, "--alter", "--add-config", "log.cleaner.backoff.ms=14000")
    await_shown("log.cleaner.backoff.ms=14000", of=of_broker)
    of_all = ["--entity-type", "brokers", "--entity-default"]
    tool(cluster, command, *of_all, "--alter", "--add-config", "message.max.bytes=1000000")
    for node in ("1", "2", "3"):
        await_shown(
            "message.max.bytes=1000000", of=["--entity-type", "brokers", "--entity-name", node, "--all"]
        )
    tool(cluster, command, *of_all, "--alter", "--delete-config", "message.max.bytes")
    tool(cluster, command, *of_broker, "--alter", "--delete-config", "log.cleaner.backoff.ms")
    until(lambda: "14000" not in tool(cluster, command, *of_broker, "--describe"), 60, "the default again")


def test_partitions_are_reassigned(cluster: Cluster, tmp_path: Path) -> None:
    topic = f"java-{time.monotonic_ns()}"
    plan = tmp_path / "plan.json"
    topics(cluster, "--create", "--topic", topic, "--replica-assignment", "1:2,1:2,2:1")
    values = [str(number).encode() for number in range(1000)]
    for partition in range(3):
        confluent.send(cluster, topic, values, partition)
    moved = [{"topic": topic, "partition": index, "replicas": [3, 2]} for index in range(3)]
    plan.write_text(json.dumps({"version": 1, "partitions": moved}))
    done = tool(cluster, REASSIGN, "--reassignment-json-file", str(plan), "--execute")
    assert "Successfully started partition reassignments" in done
    verify = ["--reassignment-json-file", str(plan), "--verify"]
    until(
        lambda: tool(cluster, REASSIGN, *verify).count("is completed") == 3,
        60,
        "the reassignment to complete",
    )

    def is_moved() -> bool:
        parts = described(cluster, topic).values()
        return len(parts) == 3 and all(
            sorted(part["isr"]) == [2, 3] and part["replicas"] == [3, 2] for part in parts
        )

    until(is_moved, 60, lambda: f"other replicas: {described(cluster, topic)}")
    assert "No partition reassignments found" in tool(cluster, REASSIGN, "--list")
    reader = confluent.consumer(cluster, f"group-{topic}")
    reader.subscribe([topic])
    read = confluent.poll(reader, 3000)
    assert sorted(bytes(message.value() or b"") for message in read) == sorted(values * 3)
    reader.close()


def test_a_plan_is_generated(cluster: Cluster, tmp_path: Path) -> None:
    topic = replicated_topic(cluster, 3)
    wanted = tmp_path / "topics.json"
    wanted.write_text(json.dumps({"version": 1, "topics": [{"topic": topic}]}))
    generate = ["--topics-to-move-json-file", str(wanted), "--broker-list", "1,2", "--generate"]
    with pytest.raises(
        AssertionError, match="replication factor of 3"
    ):  # three replicas do not fit on two brokers
        tool(cluster, REASSIGN, *generate)
    generate[3] = "1,2,3"
    output = tool(cluster, REASSIGN, *generate)
    assert "Proposed partition reassignment configuration" in output
    assert len(json.loads(output.strip().splitlines()[-1])["partitions"]) == 3


def test_a_reassignment_is_cancelled(cluster: Cluster, tmp_path: Path) -> None:
    topic = f"java-{time.monotonic_ns()}"
    topics(cluster, "--create", "--topic", topic, "--replica-assignment", "1:2")
    plan = tmp_path / "plan.json"
    moved = [{"topic": topic, "partition": 0, "replicas": [3, 2]}]
    plan.write_text(json.dumps({"version": 1, "partitions": moved}))
    confluent.send(cluster, topic, [b"x" * 1000] * 5000)
    slowly = ["--execute", "--throttle", "1000"]  # bytes a second: a quarter of an hour
    tool(cluster, REASSIGN, "--reassignment-json-file", str(plan), *slowly)
    assert f"{topic}-0" in tool(cluster, REASSIGN, "--list")
    tool(cluster, REASSIGN, "--reassignment-json-file", str(plan), "--cancel")
    assert "No partition reassignments found" in tool(cluster, REASSIGN, "--list")
    assert sorted(described(cluster, topic)[0]["replicas"]) == [1, 2]


def test_leaders_are_elected(cluster: Cluster) -> None:
    topic = replicated_topic(cluster, 3)
    preferred = {index: part["replicas"][0] for index, part in described(cluster, topic).items()}
    victim = preferred[0]
    cluster.kill(victim)
    cluster.leader_of(topic, 0, besides=[victim])
    cluster.start([victim])
    cluster.await_in_sync({topic: 3}, 3)
    election = f"{TOOLS}.LeaderElectionCommand"
    options = ["--election-type", "preferred", "--topic", topic, "--partition", "0"]
    output = tool(cluster, election, *options)
    assert "Successfully completed leader election" in output or "Valid replica already elected" in output
    until(lambda: described(cluster, topic)[0]["leader"] == [victim], 30, "the preferred leader")
    again = tool(cluster, election, *options)
    assert "Valid replica already elected" in again


def test_the_quorum_is_described(cluster: Cluster) -> None:
    status = tool(cluster, QUORUM, "describe", "--status")
    leader = re.search(r"LeaderId:\s+(\d+)", status)
    assert leader and int(leader[1]) == cluster.controller()
    assert re.search(r"ClusterId:\s+\S{22}", status)
    assert re.search(r"LeaderEpoch:\s+[1-9]", status)
    voters = re.search(r"CurrentVoters:\s+(.*)", status)
    assert voters and all(f'"id": {node}' in voters[1] or str(node) in voters[1] for node in (1, 2, 3))
    replication = tool(cluster, QUORUM, "describe", "--replication").splitlines()
    rows = {int(row[0]): row for row in (line.split() for line in replication[1:]) if row}
    assert set(rows) == {1, 2, 3}
    assert sorted(row[-1] for row in rows.values()) == ["Follower", "Follower", "Leader"]


def test_the_cluster_its_features_and_its_directories(cluster: Cluster) -> None:
    topic = replicated_topic(cluster)
    ask = ["cluster-id", "--bootstrap-server", cluster.bootstrap]
    assert re.search(r"Cluster ID: \S{22}", kafka_tool(f"{TOOLS}.ClusterTool", *ask))
    assert "metadata.version" in tool(cluster, f"{TOOLS}.FeatureCommand", "describe")
    output = tool(cluster, f"{TOOLS}.LogDirsCommand", "--describe", "--topic-list", topic)
    brokers = json.loads(output.splitlines()[-1])["brokers"]
    assert sorted(broker["broker"] for broker in brokers) == [1, 2, 3]
    for broker in brokers:
        assert [part["partition"] for part in broker["logDirs"][0]["partitions"]] == [f"{topic}-0"]
    versions = tool(cluster, f"{TOOLS}.BrokerApiVersionsCommand")
    assert versions.count("Produce(0): 0 to 13") == 3
