"""Assigning, asking, truncating from both ends, and the checkpoint's text."""

from __future__ import annotations

import pytest

from odradek.storage.leader_epoch_cache import CorruptCheckpoint, EpochEntry, LeaderEpochCache, decode


def cache(*entries: tuple[int, int]) -> LeaderEpochCache:
    return LeaderEpochCache(EpochEntry(*entry) for entry in entries)


def test_the_first_batch_of_an_epoch_makes_an_entry() -> None:
    epochs = cache()
    assert epochs.latest_epoch == -1
    assert [epochs.assign(*e) for e in ((0, 0), (0, 5), (2, 9), (2, 30))] == [True, False, True, False]
    assert epochs.entries == [(0, 0), (2, 9)]
    assert epochs.latest_epoch == 2


def test_negative_epochs_and_offsets_are_ignored() -> None:
    epochs = cache()
    assert not epochs.assign(-1, 0)
    assert not epochs.assign(0, -1)
    assert epochs.entries == []


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ((5, 20), [(1, 0), (3, 10), (5, 20)]),
        ((5, 15), [(1, 0), (3, 10), (5, 15)]),
        ((4, 15), [(1, 0), (3, 10), (4, 15)]),
        ((3, 8), [(1, 0), (3, 8)]),
        ((2, 30), [(1, 0), (2, 30)]),
        ((6, 0), [(6, 0)]),
        ((0, 0), [(0, 0)]),
    ],
)
def test_entries_that_contradict_the_new_one_go(
    entry: tuple[int, int], expected: list[tuple[int, int]]
) -> None:
    epochs = cache((1, 0), (3, 10), (5, 20))
    epochs.assign(*entry)
    assert epochs.entries == expected


@pytest.mark.parametrize(
    ("epoch", "expected"),
    [
        (-1, (-1, -1)),
        (0, (0, 5)),  # below the first: it ends, itself, where the first begins
        (1, (1, 10)),
        (2, (1, 10)),
        (3, (3, 20)),
        (4, (3, 20)),
        (5, (5, 99)),
        (6, (-1, -1)),
    ],
)
def test_end_offset_for(epoch: int, expected: tuple[int, int]) -> None:
    assert cache((1, 5), (3, 10), (5, 20)).end_offset_for(epoch, 99) == expected


def test_end_offset_of_nothing() -> None:
    assert cache().end_offset_for(0, 99) == (-1, -1)


def test_epoch_for_an_offset_and_neighbours() -> None:
    epochs = cache((1, 5), (3, 10))
    assert [epochs.epoch_for(offset) for offset in (4, 5, 9, 10, 1000)] == [-1, 1, 1, 3, 3]
    assert [epochs.previous_epoch(epoch) for epoch in (1, 2, 3, 9)] == [-1, 1, 1, 3]
    assert [epochs.start_offset_of(epoch) for epoch in (1, 2, 3)] == [5, -1, 10]


@pytest.mark.parametrize(("end", "kept"), [(21, 3), (20, 2), (11, 2), (10, 1), (1, 1), (0, 0), (-5, 0)])
def test_truncate_from_end(end: int, kept: int) -> None:
    entries = [(1, 0), (3, 10), (5, 20)]
    epochs = cache(*entries)
    assert epochs.truncate_from_end(end) == (kept < 3)
    assert epochs.entries == entries[:kept]


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        (4, [(1, 5), (3, 10), (5, 20)]),
        (5, [(1, 5), (3, 10), (5, 20)]),
        (7, [(1, 7), (3, 10), (5, 20)]),
        (10, [(3, 10), (5, 20)]),
        (15, [(3, 15), (5, 20)]),
        (99, [(5, 99)]),
    ],
)
def test_truncate_from_start(start: int, expected: list[tuple[int, int]]) -> None:
    epochs = cache((1, 5), (3, 10), (5, 20))
    assert epochs.truncate_from_start(start) == (expected != [(1, 5), (3, 10), (5, 20)])
    assert epochs.entries == expected
    assert not epochs.truncate_from_start(start)


def test_clear() -> None:
    epochs = cache((1, 5))
    epochs.clear()
    assert epochs.entries == []


def test_checkpoint_text() -> None:
    assert cache().encode() == b"0\n0\n"
    epochs = cache((1, 5), (3, 10))
    assert epochs.encode() == b"0\n2\n1 5\n3 10\n"
    copy = decode(epochs.encode())
    assert isinstance(copy, LeaderEpochCache)
    assert copy.entries == epochs.entries


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"1\n0\n",
        b"0\n",
        b"0\n2\n1 5\n",
        b"0\n1\n1 5\n2 9\n",
        b"0\n1\n1\n",
        b"0\n1\n1 5 9\n",
        b"0\n1\nx 5\n",
        b"0\n2\n3 5\n1 9\n",
        b"0\n2\n1 9\n3 5\n",
        b"0\n2\n1 5\n1 9\n",
        b"0\n1\n-1 5\n",
        b"\xff\xfe",
        b"0\nx\n",
    ],
)
def test_damaged_checkpoints(text: bytes) -> None:
    assert isinstance(decode(text), CorruptCheckpoint)
