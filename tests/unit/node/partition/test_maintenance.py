from collections.abc import Callable

from odradek.node.partition.maintenance import Maintenance


class Logs:
    def __init__(self) -> None:
        self.due = 5000
        self.ran: list[int] = []

    def next_deadline_ms(self) -> int:
        return self.due

    def run_maintenance(self, now_ms: int) -> None:
        self.ran.append(now_ms)


class Bell:
    def __init__(self, on_due: Callable[[int], int | None]) -> None:
        self.on_due = on_due
        self.announced: list[int | None] = []

    def monotonic_ms(self) -> int:
        return 100

    def announce(self, deadline_ms: int | None) -> None:
        self.announced.append(deadline_ms)

    def cancel(self) -> None:
        self.announced.append(None)


def made(clock_ms: int) -> tuple[Maintenance, Logs, Bell]:
    logs = Logs()
    bells: list[Bell] = []

    def new_alarm(on_due: Callable[[int], int | None]) -> Bell:
        bells.append(Bell(on_due))
        return bells[-1]

    return Maintenance(logs, lambda: clock_ms, new_alarm), logs, bells[0]  # type: ignore[arg-type]  # a Bell


def test_wall_clock_deadlines_become_monotonic_ones() -> None:
    maintenance, _, bell = made(clock_ms=4000)
    maintenance.start()
    maintenance.announce(4500)
    maintenance.announce(1)
    maintenance.stop()
    assert bell.announced == [1100, 600, 100, None]


def test_what_is_due_runs_with_the_wall_clock_and_a_past_deadline_is_no_busy_loop() -> None:
    _, logs, bell = made(clock_ms=9000)
    assert bell.on_due(200) == 201
    assert logs.ran == [9000]
