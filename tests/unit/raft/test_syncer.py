"""Group commit: who is synced, in which order, and what a failure means."""

import threading
from collections import deque
from collections.abc import Callable

import pytest

from odradek.raft.syncer import InlineSyncer, ThreadSyncer
from odradek.storage.disk import DiskError, DiskSyncError
from odradek.storage.durations import SUM


class Desk:
    """Collects what the syncer posts; `run` stands for the loop."""

    def __init__(self) -> None:
        self.posted: deque[Callable[[], None]] = deque()
        self.failures: list[DiskError] = []
        self.events: list[str] = []

    def sync(self, name: str) -> Callable[[], None]:
        return lambda: self.events.append(f"sync {name}")

    def done(self, name: str) -> Callable[[], None]:
        return lambda: self.events.append(f"done {name}")

    def fail(self) -> None:
        self.events.append("sync fails")
        raise DiskSyncError("file", "no")

    def run(self) -> None:
        while self.posted:
            self.posted.popleft()()


def test_what_waits_together_is_synced_once_and_posted_once() -> None:
    desk, gate, entered = Desk(), threading.Event(), threading.Event()
    syncer = ThreadSyncer("test", desk.posted.append, desk.failures.append)

    def slow() -> None:
        entered.set()
        assert gate.wait(10)

    syncer.submit(slow, desk.done("first"))
    assert entered.wait(10)
    a, b = desk.sync("a"), desk.sync("b")
    for number in range(5):
        syncer.submit(a if number != 3 else b, desk.done(str(number)))
    gate.set()
    syncer.close()
    assert desk.events == ["sync a", "sync b"]
    assert len(desk.posted) == 2
    assert sum(syncer.durations[:SUM]) == 2 and syncer.durations[SUM] > 0
    desk.run()
    assert desk.events[2:] == ["done first", *(f"done {number}" for number in range(5))]


def test_after_a_failure_nothing_completes_and_nothing_is_tried_again() -> None:
    desk = Desk()
    syncer = ThreadSyncer("test", desk.posted.append, desk.failures.append)
    syncer.submit(desk.fail, desk.done("a"))
    syncer.close()
    syncer.submit(desk.sync("b"), desk.done("b"))
    syncer.close()
    desk.run()
    assert desk.events == ["sync fails"] and len(desk.failures) == 1


def test_a_syncer_that_was_never_used_has_no_thread() -> None:
    before = threading.active_count()
    desk = Desk()
    syncer = ThreadSyncer("test", desk.posted.append, desk.failures.append)
    assert threading.active_count() == before
    syncer.close()


def test_the_inline_twin_syncs_at_once_and_completes_later() -> None:
    desk = Desk()
    syncer = InlineSyncer(desk.posted.append, desk.failures.append)
    syncer.submit(desk.sync("a"), desk.done("a"))
    assert desk.events == ["sync a"]
    desk.run()
    syncer.submit(desk.fail, desk.done("b"))
    syncer.submit(desk.sync("c"), desk.done("c"))
    desk.run()
    assert desk.events == ["sync a", "done a", "sync fails"] and len(desk.failures) == 1
    syncer.close()


@pytest.mark.parametrize("error", [ValueError("a bug")])
def test_a_bug_is_not_taken_for_a_failing_disk(error: Exception) -> None:
    desk = Desk()

    def broken() -> None:
        raise error

    with pytest.raises(ValueError, match="a bug"):
        InlineSyncer(desk.posted.append, desk.failures.append).submit(broken, desk.done("a"))
    assert desk.failures == []
