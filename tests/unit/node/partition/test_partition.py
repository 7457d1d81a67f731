"""What a partition says of itself."""

from tests.unit.node.app.data_path import Place, World, batch

from odradek.storage.log_config import LogConfig


def test_an_epoch_ends_where_the_next_begins_even_without_records() -> None:
    world = World()
    world.produce(("t", 0, batch(3)))
    world.flush()
    partition = world.partition()
    partition.replica.become_leader(Place(leader_epoch=4), 3, 3, 0)
    assert partition.end_of_epoch(0) == (0, 3)
    assert partition.end_of_epoch(2) == (0, 3), "an epoch that this log has nothing of"
    assert partition.end_of_epoch(4) == (4, 3)
    assert partition.end_of_epoch(5) == (-1, -1)
    world.produce(("t", 0, batch(2)))
    assert (partition.end_of_epoch(2), partition.end_of_epoch(4)) == ((0, 3), (4, 5))


def test_in_an_empty_log_every_earlier_epoch_ends_at_its_beginning() -> None:
    partition = World().partition()
    partition.replica.become_leader(Place(leader_epoch=4), 0, 0, 0)
    assert partition.end_of_epoch(2) == (2, 0)


def test_a_topic_that_does_not_wait_for_its_sync_counts_all_of_its_log() -> None:
    world = World()
    world.topics.config = LogConfig(flush_messages=100)
    world.produce(("t", 0, batch(3)))
    partition = world.partition()
    assert partition.log.flushed_offset == 0 and partition.durable_end_offset == 3
    assert repr(partition) == "t-0"
