"""Commits: one after another, outcomes in the order asked, later ones again."""

from __future__ import annotations

import asyncio
from typing import cast

from tests.unit.node.app.coordinator_in_memory import CoordinatorInMemory

from odradek.node.app.consume.commits import Commits
from odradek.node.app.consume.progress import Progress
from odradek.node.app.coordinators import Coordinators
from odradek.proto.kafka.errors import ErrorCode

A, B = ("t", 0), ("u", 0)
HOUR_MS = 3_600_000


def world(group: str = "g", interval_ms: int = HOUR_MS) -> tuple[CoordinatorInMemory, Progress, Commits]:
    coordinator, progress = CoordinatorInMemory(), Progress()
    progress.replace([A, B], keeps=False)
    commits = Commits(cast(Coordinators, coordinator), group, lambda: (3, "m", None), progress, interval_ms)
    return coordinator, progress, commits


async def until(is_so: object) -> None:
    assert callable(is_so)
    async with asyncio.timeout(10):
        while not is_so():  # noqa: ASYNC110  (a timer of the product is at work)
            await asyncio.sleep(0.001)


async def test_outcomes_are_in_the_order_asked() -> None:
    coordinator, progress, commits = world()
    asked = [("t", 0, 5, ""), ("u", 0, 6, "note"), ("t", 1, 7, "")]
    assert await commits.commit(asked) == [ErrorCode.NONE] * 3
    (command,) = coordinator.commits
    assert (command.generation, command.member_id) == (3, "m")
    assert coordinator.committed_offsets == {A: 5, B: 6, ("t", 1): 7}
    assert progress.to_commit() == {}


async def test_commits_keep_their_order() -> None:
    coordinator, _, commits = world()
    await asyncio.gather(*(commits.commit([("t", 0, offset, "")]) for offset in range(20)))
    assert [one.topics[0].partitions[0].offset for one in coordinator.commits] == list(range(20))


async def test_what_could_not_be_committed_comes_again() -> None:
    coordinator, progress, commits = world(interval_ms=1)
    coordinator.commit_errors = [ErrorCode.REBALANCE_IN_PROGRESS, ErrorCode.COORDINATOR_NOT_AVAILABLE]
    progress.acknowledge(A, 4)
    commits.commit_later()
    await until(lambda: coordinator.committed_offsets == {A: 5})
    assert len(coordinator.commits) == 3
    commits.stop()


async def test_before_partitions_go_a_coordinator_that_moves_is_waited_for() -> None:
    coordinator, progress, commits = world()
    coordinator.commit_errors = [ErrorCode.NOT_COORDINATOR, ErrorCode.COORDINATOR_LOAD_IN_PROGRESS]
    progress.acknowledge(A, 4)
    assert await commits.commit_all()
    assert coordinator.committed_offsets == {A: 5}
    progress.acknowledge(A, 6)
    coordinator.commit_errors = [ErrorCode.UNKNOWN_MEMBER_ID]
    assert not await commits.commit_all(), "who is no member any more is not let in by asking again"
    assert len(coordinator.commits) == 4


async def test_at_once_instead_of_later() -> None:
    coordinator, progress, commits = world()
    progress.acknowledge(A, 4)
    commits.commit_later()
    assert await commits.commit_acknowledged() == {A: ErrorCode.NONE}
    assert await commits.commit_acknowledged() == {}
    assert len(coordinator.commits) == 1


async def test_nothing_after_the_end_and_nothing_without_a_group() -> None:
    coordinator, progress, commits = world(interval_ms=1)
    commits.stop()
    progress.acknowledge(A, 4)
    commits.commit_later()
    alone, theirs, without = world(group="")
    theirs.acknowledge(A, 4)
    without.commit_later()
    assert await without.commit_acknowledged() == {}
    await asyncio.sleep(0.01)
    assert coordinator.commits == [] and alone.commits == []
