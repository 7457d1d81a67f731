"""The log of one partition: appends of both kinds, durability, truncation, deletion, errors as values."""

from __future__ import annotations

import tracemalloc

import pytest
from tests.unit.storage.kit import NOW_MS, SMALL, Storage, append, batch, read_all

from odradek.proto.kafka.errors import ErrorCode
from odradek.proto.kafka.record_batch import BatchHeader, parse_header
from odradek.storage.log import PartitionLog
from odradek.storage.log_config import LogConfig
from odradek.storage.memory_disk import MemoryDisk
from odradek.storage.retention import NEVER


def test_offsets_and_epochs_are_stamped() -> None:
    log = Storage().open()
    assert append(log, 3).base_offset == 0
    result = log.append_as_leader(batch(2), 5, NOW_MS)
    assert (result.base_offset, result.last_offset, result.log_append_time_ms) == (3, 4, -1)
    data = log.read(4, 1000, 5)
    assert not isinstance(data, ErrorCode)
    header = parse_header(data)
    assert (header.base_offset, header.partition_leader_epoch) == (3, 5)
    assert (log.epoch_at(2), log.epoch_at(3), log.latest_epoch) == (0, 5, 5)
    assert log.end_offset_for_epoch(0) == (0, 3)
    assert log.end_offset_for_epoch(3) == (0, 3)
    assert log.end_offset_for_epoch(9) == (-1, -1)


def test_the_broker_may_set_the_time() -> None:
    log = Storage().open(LogConfig(message_timestamp_type="LogAppendTime"))
    data = batch(2, timestamp=5, producer=(1, 0, 0))
    result = log.append_as_leader(bytearray(data), 0, NOW_MS + 7)
    assert result.log_append_time_ms == NOW_MS + 7
    again = log.append_as_leader(bytearray(data), 0, NOW_MS + 99)
    assert (again.duplicate, again.base_offset, again.log_append_time_ms) == (True, 0, NOW_MS + 7)


def test_what_the_validator_refuses_changes_nothing() -> None:
    storage = Storage()
    log = storage.open()
    broken = batch(1)
    broken[-1] ^= 1
    for records, error in ((broken, ErrorCode.CORRUPT_MESSAGE), (None, ErrorCode.INVALID_RECORD)):
        assert log.append_as_leader(records, 0, NOW_MS).error == error
    assert log.log_end_offset == 0
    assert not storage.disk.exists("data/t-0"), "a log without records has no directory"


def test_sequences() -> None:
    log = Storage().open()

    def error(epoch: int, sequence: int) -> ErrorCode:
        return log.append_as_leader(batch(2, producer=(9, epoch, sequence)), 0, NOW_MS).error

    assert error(1, 0) == ErrorCode.NONE
    assert error(1, 4) == ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER
    assert error(0, 0) == ErrorCode.INVALID_PRODUCER_EPOCH
    assert error(1, 2) == ErrorCode.NONE
    assert log.log_end_offset == 4
    (producer,) = log.active_producers()
    assert (producer.producer_id, producer.producer_epoch, producer.last_sequence) == (9, 1, 3)


class Asking:
    """Asks everybody."""

    def ask_again(self, header: BatchHeader, last_offset: int) -> bool:
        return True


def test_a_producer_that_was_refused_begins_at_its_first_batch() -> None:
    log = Storage().open()

    def error(producer: int, sequence: int) -> ErrorCode:
        data = batch(2, producer=(producer, 1, sequence))
        return log.append_as_leader(data, 0, NOW_MS, patience=Asking()).error

    assert error(9, 2) == ErrorCode.NOT_LEADER_OR_FOLLOWER
    assert error(9, 0) == ErrorCode.NONE
    assert error(9, 2) == ErrorCode.NONE
    assert error(9, 6) == ErrorCode.NOT_LEADER_OR_FOLLOWER
    assert error(9, 3) == ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER
    data = batch(2, producer=(8, 1, 40))
    assert log.append_as_leader(data, 0, NOW_MS).error == ErrorCode.NONE, (
        "otherwise it may have been forgotten"
    )


def test_an_append_is_flushed_when_the_flusher_says_so() -> None:
    storage = Storage()
    log = storage.open()
    heard: list[int] = []
    log.flush_listener = lambda flushed: heard.append(flushed.flushed_offset)
    append(log, 2)
    append(log, 2)
    assert log.durable_gating and log.flushed_offset == 0 and not heard
    storage.flush()
    assert heard == [4]
    storage.crash()
    assert storage.open().log_end_offset == 4


def test_flush_messages() -> None:
    storage = Storage()
    log = storage.open(LogConfig(flush_messages=5))
    assert not log.durable_gating
    append(log, 4)
    storage.flush()
    assert log.flushed_offset == 0
    append(log, 1)
    storage.flush()
    assert log.flushed_offset == 5
    append(log, 1)
    log.update_config(LogConfig(flush_messages=1))
    storage.flush()
    assert log.flushed_offset == 6, "the setting holds for what was appended before it"


def test_flush_ms() -> None:
    storage = Storage()
    log = storage.open(LogConfig(flush_messages=1000, flush_ms=50))
    append(log)
    assert storage.dirs.next_deadline_ms() == NOW_MS + 50
    storage.dirs.run_maintenance(NOW_MS + 49)
    storage.flush()
    assert log.flushed_offset == 0
    storage.dirs.run_maintenance(NOW_MS + 50)
    storage.flush()
    assert log.flushed_offset == 1


def test_a_rolled_segment_is_flushed_whatever_the_setting() -> None:
    storage = Storage()
    log = storage.open(LogConfig(segment_bytes=300, flush_messages=1000))
    for _ in range(6):
        append(log, value=b"v" * 50)
    storage.flush()
    flushed = log.flushed_offset
    assert 0 < flushed < 6
    storage.crash()
    assert storage.open().log_end_offset == flushed


def _replicated(*batches: bytearray) -> bytes:
    return b"".join(batches)


def test_a_follower_takes_the_leaders_batches() -> None:
    storage = Storage()
    leader = storage.open(SMALL, "leader")
    for number in range(20):
        result = leader.append_as_leader(batch(3, producer=(5, 0, number * 3)), number // 7, NOW_MS)
        assert result.error == ErrorCode.NONE
    follower = storage.open(SMALL, "follower")
    while follower.log_end_offset < 60:
        data = leader.read(follower.log_end_offset, 500, 60)
        assert not isinstance(data, ErrorCode)
        result = follower.append_as_follower(bytes(data) + b"cut off", NOW_MS)
        assert result.error == ErrorCode.NONE, result
    assert read_all(follower) == read_all(leader)
    assert follower.active_producers() == leader.active_producers()
    assert [follower.end_offset_for_epoch(e) for e in range(3)] == [(0, 21), (1, 42), (2, 60)]
    assert follower.max_timestamp_offset() == leader.max_timestamp_offset()
    storage.flush()
    assert follower.flushed_offset == 60


def test_a_follower_refuses_what_does_not_follow() -> None:
    log = Storage().open()
    assert log.append_as_follower(b"", NOW_MS).base_offset == -1
    data = _replicated(batch(2, base_offset=10), batch(2, base_offset=15))  # gaps are normal: compaction
    result = log.append_as_follower(data, NOW_MS)
    assert (result.error, result.base_offset, result.last_offset) == (ErrorCode.NONE, 10, 16)
    again = log.append_as_follower(batch(1, base_offset=16), NOW_MS)
    assert (again.error, log.log_end_offset) == (ErrorCode.INVALID_RECORD, 17)
    broken = batch(1, base_offset=17)
    broken[-1] ^= 1
    assert log.append_as_follower(broken, NOW_MS).error == ErrorCode.CORRUPT_MESSAGE


def _filled(storage: Storage) -> PartitionLog:
    log = storage.open()
    for number in range(20):
        result = log.append_as_leader(
            batch(2, producer=(5, 0, number * 2), value=b"v" * 30), number // 10, NOW_MS
        )
        assert result.error == ErrorCode.NONE
    return log


@pytest.mark.parametrize("offset", [1, 2, 11, 20, 39])
def test_truncation(offset: int) -> None:
    storage = Storage()
    log = _filled(storage)
    assert log.truncate_to(offset) == ErrorCode.NONE
    end = offset // 2 * 2
    assert log.log_end_offset == end
    assert read_all(log) == [(base, base + 1) for base in range(0, end, 2)]
    assert log.latest_epoch == (1 if end > 20 else 0 if end else -1)
    assert [p.last_sequence for p in log.active_producers()] == ([end - 1] if end else [])
    result = log.append_as_leader(batch(2, producer=(5, 0, end)), 1, NOW_MS)
    assert (result.error, result.base_offset) == (ErrorCode.NONE, end)
    storage.flush()
    assert log.flushed_offset == end + 2
    storage.kill()
    assert storage.open().log_end_offset == end + 2


def test_news_of_a_flush_before_a_truncation_is_old() -> None:
    storage = Storage()
    log = storage.open()
    append(log, 1)
    storage.flush()
    append(log, 5)  # submitted
    log.truncate_to(1)
    append(log, 1)
    assert log.flushed_offset == 1
    storage.flush()
    assert log.flushed_offset == 2


def test_starting_over_at_the_leaders_start() -> None:
    storage = Storage()
    log = _filled(storage)
    assert log.truncate_fully_to(1000) == ErrorCode.NONE
    assert (log.log_start_offset, log.log_end_offset, log.latest_epoch) == (1000, 1000, -1)
    assert log.active_producers() == []
    storage.kill()
    log = storage.open()
    assert (log.log_start_offset, log.log_end_offset) == (1000, 1000)
    assert append(log).base_offset == 1000


def test_deleting_records() -> None:
    storage = Storage()
    log = _filled(storage)
    assert log.advance_log_start_offset(41) == ErrorCode.OFFSET_OUT_OF_RANGE
    assert log.advance_log_start_offset(25) == ErrorCode.NONE
    assert log.advance_log_start_offset(3) == ErrorCode.NONE, "it never goes back"
    assert log.log_start_offset == 25
    assert log.read(24, 100, 40) == ErrorCode.OFFSET_OUT_OF_RANGE
    data = log.read(25, 100, 40)
    assert not isinstance(data, ErrorCode) and parse_header(data).base_offset == 24
    before = log.size_bytes
    storage.dirs.run_maintenance(NOW_MS)
    assert log.size_bytes < before
    assert storage.disk.read("data/log-start-offset-checkpoint") == b"0\n1\nt 0 25\n"
    storage.kill()
    assert storage.open().log_start_offset == 25


def test_retention_waits_for_the_high_watermark() -> None:
    storage = Storage()
    log = _filled(storage)
    log.high_watermark = 7
    later = NOW_MS + SMALL.retention_ms + 1_000_000
    storage.dirs.run_maintenance(later)
    first = log.log_start_offset
    assert first <= 7
    log.high_watermark = 40
    storage.dirs.run_maintenance(later + 400_000)
    assert (log.log_start_offset, log.log_end_offset) == (40, 40)
    assert append(log).base_offset == 40


def test_producers_expire() -> None:
    storage = Storage()
    log = _filled(storage)
    log.update_config(LogConfig(retention_ms=-1))
    storage.dirs.run_maintenance(NOW_MS + 86_000_000)
    assert log.active_producers()
    storage.dirs.run_maintenance(NOW_MS + 87_100_000)
    assert not log.active_producers()


def test_jitter_spreads_the_rolls() -> None:
    storage = Storage()
    config = LogConfig(segment_ms=100_000, segment_jitter_ms=50_000)
    logs = [storage.open(config, "t", partition) for partition in range(8)]
    assert len({log._jitter_ms for log in logs}) == 8
    assert all(0 <= log._jitter_ms < 50_000 for log in logs)
    log = max(logs, key=lambda log: log._jitter_ms)
    append(log, timestamp=NOW_MS)
    append(log, timestamp=NOW_MS + 100_001 - log._jitter_ms)
    assert log._local is not None and len(log._local.segments) == 2


def test_a_log_that_is_not_on_disk_is_known_without_a_look_at_the_disk() -> None:
    storage = Storage()
    log = storage.open()
    disk = storage.disk
    assert isinstance(disk, MemoryDisk)
    calls = disk.calls
    assert log.is_blank and not log.is_loaded
    assert (log.log_start_offset, log.log_end_offset, log.flushed_offset, log.latest_epoch) == (0, 0, 0, -1)
    assert log.end_offset_for_epoch(3) == (-1, -1) and log.first_undecided_offset is None
    assert disk.calls == calls and not log.is_loaded
    append(log, 1)
    assert not log.is_blank and log.log_end_offset == 1


def test_a_full_disk_is_an_answer_and_then_service_goes_on() -> None:
    storage = Storage()
    log = storage.open()
    append(log)
    storage.flush()
    storage.memory.capacity = storage.memory.used_bytes + 10
    result = log.append_as_leader(batch(1, producer=(1, 0, 0)), 0, NOW_MS)
    assert result.error == ErrorCode.KAFKA_STORAGE_ERROR and result.error_message
    assert not log.is_offline and not storage.failures
    assert (log.log_end_offset, log.active_producers()) == (1, [])
    storage.memory.capacity = None
    result = log.append_as_leader(batch(1, producer=(1, 0, 0)), 0, NOW_MS)
    assert (result.error, result.base_offset) == (ErrorCode.NONE, 1)
    storage.flush()
    storage.crash()
    assert storage.open().log_end_offset == 2


def test_a_broken_disk_takes_the_directory_offline_for_good() -> None:
    storage = Storage()
    log, other = storage.open(), storage.open(SMALL, "other")
    append(log)
    append(other)
    storage.memory.fail_call(1)
    assert log.append_as_leader(batch(1), 0, NOW_MS).error == ErrorCode.KAFKA_STORAGE_ERROR
    assert len(storage.failures) == 1 and log.is_offline and other.is_offline
    storage.memory.heal()
    for each in (log, other):
        assert each.append_as_leader(batch(1), 0, NOW_MS).error == ErrorCode.KAFKA_STORAGE_ERROR
        assert each.append_as_follower(batch(1), NOW_MS).error == ErrorCode.KAFKA_STORAGE_ERROR
        assert each.read(0, 100, 1) == ErrorCode.KAFKA_STORAGE_ERROR
        assert each.truncate_to(0) == ErrorCode.KAFKA_STORAGE_ERROR
        assert each.advance_log_start_offset(1) == ErrorCode.KAFKA_STORAGE_ERROR
        assert each.offset_for_timestamp(0) == ErrorCode.KAFKA_STORAGE_ERROR
        assert each.run_maintenance(NOW_MS) == NEVER


def test_a_failed_sync_acknowledges_nothing() -> None:
    storage = Storage()
    log = storage.open()
    append(log)
    storage.memory.fail_call(1)
    storage.flush()
    assert log.flushed_offset == 0 and log.is_offline
    assert log.append_as_leader(batch(1), 0, NOW_MS).error == ErrorCode.KAFKA_STORAGE_ERROR
    storage.flush()
    assert log.flushed_offset == 0 and len(storage.failures) == 1


def test_an_idle_log_is_small() -> None:
    storage = Storage()
    logs = [storage.open(SMALL, "t", partition) for partition in range(200)]
    for log in logs:
        append(log)
    storage.restart()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        logs = [storage.open(SMALL, "t", partition) for partition in range(200)]
        unloaded = (tracemalloc.get_traced_memory()[0] - before) / 200
        for log in logs:
            assert log.log_end_offset == 1
        loaded = (tracemalloc.get_traced_memory()[0] - before) / 200
    finally:
        tracemalloc.stop()
    assert unloaded < 1000, unloaded
    assert loaded < 5000, loaded


def test_records_that_could_not_be_deleted_are_all_there() -> None:
    storage = Storage()
    log = storage.open()
    append(log, 4)
    log.append_as_leader(batch(2), 1, NOW_MS)
    storage.memory.capacity = storage.memory.used_bytes
    assert log.advance_log_start_offset(3) == ErrorCode.KAFKA_STORAGE_ERROR
    assert (log.log_start_offset, log.epoch_at(0), log.end_offset_for_epoch(0)) == (0, 0, (0, 4))
    storage.memory.capacity = None
    assert log.advance_log_start_offset(3) == ErrorCode.NONE
    assert log.log_start_offset == 3
