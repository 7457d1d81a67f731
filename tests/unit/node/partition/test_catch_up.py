"""What a leader's answer does to a follower's log."""

import logging

import pytest
from tests.unit.node.app.data_path import NOW_MS, Place, World, batch

from odradek.node.partition.catch_up import CatchUp, Step
from odradek.node.partition.partition import Partition
from odradek.proto.kafka.errors import ErrorCode
from odradek.storage.leader_epoch_cache import EpochEndOffset


def records(*counts: int, at: int = 0, epoch: int = 0) -> bytes:
    """Batches as a leader has them."""
    leader = World()
    partition = leader.partition()
    partition.log.truncate_fully_to(at)
    for count in counts:
        partition.log.append_as_leader(batch(count), epoch, NOW_MS)
    data = partition.log.read(at, 1 << 20, partition.log.log_end_offset)
    assert not isinstance(data, ErrorCode)
    return bytes(data)


def follower() -> tuple[World, Partition, CatchUp]:
    world = World()
    world.topics.known["t"].partitions = [Place(leader=2, replicas=(1, 2), isr=(1, 2))]
    partition = world.replicas.open("t", 0, as_follower=True)
    assert isinstance(partition, Partition)
    return world, partition, CatchUp(world.replicas, lambda: NOW_MS)


def test_records_are_appended_as_they_are_and_move_the_position() -> None:
    world, partition, catch_up = follower()
    assert catch_up.take(partition, records(2, 1), 2, 0) is Step.MOVED
    assert partition.log.log_end_offset == 3 and partition.replica.high_watermark == 2
    assert partition.log.high_watermark == 2 and partition.replica.durable_end_offset == 0
    world.flush()
    assert partition.replica.durable_end_offset == 3
    assert catch_up.take(partition, b"", 3, 0) is Step.STAYED and partition.replica.high_watermark == 3
    assert catch_up.take(partition, None, 9, 0) is Step.STAYED and partition.replica.high_watermark == 3


def test_a_blank_log_is_not_loaded_for_nothing() -> None:
    _, partition, catch_up = follower()
    assert catch_up.take(partition, b"", 0, 0) is Step.STAYED
    assert partition.log.is_blank


def test_what_the_leader_deleted_goes_here_too() -> None:
    _, partition, catch_up = follower()
    catch_up.take(partition, records(2, 2), 4, 0)
    assert catch_up.take(partition, b"", 4, 3) is Step.MOVED
    assert partition.log.log_start_offset == 3


def test_what_has_rotted_is_cut_and_fetched_again() -> None:
    world, partition, catch_up = follower()
    catch_up.mend(partition)
    assert partition.log.is_blank, "nothing is loaded for nothing"
    catch_up.take(partition, records(2, 2, 2), 6, 0)
    world.flush()
    catch_up.mend(partition)
    assert partition.log.log_end_offset == 6
    local = partition.log.load()
    assert local is not None
    local.damaged_offset = 2
    local.home.recovery_points[partition.log.name] = 6
    file = world.disk.open("d/t-0/00000000000000000000.log")
    file.pwrite(file.size // 3 + 70, b"rot")
    catch_up.mend(partition)
    assert partition.log.log_end_offset == 6, "others may count on a replica in the ISR"
    partition.replica.isr = (2,)
    catch_up.mend(partition)
    assert partition.log.log_end_offset == 2 == partition.replica.log_end_offset
    assert partition.replica.high_watermark == 2
    assert catch_up.take(partition, records(2, 2, at=2), 6, 0) is Step.MOVED
    assert partition.log.log_end_offset == 6


def test_the_log_is_cut_where_the_histories_part() -> None:
    _, partition, catch_up = follower()
    catch_up.take(partition, records(2, 2), 2, 0)
    catch_up.take(partition, records(3, at=4, epoch=1), 2, 0)
    assert catch_up.truncate(partition, EpochEndOffset(0, 2)) is Step.MOVED
    assert partition.log.log_end_offset == 2 == partition.replica.log_end_offset
    assert partition.log.latest_epoch == 0


def test_a_cut_below_the_high_watermark_is_said_loudly(caplog: pytest.LogCaptureFixture) -> None:
    _, partition, catch_up = follower()
    catch_up.take(partition, records(2, 2), 4, 0)
    with caplog.at_level(logging.ERROR):
        catch_up.truncate_to(partition, 2)
    assert "acknowledged records are lost" in caplog.text
    assert partition.replica.high_watermark == 2 == partition.log.high_watermark


def test_starting_over_where_the_leader_begins() -> None:
    _, partition, catch_up = follower()
    catch_up.take(partition, records(2), 2, 0)
    assert catch_up.start_at(partition, 10) is Step.MOVED
    assert (partition.log.log_start_offset, partition.log.log_end_offset) == (10, 10)
    assert partition.replica.log_end_offset == 10 == partition.replica.high_watermark
    assert catch_up.take(partition, records(1, at=10), 11, 10) is Step.MOVED


def test_a_damaged_batch_is_asked_for_again() -> None:
    _, partition, catch_up = follower()
    damaged = bytearray(records(1))
    damaged[-1] ^= 1
    assert catch_up.take(partition, damaged, 0, 0) is Step.RETRY
    assert partition.log.log_end_offset == 0


def test_a_full_disk_is_tried_again_and_a_failed_one_is_not() -> None:
    world, partition, catch_up = follower()
    world.disk.capacity = 0
    assert catch_up.take(partition, records(1), 0, 0) is Step.RETRY
    world.disk.capacity = None
    assert catch_up.take(partition, records(1), 0, 0) is Step.MOVED
    world.disk.fail_call(1, sticky=True)
    assert catch_up.take(partition, records(1, at=1), 0, 0) is Step.FAILED
    assert catch_up.truncate_to(partition, 0) is Step.FAILED
    assert catch_up.start_at(partition, 5) is Step.FAILED
