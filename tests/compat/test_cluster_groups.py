"""Consumer groups on three nodes: a group goes on when the node that coordinates it is killed."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from tests.compat import confluent, wire
from tests.compat.clusters import Cluster, until
from tests.compat.conftest import on_kafka, replicated_topic

pytestmark = pytest.mark.timeout(180)
PARTITIONS = 6


class Member:
    """A consumer that counts how often it is given and deprived of partitions, and commits what it reads."""

    def __init__(self, cluster: Cluster, group: str, topic: str) -> None:
        self.given = 0
        self.deprived = 0
        self.read: list[int] = []
        self.client: Consumer = confluent.consumer(
            cluster,
            group,
            session_timeout_ms=20_000,
            reconnect_backoff_ms=20,
            reconnect_backoff_max_ms=100,
            topic_metadata_refresh_fast_interval_ms=50,
        )
        self.client.subscribe(
            [topic], on_assign=self._on_given, on_revoke=self._on_deprived, on_lost=self._on_deprived
        )

    def _on_given(self, client: Any, partitions: Sequence[TopicPartition]) -> None:
        self.given += 1

    def _on_deprived(self, client: Any, partitions: Sequence[TopicPartition]) -> None:
        self.deprived += 1

    def step(self) -> None:
        message = self.client.poll(0.02)
        if message is not None and message.error() is None:
            self.read.append(int(message.value() or b"-1"))


def serve(members: Sequence[Member], until_read: int, timeout_s: float = 40.0) -> None:
    """Let the members read in turn until together they have read that many records."""
    deadline = time.monotonic() + timeout_s
    while (read := sum(len(member.read) for member in members)) < until_read:
        assert time.monotonic() < deadline, f"{read} of {until_read} records read"
        for member in members:
            member.step()


def coordinator_of(cluster: Cluster, group: str, besides: int = -1) -> int:
    def look() -> int | None:
        for node in cluster.running:
            with (
                contextlib.suppress(OSError, wire.Closed),
                cluster.nodes[node].connect() as connection,
            ):
                found = wire.coordinator(connection, group)
                if found not in (-1, besides):
                    return found
        return None

    return until(look, 60, f"a coordinator of {group}")


def committed(client: Consumer, topic: str, partitions: Sequence[int] = range(PARTITIONS)) -> list[int]:
    """As an application would ask: again, where a quorum cannot confirm the coordinator in that moment."""

    def ask() -> list[int] | None:
        try:
            found = client.committed([TopicPartition(topic, index) for index in partitions], 20)
        except KafkaException as error:
            if error.args[0].code() not in (
                KafkaError.NOT_COORDINATOR,
                KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
            ):
                raise
            return None
        return [part.offset for part in found]

    return until(ask, 20, "committed offsets")


def send(cluster: Cluster, topic: str, numbers: range) -> None:
    """The numbers, spread over the partitions."""
    client = confluent.producer(cluster, enable_idempotence=True, reconnect_backoff_max_ms=100)
    for number in numbers:
        client.produce(topic, value=str(number).encode(), partition=number % PARTITIONS)
    assert client.flush(confluent.DEADLINE_S) == 0


def test_a_group_outlives_its_coordinator_without_joining_again(cluster: Cluster) -> None:
    topic = replicated_topic(cluster, PARTITIONS)
    group = f"group-{topic}"
    members = [Member(cluster, group, topic) for _ in range(3)]
    confluent.poll_until(
        [member.client for member in members],
        lambda: all(len(member.client.assignment()) == PARTITIONS // 3 for member in members),
    )
    send(cluster, topic, range(300))
    serve(members, 300)
    for member in members:
        member.client.commit(asynchronous=False)
    before = [(member.given, member.deprived) for member in members]

    killed = coordinator_of(cluster, group)
    cluster.kill(killed)
    send(cluster, topic, range(300, 600))
    serve(members, 600)
    assert coordinator_of(cluster, group, besides=killed) != killed
    for member in members:
        member.client.commit(asynchronous=False)
    cluster.start([killed])
    send(cluster, topic, range(600, 900))
    serve(members, 900)

    assert [(member.given, member.deprived) for member in members] == before, "members had to join again"
    assert sorted(number for member in members for number in member.read) == list(range(900))
    assert committed(members[0].client, topic) == [100] * PARTITIONS
    for member in members:
        member.client.close()


def test_committed_offsets_outlive_all_nodes(cluster: Cluster) -> None:
    topic = replicated_topic(cluster, PARTITIONS)
    groups = [f"group-{number}-{topic}" for number in range(8)]  # spread over shards and nodes
    for number, group in enumerate(groups):
        client = confluent.consumer(cluster, group)
        client.commit(offsets=[TopicPartition(topic, 0, number)], asynchronous=False)
        client.close()
    cluster.kill_all()
    cluster.start()
    for number, group in enumerate(groups):
        client = confluent.consumer(cluster, group)
        assert committed(client, topic, [0]) == [number]
        client.close()


@pytest.mark.skipif(
    on_kafka(), reason="there, what was led by a killed node is not led by it again for minutes"
)
def test_coordinators_are_spread_and_every_node_names_the_same(cluster: Cluster) -> None:
    groups = [f"spread-{number}" for number in range(40)]

    named: list[list[int]] = []

    def agreed() -> bool:
        named.clear()
        for server in cluster.nodes.values():
            try:
                with server.connect() as connection:
                    named.append([wire.coordinator(connection, group) for group in groups])
            except (OSError, wire.Closed):
                return False
        first, *others = named
        return all(other == first for other in others) and set(first) == set(cluster.nodes)

    until(agreed, 60, lambda: f"one spread of coordinators over the nodes: {named}")
