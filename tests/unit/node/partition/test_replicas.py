"""The shell around replica and log: opening, wake-ups, deletion, failure."""

from tests.unit.node.app.data_path import Place, World, batch

from odradek.node.partition.replicas import Partition
from odradek.node.partition.waiters import BROKEN
from odradek.proto.kafka.errors import ErrorCode
from odradek.storage.log_config import LogConfig


class Watcher:
    def __init__(self) -> None:
        self.calls = 0
        self.broken = False

    def on_change(self, partition: Partition, change: int) -> bool:
        self.broken = bool(change & BROKEN)
        return True

    def wake(self) -> None:
        self.calls += 1


def test_a_partition_is_opened_at_its_first_use_and_kept() -> None:
    world = World()
    assert not world.replicas.opened()
    first = world.partition()
    assert world.partition() is first and list(world.replicas.opened()) == [("t", 0)]


def test_what_cannot_be_opened_says_why() -> None:
    world = World()
    assert world.replicas.find("missing", 0) is ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    assert world.replicas.find("t", 2) is ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    assert world.replicas.find("t", -1) is ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    assert world.replicas.find("led", 0) is ErrorCode.NOT_LEADER_OR_FOLLOWER


def test_one_alone_that_was_fenced_meanwhile_asks_for_what_stayed_behind() -> None:
    world = World()

    def send(sequence: int) -> str:
        outcome = world.produce(("t", 0, batch(producer_id=7, sequence=sequence)))
        world.flush()
        return outcome.errors[0]

    assert [send(0), send(2)] == ["NONE", "OUT_OF_ORDER_SEQUENCE_NUMBER"]
    partition = world.partition()
    world.replicas.apply(partition, Place(leader=-1, leader_epoch=1, partition_epoch=1))
    world.replicas.apply(partition, Place(leader_epoch=2, partition_epoch=2))
    assert [send(2), send(1), send(2)] == ["NOT_LEADER_OR_FOLLOWER", "NONE", "NONE"]


def test_a_watcher_is_woken_once_a_turn_however_often_its_partitions_advance() -> None:
    world = World()
    watcher = Watcher()
    world.replicas.watchers.add(watcher, [world.partition("t", 0)])
    for _ in range(3):
        world.produce(("t", 0, batch()))
        world.flusher.step()
    assert watcher.calls == 0
    world.turn()
    assert watcher.calls == 1


def test_records_survive_a_reopening_and_their_offsets_are_durable() -> None:
    world = World()
    world.produce(("t", 0, batch(4)))
    world.flush()
    world.dirs.close()
    again = World(world.disk)
    assert again.partition().replica.high_watermark == 4


def test_a_topic_made_again_has_a_new_log() -> None:
    world = World()
    world.produce(("t", 0, batch(4)))
    world.flush()
    deleted = world.topics.known.pop("t")
    world.replicas.on_topics_changed([deleted], [])
    world.topics.known["t"] = type(deleted)("t", b"T" * 16)
    fresh = world.replicas.find("t", 0)
    assert isinstance(fresh, Partition) and fresh.log.log_end_offset == 0


def test_other_settings_reach_an_open_log() -> None:
    world = World()
    log = world.partition().log
    world.topics.config = LogConfig(flush_messages=100)
    world.replicas.on_topics_changed([], ["t"])
    assert log.config.flush_messages == 100 and not log.durable_gating


def test_a_failed_directory_wakes_whoever_watches() -> None:
    world = World()
    watcher = Watcher()
    world.replicas.watchers.add(watcher, [world.partition("t", 0)])
    world.produce(("t", 0, batch()))
    world.disk.fail_call(1, sticky=True)
    world.flush()
    assert watcher.calls == 1 and watcher.broken
    assert world.replicas.find("t", 1) is ErrorCode.KAFKA_STORAGE_ERROR


def test_a_request_that_follows_the_end_of_a_deleted_topic_finds_the_new_one_whole() -> None:
    world = World()

    class Next:
        def on_passed(self, partition: Partition) -> None:
            raise AssertionError("the topic is gone")

        def on_failed(self, partition: Partition, error: ErrorCode) -> None:
            self.outcome = world.produce(("t", 0, batch(2)))

    follower = Next()
    world.produce(("t", 0, batch(5)))
    world.partition().produce_waiters.add(5, follower)
    deleted = world.topics.known["t"]
    world.topics.known["t"] = type(deleted)("t", b"T" * 16)
    world.replicas.on_topics_changed([deleted], [])
    world.turn()
    world.flush()
    assert follower.outcome.base_offsets == [0] and world.partition().log.log_end_offset == 2
