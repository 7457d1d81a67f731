"""The virtual loop must itself be right: order, time, death, and the same run from the same seed."""

from __future__ import annotations

import asyncio
from random import Random

import pytest
from tests.sim.loop import HostLoop, Scheduler


def scheduler(seed: int = 1) -> Scheduler:
    return Scheduler(Random(seed))


def test_time_jumps_to_the_next_timer_and_callbacks_of_a_process_keep_their_order() -> None:
    world = scheduler()
    loop = HostLoop(world, "a")
    seen: list[object] = []
    start_s = loop.time()
    loop.call_later(3600, lambda: seen.append(round(loop.time() - start_s)))
    for number in range(5):
        loop.call_soon(seen.append, number)
    world.run(2 * 3600 * 1_000_000)
    assert seen == [0, 1, 2, 3, 4, 3600]
    assert world.now_us == 2 * 3600 * 1_000_000


def test_tasks_sleep_time_out_and_are_cancelled_as_on_any_loop() -> None:
    world = scheduler()
    loop = HostLoop(world, "a", random=Random(2), lateness_us=500)

    async def work() -> str:
        async with asyncio.TaskGroup() as group:
            first = group.create_task(asyncio.sleep(1, "slept"))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await asyncio.sleep(10)
        return first.result()

    task = loop.create_task(work())
    world.run(5_000_000)
    assert task.result() == "slept"
    assert not world.problems


def test_a_killed_process_runs_nothing_more_not_even_a_finally() -> None:
    world = scheduler()
    loop = HostLoop(world, "a")
    seen: list[str] = []

    async def work() -> None:
        try:
            await asyncio.sleep(1)
            seen.append("went on")
        finally:
            seen.append("cleaned up")

    task = loop.create_task(work())
    world.run(500_000)
    loop.kill()
    world.run(5_000_000)
    assert not seen and not task.done()


def test_a_frozen_process_finds_what_came_when_it_thaws() -> None:
    world = scheduler()
    loop = HostLoop(world, "a")
    seen: list[int] = []
    loop.call_later(1, lambda: seen.append(world.now_us))
    loop.freeze()
    world.run(3_000_000)
    loop.call_soon(lambda: seen.append(-1))
    assert not seen
    loop.thaw()
    world.run(4_000_000)
    assert seen == [3_000_000, -1]


def interleaving(seed: int) -> tuple[str, list[str]]:
    world = scheduler(seed)
    seen: list[str] = []
    for name in "abc":
        loop = HostLoop(world, name)
        for number in range(3):
            loop.call_later(number, seen.append, f"{name}{number}")
    world.run(10_000_000)
    return world.trace, seen


def test_the_order_between_processes_follows_the_seed() -> None:
    assert interleaving(1) == interleaving(1)
    assert len({tuple(interleaving(seed)[1]) for seed in range(20)}) > 5


def test_sets_of_tasks_have_an_order_that_does_not_follow_addresses() -> None:
    world = scheduler()
    loop = HostLoop(world, "a")

    async def nothing() -> None: ...

    tasks = [loop.create_task(nothing()) for _ in range(50)]
    assert [hash(task) for task in tasks] == sorted(hash(task) for task in tasks)
    world.run(1)


def test_an_exception_in_a_callback_is_a_problem_of_the_run() -> None:
    world = scheduler()
    HostLoop(world, "a").call_soon(lambda: 1 / 0)
    world.run(1)
    assert "ZeroDivisionError" in world.problems[0]


def test_there_are_no_threads() -> None:
    with pytest.raises(NotImplementedError):
        HostLoop(scheduler(), "a").run_in_executor(None, print)
