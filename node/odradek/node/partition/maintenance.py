"""When the logs are looked after: the timer that `storage.log_dirs` asks for and does not own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from odradek.node.runtime.alarm import Alarm


class Maintained(Protocol):
    """`LogDirs`: deadlines in wall-clock ms."""

    def next_deadline_ms(self) -> int: ...
    def run_maintenance(self, now_ms: int) -> None: ...


class Maintenance:
    """Runs what is due. The logs speak wall-clock time (their files carry it), timers are monotonic."""

    def __init__(
        self,
        logs: Maintained,
        clock: Callable[[], int],
        new_alarm: Callable[[Callable[[int], int | None]], Alarm],
    ) -> None:
        self._logs = logs
        self._clock = clock
        self._alarm = new_alarm(self._on_due)

    def announce(self, due_ms: int) -> None:
        """A log wants to be looked after at `due_ms` (wall clock)."""
        self._alarm.announce(self._monotonic(due_ms))

    def start(self) -> None:
        self._alarm.announce(self._monotonic(self._logs.next_deadline_ms()))

    def stop(self) -> None:
        self._alarm.cancel()

    def _monotonic(self, due_ms: int) -> int:
        return self._alarm.monotonic_ms() + max(0, due_ms - self._clock())

    def _on_due(self, now_ms: int) -> int | None:
        self._logs.run_maintenance(self._clock())
        # Why at least 1 ms: a deadline in the past must not become a busy loop.
        return max(self._monotonic(self._logs.next_deadline_ms()), now_ms + 1)
