"""Snapshot files: complete or absent, checked, and only two of each group."""

from collections import deque
from collections.abc import Callable
from random import Random

from odradek.raft.core.quorum import Configuration
from odradek.raft.core.types import SnapshotMeta
from odradek.raft.snapshot_store import SnapshotStore
from odradek.raft.syncer import InlineSyncer
from odradek.storage.disk import DiskError
from odradek.storage.memory_disk import MemoryDisk

THREE = Configuration(frozenset({1, 2, 3}), frozenset({1, 2}), frozenset({4}))


def meta(index: int, data: bytes) -> SnapshotMeta:
    return SnapshotMeta(index, 1, len(data), THREE)


class Bench:
    def __init__(self, disk: MemoryDisk | None = None) -> None:
        self.disk = disk or MemoryDisk()
        if disk is None:
            self.disk.makedirs("s")
            self.disk.sync_dir("")
        self.posted: deque[Callable[[], None]] = deque()
        self.failures: list[DiskError] = []
        self.done: list[int] = []
        self.store = SnapshotStore(self.disk, "s", InlineSyncer(self.posted.append, self.failures.append))
        self.store.open()

    def save(self, index: int, data: bytes, group_id: int = 0) -> None:
        self.store.save(group_id, meta(index, data), data, lambda: self.done.append(index))

    def run(self) -> None:
        while self.posted:
            self.posted.popleft()()


def test_a_snapshot_is_announced_when_it_survives_a_power_cut() -> None:
    bench = Bench()
    bench.save(5, b"five")
    assert bench.done == []
    bench.run()
    assert bench.done == [5]
    bench.disk.crash()
    assert Bench(bench.disk).store.load(0) == (meta(5, b"five"), b"five")
    assert Bench(bench.disk).store.load(1) is None


def test_two_are_kept_per_group() -> None:
    bench = Bench()
    for index in (5, 9, 12):
        bench.save(index, b"%d" % index)
        bench.run()
    bench.save(3, b"other", group_id=7)
    bench.run()
    assert len(bench.disk.listdir("s")) == 3
    assert bench.store.read(0, 9, 1, 0, 1) == b"9"
    assert bench.store.read(0, 5, 1, 0, 10) is None


def test_chunks_are_read_from_the_data() -> None:
    bench = Bench()
    bench.save(5, b"0123456789")
    bench.run()
    assert [bench.store.read(0, 5, 1, offset, 3) for offset in (0, 3, 7)] == [b"012", b"345", b"789"]


def test_damage_to_the_newest_leaves_the_one_before() -> None:
    bench = Bench()
    for index in (5, 9):
        bench.save(index, b"%d" % index * 10)
        bench.run()
    name = next(name for name in bench.disk.listdir("s") if "9-1" in name)
    size = len(bench.disk.read(f"s/{name}"))
    for position in range(size):
        bench.disk.flip_bit(f"s/{name}", position)
        content = bench.disk.read(f"s/{name}")
        again = Bench(bench.disk)
        loaded = again.store.load(0)
        assert loaded is not None and loaded[0].index == 5, position
        assert again.store.read(0, 9, 1, 0, 1) is None
        bench.disk.open(f"s/{name}", create=True).append([content])
        bench.disk.flip_bit(f"s/{name}", position)
    loaded = Bench(bench.disk).store.load(0)
    assert loaded is not None and loaded[0].index == 9


def test_a_power_cut_at_any_moment_leaves_the_old_or_the_new() -> None:
    for seed in range(60):
        bench = Bench()
        bench.save(5, b"five" * 300)
        bench.run()
        random = Random(seed)
        bench.save(9, b"nine" * 300)
        for _ in range(random.randint(0, len(bench.posted) + 1)):
            if bench.posted:
                bench.posted.popleft()()
        announced = 9 in bench.done
        bench.disk.crash(random)
        again = Bench(bench.disk)
        loaded = again.store.load(0)
        assert loaded is not None and loaded[1] in (b"five" * 300, b"nine" * 300)
        assert not announced or loaded[0].index == 9
        assert not any(name.endswith(".tmp") for name in bench.disk.listdir("s"))
