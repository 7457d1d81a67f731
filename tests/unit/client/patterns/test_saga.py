from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.unit.client.patterns.memory_log import JumpingClock, MemoryLog, StandingClock

from odradek.client.errors import ClosedError
from odradek.client.patterns.retry_policy import Reject, RetryPolicy
from odradek.client.patterns.saga import Saga, SagaRunner, Step, StepContext, start_saga
from odradek.client.patterns.saga_state import Entry, Kind
from odradek.client.patterns.service import running


class Services:
    """Three services that write down what they are asked to do."""

    def __init__(self, log: MemoryLog) -> None:
        self.log = log
        self.keys: list[str] = []
        self.cancelled: list[str] = []
        self.failures: dict[str, list[Exception]] = {}
        self.gates: dict[str, asyncio.Event] = {}

    def saga(self) -> Saga:
        names = ("flight", "hotel", "payment")
        return Saga("trip", [Step(name, self._carry_out, self._carry_out) for name in names])

    async def _carry_out(self, context: StepContext) -> Any:
        step = context.key.removeprefix(f"{context.saga_id}/")
        self.keys.append(context.key)
        self.log.notify()
        if step in self.gates:
            try:
                await self.gates[step].wait()
            except asyncio.CancelledError:
                self.cancelled.append(context.key)
                raise
        if self.failures.get(step):
            raise self.failures[step].pop(0)
        return f"{step} for {context.data} after {','.join(context.results)}"


def runner_of(log: MemoryLog, services: Services, clock: JumpingClock | None = None) -> SagaRunner:
    policy = RetryPolicy(max_attempts=2, first_delay_ms=10, jitter=0)
    return SagaRunner(
        log,
        "trips",
        services.saga(),
        retry=policy,
        compensation_retry=policy,
        clock=clock or JumpingClock(),
    )


def kinds(log: MemoryLog) -> list[str]:
    entries = [Entry.from_json(value or b"") for value in log.values("trips")]
    return [f"{entry.kind.value} {entry.step}".strip() for entry in entries if entry is not None]


async def test_all_steps_are_carried_out_in_order() -> None:
    log = MemoryLog(partition_count=2)
    services = Services(log)
    runner = runner_of(log, services)
    async with running(runner):
        await runner.start("s1", "alice")
        outcome = await runner.outcome("s1")
        assert await runner.outcome("s1") == outcome
    assert outcome.is_completed
    assert services.keys == ["s1/flight", "s1/hotel", "s1/payment"]
    assert outcome.results["payment"] == "payment for alice after flight,hotel"
    assert kinds(log) == ["started", "done flight", "done hotel", "done payment", "completed"]


async def test_what_was_done_is_compensated_in_reverse_order() -> None:
    log = MemoryLog()
    services = Services(log)
    services.failures["payment"] = [Reject("no money")]
    runner = runner_of(log, services)
    async with running(runner):
        await runner.start("s1")
        outcome = await runner.outcome("s1")
    assert (outcome.kind, outcome.error) == (Kind.COMPENSATED, "payment: Reject: no money")
    assert services.keys == ["s1/flight", "s1/hotel", "s1/payment", "s1/hotel/undo", "s1/flight/undo"]


async def test_a_step_is_tried_again_before_that() -> None:
    log, clock = MemoryLog(), JumpingClock()
    services = Services(log)
    services.failures["hotel"] = [ValueError("busy")]
    runner = runner_of(log, services, clock)
    async with running(runner):
        await runner.start("s1")
        assert (await runner.outcome("s1")).is_completed
    assert services.keys.count("s1/hotel") == 2
    assert clock.slept_ms == [10]


async def test_a_compensation_that_fails_is_stuck_until_it_is_retried() -> None:
    log = MemoryLog()
    services = Services(log)
    services.failures = {
        "hotel": [Reject("full")],
        "flight/undo": [ValueError("airline is down"), ValueError("airline is down")],
    }
    runner = runner_of(log, services)
    async with running(runner):
        await runner.start("s1")
        assert (await runner.outcome("s1")).kind is Kind.STUCK
        assert runner.stuck() == {"s1": "flight: ValueError: airline is down"}
        await runner.retry_stuck("s1")
        await log.until(lambda: "compensated" in kinds(log))
    assert kinds(log)[-3:] == ["retried", "undone flight", "compensated"]


async def test_a_saga_goes_on_where_a_dead_runner_left_it() -> None:
    log = MemoryLog(partition_count=2)
    services = Services(log)
    services.gates["hotel"] = asyncio.Event()
    dying = asyncio.create_task(runner_of(log, services).run())
    await start_saga(log.writer(), "trips", "s1", "alice")
    await log.until(lambda: "s1/hotel" in services.keys)
    dying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await dying
    services.gates.clear()
    runner = runner_of(log, services)
    async with running(runner):
        assert (await runner.outcome("s1")).is_completed
    assert services.keys == ["s1/flight", "s1/hotel", "s1/hotel", "s1/payment"]


async def test_stop_finishes_the_step_and_the_next_runner_does_the_rest() -> None:
    log = MemoryLog()
    services = Services(log)
    services.gates["hotel"] = asyncio.Event()
    runner = runner_of(log, services)
    async with running(runner):
        await runner.start("s1")
        await log.until(lambda: "s1/hotel" in services.keys)
        runner.stop()
        services.gates["hotel"].set()
    assert kinds(log) == ["started", "done flight", "done hotel"]
    other = runner_of(log, services)
    async with running(other):
        assert (await other.outcome("s1")).is_completed
    assert services.keys.count("s1/hotel") == 1


async def test_stop_does_not_wait_for_the_next_attempt() -> None:
    log, clock = MemoryLog(), StandingClock()
    services = Services(log)
    services.failures["flight"] = [ValueError("busy")]
    runner = runner_of(log, services, clock)
    async with running(runner):
        await runner.start("s1")
        await clock.fell_asleep.wait()
    assert kinds(log) == ["started"]


async def test_a_saga_is_started_once() -> None:
    log = MemoryLog()
    services = Services(log)
    runner = runner_of(log, services)
    async with running(runner):
        await runner.start("s1", "first")
        await runner.start("s1", "second")
        outcome = await runner.outcome("s1")
        await runner.start("s1", "third")
        await runner.start("s2")
        await runner.outcome("s2")
    assert outcome.results["flight"] == "flight for first after "
    assert services.keys.count("s1/flight") == 1


async def test_two_runners_divide_the_sagas() -> None:
    log = MemoryLog(partition_count=2)
    one, two = Services(log), Services(log)
    async with running(runner_of(log, one), runner_of(log, two)):
        for number in range(20):
            await start_saga(log.writer(), "trips", f"s{number}")
        await log.until(lambda: kinds(log).count("completed") == 20)
    assert one.keys and two.keys
    assert len(one.keys) + len(two.keys) == 60


async def test_the_entry_that_is_first_in_the_log_counts() -> None:
    log = MemoryLog()
    services = Services(log)
    services.gates["flight"] = asyncio.Event()
    runner = runner_of(log, services)
    async with running(runner):
        await runner.start("s1")
        await log.until(lambda: "s1/flight" in services.keys)
        log.write("trips", Entry(1, Kind.FAILED, "flight", "by another runner").to_json(), b"s1")
        log.write("trips", b"no entry", b"s1")
        services.gates["flight"].set()
        outcome = await runner.outcome("s1")
    assert outcome.kind is Kind.COMPENSATED
    assert services.keys == ["s1/flight"]


async def test_names_of_steps_are_unique_and_a_runner_has_to_run() -> None:
    step = Step("a", Services(MemoryLog())._carry_out)
    with pytest.raises(ValueError):
        Saga("x", [step, step])
    with pytest.raises(ClosedError):
        await SagaRunner(MemoryLog(), "trips", Saga("x", [step])).start("s1")


async def test_nothing_is_done_before_the_whole_past_is_known() -> None:
    log = MemoryLog()
    services = Services(log)
    log.write("trips", Entry(0, Kind.STARTED).to_json(), b"s1")
    for _ in range(2_000):  # more than one poll brings
        log.write("trips", b"no entry", b"s1")
    log.write("trips", Entry(1, Kind.DONE, "flight").to_json(), b"s1")
    runner = runner_of(log, services)
    async with running(runner):
        assert (await runner.outcome("s1")).is_completed
    assert services.keys == ["s1/hotel", "s1/payment"]


async def test_a_saga_that_went_elsewhere_is_left_alone_here() -> None:
    log = MemoryLog(partition_count=2)
    one, two = Services(log), Services(log)
    one.gates["flight"] = asyncio.Event()
    ids = [f"s{number}" for number in range(10)]
    async with running(runner_of(log, one)):
        for saga_id in ids:
            await start_saga(log.writer(), "trips", saga_id)
        await log.until(lambda: len(one.keys) == 10)
        moved = {(record.key or b"").decode() for record in log.topics["trips"][1]}
        assert 0 < len(moved) < 10
        async with running(runner_of(log, two)):  # it gets partition 1
            await log.until(lambda: kinds(log).count("completed") == len(moved))
            one.gates["flight"].set()
            await log.until(lambda: kinds(log).count("completed") == 10)
    assert set(one.cancelled) == {f"{saga_id}/flight" for saga_id in moved}
    assert kinds(log).count("done flight") == 10
