"""Which files are hit, and that every kind of damage is what it says."""

from __future__ import annotations

from collections import Counter
from pathlib import Path, PurePath
from random import Random

import pytest

from odradek.jepsen.nemesis.damage import (
    BIT_FLIP,
    DAMAGES,
    PAGE,
    PARTS,
    SECTOR,
    STALE_CHUNK,
    TRUNCATE,
    ZERO_SECTOR,
    candidates,
    damage,
    drawn,
    part_of,
)

CONTENT = Random(1).randbytes(3 * PAGE + 100)


@pytest.mark.parametrize(
    ("path", "part"),
    [
        ("q-0/00000000000000000000.log", "log"),
        ("q-0/00000000000000000000.timeindex", "index"),
        ("q-0/00000000000000004761.snapshot", "producers"),
        ("q-0/leader-epoch-checkpoint", "epochs"),
        ("q-0/partition.metadata", "checkpoint"),
        ("replication-offset-checkpoint", "checkpoint"),
        ("raft/wal/00000000000000000001.wal", "raft-log"),
        ("raft/snapshots/0-12-3.snap", "raft-snapshot"),
        ("meta.properties", "meta"),
        ("__cluster_metadata-0/00000000000000000000.log", "raft-log"),
        ("__cluster_metadata-0/00000000000000000000.index", "index"),
        ("__cluster_metadata-0/00000000000000000000-0000000000.checkpoint", "raft-snapshot"),
        ("__cluster_metadata-0/quorum-state", "meta"),
        (".lock", None),
        (".kafka_cleanshutdown", None),
    ],
)
def test_files_are_told_apart_by_their_paths(path: str, part: str | None) -> None:
    assert part_of(PurePath(path)) == part


def test_every_kind_of_file_is_as_likely_and_empty_ones_are_not_hit(tmp_path: Path) -> None:
    for number in range(30):
        (tmp_path / f"q-{number}").mkdir()
        (tmp_path / f"q-{number}/0.log").write_bytes(b"x")
        (tmp_path / f"q-{number}/0.index").touch()
    (tmp_path / "meta.properties").write_bytes(b"x")
    files = candidates(tmp_path)
    assert {part: len(paths) for part, paths in files.items()} == {"log": 30, "meta": 1}
    kinds = Counter(drawn(Random(seed), files, 3)[0].suffix for seed in range(200))
    assert 60 < kinds[".log"] < 140
    assert {len(drawn(Random(seed), files, 3)) for seed in range(50)} == {1, 2, 3}
    assert candidates(tmp_path, ["meta"]) == {"meta": [tmp_path / "meta.properties"]}
    assert drawn(Random(1), {}, 3) == []
    assert set(files) <= set(PARTS)


def test_one_to_three_bits_are_turned_near_each_other() -> None:
    counts = Counter()  # type: Counter[int]
    for seed in range(100):
        done = damage(Random(seed), BIT_FLIP, CONTENT)
        turned = int.from_bytes(done.content, "big") ^ int.from_bytes(CONTENT, "big")
        counts[turned.bit_count()] += 1
        assert done.size <= 64
        assert done.content[: done.place] == CONTENT[: done.place]
        assert done.content[done.place + done.size :] == CONTENT[done.place + done.size :]
    assert set(counts) == {1, 2, 3}


def test_a_sector_becomes_zero() -> None:
    places = set()
    for seed in range(100):
        done = damage(Random(seed), ZERO_SECTOR, CONTENT)
        places.add(done.place)
        end = done.place + SECTOR
        assert done.content == CONTENT[: done.place] + bytes(len(CONTENT[done.place : end])) + CONTENT[end:]
    assert len(places) > 10


def test_mostly_little_is_cut_off_and_sometimes_much() -> None:
    lost = []
    for seed in range(300):
        done = damage(Random(seed), TRUNCATE, CONTENT)
        assert done.content == CONTENT[: done.place]
        lost.append(len(CONTENT) - len(done.content))
    assert min(lost) >= 1
    assert sum(size < 100 for size in lost) > 100
    assert sum(size > 5000 for size in lost) > 10


def test_a_stale_page_is_the_one_of_before() -> None:
    before = CONTENT[: PAGE + 50]
    found = set()
    for seed in range(30):
        done = damage(Random(seed), STALE_CHUNK, CONTENT, before)
        assert done.how == STALE_CHUNK
        assert len(done.content) == len(CONTENT)
        old = before[done.place : done.place + PAGE]
        assert done.content[done.place : done.place + done.size] == old + bytes(done.size - len(old))
        found.add(done.place)
    assert found == {PAGE, 2 * PAGE, 3 * PAGE}


def test_a_small_file_that_was_replaced_becomes_the_old_one() -> None:
    assert damage(Random(1), STALE_CHUNK, b"0\n1\n7 9\n", b"0\n0\n").content == b"0\n0\n"


def test_without_an_older_version_a_sector_lands_where_another_belongs() -> None:
    for seed in range(30):
        done = damage(Random(seed), STALE_CHUNK, CONTENT, CONTENT)
        assert done.how == "misdirected-chunk"
        assert len(done.content) == len(CONTENT)
        assert done.content[done.place : done.place + done.size] in CONTENT


@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize("content", [b"x", CONTENT[:SECTOR], CONTENT[: PAGE + 1]])
def test_files_of_any_size_can_be_damaged(how: str, content: bytes) -> None:
    for seed in range(50):
        for before in (None, b"", content[:-1], b"y" * len(content)):
            done = damage(Random(seed), how, content, before)
            assert 0 <= done.place <= len(content)
            assert len(done.content) <= max(len(content), len(before or b""))
