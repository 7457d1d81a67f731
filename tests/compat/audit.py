"""Reading everything back: what a partition holds, compared with what its writers were told.

Decides: what lost, doubled and reordered mean. Reads as any consumer would, from the first record to the end.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping

from confluent_kafka import OFFSET_BEGINNING, TopicPartition
from tests.compat import confluent, wire
from tests.compat.clusters import Cluster, until
from tests.compat.load import PARTITIONS, Load

_readers = itertools.count(1)


def end_offset(cluster: Cluster, topic: str, partition: int) -> int:
    """The log end that the leader tells, once there is one that tells it."""

    def look() -> int | None:
        leader = cluster.leader_of(topic, partition)
        with cluster.nodes[leader].connect() as connection:
            (end,) = wire.list_offsets(connection, {topic: [partition]})
        return end.offset if end.error == 0 else None

    return until(look, 30, f"an end offset of {topic}-{partition}")


def read_all(cluster: Cluster, topic: str, partition: int) -> dict[int, bytes]:
    """Offset -> value of everything in a partition."""
    end = end_offset(cluster, topic, partition)
    consumer = confluent.consumer(cluster, f"auditor-{next(_readers)}")
    consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING)])
    messages = confluent.poll(consumer, end)
    consumer.close()
    assert len(messages) == end, f"{len(messages)} of {end} records could be read from {topic}-{partition}"
    return {int(message.offset() or 0): bytes(message.value() or b"") for message in messages}


def lost(load: Load, stored: Mapping[int, Mapping[int, bytes]]) -> dict[int, tuple[int, int]]:
    """Number -> (partition, offset) of acknowledged records that are not where they were said to be, or nowhere."""
    gone = {
        number: place
        for number, place in load.acknowledged.items()
        if stored[place[0]].get(place[1]) != str(number).encode()
    }
    if any(offset < 0 for _, offset in gone.values()):
        values = {partition: frozenset(found.values()) for partition, found in stored.items()}
        gone = {
            number: (partition, offset)
            for number, (partition, offset) in gone.items()
            if offset >= 0 or str(number).encode() not in values[partition]
        }
    return gone


def assert_exactly_once_in_order(cluster: Cluster, topic: str, load: Load) -> None:
    """Each record of a finished idempotent load is there once, in the order of its partition, where it was said."""
    assert not load.failed, f"{len(load.failed)} failed: {min(load.failed.items())}"
    stored = {partition: read_all(cluster, topic, partition) for partition in range(PARTITIONS)}
    gone = lost(load, stored)
    assert not gone, (
        f"{len(gone)} of {len(load.acknowledged)} acknowledged records lost, first {min(gone.items())}"
    )
    for partition, values in stored.items():
        numbers = [int(values[offset]) for offset in sorted(values)]
        assert numbers == list(range(partition, load.sent, PARTITIONS)), (
            f"partition {partition}: not once, in order"
        )
