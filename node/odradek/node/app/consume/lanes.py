"""Fetches that are under way for one reader: one for each node that leads partitions of it.

A lane waits at the leader (a parked fetch here, a long poll elsewhere) and keeps at most one answer, of at most
`LANE_BYTES_MAX`. Decides nothing: the reader says what to fetch, and takes or drops what came.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from odradek.node.app.consume.values import TopicPartition
from odradek.node.app.context import RequestContext
from odradek.node.app.fetch import FetchedPartition, FetchResult
from odradek.node.app.leaders import Leaders
from odradek.node.partition.fetch_session import FetchPartition
from odradek.node.runtime.deferred import Deferred

LANE_BYTES_MAX: Final = 256 * 1024
"""Of records in one answer: what is decoded at once holds up the event loop."""
WAIT_MS: Final = 30_000


class Lane:
    """`result` is there once the fetch is answered."""

    __slots__ = ("keys", "pending", "result", "task")

    def __init__(self, asked: Sequence[FetchPartition]) -> None:
        self.keys = frozenset((one.topic, one.index) for one in asked)
        self.result: Sequence[FetchedPartition] | None = None
        self.pending: Deferred[FetchResult] | None = None
        self.task: asyncio.Task[None] | None = None

    def cancel(self) -> None:
        if self.pending is not None:
            self.pending.abandon()
        if self.task is not None:
            self.task.cancel()


class Lanes:
    def __init__(
        self, context: RequestContext, leaders: Leaders, isolation_level: int, wake: Callable[[], None]
    ) -> None:
        self._context = context
        self._leaders = leaders
        self._isolation_level = isolation_level
        self._wake = wake
        self._lanes: dict[int, Lane] = {}

    def is_asked(self, node_id: int, key: TopicPartition) -> bool:
        """Whether a node is being asked for this partition."""
        lane = self._lanes.get(node_id)
        return lane is not None and key in lane.keys

    def answered(self) -> Iterator[Sequence[FetchedPartition]]:
        """The answers that are there, each once; their lanes are free again."""
        for node_id, lane in list(self._lanes.items()):
            # The reader may have cancelled the rest while it was given the one before.
            if lane.result is not None and self._lanes.get(node_id) is lane:
                del self._lanes[node_id]
                yield lane.result

    def fetch(self, wanted: Mapping[int, Sequence[FetchPartition]]) -> None:
        """Ask nodes, for this instead of what they are being asked for."""
        for node_id, asked in wanted.items():
            before = self._lanes.get(node_id)
            if before is not None:
                before.cancel()
            lane = self._lanes[node_id] = Lane(asked)
            if node_id == self._leaders.node_id:
                self._fetch_here(lane, asked)
            else:
                lane.task = asyncio.get_running_loop().create_task(
                    self._fetch_elsewhere(lane, node_id, asked)
                )

    def cancel(self) -> None:
        """Forget what is under way and what has come."""
        lanes, self._lanes = self._lanes, {}
        for lane in lanes.values():
            lane.cancel()

    def _fetch_here(self, lane: Lane, asked: Sequence[FetchPartition]) -> None:
        pending = self._leaders.fetch_here(
            self._context,
            asked,
            max_bytes=LANE_BYTES_MAX,
            max_wait_ms=WAIT_MS,
            isolation_level=self._isolation_level,
        )
        lane.pending = pending

        def on_result(result: FetchResult) -> None:
            lane.result = result.partitions
            self._wake()

        pending.then(on_result)

    async def _fetch_elsewhere(self, lane: Lane, node_id: int, asked: Sequence[FetchPartition]) -> None:
        lane.result = await self._leaders.fetch_elsewhere(
            node_id,
            asked,
            max_bytes=LANE_BYTES_MAX,
            max_wait_ms=WAIT_MS,
            isolation_level=self._isolation_level,
        )
        self._wake()
