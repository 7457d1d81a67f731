"""Group commit by io_uring: the contract of the flusher, on real files and a real loop."""

import asyncio
import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from odradek.storage import ring_flusher
from odradek.storage.disk import DiskError
from odradek.storage.durations import SUM
from odradek.storage.flusher import ThreadFlusher
from odradek.storage.io_uring import SyncRing
from odradek.storage.os_disk import OsDisk, OsFile
from odradek.storage.ring_flusher import RingFlusher, ring_or_thread


def _refusal() -> str | None:
    try:
        SyncRing().close()
    except OSError as error:
        return str(error)
    return None


REFUSAL = _refusal()
needs_ring = pytest.mark.skipif(REFUSAL is not None, reason=f"this system has no io_uring: {REFUSAL}")


class Log:
    def __init__(self) -> None:
        self.flushed: list[tuple[int, int]] = []

    def on_flushed(self, end_offset: int, generation: int) -> None:
        self.flushed.append((end_offset, generation))


class Plain:
    """A target without a descriptor."""

    def __init__(self) -> None:
        self.syncs = 0

    def sync(self) -> None:
        self.syncs += 1


class Broken:
    """A target whose descriptor cannot be synced."""

    path = "broken"

    def __init__(self) -> None:
        self.read_end, self.write_end = os.pipe()

    def sync(self) -> None:
        raise DiskError(self.path, "cannot be synced")

    def hold(self) -> int:
        return self.read_end

    def let_go(self, descriptor: int) -> None:
        os.close(self.read_end)
        os.close(self.write_end)


def files(folder: Path, count: int) -> list[OsFile]:
    disk = OsDisk()
    made = [disk.open(str(folder / f"{number}.log"), create=True) for number in range(count)]
    for file in made:
        file.append([b"data"])
    return made


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(5000):
        if condition():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("never happened")


def flusher(failures: list[DiskError]) -> RingFlusher:
    return RingFlusher("data", asyncio.get_running_loop(), failures.append)


@needs_ring
@pytest.mark.parametrize("count", [1, 3, 64, 150])
async def test_everything_of_a_turn_is_one_round_whatever_its_size(tmp_path: Path, count: int) -> None:
    failures: list[DiskError] = []
    ring = flusher(failures)
    logs = [Log() for _ in range(count)]
    for number, (log, file) in enumerate(zip(logs, files(tmp_path, count), strict=True)):
        ring.submit(log, number, 0, file)
        ring.submit(log, number + 1, 7, file)
    await until(lambda: all(log.flushed for log in logs))
    assert [log.flushed for log in logs] == [[(number + 1, 7)] for number in range(count)]
    assert ring.rounds == 1 and ring.synced_targets == count and not failures
    assert sum(ring.durations[:SUM]) == 1 and ring.durations[SUM] > 0
    ring.close()


@needs_ring
async def test_what_comes_during_a_round_is_the_next_one(tmp_path: Path) -> None:
    ring = flusher([])
    log, (file,) = Log(), files(tmp_path, 1)
    ring.submit(log, 1, 0, file)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    ring.submit(log, 2, 0, file)
    ring.submit(log, 3, 0, file)
    await until(lambda: len(log.flushed) == 2)
    assert log.flushed == [(1, 0), (3, 0)]
    ring.close()


@needs_ring
async def test_a_round_with_a_target_without_descriptor_waits_for_all_of_it(tmp_path: Path) -> None:
    ring = flusher([])
    log, plain, (file,) = Log(), Plain(), files(tmp_path, 1)
    ring.submit(log, 1, 0, plain)
    ring.submit(log, 2, 0, file)
    await until(lambda: bool(log.flushed))
    assert log.flushed == [(2, 0)] and plain.syncs == 1 and ring.rounds == 1
    ring.submit(log, 3, 0, file)
    await until(lambda: len(log.flushed) == 2)
    ring.close()


@needs_ring
async def test_a_failed_sync_reports_nothing_and_is_never_repeated(tmp_path: Path) -> None:
    failures: list[DiskError] = []
    ring = flusher(failures)
    log, other, (file,) = Log(), Log(), files(tmp_path, 1)
    ring.submit(other, 1, 0, file)
    ring.submit(log, 1, 0, Broken())
    await until(lambda: bool(failures))
    assert os.strerror(errno.EINVAL) in str(failures[0])
    ring.submit(other, 2, 0, file)
    await asyncio.sleep(0.01)
    ring.close()
    assert not log.flushed and not other.flushed and len(failures) == 1 and ring.failed


@needs_ring
@pytest.mark.parametrize("in_thread", [False, True])
async def test_closing_syncs_and_reports_what_was_submitted(tmp_path: Path, in_thread: bool) -> None:
    ring = flusher([])
    log, plain, (file,) = Log(), Plain(), files(tmp_path, 1)
    ring.submit(log, 1, 0, plain if in_thread else file)
    await asyncio.sleep(0)
    ring.submit(log, 2, 0, file)
    ring.close()
    assert log.flushed[-1] == (2, 0) and not ring.failed


@needs_ring
async def test_a_file_that_is_closed_during_its_sync_keeps_its_descriptor_until_the_end(
    tmp_path: Path,
) -> None:
    ring = flusher([])
    log, (file,) = Log(), files(tmp_path, 1)
    ring.submit(log, 1, 0, file)
    await asyncio.sleep(0)
    file.close()
    await until(lambda: bool(log.flushed))
    assert not file.is_open
    gone = files(tmp_path, 1)[0]
    gone.close()
    os.unlink(gone.path)
    ring.submit(log, 2, 0, gone)
    await until(lambda: len(log.flushed) == 2)
    ring.close()


@needs_ring
@pytest.mark.parametrize("taken", [0, 1, 2])
async def test_what_the_kernel_does_not_take_is_synced_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taken: int
) -> None:
    failures: list[DiskError] = []
    ring = flusher(failures)
    submit = ring._ring.submit
    monkeypatch.setattr(ring._ring, "submit", lambda descriptors: submit(descriptors[:taken]) if taken else 0)
    log = Log()
    for number, file in enumerate(files(tmp_path, 3)):
        ring.submit(log, number + 1, 0, file)
    await until(lambda: bool(log.flushed))
    assert log.flushed == [(3, 0)] and not failures
    other = Log()
    ring.submit(other, 1, 0, Broken())
    ring.submit(other, 2, 0, Broken())
    await until(lambda: bool(failures))
    ring.close()
    assert not other.flushed and len(failures) == 1


@needs_ring
async def test_a_listener_that_raises_stops_neither_the_next_round_nor_the_end(tmp_path: Path) -> None:
    class Raising(Log):
        def on_flushed(self, end_offset: int, generation: int) -> None:
            raise ValueError("listener")

    asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
    ring = flusher([])
    log, (first, second) = Log(), files(tmp_path, 2)
    ring.submit(Raising(), 1, 0, first)
    await asyncio.sleep(0)
    ring.submit(log, 1, 0, second)
    await until(lambda: log.flushed == [(1, 0)])
    ring.submit(Raising(), 2, 0, first)
    with pytest.raises(ValueError, match="listener"):
        ring.close()
    assert ring._ring.event < 0


async def test_without_io_uring_a_thread_does_it(monkeypatch: pytest.MonkeyPatch) -> None:
    class Refused:
        def __init__(self) -> None:
            raise OSError(errno.EPERM, "a sandbox says no")

    monkeypatch.setattr(ring_flusher, "SyncRing", Refused)
    made = ring_or_thread(asyncio.get_running_loop())("data", lambda call: None, lambda error: None)
    assert isinstance(made, ThreadFlusher)
    made.close()
