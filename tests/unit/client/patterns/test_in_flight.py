from __future__ import annotations

from random import Random

from odradek.client.patterns.in_flight import InFlight
from odradek.client.records import ConsumerRecord, TopicPartition


def record(offset: int, partition: int = 0) -> ConsumerRecord:
    return ConsumerRecord("t", partition, offset, 0, None, b"")


def test_only_a_finished_prefix_is_acknowledged() -> None:
    flight = InFlight()
    first, second, third = (flight.begin(record(offset)) for offset in range(3))
    assert flight.finish(second) is None
    assert flight.finish(first) == record(1)
    assert len(flight) == 1
    assert flight.finish(third) == record(2)
    assert len(flight) == 0


def test_partitions_do_not_wait_for_each_other() -> None:
    flight = InFlight()
    flight.begin(record(0))
    other = flight.begin(record(5, partition=1))
    assert flight.finish(other) == record(5, partition=1)


def test_a_partition_that_was_taken_away_is_not_acknowledged() -> None:
    flight = InFlight()
    gone = flight.begin(record(0))
    kept = flight.begin(record(0, partition=1))
    flight.keep_only({TopicPartition("t", 1)})
    assert flight.finish(gone) is None
    assert flight.finish(kept) == record(0, partition=1)


def test_a_partition_that_came_back_begins_anew() -> None:
    flight = InFlight()
    old = flight.begin(record(3))
    flight.keep_only(())
    new = flight.begin(record(3))
    assert flight.finish(old) is None
    assert flight.finish(new) == record(3)


def test_whatever_the_order_nothing_is_acknowledged_before_what_is_in_front_of_it() -> None:
    for seed in range(50):
        random = Random(seed)
        flight = InFlight()
        tickets = [flight.begin(record(offset)) for offset in range(30)]
        finished: set[int] = set()
        acknowledged = -1
        for ticket in random.sample(tickets, len(tickets)):
            finished.add(ticket.record.offset)
            last = flight.finish(ticket)
            if last is not None:
                assert set(range(last.offset + 1)) <= finished, f"seed {seed}"
                acknowledged = last.offset
        assert acknowledged == 29, f"seed {seed}"
