from tests.unit.node.app.data_path import NOW_MS, Place, World, batch

from odradek.node.app.list_offsets import (
    EARLIEST,
    EARLIEST_LOCAL,
    EARLIEST_PENDING_UPLOAD,
    LATEST,
    LATEST_TIERED,
    MAX_TIMESTAMP,
    ListedOffset,
)
from odradek.proto.kafka.errors import ErrorCode


def filled() -> World:
    world = World()
    world.produce(("t", 0, batch(3)))
    world.flush()
    return world


def ask(world: World, timestamp: int, topic: str = "t", epoch: int = -1, isolation: int = 0) -> ListedOffset:
    return world.list_offsets.list_offset(topic, 0, timestamp, epoch, isolation)


def test_special_positions() -> None:
    world = filled()
    assert ask(world, LATEST) == ListedOffset(ErrorCode.NONE, -1, 3, 0)
    assert ask(world, EARLIEST) == ListedOffset(ErrorCode.NONE, -1, 0, 0)
    assert ask(world, EARLIEST_LOCAL) == ListedOffset(ErrorCode.NONE, -1, 0, 0)
    assert ask(world, MAX_TIMESTAMP) == ListedOffset(ErrorCode.NONE, NOW_MS, 0, 0)
    assert ask(world, LATEST_TIERED) == ask(world, EARLIEST_PENDING_UPLOAD) == ListedOffset(ErrorCode.NONE)


def test_by_timestamp() -> None:
    world = filled()
    assert ask(world, NOW_MS) == ListedOffset(ErrorCode.NONE, NOW_MS, 0, 0)
    assert ask(world, NOW_MS + 1) == ListedOffset(ErrorCode.NONE)


def test_latest_counts_only_what_is_durable() -> None:
    world = filled()
    world.produce(("t", 0, batch()))
    assert ask(world, LATEST).offset == 3
    world.flush()
    assert ask(world, LATEST).offset == 4
    assert ask(world, LATEST, isolation=1).offset == 4


def test_errors() -> None:
    world = filled()
    assert ask(world, LATEST, topic="missing").error is ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    assert ask(world, LATEST, topic="led").error is ErrorCode.NOT_LEADER_OR_FOLLOWER
    assert ask(world, LATEST, epoch=4).error is ErrorCode.UNKNOWN_LEADER_EPOCH


def test_the_end_of_an_epoch() -> None:
    world = filled()
    assert world.list_offsets.end_of_epoch("t", 0, 0, -1) == (ErrorCode.NONE, 0, 3)
    assert world.list_offsets.end_of_epoch("t", 0, 9, 4)[0] is ErrorCode.UNKNOWN_LEADER_EPOCH


def test_an_epoch_has_begun_before_its_first_record() -> None:
    world = World()
    assert world.list_offsets.end_of_epoch("t", 0, 0, -1) == (ErrorCode.NONE, 0, 0)
    assert ask(world, EARLIEST) == ListedOffset(ErrorCode.NONE, -1, 0, 0)


def unsure() -> World:
    """A leader that was elected with more in its log than it knows to be committed."""
    world = World()
    world.produce(("t", 0, batch(4)))
    world.flush()
    partition = world.partition()
    place = Place(leader_epoch=3, isr=(1, 2), replicas=(1, 2), partition_epoch=1)
    partition.replica.on_loaded(4, 4, 1)
    partition.replica.become_leader(place, 4, 4, 0)
    return world


def test_a_leader_that_does_not_know_yet_what_is_committed_says_so() -> None:
    world = unsure()
    service = world.list_offsets
    assert service.list_offset("t", 0, LATEST, -1, 0).error is ErrorCode.OFFSET_NOT_AVAILABLE
    assert service.list_offset("t", 0, 10**15, -1, 0).error is ErrorCode.OFFSET_NOT_AVAILABLE
    assert service.list_offset("t", 0, EARLIEST, -1, 0).offset == 0
    world.partition().replica.on_follower_fetch(2, 4, 0, 0, -1)
    assert service.list_offset("t", 0, LATEST, -1, 0).offset == 4


def test_a_replica_sees_the_log_to_its_end() -> None:
    found = unsure().list_offsets.list_offset("t", 0, LATEST, 3, 0, is_replica=True)
    assert (found.error, found.offset, found.leader_epoch) == (ErrorCode.NONE, 4, 3)
