"""Reads a whole topic, from somewhere on, and keeps reading: the shell under stores that live in a topic.

Decides: when the reader has caught up, and who waits for which place. Does not decide: what records mean (`apply` is
called with each, in the order of its partition). An error of `apply` or of the reader ends it: whoever waits, or
waits later, gets that error.

Entering it (`async with`) returns when everything that was in the topic was applied.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from typing import Self

from odradek.client.errors import ClosedError
from odradek.client.patterns.log_access import Log, Reader
from odradek.client.records import ConsumerRecord, Position, TopicPartition


class TopicFollower:
    """`start`: for all partitions, or for those of a mapping. `partitions`: only these, by number."""

    def __init__(
        self,
        log: Log,
        topic: str,
        apply: Callable[[ConsumerRecord], None],
        *,
        start: Position | Mapping[int, Position] | None = None,
        partitions: Collection[int] | None = None,
    ) -> None:
        self._log = log
        self._topic = topic
        self._apply = apply
        self._start = start
        self._wanted = partitions
        self._reader: Reader | None = None
        self._following: asyncio.Task[None] | None = None
        self._waiting: list[tuple[TopicPartition, int, asyncio.Future[None]]] = []
        self._reached: dict[TopicPartition, int] = {}
        self._error: Exception = ClosedError(f"topic {topic} is not followed yet")

    async def __aenter__(self) -> Self:
        bounds = await self._log.bounds(self._topic)
        wanted = [tp for tp in bounds if self._wanted is None or tp.partition in self._wanted]
        if not wanted:
            raise ValueError(f"topic {self._topic} has none of the partitions {self._wanted}")
        # An empty partition is read to its end, whether or not its reader can tell yet.
        self._reached = {tp: bounds[tp].end if bounds[tp].start == bounds[tp].end else -1 for tp in wanted}
        self._following = asyncio.create_task(self._follow({tp: self._start_of(tp) for tp in wanted}))
        try:
            for tp in wanted:
                await self.wait_for(tp, bounds[tp].end)
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._following is not None:
            self._following.cancel()
            await asyncio.wait([self._following])

    @property
    def partitions(self) -> list[TopicPartition]:
        return list(self._reached)

    def position(self, tp: TopicPartition) -> int:
        """The offset that is applied next; all before it are. -1: nothing was read yet."""
        return self._reached[tp]

    async def wait_for(self, tp: TopicPartition, offset: int) -> None:
        """Until everything before `offset` was applied. KeyError: a partition that is not followed. ClosedError."""
        if self._reached[tp] >= offset:
            return
        if self._following is None or self._following.done():
            raise self._error
        promise: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((tp, offset, promise))
        await promise

    async def catch_up(self) -> None:
        """Until all that was written before this call was applied."""
        bounds = await self._log.bounds(self._topic)
        for tp in self._reached:
            await self.wait_for(tp, bounds[tp].end)

    def _start_of(self, tp: TopicPartition) -> Position:
        if isinstance(self._start, Position):
            return self._start
        return (self._start or {}).get(tp.partition, Position.earliest())

    async def _follow(self, starts: Mapping[TopicPartition, Position]) -> None:
        error: Exception = ClosedError(f"topic {self._topic} is not followed any more")
        try:
            async with self._log.reader(
                partitions=starts, offset_reset="earliest", on_assigned=self._on_assigned
            ) as self._reader:
                while True:
                    for record in await self._reader.poll():
                        self._apply(record)
                    self._advance()
        except Exception as failed:  # the boundary of this task: whoever waits gets it
            error = failed
        finally:
            self._error = error
            for _, _, promise in self._waiting:
                if not promise.done():
                    promise.set_exception(error)

    def _on_assigned(self, _: object) -> None:
        """Where reading begins behind all records, there is no other sign of that."""
        self._advance()

    def _advance(self) -> None:
        assert self._reader is not None
        for tp in self._reader.assignment & self._reached.keys():
            self._reached[tp] = max(self._reached[tp], self._reader.position(tp))
        waiting = []
        for tp, offset, promise in self._waiting:
            if promise.done():
                continue
            if self._reached[tp] >= offset:
                promise.set_result(None)
            else:
                waiting.append((tp, offset, promise))
        self._waiting = waiting
