"""Loading: what is scanned, what is kept, what is made anew."""

from __future__ import annotations

import pytest
from tests.unit.storage.kit import NOW_MS, SMALL, TOPIC_ID, Storage, append, batch, read_all

from odradek.proto.kafka.errors import ErrorCode
from odradek.storage import log_dir
from odradek.storage.log import PartitionLog

LOG = "data/t-0/00000000000000000000.log"


def _fill(storage: Storage, count: int = 30, *, epoch: int = 0) -> PartitionLog:
    """Batches of two records; a few segments."""
    log = storage.open(SMALL)
    for _ in range(count):
        data = batch(2, value=b"v" * 20, producer=(7, 0, log.log_end_offset))
        result = log.append_as_leader(data, epoch, NOW_MS)
        assert result.error == ErrorCode.NONE, result
    return log


def _whole(end: int, start: int = 0) -> list[tuple[int, int]]:
    return [(base, base + 1) for base in range(start, end, 2)]


def _check(log: PartitionLog, end: int) -> None:
    assert log.log_end_offset == log.flushed_offset == end
    assert read_all(log) == _whole(end)
    (producer,) = log.active_producers()
    assert producer.last_sequence == end - 1


def test_a_clean_start_reads_the_end_alone() -> None:
    storage = Storage()
    log = storage.open(SMALL)
    for _ in range(30):
        append(log, 2, value=b"v" * 20)
    assert log._local is not None and len(log._local.segments) > 3
    storage.restart()
    log = storage.open(SMALL)
    storage.memory.log = []
    assert log.log_end_offset == 60
    opened = [call for call in storage.memory.log if call.startswith("open")]
    active = max(name for name in storage.disk.listdir("data/t-0") if name.endswith(".log"))
    assert opened == [f"open {log.path}/{active}"]
    assert not [call for call in storage.memory.log if call.startswith(("append", "truncate", "sync"))]
    assert read_all(log) == _whole(60)


def test_a_clean_start_of_an_untouched_log_writes_nothing_at_the_end() -> None:
    storage = Storage()
    _fill(storage)
    storage.restart()
    _check(storage.open(SMALL), 60)
    storage.memory.log = []
    storage.dirs.close()
    assert not [call for call in storage.memory.log if "t-0" in call]


def test_a_killed_process_loses_nothing() -> None:
    storage = Storage()
    _fill(storage)
    storage.kill()
    log = storage.open(SMALL)
    _check(log, 60)
    assert log.end_offset_for_epoch(0) == (0, 60)
    assert append(log, 2).base_offset == 60


def _rotten(batch_number: int, byte: int = 80) -> Storage:
    """30 batches of two records, all below the recovery point; a bit of one has turned while nobody looked."""
    storage = Storage()
    _fill(storage)
    storage.flush()
    storage.dirs.dirs[0].save_recovery_points()
    segments = sorted(name for name in storage.disk.listdir("data/t-0") if name.endswith(".log"))
    assert len(segments) > 2
    position = batch_number * _size() + byte
    for name in segments:
        size = len(storage.disk.read(f"data/t-0/{name}"))
        if position < size:
            storage.memory.flip_bit(f"data/t-0/{name}", position)
            break
        position -= size
    storage.kill()
    return storage


@pytest.mark.parametrize("number", [0, 4, 13, 26, 27, 28, 29])
def test_rot_below_the_recovery_point_is_found_and_nothing_is_cut(number: int) -> None:
    """This may be the only replica, and whatever lies behind the rot is whole."""
    log = _rotten(number).open(SMALL)
    local = log.load()
    assert local is not None
    assert (local.damaged_offset, log.log_end_offset) == (2 * number, 60)


@pytest.mark.parametrize("number", [1, 4, 13, 29])
def test_a_follower_cuts_what_has_rotted_and_all_that_follows(number: int) -> None:
    storage = _rotten(number)
    log = storage.open(SMALL)
    assert log.mend()
    _check(log, 2 * number)
    assert not log.mend()
    storage.kill()
    _check(storage.open(SMALL), 2 * number)


@pytest.mark.parametrize("number", [0, 4, 8, 13])
@pytest.mark.parametrize("byte", [0, 8, 11, 16, 26])
def test_a_log_whose_frames_have_rotted_is_loaded_and_can_be_mended(number: int, byte: int) -> None:
    """Offset, length, magic or the number of records: whatever lies before it is there."""
    log = _rotten(number, byte).open(SMALL)
    local = log.load()
    assert local is not None
    assert log.log_end_offset == 60
    assert local.damaged_offset == 2 * number
    assert log.mend()
    assert log.log_end_offset == 2 * number


def test_a_whole_log_has_nothing_to_mend() -> None:
    storage = Storage()
    _fill(storage)
    storage.flush()
    storage.dirs.dirs[0].save_recovery_points()
    storage.kill()
    log = storage.open(SMALL)
    assert not log.mend()
    assert log.log_end_offset == 60


def test_rot_is_looked_for_in_the_youngest_bytes_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A start must not take hours; readers' CRC finds the rest."""
    monkeypatch.setattr(log_dir, "CHECKED_BYTES", 0)
    log = _rotten(4).open(SMALL)
    local = log.load()
    assert local is not None
    assert (local.damaged_offset, log.log_end_offset) == (-1, 60)


@pytest.mark.parametrize("cut", [1, 61, 130, 200])
def test_a_torn_tail_is_cut(cut: int) -> None:
    storage = Storage()
    _fill(storage, 5)
    file = storage.memory.open(LOG)
    size = file.size // 5
    file.truncate(file.size - cut)
    storage.kill()
    _check(storage.open(SMALL), 10 - (cut + size - 1) // size * 2)


def _size() -> int:
    """Bytes of one batch: all are of the same size."""
    return len(batch(2, value=b"v" * 20))


@pytest.mark.parametrize("position", [16, 20, 40, 100])
def test_a_rotten_batch_ends_the_log(position: int) -> None:
    storage = Storage()
    _fill(storage, 30)
    size = _size()
    storage.memory.flip_bit(LOG, size * 2 + position)
    storage.kill()
    log = storage.open(SMALL)
    _check(log, 4)
    assert sorted(name for name in storage.disk.listdir("data/t-0") if name.endswith(".log")) == [LOG[-24:]]


def test_garbage_and_zeros_at_the_end_are_cut() -> None:
    for tail in (bytes(5000), b"\xff" * 5000, bytes(batch(1))):  # the last one has an offset that was there
        storage = Storage()
        _fill(storage, 3)
        storage.memory.open(LOG).append([tail])
        storage.kill()
        _check(storage.open(SMALL), 6)


def test_leftovers_are_removed() -> None:
    storage = Storage()
    _fill(storage, 3)
    for name in ("00000000000000000000.log.deleted", "x.tmp", "00000000000000000099.index"):
        storage.disk.open(f"data/t-0/{name}", create=True)
    storage.disk.open("data/t-0/00000000000000000099.snapshot", create=True)
    storage.kill()
    _check(storage.open(SMALL), 6)
    names = storage.disk.listdir("data/t-0")
    assert not [name for name in names if "deleted" in name or "tmp" in name or "99" in name], names


def test_a_lost_snapshot_or_epoch_file_comes_back() -> None:
    storage = Storage()
    log = _fill(storage)
    result = log.append_as_leader(batch(2), 4, NOW_MS)
    assert result.error == ErrorCode.NONE
    storage.restart()
    for name in storage.disk.listdir("data/t-0"):
        if name.endswith(".snapshot") or name == "leader-epoch-checkpoint":
            storage.disk.remove(f"data/t-0/{name}")
    log = storage.open(SMALL)
    assert log.end_offset_for_epoch(0) == (0, 60)
    assert (log.latest_epoch, log.log_end_offset) == (4, 62)
    (producer,) = log.active_producers()
    assert producer.last_sequence == 59
    assert b"4 60" in storage.disk.read("data/t-0/leader-epoch-checkpoint")


def test_an_old_epoch_file_is_not_believed() -> None:
    """The file is replaced without a sync: a power cut may bring back the one before."""
    storage = Storage()
    _fill(storage, 3)
    storage.flush()
    old = storage.disk.read("data/t-0/leader-epoch-checkpoint")
    log = _fill(storage, 5, epoch=1)
    log = _fill(storage, 5, epoch=2)
    storage.flush()
    storage.dirs.dirs[0].save_recovery_points()
    assert log.end_offset_for_epoch(1) == (1, 16)
    file = storage.memory.open("data/t-0/leader-epoch-checkpoint")
    file.truncate(0)
    file.append([old])
    storage.kill()
    log = storage.open(SMALL)
    assert [log.epoch_at(offset) for offset in (0, 5, 6, 15, 16, 25)] == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize(
    "entries", [b"0\n3\n0 0\n1 6\n2 1", b"0\n3\n0 0\n1 6\n2 17\n", b"0\n2\n0 0\n2 16\n", b"0\n1\n2 0\n"]
)
def test_an_epoch_file_that_contradicts_the_batches_is_not_believed(entries: bytes) -> None:
    """A prefix of text is text, and so is a number with a turned bit."""
    storage = Storage()
    _fill(storage, 3)
    _fill(storage, 5, epoch=1)
    _fill(storage, 5, epoch=2)
    storage.flush()
    storage.dirs.dirs[0].save_recovery_points()
    file = storage.memory.open("data/t-0/leader-epoch-checkpoint")
    file.truncate(0)
    file.append([entries])
    storage.kill()
    log = storage.open(SMALL)
    assert [log.epoch_at(offset) for offset in (0, 5, 6, 15, 16, 25)] == [0, 0, 1, 1, 2, 2]


def test_the_directory_of_another_topic_id_is_set_aside() -> None:
    storage = Storage()
    _fill(storage)
    storage.kill()
    other = bytes(16)
    log = storage.dirs.open("t", 0, other, SMALL)
    assert log.log_end_offset == 0
    assert append(log).base_offset == 0
    moved = f"data/t-0.{TOPIC_ID.hex()}-stray"
    assert storage.disk.stat(f"{moved}/{LOG[-24:]}").size > 0, "the data of the other topic is kept"


def test_a_log_without_metadata_is_known_by_its_name() -> None:
    storage = Storage()
    _fill(storage, 3)
    storage.kill()
    storage.disk.remove("data/t-0/partition.metadata")
    _check(storage.open(SMALL), 6)


def test_what_a_failed_sync_left_in_the_page_cache_is_written_again() -> None:
    storage = Storage()
    log = _fill(storage, 3)
    storage.flush()
    append(log, 2)
    storage.memory.fail_call(1)
    storage.flush()
    assert log.is_offline
    storage.kill()  # the same machine: the bytes are still to be seen, but will never reach the disk
    log = storage.open(SMALL)
    assert log.log_end_offset == log.flushed_offset == 8
    storage.crash()
    assert storage.open(SMALL).log_end_offset == 8


def _retries(log: PartitionLog, count: int, producer_id: int = 7) -> list[bool]:
    """Which of the first `count` batches of two are known as duplicates."""
    found = []
    for number in range(count):
        data = batch(2, value=b"v" * 20, producer=(producer_id, 0, 2 * number))
        found.append(log.append_as_leader(data, 0, NOW_MS).duplicate)
    return found


@pytest.mark.parametrize("how", ["restart", "kill"])
@pytest.mark.parametrize("count", [1, 3, 7, 30])
def test_the_last_five_batches_of_a_producer_are_known_after_a_start(how: str, count: int) -> None:
    storage = Storage()
    _fill(storage, count)
    storage.flush()
    getattr(storage, how)()
    known = min(count, 5)
    log = storage.open(SMALL)
    assert _retries(log, count) == [False] * (count - known) + [True] * known
    assert log.log_end_offset == 2 * count
    assert append(log, 1).base_offset == 2 * count


def test_a_closed_segment_without_its_batches_ends_the_log() -> None:
    storage = Storage()
    log = _fill(storage)
    assert log._local is not None
    bases = [segment.base_offset for segment in log._local.segments]
    storage.flush()
    hollow = storage.disk.open(f"data/t-0/{bases[-2]:020}.log")
    hollow.truncate(0)
    storage.kill()
    log = storage.open(SMALL)
    assert log.log_end_offset == bases[-2]
    assert read_all(log) == _whole(bases[-2])
    while log.log_end_offset < bases[-1]:  # up to where the segment began that was dropped
        append(log, 2)
    storage.flush()
    storage.crash()
    assert storage.open(SMALL).log_end_offset == bases[-1], "it does not come back"
