"""Many look-ups of offsets at the leaders of their partitions, within a time.

Decides how many are under way at each leader at once, and that a leader that is silent holds up nobody but those that
ask for its partitions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

from odradek.node.app.list_offsets import ListedOffset
from odradek.proto.kafka.errors import ErrorCode

AT_ONCE: Final = 8
"""Look-ups at one leader: as many connections are kept to a node."""
READ_UNCOMMITTED: Final = 0


class LookUp(NamedTuple):
    """`timestamp` as `ListOffsetsService.list_offset` takes it."""

    topic: str
    partition: int
    timestamp: int


class Leaders(Protocol):
    """`odradek.node.app.leaders.Leaders`."""

    def leader_of(self, topic: str, partition: int) -> int | None: ...

    async def list_offset(
        self, topic: str, partition: int, timestamp: int, isolation_level: int
    ) -> ListedOffset: ...


class OffsetLookUps:
    def __init__(self, leaders: Leaders) -> None:
        self._leaders = leaders

    async def find(self, asked: Sequence[LookUp], timeout_s: float) -> list[ListedOffset]:
        """One answer each, in order; REQUEST_TIMED_OUT for those that did not come in time."""
        if not asked:
            return []
        turns: dict[int | None, asyncio.Semaphore] = {}
        loop = asyncio.get_running_loop()
        tasks = [
            loop.create_task(
                self._find(
                    turns.setdefault(
                        self._leaders.leader_of(one.topic, one.partition), asyncio.Semaphore(AT_ONCE)
                    ),
                    one,
                )
            )
            for one in asked
        ]
        try:
            await asyncio.wait(tasks, timeout=timeout_s)
            return [
                task.result() if task.done() else ListedOffset(ErrorCode.REQUEST_TIMED_OUT) for task in tasks
            ]
        finally:
            for task in tasks:
                task.cancel()

    async def _find(self, turn: asyncio.Semaphore, asked: LookUp) -> ListedOffset:
        async with turn:
            return await self._leaders.list_offset(*asked, READ_UNCOMMITTED)
