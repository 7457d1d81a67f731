"""Three nodes of which some are killed or frozen: nothing acknowledged is lost, doubled or reordered."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from confluent_kafka import OFFSET_BEGINNING, TopicPartition
from tests.compat import confluent, wire
from tests.compat.audit import assert_exactly_once_in_order, end_offset, read_all
from tests.compat.clusters import Cluster, until
from tests.compat.conftest import on_kafka, replicated_topic
from tests.compat.load import PARTITIONS, Load

pytestmark = pytest.mark.timeout(240)
NOT_LEADER, TIMED_OUT, FENCED = 6, 7, 74
_producer_ids = itertools.count(1_000_000_000)  # far from those that nodes give out


@contextmanager
def idempotent_load(cluster: Cluster, topic: str) -> Iterator[Load]:
    """A load that repeats until it is told yes; it ends with the block in any case."""
    settings = {"message_timeout_ms": 120_000, "topic_metadata_refresh_fast_interval_ms": 50}
    load = Load(cluster, topic, per_s=4000, enable_idempotence=True, **settings)
    try:
        yield load
    finally:
        load.abandon()


def test_an_idempotent_producer_and_a_reader_over_killed_leaders(cluster: Cluster) -> None:
    topic = replicated_topic(cluster, PARTITIONS)
    reader = confluent.consumer(cluster, f"reader-{topic}", reconnect_backoff_max_ms=100)
    reader.assign([TopicPartition(topic, index, OFFSET_BEGINNING) for index in range(PARTITIONS)])
    read: list[list[int]] = [[] for _ in range(PARTITIONS)]

    def go_on_reading(count: int) -> None:
        for message in confluent.poll(reader, count):
            read[message.partition() or 0].append(int(message.value() or b"-1"))

    with idempotent_load(cluster, topic) as load:
        for partition in range(PARTITIONS):
            load.reach(len(load.acknowledged) + 3000)
            victim = cluster.leader_of(topic, partition)
            cluster.kill(victim)
            load.reach(len(load.acknowledged) + 3000)
            go_on_reading(2000)
            cluster.start([victim])
            cluster.await_in_sync({topic: PARTITIONS}, 3)
        load.finish(60)
    assert_exactly_once_in_order(cluster, topic, load)
    go_on_reading(load.sent - sum(map(len, read)))
    reader.close()
    assert read == [list(range(index, load.sent, PARTITIONS)) for index in range(PARTITIONS)]


def test_all_nodes_killed_at_once_under_load_five_times(cluster: Cluster) -> None:
    topic = replicated_topic(cluster, PARTITIONS)
    with idempotent_load(cluster, topic) as load:
        for _ in range(5):
            load.reach(len(load.acknowledged) + 3000, 60)
            cluster.kill_all()
            cluster.start()
        load.reach(len(load.acknowledged) + 3000, 60)
        load.finish(60)
    assert_exactly_once_in_order(cluster, topic, load)


def test_a_cluster_that_is_stopped_and_started_has_everything(cluster: Cluster) -> None:
    topic = replicated_topic(cluster, PARTITIONS)
    with idempotent_load(cluster, topic) as load:
        load.reach(3000)
        load.finish()
    cluster.stop()
    cluster.start()
    assert_exactly_once_in_order(cluster, topic, load)


def produce_frame(topic: str, value: bytes, acks: int) -> bytes:
    body = wire.produce_body({topic: [0]}, wire.record_batch([value]), acks, timeout_ms=10_000)
    return wire.request(wire.PRODUCE, 3, 7, body)


def next_answer(connection: wire.Connection) -> wire.Reader:
    """The body of the answer that comes next."""
    answer = wire.Reader(connection.receive())
    answer.int32()
    return answer


def taken_at(connection: wire.Connection, topic: str, value: bytes) -> int:
    """Write to a new leader, which may not know of its office as soon as its metadata says so; the offset. It is
    written once, however often that takes."""
    batch = wire.record_batch([value], state=wire.ProducerState(next(_producer_ids), 0, 0))

    def look() -> int | None:
        (result,) = wire.produce(connection, {topic: [0]}, batch)
        assert result.error in (0, NOT_LEADER)
        return result.offset if result.error == 0 else None

    return until(look, 20, f"{value!r} acknowledged")


@pytest.mark.parametrize("acks", [1, -1])
def test_a_leader_that_was_frozen_acknowledges_nothing_that_is_not_kept(cluster: Cluster, acks: int) -> None:
    """Its clients' requests wait in its sockets meanwhile; when it wakes up, another leads."""
    topic = replicated_topic(cluster)
    old = cluster.leader_of(topic)
    with cluster.nodes[old].connect(60) as connection:
        assert taken_at(connection, topic, b"before") == 0
        cluster.pause(old)
        connection.send(produce_frame(topic, b"to the old leader", acks))
        new = cluster.leader_of(topic, besides=[old])
        with cluster.nodes[new].connect(30) as other:
            assert taken_at(other, topic, b"to the new leader") == 1
        cluster.resume(old)
        try:
            ((_, _, error, offset),) = wire.produced(next_answer(connection))
        except wire.Closed:
            error, offset = NOT_LEADER, -1
    cluster.await_serving()
    cluster.await_in_sync({topic: 1}, 3)
    stored = read_all(cluster, topic, 0)
    assert stored[0] == b"before" and stored[1] == b"to the new leader"
    if error == 0 and not (acks == 1 and on_kafka()):  # there, acks=1 promises nothing in this case
        assert stored[offset] == b"to the old leader"
    if not on_kafka():
        assert error in (NOT_LEADER, TIMED_OUT, FENCED)
        assert len(stored) == 2


def test_what_a_frozen_leader_shows_is_not_ahead_of_the_cluster(cluster: Cluster) -> None:
    """A reader at the old leader sees records that the new one has at the same offsets."""
    topic = replicated_topic(cluster)
    old = cluster.leader_of(topic)
    with cluster.nodes[old].connect(60) as connection:
        assert taken_at(connection, topic, b"before") == 0
        cluster.pause(old)
        connection.send(wire.request(wire.FETCH, 4, 9, wire.fetch_body(topic, 0, 0)))
        new = cluster.leader_of(topic, besides=[old])
        confluent.send(cluster, topic, [b"after"], socket_timeout_ms=2000, enable_idempotence=True)
        assert cluster.leader_of(topic, besides=[old]) == new
        cluster.resume(old)
        try:
            error, high_watermark, records = wire.fetched(next_answer(connection))
        except wire.Closed:
            error, high_watermark, records = NOT_LEADER, -1, b""
    if error == 0:
        assert high_watermark <= 1
        assert b"before" in records and b"after" not in records
    cluster.await_serving()
    cluster.await_in_sync({topic: 1}, 3)
    assert read_all(cluster, topic, 0) == {0: b"before", 1: b"after"}
    assert end_offset(cluster, topic, 0) == 2
