"""A topic that is appended to, trimmed, deleted and made again under the same name, through kills and power cuts.

After each of them: what was flushed of the topic that has the name now is there, nothing begins later than it was told
to, nothing of the topics before it is seen, and a reader gets from the start to the end.
"""

from __future__ import annotations

from random import Random

import pytest
from tests.unit.storage.kit import NOW_MS, Storage, batch, read_all

from odradek.storage.log import PartitionLog
from odradek.storage.log_config import LogConfig

CONFIG = LogConfig(segment_bytes=600, index_interval_bytes=100)
STEPS = 60


class _Life:
    """One partition name, its topics one after the other, and what must be true of the one that has it now."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(seed)
        self.storage = Storage()
        self.now_ms = NOW_MS
        self.number = 0
        self._begin()

    def _begin(self) -> None:
        self.appended: dict[int, int] = {}
        self.start = 0
        self.log = self._open()

    def _open(self) -> PartitionLog:
        return self.storage.dirs.open("t", 0, bytes([self.number]) * 16, CONFIG)

    def step(self) -> None:
        rng, log = self.rng, self.log
        self.now_ms += 1000
        choice = rng.random()
        if choice < 0.6:
            data = batch(rng.randint(1, 4), timestamp=self.now_ms, value=bytes(rng.randint(1, 120)))
            result = log.append_as_leader(data, 0, self.now_ms)
            self.appended[result.base_offset] = result.last_offset
            if rng.random() < 0.7:
                self.storage.flush()
        elif choice < 0.7:
            offset = rng.randint(0, log.flushed_offset)
            log.advance_log_start_offset(offset)
            self.start = max(self.start, offset)
        elif choice < 0.8:
            self.storage.dirs.run_maintenance(self.now_ms)
        elif choice < 0.86:
            self.storage.dirs.delete("t", 0, self.now_ms)
            self.number += 1
            self._begin()
        else:
            self._end_of_process()

    def _end_of_process(self) -> None:
        how = self.rng.choice(["kill", "crash", "restart"])
        durable = self.log.flushed_offset if how == "crash" else self.log.log_end_offset
        if how == "crash":
            self.storage.crash(self.rng)
        elif how == "kill":
            self.storage.kill()
        else:
            self.storage.restart()
        log = self.log = self._open()
        start, end = log.log_start_offset, log.log_end_offset
        assert start <= self.start and end >= durable, (how, start, end)
        wanted = [(base, last) for base, last in self.appended.items() if start <= base and last < end]
        found = read_all(log, 4000)
        assert [entry for entry in found if entry[0] >= start] == sorted(wanted)
        self.appended = dict(found)
        self.start = start


@pytest.mark.parametrize("seed", range(40))
def test_a_name_that_changes_hands(seed: int) -> None:
    life = _Life(seed)
    for _ in range(STEPS):
        life.step()
    assert not life.storage.failures
