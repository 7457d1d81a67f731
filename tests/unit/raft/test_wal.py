"""The write-ahead log against torn tails, bit rot, lost pages and full files."""

from collections import deque
from collections.abc import Callable, Sequence
from random import Random

import pytest

from odradek.raft.core.types import NORMAL, Entry, HardState
from odradek.raft.syncer import InlineSyncer
from odradek.raft.wal import Wal
from odradek.raft.wal_format import WalFormatError
from odradek.raft.wal_recovery import GroupRecord
from odradek.storage.disk import DiskError
from odradek.storage.memory_disk import MemoryDisk

FIRST = "w/00000000000000000001.wal"


class Bench:
    """A log on a disk in memory, with its completions run by hand."""

    def __init__(self, disk: MemoryDisk, segment_bytes: int = 1 << 20, node_id: int = 1) -> None:
        self.disk = disk
        self.posted: deque[Callable[[], None]] = deque()
        self.failures: list[DiskError] = []
        self.durable: list[int] = []
        self.wal = Wal(
            disk, "w", node_id, InlineSyncer(self.posted.append, self.failures.append), segment_bytes
        )
        self.wal.open()
        self.groups: dict[int, GroupRecord] = {}
        self.last: dict[int, tuple[int, int]] = {}
        self.number = 0

    def on_durable(self, number: int) -> None:
        self.durable.append(number)

    def take(self, *group_ids: int) -> "Bench":
        for group_id in group_ids:
            record = self.groups[group_id] = self.wal.take_group(group_id)
            self.last[group_id] = (record.last_index, record.last_term)
        return self

    def append(self, group_id: int, texts: Sequence[bytes], term: int = 1, commit: int = 0) -> None:
        index, prev_term = self.last[group_id]
        self.number += 1
        entries = [Entry(term, NORMAL, text) for text in texts]
        self.wal.append(self, self.number, group_id, None, index + 1, prev_term, entries, commit)
        self.last[group_id] = (index + len(texts), term)

    def vote(self, group_id: int, term: int, vote: int) -> None:
        self.number += 1
        self.wal.append(self, self.number, group_id, HardState(term, vote), 1, 0, (), 0)

    def flush(self) -> None:
        self.wal.flush()
        self.run()

    def run(self) -> None:
        while self.posted:
            self.posted.popleft()()

    def close(self) -> MemoryDisk:
        self.wal.close()
        self.run()
        return self.disk


def data_of(record: GroupRecord) -> list[bytes]:
    return [entry.data for entry in record.entries]


def image(disk: MemoryDisk, path: str = FIRST) -> bytes:
    return disk.read(path)


def disk_with(content: bytes) -> MemoryDisk:
    disk = MemoryDisk()
    disk.makedirs("w")
    disk.open(FIRST, create=True).append([content])
    return disk


def test_groups_share_one_write_and_one_sync() -> None:
    bench = Bench(MemoryDisk()).take(0, 1)
    before = bench.disk.syncs
    bench.append(0, [b"a", b"b"])
    bench.append(1, [b"x"])
    bench.vote(0, 3, 2)
    bench.flush()
    assert bench.disk.syncs - before == 1 and bench.durable == [1, 2, 3]
    again = Bench(bench.close()).take(0, 1, 2)
    assert [data_of(again.groups[group]) for group in range(3)] == [[b"a", b"b"], [b"x"], []]
    assert again.groups[0].hard_state == HardState(3, 2, 0)
    assert not any(record.is_damaged(0) for record in again.groups.values())


def test_nothing_is_confirmed_before_it_is_synced() -> None:
    bench = Bench(MemoryDisk()).take(0)
    bench.append(0, [b"a"])
    bench.wal.flush()
    assert bench.durable == []
    bench.run()
    assert bench.durable == [1]


def test_entries_replace_what_follows() -> None:
    bench = Bench(MemoryDisk()).take(0)
    bench.append(0, [b"a", b"b", b"c"])
    bench.flush()
    bench.last[0] = (1, 1)
    bench.append(0, [b"B"], term=2)
    bench.flush()
    record = Bench(bench.close()).take(0).groups[0]
    assert data_of(record) == [b"a", b"B"] and not record.is_damaged(0)


def test_a_torn_tail_at_every_byte_is_cut_and_writing_goes_on() -> None:
    bench = Bench(MemoryDisk()).take(0, 1)
    bench.append(0, [b"a"])
    bench.vote(1, 4, 2)
    bench.flush()
    whole = len(image(bench.disk))
    bench.append(0, [b"b", b"c"])
    bench.append(1, [b"x"])
    bench.vote(1, 5, 1)
    bench.wal.flush()
    content = image(bench.disk)
    for end in range(whole, len(content)):
        torn = Bench(disk_with(content[:end])).take(0, 1)
        assert data_of(torn.groups[0]) == [b"a"] and data_of(torn.groups[1]) == [], end
        assert torn.groups[1].hard_state == HardState(4, 2, 0)
        assert not torn.groups[0].is_damaged(0) and not torn.groups[1].is_damaged(0)
        torn.append(0, [b"B"])
        torn.flush()
        assert data_of(Bench(torn.close()).take(0).groups[0]) == [b"a", b"B"], end


def test_zeroed_pages_in_writes_that_were_never_synced_are_a_torn_tail() -> None:
    bench = Bench(MemoryDisk()).take(0)
    bench.append(0, [b"a"])
    bench.flush()
    whole = len(image(bench.disk))
    for text in (b"b" * 400, b"c" * 400, b"d" * 400):
        bench.append(0, [text])
        bench.wal.flush()
    content = bytearray(image(bench.disk))
    content[whole : whole + 300] = bytes(300)
    record = Bench(disk_with(bytes(content))).take(0).groups[0]
    assert data_of(record) == [b"a"] and not record.is_damaged(0)


def test_every_flipped_bit_before_a_clean_end_is_noticed() -> None:
    """Damage never looks like a shorter log: the groups it may concern know that they are damaged."""
    bench = Bench(MemoryDisk()).take(0, 1)
    for text in (b"a", b"b"):
        bench.append(0, [text])
        bench.append(1, [text, text])
        bench.vote(0, 2, 1)
        bench.flush()
    end = len(image(bench.disk))
    content = image(bench.close())
    blamed = []
    for position in range(end):
        damaged = bytearray(content)
        damaged[position] ^= 1 << position % 8
        again = Bench(disk_with(bytes(damaged))).take(0, 1)
        found = [group for group, record in again.groups.items() if record.is_damaged(0)]
        whole = [data_of(record) for record in again.groups.values()] == [
            [b"a", b"b"],
            [b"a", b"a", b"b", b"b"],
        ]
        assert found or whole, position
        assert not found or again.wal.corrupt_frames, position
        blamed.append(len(found))
    # The states noted at the end clear everyone but the group whose entries are gone.
    assert set(blamed) == {0, 1}


def test_a_damaged_header_makes_every_group_suspect_until_its_state_is_noted_again() -> None:
    bench = Bench(MemoryDisk()).take(0, 1)
    bench.append(1, [b"x"])
    bench.flush()
    position = len(image(bench.disk)) + 9
    bench.append(0, [b"a"])
    bench.flush()
    bench.append(0, [b"b"])
    bench.flush()
    content = bytearray(image(bench.disk))
    content[position] ^= 1
    again = Bench(disk_with(bytes(content))).take(0, 1, 2)
    assert [again.groups[group].is_damaged(0) for group in range(3)] == [True, True, True]


def test_damage_that_a_snapshot_covers_is_none() -> None:
    bench = Bench(MemoryDisk()).take(0)
    bench.append(0, [b"a" * 50])
    bench.flush()
    bench.append(0, [b"b"])
    bench.flush()
    content = bytearray(image(bench.close()))
    content[bytes(content).index(b"a" * 50)] ^= 1
    record = Bench(disk_with(bytes(content))).take(0).groups[0]
    assert record.is_damaged(0)
    assert not record.is_damaged(1)
    assert record.prev_index == 1 and data_of(record) == [b"b"]


def test_a_damaged_vote_is_made_good_by_a_newer_one() -> None:
    bench = Bench(MemoryDisk()).take(0)
    bench.vote(0, 7, 3)
    bench.flush()
    position = len(image(bench.disk)) - 30
    content = bytearray(image(bench.disk))
    content[position] ^= 1
    bench.append(0, [b"a"])
    bench.flush()
    first = bytearray(image(bench.disk))
    first[position] ^= 1
    assert Bench(disk_with(bytes(first))).take(0).groups[0].is_damaged(0)
    bench.vote(0, 8, 2)
    bench.flush()
    second = bytearray(image(bench.disk))
    second[position] ^= 1
    record = Bench(disk_with(bytes(second))).take(0).groups[0]
    assert not record.is_damaged(0) and record.hard_state == HardState(8, 2, 0)


def test_full_files_are_followed_by_new_ones_and_removed_when_covered() -> None:
    bench = Bench(MemoryDisk(), segment_bytes=500).take(0, 1)
    bench.vote(1, 9, 2)
    bench.append(1, [b"rare"])
    for number in range(40):
        bench.append(0, [b"%02d" % number * 20], commit=number)
        bench.flush()
    files = sorted(bench.disk.listdir("w"))
    assert len(files) > 3
    bench.wal.note_snapshot(0, 40)
    bench.run()
    assert sorted(bench.disk.listdir("w")) == files
    assert bench.wal.groups_to_snapshot(2) == [1]
    bench.wal.note_snapshot(1, 1)
    bench.run()
    assert sorted(bench.disk.listdir("w")) == files[-1:]
    again = Bench(bench.close()).take(0, 1)
    assert again.groups[1].hard_state == HardState(9, 2, 0)
    assert not again.groups[0].is_damaged(40) and again.groups[0].is_damaged(0)
    assert again.groups[0].last_index == 40
    assert not again.groups[1].is_damaged(1) and again.groups[1].is_damaged(0)


def test_a_missing_file_in_the_middle_is_a_loss() -> None:
    bench = Bench(MemoryDisk(), segment_bytes=300).take(0)
    for number in range(20):
        bench.append(0, [b"%02d" % number * 20])
        bench.flush()
    files = sorted(bench.disk.listdir("w"))
    disk = bench.close()
    disk.remove(f"w/{files[1]}")
    record = Bench(disk).take(0).groups[0]
    assert record.is_damaged(0) and record.last_index == 20


def test_a_lost_end_of_an_older_file_shows() -> None:
    bench = Bench(MemoryDisk(), segment_bytes=300).take(0)
    sizes = []
    for number in range(6):
        bench.append(0, [b"%02d" % number * 20])
        bench.flush()
        sizes.append(len(image(bench.disk)))
    disk = bench.close()
    disk.open(FIRST).truncate(sizes[0])
    record = Bench(disk).take(0).groups[0]
    assert record.is_damaged(0)


def test_a_power_cut_while_a_file_is_begun_loses_nothing_confirmed() -> None:
    for seed in range(40):
        disk = MemoryDisk()
        disk.makedirs("w")
        disk.sync_dir("")
        bench = Bench(disk, segment_bytes=200).take(0)
        random = Random(seed)
        for number in range(random.randint(1, 12)):
            bench.append(0, [b"%02d" % number * 20])
            bench.wal.flush()
            if random.random() < 0.5:
                bench.run()
        # The inline syncer syncs at once; what follows was written and never synced.
        confirmed = len(bench.durable)
        bench.wal._file.append([b"\x01" * random.randint(1, 900)])  # type: ignore[union-attr]
        disk.crash(random)
        record = Bench(disk).take(0).groups[0]
        assert record.last_index >= confirmed and not record.is_damaged(0), seed


def test_the_directory_of_another_node_is_refused() -> None:
    disk = Bench(MemoryDisk()).close()
    with pytest.raises(WalFormatError, match="belongs to node 1"):
        Bench(disk, node_id=2)


def test_a_failed_sync_confirms_nothing_ever_again() -> None:
    bench = Bench(MemoryDisk()).take(0)
    bench.append(0, [b"a"])
    bench.disk.fail_call(2)
    bench.flush()
    assert len(bench.failures) == 1
    bench.append(0, [b"b"])
    bench.flush()
    assert bench.durable == [] and len(bench.failures) == 1


def test_the_next_process_does_not_trust_what_a_failed_sync_left_in_the_page_cache() -> None:
    bench = Bench(MemoryDisk()).take(0)
    bench.disk.sync_dir(".")
    bench.append(0, [b"a"])
    bench.flush()
    bench.append(0, [b"b"])
    bench.disk.fail_call(2)
    bench.flush()
    assert len(bench.failures) == 1
    bench.wal.halt(bench.failures[0])
    again = Bench(bench.disk).take(0)  # the same machine, without a power cut between
    assert data_of(again.groups[0]) == [b"a", b"b"]
    again.append(0, [b"c"])
    again.flush()
    assert again.durable == [1]
    again.disk.crash()
    assert data_of(Bench(again.disk).take(0).groups[0]) == [b"a", b"b", b"c"]
    assert again.disk.listdir("w") == [FIRST.removeprefix("w/")]
