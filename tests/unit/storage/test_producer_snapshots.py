"""Producer snapshots: one per closed segment, one inside the active one, none of another history."""

from __future__ import annotations

import pytest
from tests.unit.storage.kit import NOW_MS, SMALL, Storage, batch

from odradek.storage import log_dir
from odradek.storage.log import PartitionLog
from odradek.storage.producer_snapshots import SNAPSHOT_BYTES


def _append(log: PartitionLog, count: int) -> None:
    for _ in range(count):
        data = batch(1, producer=(5, 0, log.log_end_offset), value=b"v" * 200)
        assert log.append_as_leader(data, 0, NOW_MS).error == 0


def _snapshots(storage: Storage) -> list[int]:
    names = storage.disk.listdir("data/t-0")
    return sorted(int(name[:20]) for name in names if name.endswith(".snapshot"))


def _bases(storage: Storage) -> list[int]:
    names = storage.disk.listdir("data/t-0")
    return sorted(int(name[:20]) for name in names if name.endswith(".log"))


def test_every_roll_leaves_one() -> None:
    storage = Storage()
    log = storage.open()
    _append(log, 17)
    assert len(_bases(storage)) > 4
    assert _snapshots(storage) == _bases(storage)[1:]


def test_a_new_one_inside_the_active_segment_replaces_the_one_before() -> None:
    storage = Storage()
    log = storage.open()
    _append(log, 5)
    active = _bases(storage)[-1]
    storage.restart()
    log = storage.open()
    assert _snapshots(storage)[-2:] == [active, 5]
    _append(log, 1)
    log._producers.on_appended(SNAPSHOT_BYTES)
    log.checkpoint()
    assert _snapshots(storage)[-2:] == [active, 6]
    log.checkpoint()
    assert not log._producers.is_due


def test_a_replay_begins_at_the_newest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_dir, "CHECKED_BYTES", 0)  # the search for rot reads more
    storage = Storage()
    _append(storage.open(), 20)
    storage.flush()
    storage.dirs.dirs[0].save_recovery_points()
    storage.kill()
    log = storage.open()
    storage.memory.log = []
    (producer,) = log.active_producers()
    assert producer.last_sequence == 19
    read = {call for call in storage.memory.log if call.startswith("pread")}
    assert len(read) == 4, "the active segment, two before it for earlier batches, the first for its epoch"


def test_truncation_drops_later_ones_and_goes_back_in_time() -> None:
    storage = Storage()
    log = storage.open(SMALL)
    _append(log, 20)
    log.truncate_to(9)
    assert all(offset <= 9 for offset in _snapshots(storage))
    (producer,) = log.active_producers()
    assert producer.last_sequence == 8
    log.truncate_fully_to(50)
    assert _snapshots(storage) == [] and log.active_producers() == []
