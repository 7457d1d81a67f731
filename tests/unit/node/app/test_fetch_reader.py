"""Who may read what of a partition, and up to where."""

import pytest
from tests.unit.node.app.data_path import Place, World, at, batch

from odradek.node.app.fetch_command import FetchCommand, FetchedPartition
from odradek.node.app.fetch_reader import FetchReader
from odradek.node.partition.fetch_session import FetchPartition
from odradek.node.partition.partition import Partition
from odradek.proto.kafka.record_batch import iter_headers


class Followers:
    def __init__(self) -> None:
        self.heard: list[tuple[int, int, int, int]] = []

    def on_follower_fetch(
        self,
        partition: Partition,
        broker_id: int,
        broker_epoch: int,
        fetch_offset: int,
        log_start_offset: int,
    ) -> None:
        self.heard.append((broker_id, broker_epoch, fetch_offset, log_start_offset))


class Throttle:
    def __init__(self) -> None:
        self.is_open = True
        self.sent = 0

    def may_send(self, partition: Partition, follower_id: int) -> bool:
        return self.is_open

    def on_sent(self, partition: Partition, follower_id: int, size: int) -> None:
        self.sent += size


def led(place: Place | None = None) -> tuple[World, FetchReader, Followers]:
    """Three records on disk and below the high watermark, two more only appended."""
    world = World()
    world.topics.known["t"].partitions = [place or Place(replicas=(1, 2, 3), isr=(1,))]
    world.produce(("t", 0, batch(3)))
    world.flush()
    world.produce(("t", 0, batch(2)))
    reader = FetchReader(world.replicas, world.topics.name_of)
    reader.followers = followers = Followers()
    return world, reader, followers


def read(
    reader: FetchReader,
    asked: FetchPartition,
    replica_id: int = -1,
    rack: str = "",
    may_follow: bool = True,
    remaining: int = 1 << 20,
) -> FetchedPartition:
    command = FetchCommand(
        replica_id, 0, 1, 1 << 20, 0, 0, -1, [], (), True, 7, rack_id=rack, may_read_followers=may_follow
    )
    return reader.read(command, asked, remaining, first=True)


def offsets(answer: FetchedPartition) -> list[int]:
    return [header.base_offset for _, header in iter_headers(answer.records)]


def test_a_follower_reads_to_the_end_of_the_log_and_tells_once_what_it_has() -> None:
    _, reader, followers = led()
    asked = at(0, epoch=0)
    asked.log_start_offset = 0
    answer = read(reader, asked, replica_id=2)
    assert offsets(answer) == [0, 3] and answer.high_watermark == 3 and answer.end_offset == 5
    read(reader, asked, replica_id=2)
    assert followers.heard == [(2, 7, 0, 0)]


def test_a_consumer_reads_to_the_high_watermark_and_tells_nothing() -> None:
    _, reader, followers = led()
    answer = read(reader, at(0))
    assert offsets(answer) == [0] and not followers.heard


@pytest.mark.parametrize(("epoch", "error"), [(0, "UNKNOWN_LEADER_EPOCH"), (-1, "NOT_LEADER_OR_FOLLOWER")])
def test_whoever_is_no_replica_is_served_as_none(epoch: int, error: str) -> None:
    _, reader, followers = led()
    assert read(reader, at(0, epoch=epoch), replica_id=9).error.name == error
    assert not followers.heard


def test_a_follower_out_of_range_or_diverging_has_told_nothing() -> None:
    _, reader, followers = led()
    assert read(reader, at(9, epoch=0), replica_id=2).error.name == "OFFSET_OUT_OF_RANGE"
    diverging = at(9, epoch=0)
    diverging.last_fetched_epoch = 0
    answer = read(reader, diverging, replica_id=2)
    assert answer.diverging == (0, 5) and not followers.heard


def test_a_node_that_may_have_been_replaced_does_not_know_what_there_is_not() -> None:
    """A consumer would begin anew at an offset that another leader, which has more, would not have refused."""
    world, reader, _ = led()
    assert read(reader, at(6)).error.name == "OFFSET_OUT_OF_RANGE"
    world.lease.held = False
    assert read(reader, at(6)).error.name == "NOT_LEADER_OR_FOLLOWER"
    assert read(reader, at(6, epoch=0), replica_id=2).error.name == "OFFSET_OUT_OF_RANGE"
    assert read(reader, at(-1)).error.name == "OFFSET_OUT_OF_RANGE", "no leader has that"
    assert read(reader, at(0)).error.name == "NONE"


def test_a_throttled_follower_gets_nothing_and_is_told_that_there_is_something() -> None:
    _, reader, _ = led()
    reader.throttle = throttle = Throttle()
    assert len(read(reader, at(0, epoch=0), replica_id=2).records) == throttle.sent > 0
    throttle.is_open = False
    answer = read(reader, at(0, epoch=0), replica_id=2)
    assert not answer.records and answer.is_held_back and not answer.is_quiet
    assert read(reader, at(0)).records, "consumers are not replicas"


def test_what_does_not_fit_is_held_back() -> None:
    _, reader, _ = led()
    command = FetchCommand(-1, 0, 1, 1 << 20, 0, 0, -1, [], (), True)
    answer = reader.read(command, at(0), 10, first=False)
    assert not answer.records and answer.is_held_back


def test_a_consumer_that_knows_of_followers_reads_from_one_and_others_do_not() -> None:
    world, reader, _ = led(Place(leader=2, replicas=(1, 2), isr=(1, 2)))
    assert read(reader, at(0)).error.name == "NOT_LEADER_OR_FOLLOWER", "it is not open yet"
    partition = world.replicas.open("t", 0, as_follower=True)
    assert isinstance(partition, Partition)
    assert read(reader, at(0)).error.name == "NONE"
    assert read(reader, at(0, epoch=3)).error.name == "UNKNOWN_LEADER_EPOCH"
    assert read(reader, at(0), may_follow=False).error.name == "NOT_LEADER_OR_FOLLOWER"
    assert read(reader, at(0), replica_id=2).error.name == "NOT_LEADER_OR_FOLLOWER"


def test_a_consumer_in_another_rack_is_sent_there() -> None:
    _, reader, _ = led()
    reader.preferred_replica = lambda partition, rack, offset: 3 if rack == "far" else -1
    answer = read(reader, at(0), rack="far")
    assert answer.preferred_read_replica == 3 and not answer.records and answer.high_watermark == 3
    assert read(reader, at(0), rack="here").records
    assert read(reader, at(0)).records
    assert read(reader, at(0, epoch=0), replica_id=2, rack="far").records


def test_what_was_found_is_kept_until_it_is_closed() -> None:
    world, reader, _ = led()
    asked = at(0)
    read(reader, asked)
    partition = world.partition()
    assert asked.readable is partition
    deleted = world.topics.known.pop("t")
    world.replicas.on_topics_changed([deleted], [])
    assert partition.is_closed
    assert read(reader, asked).error.name == "UNKNOWN_TOPIC_ID" and asked.readable is None
