"""The ring itself: numbers come back, errors too, and the counters wrap."""

import errno
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


def test_everything_is_given_back() -> None:
    before = os.listdir("/proc/self/fd")
    ring = _ring()
    ring.close()
    assert os.listdir("/proc/self/fd") == before
    ring.close()


def test_other_systems_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    assert not is_supported()
    with pytest.raises(OSError, match="Linux"):
        SyncRing()


def test_what_the_kernel_does_not_take_is_told_and_not_under_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ring = _ring()
    good = os.open(tmp_path / "f", os.O_CREAT | os.O_RDWR)
    call = ring._system_call
    answers = [errno.EINTR, 0, errno.EAGAIN]

    def scripted(number: int, descriptor: int, count: int, *rest: object) -> int:
        answer = answers.pop(0) if answers else 0
        if answer:
            raise OSError(answer, os.strerror(answer))
        return call(number, descriptor, min(count, 2), *rest)

    monkeypatch.setattr(ring, "_system_call", scripted)
    assert ring.submit([good, good, good]) == 2
    assert _all(ring, 2) == {0: 0, 1: 0}
    assert ring.submit([good]) == 1
    assert _all(ring, 1) == {0: 0} and ring.completed() == []
    answers[:] = [errno.EINTR] * 1000
    assert ring.submit([good]) == 0
    answers[:] = [errno.EBADF]
    with pytest.raises(OSError, match=os.strerror(errno.EBADF)):
        ring.submit([good])
    os.close(good)
    ring.close()
