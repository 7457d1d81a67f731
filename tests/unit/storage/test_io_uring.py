"""The ring itself: numbers come back, errors too, and the counters wrap."""

import os
import select
from pathlib import Path

import pytest

from odradek.storage.io_uring import SyncRing, is_supported


def _ring() -> SyncRing:
    try:
        return SyncRing(8)
    except OSError as error:
        pytest.skip(f"this system has no io_uring: {error}")


def _all(ring: SyncRing, count: int) -> dict[int, int]:
    found: dict[int, int] = {}
    while len(found) < count:
        select.select([ring.event], [], [])
        found.update(ring.completed())
    return found


def test_every_descriptor_is_answered_by_its_place(tmp_path: Path) -> None:
    ring = _ring()
    assert ring.capacity >= 8
    good = os.open(tmp_path / "f", os.O_CREAT | os.O_RDWR)
    pipe, other = os.pipe()
    for _ in range(100):  # several times around the ring
        ring.submit([good, pipe, good])
        results = _all(ring, 3)
        assert results[0] == results[2] == 0 and results[1] < 0
    assert ring.completed() == []
    for descriptor in (good, pipe, other):
        os.close(descriptor)
    ring.close()


def test_more_than_fits_is_a_bug() -> None:
    ring = _ring()
    with pytest.raises(AssertionError, match="places"):
        ring.submit([0] * (ring.capacity + 1))
    ring.close()


def test_other_systems_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    assert not is_supported()
    with pytest.raises(OSError, match="Linux"):
        SyncRing()
