"""Whatever is drawn: what the disk had stays, and what comes back is a legal part of what it had not."""

from __future__ import annotations

from collections.abc import Hashable
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest

from odradek.jepsen.nemesis.torn_tails import HOWS, PAGE, inode, tear, torn_content, torn_growth

KEPT = Random(1).randbytes(PAGE + 1000)
LIVE = KEPT + Random(2).randbytes(3 * PAGE)


def _by_name(root: Path, path: Path) -> Hashable:
    return path.relative_to(root)


def test_every_way_to_tear_a_file_that_grew_is_drawn_and_keeps_what_was_synced() -> None:
    seen: dict[str, list[bytes]] = {}
    for seed in range(200):
        how, content = torn_growth(Random(seed), KEPT, LIVE)
        assert content.startswith(KEPT)
        assert len(content) <= len(LIVE)
        seen.setdefault(how, []).append(content[len(KEPT) :])
    assert set(seen) == set(HOWS)
    tail = LIVE[len(KEPT) :]
    assert set(seen["nothing"]) == {b""}
    assert all(tail.startswith(part) for part in seen["prefix"])
    assert not any(any(part) for part in seen["zeros"])
    for part in seen["bits"]:
        turned = int.from_bytes(part, "big") ^ int.from_bytes(tail, "big")
        assert len(part) == len(tail)
        assert turned.bit_count() <= 3


def test_pages_are_those_of_the_file_and_not_of_its_tail() -> None:
    found = set()
    for seed in range(300):
        how, content = torn_growth(Random(seed), KEPT, LIVE)
        if how != "pages":
            continue
        bounds = [len(KEPT), *range(2 * PAGE, len(LIVE), PAGE), len(LIVE)]
        pages = [(content[a:b], LIVE[a:b]) for a, b in pairwise(bounds)]
        assert all(page == whole or not any(page) for page, whole in pages)
        found.add(tuple(page == whole for page, whole in pages))
    assert len(found) > 8


def test_pages_overwritten_in_place_are_old_or_new() -> None:
    old, new = Random(3).randbytes(4 * PAGE), bytearray(Random(3).randbytes(4 * PAGE))
    new[10:20] = bytes(10)
    new[2 * PAGE + 5] ^= 1
    found = set()
    for seed in range(50):
        how, content, lost, restored = torn_content(Random(seed), old, bytes(new))
        assert (how, lost) == ("in place", 2 * PAGE)
        assert content[PAGE : 2 * PAGE] == old[PAGE : 2 * PAGE]
        choice = (content[:PAGE] == new[:PAGE], content[2 * PAGE :] == new[2 * PAGE :])
        assert restored == PAGE * sum(choice)
        found.add(choice)
    assert len(found) == 4


def test_zeros_at_the_end_of_what_the_disk_has_are_bytes_that_did_not_reach_it() -> None:
    kept = KEPT + bytes(700)
    for seed in range(50):
        _, content, lost, restored = torn_content(Random(seed), kept, LIVE)
        assert content.startswith(KEPT)
        assert len(content) >= len(kept)
        assert (lost, restored) == (3 * PAGE, len(content) - len(KEPT))
    assert {torn_content(Random(seed), kept, LIVE)[0] for seed in range(50)} == set(HOWS)


@pytest.mark.parametrize("live", [KEPT[:50], b"other" + KEPT], ids=["cut short", "cut short and grown again"])
def test_a_file_that_became_another_stays_what_the_disk_had(live: bytes) -> None:
    for seed in range(20):
        assert torn_content(Random(seed), KEPT, live)[:2] == ("left", KEPT)


def test_a_folder_is_torn_file_by_file(tmp_path: Path) -> None:
    live, kept = tmp_path / "live", tmp_path / "kept"
    outcomes = set()
    for seed in range(60):
        for root in (live, kept):
            (root / str(seed) / "old").mkdir(parents=True)
        here, there = live / str(seed), kept / str(seed)
        for name, bytes_live, bytes_kept in (
            ("grown", LIVE, KEPT),
            ("same", KEPT, KEPT),
            ("short", KEPT[:9], KEPT),
        ):
            (here / "old" / name).write_bytes(bytes_live)
            (there / "old" / name).write_bytes(bytes_kept)
        (here / "new").mkdir()
        (here / "new/file").write_bytes(KEPT)
        (there / "old/deleted").write_bytes(KEPT)
        torn = {file.path: file for file in tear(Random(seed), here, there, _by_name)}
        assert sorted(torn) == ["new/file", "old/grown", "old/short"]
        assert (there / "old/deleted").read_bytes() == (there / "old/same").read_bytes() == KEPT
        assert (there / "old/short").read_bytes() == KEPT
        grown = (there / "old/grown").read_bytes()
        assert grown.startswith(KEPT)
        assert (torn["old/grown"].lost, torn["old/grown"].restored) == (3 * PAGE, len(grown) - len(KEPT))
        new = torn["new/file"]
        assert (there / "new/file").exists() == (new.how != "no name")
        outcomes.add(new.how)
    assert outcomes == {"no name", *(f"new: {how}" for how in HOWS)}


def test_a_file_that_took_the_name_of_another_is_never_mixed_with_it(tmp_path: Path) -> None:
    live, kept = tmp_path / "live", tmp_path / "kept"
    for seed in range(30):
        for root, content in ((live, b"new" * 2000), (kept, b"old" * 2000)):
            (root / str(seed)).mkdir(parents=True)
            (root / str(seed) / "meta").write_bytes(content)
        torn = tear(Random(seed), live / str(seed), kept / str(seed), lambda root, path: (root, path))
        assert torn[0].restored == 0
        assert (kept / str(seed) / "meta").read_bytes() == b"old" * 2000


def test_the_same_seed_tears_alike() -> None:
    first, second = (torn_content(Random(5), KEPT, LIVE) for _ in range(2))
    assert first == second


def test_a_file_is_the_same_after_a_rename_and_another_after_a_replacement(tmp_path: Path) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    a.write_bytes(b"1")
    try:
        before = inode(tmp_path, a)
    except OSError:
        pytest.skip("this file system does not tell generations")
    a.rename(b)
    assert inode(tmp_path, b) == before
    b.unlink()
    b.write_bytes(b"2")
    assert inode(tmp_path, b) != before
