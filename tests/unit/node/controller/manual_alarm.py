"""Time that a test moves: alarms of one clock, fired in the order of their deadlines."""

from __future__ import annotations

from collections.abc import Callable

OnDue = Callable[[int], int | None]


class ManualAlarm:
    def __init__(self, clock: ManualClock, on_due: OnDue) -> None:
        self._clock = clock
        self._on_due = on_due
        self.at_ms: int | None = None

    def monotonic_ms(self) -> int:
        return self._clock.now_ms

    def announce(self, deadline_ms: int | None) -> None:
        if deadline_ms is not None and (self.at_ms is None or deadline_ms < self.at_ms):
            self.at_ms = deadline_ms

    def cancel(self) -> None:
        self.at_ms = None

    def fire(self) -> None:
        self.at_ms = None
        self.announce(self._on_due(self._clock.now_ms))


class ManualClock:
    """`new_alarm` is what parts are given; `advance` lets time pass and fires what is due on the way."""

    def __init__(self) -> None:
        self.now_ms = 1_000_000
        self._alarms: list[ManualAlarm] = []

    def new_alarm(self, on_due: OnDue) -> ManualAlarm:
        self._alarms.append(ManualAlarm(self, on_due))
        return self._alarms[-1]

    def advance(self, ms: int) -> None:
        until_ms = self.now_ms + ms
        while True:
            due = [alarm for alarm in self._alarms if alarm.at_ms is not None and alarm.at_ms <= until_ms]
            if not due:
                break
            first = min(due, key=lambda alarm: alarm.at_ms or 0)
            assert first.at_ms is not None
            self.now_ms = max(self.now_ms, first.at_ms)
            first.fire()
        self.now_ms = until_ms

    def stall(self, ms: int) -> None:
        """Time passes while nothing runs; then what is due fires, late."""
        self.now_ms += ms
        self.advance(0)
