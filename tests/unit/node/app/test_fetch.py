import pytest
from tests.unit.node.app.data_path import World, at, batch

from odradek.proto.kafka.record_batch import iter_headers
from odradek.storage.log_config import LogConfig


def filled(batches: int = 3) -> World:
    world = World()
    for _ in range(batches):
        world.produce(("t", 0, batch(2, value=b"x" * 100)))
    world.flush()
    return world


def test_what_is_there_is_answered_at_once_from_the_batch_that_holds_the_offset() -> None:
    world = filled()
    answer = world.fetch(at(3)).partitions[0]
    assert answer.error.name == "NONE" and answer.high_watermark == 6 and answer.log_start_offset == 0
    assert [header.base_offset for _, header in iter_headers(answer.records)] == [2, 4]


def test_a_record_that_is_not_durable_yet_is_not_visible() -> None:
    world = filled()
    world.produce(("t", 0, batch()))
    outcome = world.fetch(at(6))
    assert not outcome.done
    world.flush()
    assert [header.base_offset for _, header in iter_headers(outcome.partitions[0].records)] == [6]


def test_a_parked_fetch_answers_empty_when_its_time_is_up() -> None:
    world = filled()
    outcome = world.fetch(at(6), max_wait_ms=500)
    world.pass_time(499)
    assert not outcome.done
    world.pass_time(10)
    assert outcome.sizes == [0] and outcome.errors == ["NONE"]
    assert len(world.replicas.watchers) == 0


def test_min_bytes_is_honoured_over_several_wake_ups() -> None:
    world = filled(0)
    outcome = world.fetch(at(0), at(0, index=1), min_bytes=500)
    world.produce(("t", 0, batch(1, value=b"x" * 200)))
    world.flush()
    assert not outcome.done
    world.produce(("t", 1, batch(1, value=b"x" * 300)))
    world.flush()
    assert all(size > 200 for size in outcome.sizes)


def test_one_wake_up_answers_with_all_partitions_that_advanced_together() -> None:
    world = filled(0)
    outcome = world.fetch(at(0), at(0, index=1))
    world.produce(("t", 0, batch()), ("t", 1, batch()))
    world.flush()
    assert all(size > 0 for size in outcome.sizes)


def test_the_first_batch_comes_whole_even_above_the_limits() -> None:
    world = filled()
    outcome = world.fetch(at(0, max_bytes=1), at(0, index=1), max_bytes=1)
    assert [header.base_offset for _, header in iter_headers(outcome.partitions[0].records)] == [0]


def test_the_request_limit_is_shared_by_the_partitions() -> None:
    world = filled()
    world.produce(("t", 1, batch(2, value=b"x" * 100)))
    world.flush()
    size = world.fetch(at(0)).sizes[0]
    outcome = world.fetch(at(0), at(0, index=1), max_bytes=size)
    assert outcome.sizes == [size, 0]


@pytest.mark.parametrize(
    ("offset", "error"), [(-1, "OFFSET_OUT_OF_RANGE"), (7, "OFFSET_OUT_OF_RANGE"), (6, "NONE")]
)
def test_offsets_out_of_range(offset: int, error: str) -> None:
    world = filled()
    assert world.fetch(at(offset), max_wait_ms=0).errors == [error]


def test_an_error_is_told_at_once_beside_partitions_that_would_wait() -> None:
    world = filled()
    outcome = world.fetch(at(6), at(0, topic="missing"), at(0, topic="led"), max_wait_ms=500)
    assert outcome.errors == ["NONE", "UNKNOWN_TOPIC_OR_PARTITION", "NOT_LEADER_OR_FOLLOWER"]


@pytest.mark.parametrize(("epoch", "error"), [(0, "NONE"), (1, "UNKNOWN_LEADER_EPOCH"), (-1, "NONE")])
def test_leader_epochs(epoch: int, error: str) -> None:
    world = filled()
    assert world.fetch(at(0, epoch=epoch)).errors == [error]


def test_topic_ids_are_resolved_at_every_read() -> None:
    world = filled()
    assert world.fetch(at(0), by_id=True).errors == ["NONE"]
    parked = world.fetch(at(6), by_id=True)
    deleted = world.topics.known.pop("t")
    world.replicas.on_topics_changed([deleted], [])
    world.turn()
    assert parked.errors == ["UNKNOWN_TOPIC_ID"]


def test_cve_2018_1288_nobody_is_served_as_a_follower() -> None:
    world = filled()
    assert world.fetch(at(0), replica_id=3).errors == ["NOT_LEADER_OR_FOLLOWER"]


def test_an_incremental_session_answers_only_what_changed() -> None:
    world = filled()
    full = world.fetch(at(0), at(0, index=1), session=(0, 0))
    session_id = full.deferred.value.session_id
    assert session_id > 0 and len(full.partitions) == 2
    quiet = world.fetch(at(6), session=(session_id, 1), max_wait_ms=0)
    assert quiet.partitions == []
    world.produce(("t", 1, batch()))
    world.flush()
    changed = world.fetch(session=(session_id, 2))
    assert [answer.asked.index for answer in changed.partitions] == [1]
    assert world.fetch(session=(session_id, 9)).deferred.value.error.name == "INVALID_FETCH_SESSION_EPOCH"


def test_an_abandoned_fetch_leaves_nothing_behind() -> None:
    world = filled()
    outcome = world.fetch(at(6))
    outcome.deferred.abandon()
    assert len(world.replicas.watchers) == 0
    world.produce(("t", 0, batch()))
    world.flush()
    world.pass_time(1000)
    assert not outcome.done


def test_read_committed_stops_at_the_last_stable_offset() -> None:
    world = filled()
    assert world.fetch(at(0), isolation=1).partitions[0].last_stable_offset == 6


def test_a_fetch_for_many_bytes_reads_only_when_there_can_be_enough() -> None:
    world = filled(0)
    log = world.partition().log
    size = len(batch(1, value=b"x" * 1000))
    outcome = world.fetch(at(0), min_bytes=3 * size)
    calls = world.disk.calls
    for _ in range(2):
        world.produce(("t", 0, batch(1, value=b"x" * 1000)))
        world.flush()
    assert not outcome.done and log.log_end_offset == 2
    world.produce(("t", 0, batch(1, value=b"x" * 1000)))
    world.flush()
    assert outcome.sizes == [3 * size] and world.disk.calls > calls


def test_a_read_that_ends_with_its_segment_is_answered_when_there_is_more() -> None:
    world = World()
    world.topics.config = LogConfig(segment_bytes=200)
    for _ in range(3):
        world.produce(("t", 0, batch(1, value=b"x" * 100)))
    world.flush()
    outcome = world.fetch(at(0), min_bytes=10_000)
    assert outcome.done and outcome.sizes[0] < 10_000
    last = world.fetch(at(2), min_bytes=10_000)
    assert not last.done


def test_a_fetch_from_an_offline_directory_is_an_error_even_at_the_end() -> None:
    world = filled()
    world.produce(("t", 1, batch()))
    world.disk.fail_call(1, sticky=True)
    world.flush()
    assert world.fetch(at(6)).errors == ["KAFKA_STORAGE_ERROR"]


def test_an_unknown_topic_among_others_is_told_when_the_rest_has_waited() -> None:
    world = filled()
    outcome = world.fetch(at(6), at(0, topic="missing"), max_wait_ms=100)
    assert not outcome.done
    world.pass_time(110)
    assert outcome.errors == ["NONE", "UNKNOWN_TOPIC_OR_PARTITION"]
    assert world.fetch(at(0, topic="missing")).done


def test_whoever_follows_another_history_is_told_where_it_parts() -> None:
    world = filled()
    known = at(3)
    known.last_fetched_epoch = 0
    assert world.fetch(known).sizes[0] > 0
    beyond = at(30)
    beyond.last_fetched_epoch = 0
    answer = world.fetch(beyond).partitions[0]
    assert answer.error.name == "NONE" and answer.diverging == (0, 6) and not answer.records
    ahead = at(3)
    ahead.last_fetched_epoch = 5
    assert world.fetch(ahead).errors == ["OFFSET_OUT_OF_RANGE"] or world.fetch(ahead).partitions[0].diverging


def test_records_are_counted_once_when_they_are_told() -> None:
    world = filled(0)
    outcome = world.fetch(at(0), at(0, index=1), min_bytes=500)
    world.produce(("t", 0, batch(2, value=b"x" * 200)))
    world.flush()
    traffic = world.replicas.traffic.of("t")
    assert (traffic.messages_in, traffic.bytes_out) == (2, 0), "the fetch still waits for more"
    assert traffic.bytes_in > 400
    world.produce(("t", 1, batch(1, value=b"x" * 300)))
    world.flush()
    assert sum(outcome.sizes) == traffic.bytes_out == traffic.bytes_in
    assert traffic.replication_bytes_out == 0
