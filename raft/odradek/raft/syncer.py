"""Group commit: one thread that makes files durable, and its synchronous twin for simulation.
 Decides when to sync: as soon as the previous sync is done, for everything that was asked for meanwhile. Does
not write: all writes happen on the loop's thread, before the request. Invariants: requests complete in the
order they were made; after the first failure nothing completes any more, and nothing is tried again (the
kernel reports a lost page once).
"""

import threading
from collections.abc import Callable
from functools import partial
from queue import Empty, SimpleQueue
from time import perf_counter_ns
from typing import Protocol

from odradek.storage.disk import DiskError
from odradek.storage.durations import SUM, Durations, new_durations

Post = Callable[[Callable[[], None]], None]
"""Runs a callback on the loop's thread, later (`loop.call_soon_threadsafe`, or `loop.call_soon` in
simulation)."""
_Request = tuple[Callable[[], None], Callable[[], None]]


class Syncer(Protocol):
    """See `ThreadSyncer`."""

    def submit(self, sync: Callable[[], None], done: Callable[[], None]) -> None:
        """Call `sync` (once for equal ones that wait together), then `done` on the loop's thread."""

    def close(self) -> None:
        """Complete what was asked for, and end. `done` callbacks are still posted."""


class ThreadSyncer:
    """Syncs in a thread of its own, started at the first request."""

    def __init__(self, name: str, post: Post, on_failure: Callable[[DiskError], None]) -> None:
        self._name = name
        self.durations: Durations = new_durations()
        """How long the rounds took."""
        self._post = post
        self._on_failure = on_failure
        self._requests: SimpleQueue[_Request | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def submit(self, sync: Callable[[], None], done: Callable[[], None]) -> None:
        """See `Syncer.submit`."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()
        self._requests.put((sync, done))

    def close(self) -> None:
        """See `Syncer.close`. Blocks until the thread has ended."""
        if self._thread is not None:
            self._requests.put(None)
            self._thread.join()

    def _run(self) -> None:
        closing = False
        while not closing:
            drained: list[_Request] = []
            request = self._requests.get()
            while request is not None:
                drained.append(request)
                try:
                    request = self._requests.get_nowait()
                except Empty:
                    break
            closing = request is None
            if not drained:
                continue
            started_ns = perf_counter_ns()
            try:
                for sync in dict.fromkeys(sync for sync, _ in drained):
                    sync()
            except DiskError as error:
                self._post(partial(self._on_failure, error))
                return
            elapsed_ns = perf_counter_ns() - started_ns
            self.durations[elapsed_ns.bit_length()] += 1
            self.durations[SUM] += elapsed_ns
            self._post(partial(_complete, drained))


def _complete(requests: list[_Request]) -> None:
    for _, done in requests:
        done()


class InlineSyncer:
    """Syncs at once in the caller's thread; completes later all the same, so that nothing is re-entered."""

    def __init__(self, post: Post, on_failure: Callable[[DiskError], None]) -> None:
        self._post = post
        self._on_failure = on_failure
        self._failed = False

    def submit(self, sync: Callable[[], None], done: Callable[[], None]) -> None:
        """See `Syncer.submit`."""
        if self._failed:
            return
        try:
            sync()
        except DiskError as error:
            self._failed = True
            self._post(partial(self._on_failure, error))
            return
        self._post(done)

    def close(self) -> None:
        """See `Syncer.close`."""
