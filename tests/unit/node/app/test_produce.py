import asyncio

from tests.unit.node.app.data_path import World, batch

from odradek.proto.kafka.errors import ErrorCode
from odradek.storage.log_config import LogConfig


def test_acks_all_is_answered_by_the_flush_and_not_before() -> None:
    world = World()
    outcome = world.produce(("t", 0, batch(3)))
    assert not outcome.done
    assert world.partition().replica.high_watermark == 0
    world.flush()
    assert outcome.errors == ["NONE"] and outcome.base_offsets == [0]
    assert world.partition().replica.high_watermark == 3


def test_acks_1_waits_for_the_disk_too() -> None:
    world = World()
    outcome = world.produce(("t", 0, batch()), acks=1)
    assert not outcome.done
    world.flush()
    assert outcome.errors == ["NONE"]


def test_acks_0_waits_too_so_that_whoever_asks_next_finds_the_records() -> None:
    world = World()
    outcome = world.produce(("t", 0, batch()), acks=0)
    assert not outcome.done
    world.flush()
    assert outcome.errors == ["NONE"] and world.partition().replica.high_watermark == 1


def test_a_topic_that_relaxes_its_flush_is_answered_at_once() -> None:
    world = World()
    world.topics.config = LogConfig(flush_messages=1000)
    assert world.produce(("t", 0, batch())).errors == ["NONE"]
    assert world.partition().replica.high_watermark == 1


def test_several_partitions_are_one_answer_with_a_result_each() -> None:
    world = World()
    outcome = world.produce(
        ("t", 0, batch(2)), ("missing", 0, batch()), ("t", 1, batch()), ("t", 7, batch()), ("led", 0, batch())
    )
    assert not outcome.done
    world.flush()
    unknown = "UNKNOWN_TOPIC_OR_PARTITION"
    assert outcome.errors == ["NONE", unknown, "NONE", unknown, "NOT_LEADER_OR_FOLLOWER"]


def test_one_flush_answers_everything_that_was_appended_before_it() -> None:
    world = World()
    outcomes = [world.produce(("t", 0, batch())) for _ in range(5)]
    rounds = world.flusher.rounds
    world.flush()
    assert world.flusher.rounds == rounds + 1
    assert [outcome.base_offsets for outcome in outcomes] == [[0], [1], [2], [3], [4]]


def test_a_retry_of_an_idempotent_batch_gets_its_first_offset_and_waits_for_its_flush() -> None:
    world = World()
    first = world.produce(("t", 0, batch(2, producer_id=7, sequence=0)))
    retry = world.produce(("t", 0, batch(2, producer_id=7, sequence=0)))
    assert not retry.done
    world.flush()
    assert first.base_offsets == retry.base_offsets == [0]
    assert world.partition().log.log_end_offset == 2
    gap = world.produce(("t", 0, batch(1, producer_id=7, sequence=9)))
    assert gap.errors == ["OUT_OF_ORDER_SEQUENCE_NUMBER"]


def test_what_the_disk_does_not_confirm_in_time_times_out_and_stays() -> None:
    world = World()
    outcome = world.produce(("t", 0, batch()), timeout_ms=100)
    world.pass_time(99)
    assert not outcome.done
    world.pass_time(10)
    assert outcome.errors == ["REQUEST_TIMED_OUT"]
    world.flush()
    assert world.partition().replica.high_watermark == 1


def test_behind_a_batch_that_found_no_room_nothing_is_taken_and_nothing_is_out_of_order() -> None:
    world = World()

    def send(sequence: int, *, full: bool = False) -> str:
        if full:
            world.disk.fail_call(1, full=True)
        outcome = world.produce(("t", 0, batch(producer_id=7, sequence=sequence)))
        world.flush()
        return outcome.errors[0]

    assert send(0, full=True) == "KAFKA_STORAGE_ERROR"
    assert send(1) == "NOT_LEADER_OR_FOLLOWER", "its success would be read as that of the first"
    assert [send(0), send(1)] == ["NONE", "NONE"]
    assert send(2, full=True) == "KAFKA_STORAGE_ERROR"
    assert send(3) == "NOT_LEADER_OR_FOLLOWER"
    assert [send(2), send(3), send(9)] == ["NONE", "NONE", "NOT_LEADER_OR_FOLLOWER"]
    assert world.partition().log.log_end_offset == 4


def test_a_failed_sync_is_never_acknowledged_and_the_directory_takes_nothing_more() -> None:
    world = World()
    outcome = world.produce(("t", 0, batch()))
    world.disk.fail_call(1, sticky=True)
    world.flush()
    assert outcome.errors == ["KAFKA_STORAGE_ERROR"]
    world.disk.heal()
    assert world.produce(("t", 0, batch())).errors == ["KAFKA_STORAGE_ERROR"]
    assert world.produce(("u", 0, batch())).errors == ["KAFKA_STORAGE_ERROR"]


def test_deleting_the_topic_ends_the_wait() -> None:
    world = World()
    outcome = world.produce(("t", 0, batch()))
    deleted = world.topics.known.pop("t")
    world.replicas.on_topics_changed([deleted], [])
    world.turn()
    assert outcome.errors == ["UNKNOWN_TOPIC_OR_PARTITION"]
    assert world.replicas.find("t", 0) is ErrorCode.UNKNOWN_TOPIC_OR_PARTITION


def test_bad_acks_and_one_partition_twice_are_refused() -> None:
    world = World()
    assert world.produce(("t", 0, batch()), acks=2).errors == ["INVALID_REQUIRED_ACKS"]
    outcome = world.produce(("t", 0, batch()), ("t", 0, batch()))
    world.flush()
    assert outcome.errors == ["NONE", "INVALID_REQUEST"]


def test_transactional_batches_are_refused_and_not_appended() -> None:
    world = World()
    records = batch(1, producer_id=7, sequence=0)
    records[22] |= 0x10
    assert world.produce(("t", 0, records)).errors == ["INVALID_TXN_STATE"]
    assert world.partition().log.log_end_offset == 0


def test_an_empty_record_set_is_refused() -> None:
    world = World()
    assert world.produce(("t", 0, None)).errors != ["NONE"]


async def test_draining_waits_for_the_last_confirmation() -> None:
    world = World()
    await world.produces.drain()
    outcome = world.produce(("t", 0, batch()))
    draining = asyncio.ensure_future(world.produces.drain())
    await asyncio.sleep(0)
    assert not draining.done()
    world.flush()
    await asyncio.wait_for(draining, 10)
    assert outcome.done


def test_a_disk_that_fails_while_a_request_is_being_built_ends_it_once() -> None:
    world = World()
    world.produce(("t", 0, batch()), ("t", 1, batch()))
    world.flush()
    world.disk.fail_call(2, sticky=True)
    outcome = world.produce(("t", 0, batch()), ("t", 1, batch()), ("u", 0, batch()))
    world.turn()
    world.pass_time(10_000)
    assert outcome.done and set(outcome.errors) <= {"KAFKA_STORAGE_ERROR"}
