"""The leader epoch file follows the log, and a failure to write it changes nothing."""

from __future__ import annotations

import pytest
from tests.unit.storage.kit import NOW_MS, Storage, append, batch

from odradek.storage.disk import DiskFullError

FILE = "data/t-0/leader-epoch-checkpoint"


def test_the_file_follows() -> None:
    storage = Storage()
    log = storage.open()
    append(log, 2)
    log.append_as_leader(batch(2), 3, NOW_MS)
    log.append_as_leader(batch(2), 3, NOW_MS)
    assert storage.disk.read(FILE) == b"0\n2\n0 0\n3 2\n"
    log.advance_log_start_offset(3)
    assert storage.disk.read(FILE) == b"0\n1\n3 3\n"
    log.truncate_fully_to(9)
    assert storage.disk.read(FILE) == b"0\n0\n"


def test_an_epoch_without_its_file_is_not_known() -> None:
    storage = Storage()
    log = storage.open()
    append(log, 2)
    local = log.load()
    assert local is not None
    storage.memory.capacity = storage.memory.used_bytes
    with pytest.raises(DiskFullError):
        log._epochs.assign(local, 5, 2)
    assert log.latest_epoch == 0
    storage.memory.capacity = None
    log._epochs.assign(local, 5, 2)
    assert log.latest_epoch == 5


def test_a_clean_end_makes_it_durable() -> None:
    storage = Storage()
    log = storage.open()
    append(log, 2)
    log.append_as_leader(batch(2), 3, NOW_MS)
    storage.dirs.close()
    storage.crash()
    assert storage.disk.read(FILE) == b"0\n2\n0 0\n3 2\n"
