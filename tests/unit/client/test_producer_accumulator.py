from __future__ import annotations

from random import Random

import pytest
from tests.unit.client.promises import Told

from odradek.client.errors import (
    DeliveryTimeoutError,
    OdradekError,
    RecordTooLargeError,
    SequenceError,
    UnknownTopicError,
    from_reason,
)
from odradek.client.producer_accumulator import (
    MAX_CALL_BYTES,
    MAX_CALLS_PER_NODE,
    UNKNOWN_TOPIC_PATIENCE_MS,
    Accumulator,
    Call,
    Limits,
)
from odradek.client.producer_batches import Batch
from odradek.client.producer_cluster import ClusterView
from odradek.client.producer_encoding import Identity
from odradek.client.records import RecordMetadata
from odradek.proto.kafka.partitioner import partition_for
from odradek.v1 import log_service_pb2 as pb

LINGER_MS = 5
TIMEOUT_MS = 1_000
ME = Identity(7, 0)
BROKEN = OdradekError("UNAVAILABLE", status="UNAVAILABLE", is_retriable=True)


class Producing:
    """An accumulator whose topic "t" has a leader for each partition, and a clock."""

    def __init__(
        self, leaders: tuple[int, ...] = (1, 2), *, batch_bytes: int = 1_000, is_idempotent: bool = True
    ) -> None:
        self.now_ms = 0
        self.epoch = 0
        self.cluster = ClusterView(Random(1))
        limits = Limits(batch_bytes, LINGER_MS, TIMEOUT_MS, is_idempotent=is_idempotent)
        self.core = Accumulator(limits, self.cluster, partition_for, Random(1))
        self.core.on_identity(ME)
        self.elect(*leaders)

    def elect(self, *leaders: int) -> None:
        self.epoch += 1
        response = pb.MetadataResponse()
        for node in (1, 2, 3):
            response.nodes.add(node_id=node, host="h", port=node)
        topic = response.topics.add(name="t", topic_id=b"a")
        for partition, leader in enumerate(leaders):
            topic.partitions.add(partition=partition, leader_id=leader, leader_epoch=self.epoch)
        self.cluster.mark_stale("t")
        self.now_ms = max(self.now_ms, self.cluster.next_deadline() or 0)
        assert self.cluster.due(self.now_ms)
        learnt = self.cluster.on_metadata(response, self.now_ms)
        self.core.on_topics(learnt.known, learnt.refused, self.now_ms)
        self.core.on_moved(learnt.moved)

    def send(
        self, partition: int | None = 0, *, key: bytes | None = None, size: int = 10, topic: str = "t"
    ) -> Told:
        promise = Told()
        self.core.append(topic, partition, (0, key, b"v", ()), size, promise, self.now_ms)
        return promise

    def drain(self, wait_ms: int = LINGER_MS) -> list[Call]:
        self.now_ms += wait_ms
        return self.core.drain(self.now_ms)

    def one(self, wait_ms: int = LINGER_MS) -> Batch:
        """The only batch of the only call."""
        calls = self.drain(wait_ms)
        assert [len(call.batches) for call in calls] == [1], calls
        return calls[0].batches[0]

    def fail(self, batch: Batch, error: OdradekError, node_id: int = 1) -> None:
        self.core.on_call_ended(node_id)
        self.core.on_failure(batch, error, self.now_ms)

    def succeed(self, batch: Batch, offset: int = 0, node_id: int = 1) -> None:
        self.core.on_call_ended(node_id)
        self.core.on_success(batch, offset, -1)


# -- when


def test_a_batch_lingers() -> None:
    producing = Producing()
    producing.send()
    assert producing.core.next_deadline(0) == LINGER_MS
    assert producing.drain(LINGER_MS - 1) == []
    assert len(producing.one(1).entries) == 1


def test_a_full_batch_does_not_linger() -> None:
    producing = Producing(batch_bytes=200)
    for _ in range(15):
        producing.send()
    assert len(producing.one(0).entries) == 13, "61 bytes of 200 are the batch's own"


@pytest.mark.parametrize("how", ["flush", "pressed"])
def test_nothing_lingers_while_somebody_waits(how: str) -> None:
    producing = Producing()
    producing.send()
    if how == "flush":
        producing.core.flush()
    producing.core.is_pressed = how == "pressed"
    assert producing.one(0)


def test_a_partition_with_a_batch_under_way_waits() -> None:
    producing = Producing()
    producing.send()
    first = producing.one()
    promise = producing.send()
    assert producing.drain() == []
    producing.succeed(first, 5)
    second = producing.one(0)
    producing.succeed(second, 6)
    assert promise.result == RecordMetadata("t", 0, 6, 0)


def test_partitions_of_one_leader_share_a_call() -> None:
    producing = Producing((1, 2, 1))
    for partition in (0, 1, 2):
        producing.send(partition)
    calls = producing.drain()
    assert {call.node_id: [batch.queue.partition for batch in call.batches] for call in calls} == {
        1: [0, 2],
        2: [1],
    }


def test_a_call_is_not_too_large() -> None:
    producing = Producing((1,) * 4, batch_bytes=MAX_CALL_BYTES)
    for partition in range(4):
        producing.send(partition, size=MAX_CALL_BYTES // 2 - 100)
    assert [len(call.batches) for call in producing.drain()] == [2, 2]


def test_a_node_gets_so_many_calls_at_a_time() -> None:
    producing = Producing((1,) * (MAX_CALLS_PER_NODE + 2))
    batches = []
    for partition in range(MAX_CALLS_PER_NODE):
        producing.send(partition)
        batches.append(producing.one())
    for partition in range(MAX_CALLS_PER_NODE, MAX_CALLS_PER_NODE + 2):
        producing.send(partition)
    assert producing.drain() == []
    producing.succeed(batches[0])
    assert [len(call.batches) for call in producing.drain(0)] == [2]


def test_without_a_leader_nothing_is_sent_and_somebody_is_asked() -> None:
    producing = Producing((-1,))
    producing.send()
    assert producing.drain() == []
    assert producing.cluster.due(10_000) == ("t",)


# -- where


def test_a_key_decides() -> None:
    producing = Producing((1, 1))
    producing.send(None, key=b"21")
    assert producing.one().queue.partition == partition_for(b"21", 2)


def test_records_without_a_key_stay_together_until_their_batch_is_sent() -> None:
    producing = Producing((1,) * 64)
    partitions = []
    for _ in range(4):
        for _ in range(5):
            producing.send(None)
        batch = producing.one()
        assert len(batch.entries) == 5
        partitions.append(batch.queue.partition)
    assert len(set(partitions)) > 1, "another batch, another partition"


def test_a_partition_that_is_not_known_waits_for_one() -> None:
    producing = Producing((1,))
    promise = producing.send(9)
    assert producing.drain() == []
    producing.drain(TIMEOUT_MS)
    assert isinstance(promise.error, DeliveryTimeoutError)
    assert not promise.error.is_unknown


# -- topics that nobody knows


def test_records_wait_for_their_topic() -> None:
    producing = Producing()
    cluster, core = ClusterView(Random(1)), producing.core
    producing.core._cluster = cluster
    promise = producing.send(None, topic="new")
    assert core.has_waiting
    assert cluster.due(0) == ("new",)
    response = pb.MetadataResponse()
    response.nodes.add(node_id=1, host="h", port=1)
    response.topics.add(name="new", topic_id=b"n").partitions.add(partition=0, leader_id=1)
    learnt = cluster.on_metadata(response, 0)
    core.on_topics(learnt.known, learnt.refused, 0)
    assert not core.has_waiting
    producing.succeed(producing.one(), 3)
    assert promise.result.offset == 3


def test_a_topic_that_stays_unknown_does_not_exist() -> None:
    producing = Producing()
    promise = producing.send(topic="new")
    error = from_reason("UNKNOWN_TOPIC_OR_PARTITION")
    producing.core.on_topics({}, {"new": error}, UNKNOWN_TOPIC_PATIENCE_MS - 1)
    assert not promise.done(), "perhaps it is being created"
    producing.core.on_topics({}, {"new": error}, UNKNOWN_TOPIC_PATIENCE_MS)
    assert isinstance(promise.error, UnknownTopicError)
    assert producing.core.freed_bytes == 10


def test_a_topic_that_is_not_allowed_fails_at_once() -> None:
    producing = Producing()
    promise = producing.send(topic="no good")
    producing.core.on_topics({}, {"no good": from_reason("INVALID_TOPIC_EXCEPTION")}, 0)
    assert promise.error is not None


def test_a_topic_of_which_nobody_says_anything_times_out() -> None:
    producing = Producing()
    promise = producing.send(topic="new")
    assert producing.core.next_deadline(0) == TIMEOUT_MS
    producing.drain(TIMEOUT_MS)
    assert isinstance(promise.error, DeliveryTimeoutError)


# -- outcomes


def test_an_unknown_outcome_is_repeated_with_the_same_bytes() -> None:
    producing = Producing()
    producing.send()
    batch = producing.one()
    encoded = batch.encode(0)
    producing.fail(batch, BROKEN)
    assert producing.drain(0) == [], "not at once"
    deadline = producing.core.next_deadline(producing.now_ms)
    assert deadline is not None
    again = producing.one(deadline - producing.now_ms)
    assert again is batch
    assert again.encode(0) is encoded


def test_what_follows_an_unknown_outcome_waits_behind_it() -> None:
    producing = Producing()
    producing.send()
    batch = producing.one()
    producing.send()
    producing.core.flush()
    producing.fail(batch, BROKEN)
    assert producing.one(500) is batch


def test_a_new_leader_is_asked_at_once() -> None:
    producing = Producing((1,))
    producing.send()
    batch = producing.one()
    producing.fail(batch, from_reason("NOT_LEADER_OR_FOLLOWER"))
    assert producing.drain(1) == [], "the pause after an attempt"
    producing.elect(2)
    assert [call.node_id for call in producing.drain(0)] == [2]


def test_what_was_refused_gives_its_numbers_back() -> None:
    producing = Producing()
    promise = producing.send()
    producing.fail(producing.one(), from_reason("INVALID_RECORD"))
    assert promise.error is not None
    producing.send()
    following = producing.one()
    assert (following.identity, following.base_sequence) == (ME, 0)


def test_after_an_unknown_end_comes_a_new_identity() -> None:
    producing = Producing()
    promise = producing.send()
    producing.fail(producing.one(), BROKEN)
    producing.drain(TIMEOUT_MS)
    assert isinstance(promise.error, DeliveryTimeoutError)
    assert promise.error.is_unknown
    producing.send()
    assert producing.drain() == []
    assert producing.core.wants_identity
    producing.core.on_identity(Identity(8, 0))
    following = producing.one(0)
    assert (following.identity, following.base_sequence) == (Identity(8, 0), 0)


def test_other_partitions_keep_their_identity() -> None:
    producing = Producing((1, 1))
    producing.send(1)
    producing.succeed(producing.one())
    producing.send(0)
    producing.fail(producing.one(), BROKEN)
    producing.drain(TIMEOUT_MS)
    producing.core.on_identity(Identity(8, 0))
    producing.send(1)
    batch = producing.one()
    assert (batch.identity, batch.base_sequence) == (ME, 1)


@pytest.mark.parametrize("reason", ["OUT_OF_ORDER_SEQUENCE_NUMBER", "UNKNOWN_PRODUCER_ID"])
def test_a_partition_that_lost_sight_gets_the_batch_under_a_new_identity(reason: str) -> None:
    producing = Producing()
    promise = producing.send()
    producing.fail(producing.one(), from_reason(reason))
    assert not promise.done()
    assert producing.drain(400) == []
    producing.core.on_identity(Identity(8, 0))
    again = producing.one(0)
    assert (again.identity, again.base_sequence, again.attempts) == (Identity(8, 0), 0, 2)


def test_it_is_not_sent_under_another_identity_if_it_may_be_written() -> None:
    producing = Producing()
    promise = producing.send()
    producing.fail(producing.one(), BROKEN)
    producing.fail(producing.one(500), from_reason("UNKNOWN_PRODUCER_ID"))
    assert isinstance(promise.error, SequenceError)
    producing.send()
    assert producing.drain() == []
    assert producing.core.wants_identity


def test_a_batch_that_is_too_large_is_split() -> None:
    producing = Producing()
    promises = [producing.send() for _ in range(3)]
    producing.fail(producing.one(), from_reason("MESSAGE_TOO_LARGE"))
    producing.succeed(producing.one(0), 0)
    producing.succeed(producing.one(0), 1)
    assert [promise.result.offset for promise in promises] == [0, 1, 2]
    assert producing.core.freed_bytes == 30


def test_a_record_that_is_too_large_fails_alone() -> None:
    producing = Producing()
    promises = [producing.send() for _ in range(2)]
    too_large = from_reason("MESSAGE_TOO_LARGE")
    producing.fail(producing.one(), too_large)
    producing.fail(producing.one(0), too_large)
    producing.succeed(producing.one(0), 9)
    assert isinstance(promises[0].error, RecordTooLargeError)
    assert promises[1].result.offset == 9


def test_a_duplicate_was_written() -> None:
    producing = Producing()
    promise = producing.send()
    producing.fail(producing.one(), from_reason("DUPLICATE_SEQUENCE_NUMBER"))
    assert promise.result == RecordMetadata("t", 0, -1, 0)


def test_a_batch_under_way_does_not_time_out_by_itself() -> None:
    producing = Producing()
    promise = producing.send()
    calls = producing.drain()
    assert calls[0].timeout_ms == TIMEOUT_MS - LINGER_MS
    assert producing.drain(TIMEOUT_MS) == []
    assert not promise.done(), "its call ends with the batch's time, and says so"
    producing.fail(calls[0].batches[0], OdradekError("DEADLINE_EXCEEDED", status="DEADLINE_EXCEEDED"))
    producing.drain(0)
    assert isinstance(promise.error, DeliveryTimeoutError)


def test_without_idempotence_nothing_is_numbered() -> None:
    producing = Producing(is_idempotent=False)
    producing.send()
    assert producing.one().base_sequence == -1


def test_the_pause_grows_with_the_attempts() -> None:
    producing = Producing()
    producing.send()
    pauses = []
    for _ in range(4):
        calls = producing.drain()
        assert calls
        producing.fail(calls[0].batches[0], from_reason("NOT_ENOUGH_REPLICAS"))
        deadline = producing.core.next_deadline(producing.now_ms)
        assert deadline is not None
        pauses.append(deadline - producing.now_ms)
        producing.now_ms = deadline
    assert pauses == sorted(pauses)
    assert pauses[-1] > 2 * pauses[0]


# -- flushing, closing, room


def test_a_flush_ends_when_all_of_its_time_is_decided() -> None:
    producing = Producing()
    producing.send()
    mark = producing.core.flush()
    batch = producing.one(0)
    producing.send()
    assert not producing.core.is_flushed(mark)
    producing.succeed(batch)
    assert producing.core.is_flushed(mark), "what came later is not of that flush"


def test_all_room_is_given_back() -> None:
    producing = Producing((1, 1))
    for size in (10, 20, 30):
        producing.send(0, size=size)
    producing.send(1, size=40)
    producing.send(topic="new", size=50)
    for call in producing.drain():
        for batch in call.batches:
            producing.core.on_success(batch, 0, -1)
    assert producing.core.freed_bytes == 100
    producing.core.fail_all(OdradekError("CLOSED"))
    assert producing.core.freed_bytes == 150


def test_whoever_is_left_hears_of_the_end() -> None:
    producing = Producing()
    promises = [producing.send(), producing.send(1), producing.send(topic="new")]
    producing.drain()
    promises.append(producing.send())
    producing.core.fail_all(OdradekError("CLOSED"))
    assert all(promise.error is not None for promise in promises)
    assert producing.core.next_deadline(producing.now_ms) is None
