from __future__ import annotations

import pytest
from tests.unit.client.promises import Told

from odradek.client.errors import OdradekError
from odradek.client.producer_batches import Batch, PartitionQueue
from odradek.client.producer_encoding import ANONYMOUS, BATCH_OVERHEAD, NO_SEQUENCE, Identity
from odradek.client.records import RecordMetadata
from odradek.proto.kafka.record_batch import parse_header

ME = Identity(7, 0)


def add(queue: PartitionQueue, count: int, timestamp_ms: int = 1) -> Batch:
    """A closed batch of so many records of 10 bytes."""
    batch = queue.open = Batch(queue, 0, 1000)
    for number in range(count):
        batch.append((timestamp_ms, None, b"%d" % number, ()), 10, Told())
    queue.close_open()
    return batch


def told(batch: Batch) -> list[Told]:
    return [promise for promise in batch.promises if isinstance(promise, Told)]


def test_batches_go_in_the_order_in_which_they_were_opened() -> None:
    queue = PartitionQueue("t", 0)
    first, second = add(queue, 1), add(queue, 1)
    assert queue.take() is first
    queue.put_back(first)
    assert queue.take() is first
    queue.finish(first)
    assert queue.take() is second


def test_one_batch_is_under_way_at_a_time() -> None:
    queue = PartitionQueue("t", 0)
    add(queue, 1)
    add(queue, 1)
    queue.take()
    with pytest.raises(AssertionError):
        queue.take()


def test_sequences_have_no_gap() -> None:
    queue = PartitionQueue("t", 0)
    for count, base in ((3, 0), (2, 3), (1, 5)):
        batch = add(queue, count)
        queue.number(queue.take(), ME)
        assert (batch.identity, batch.base_sequence) == (ME, base)
        queue.finish(batch)


def test_sequences_begin_again_after_the_greatest() -> None:
    queue = PartitionQueue("t", 0)
    queue.identity, queue.next_sequence = ME, 0x7FFFFFFF
    batch = add(queue, 3)
    queue.number(queue.take(), ME)
    assert batch.base_sequence == 0x7FFFFFFF
    assert queue.next_sequence == 2


def test_a_batch_keeps_its_number_and_bytes_when_it_is_tried_again() -> None:
    queue = PartitionQueue("t", 0)
    batch = add(queue, 3)
    queue.number(queue.take(), ME)
    encoded = batch.encode(0)
    queue.put_back(batch)
    queue.number(queue.take(), Identity(8, 0))
    assert batch.encode(0) is encoded
    assert parse_header(encoded).producer_id == 7
    assert (batch.base_sequence, queue.next_sequence) == (0, 3)


def test_what_was_certainly_not_written_gives_its_numbers_back() -> None:
    queue = PartitionQueue("t", 0)
    batch = add(queue, 3)
    queue.number(queue.take(), ME)
    queue.put_back(batch)
    queue.give_up(batch)
    following = add(queue, 1)
    queue.number(queue.take(), Identity(8, 0))
    assert (following.identity, following.base_sequence) == (ME, 0)


def test_after_what_was_perhaps_written_comes_another_identity() -> None:
    queue = PartitionQueue("t", 0)
    batch = add(queue, 3)
    queue.number(queue.take(), ME)
    batch.is_unknown = True
    queue.put_back(batch)
    queue.give_up(batch)
    following = add(queue, 1)
    queue.number(queue.take(), Identity(8, 0))
    assert (following.identity, following.base_sequence) == (Identity(8, 0), 0)


def test_halves_are_tried_in_order_and_numbered_anew() -> None:
    queue = PartitionQueue("t", 0)
    batch, following = add(queue, 5), add(queue, 1)
    queue.number(queue.take(), ME)
    batch.encode(0)
    queue.put_back(batch)
    queue.split(batch)
    bases = []
    for count in (2, 3, 1):
        half = queue.take()
        queue.number(half, ME)
        assert parse_header(half.encode(0)).record_count == count
        bases.append(half.base_sequence)
        queue.finish(half)
    assert bases == [0, 2, 5]
    assert queue.is_empty
    assert following.base_sequence == 5


def test_halves_are_as_large_as_the_whole() -> None:
    queue = PartitionQueue("t", 0)
    batch = add(queue, 3)
    batch.size += 2
    queue.split(batch)
    assert sum(half.size - BATCH_OVERHEAD for half in queue.closed) == batch.size - BATCH_OVERHEAD
    assert {half.id for half in queue.closed} == {batch.id}


def test_every_record_is_told_its_place() -> None:
    batch = add(PartitionQueue("t", 4), 3, timestamp_ms=55)
    batch.succeed(100, -1)
    results = [promise.result for promise in told(batch)]
    assert results == [RecordMetadata("t", 4, offset, 55) for offset in (100, 101, 102)]
    assert all(isinstance(result, RecordMetadata) for result in results)


def test_the_time_of_the_log_goes_before_that_of_the_record() -> None:
    batch = add(PartitionQueue("t", 4), 1, timestamp_ms=55)
    batch.succeed(100, 77)
    assert told(batch)[0].result.timestamp_ms == 77


def test_written_and_nobody_knows_where() -> None:
    batch = add(PartitionQueue("t", 4), 2)
    batch.succeed(-1, -1)
    assert [promise.result.offset for promise in told(batch)] == [-1, -1]


def test_who_does_not_want_to_know_is_not_told() -> None:
    batch = add(PartitionQueue("t", 4), 2)
    told(batch)[0].is_cancelled = True
    batch.fail(OdradekError("INVALID_RECORD"))
    assert told(batch)[0].error is None
    assert told(batch)[1].error is not None


def test_a_batch_of_nobody_in_particular_is_not_numbered() -> None:
    batch = add(PartitionQueue("t", 4), 2)
    assert (batch.identity, batch.base_sequence) == (ANONYMOUS, NO_SEQUENCE)
    assert parse_header(batch.encode(0)).base_sequence == -1
