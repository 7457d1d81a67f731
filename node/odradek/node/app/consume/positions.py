"""Where to begin in a partition: where the reader said, where its group has committed, or at an end.

Errors: ConsumeError (OFFSET_OUT_OF_RANGE) where nothing says where and `offset_reset` is NONE.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Final

from odradek.node.app.consume.progress import PartitionProgress, Progress
from odradek.node.app.consume.values import (
    UNKNOWN_POSITION,
    Assignment,
    ConsumeError,
    OffsetReset,
    Position,
    Subscription,
    TopicPartition,
)
from odradek.node.app.coordinators import Coordinators
from odradek.node.app.leaders import Leaders
from odradek.node.app.list_offsets import LATEST
from odradek.node.app.offsets import TopicToFetch
from odradek.proto.kafka.errors import ErrorCode

RETRY_PAUSE_S: Final = 0.1
PATIENCE_S: Final = 15.0
"""For a leader or a coordinator that is being elected; then the stream ends, and its reader asks another node."""
_ZERO_ID: Final = bytes(16)


class Positions:
    def __init__(self, leaders: Leaders, coordinators: Coordinators, what: Subscription | Assignment) -> None:
        self._leaders = leaders
        self._coordinators = coordinators
        self._what = what
        self._given: dict[TopicPartition, Position] = {}
        if isinstance(what, Assignment):
            self._given = {(topic, index): at for topic, index, at in what.partitions if at is not None}

    async def find(self, fresh: Sequence[PartitionProgress], now_s: float) -> None:
        """Give partitions that are new here their positions; some may be left for `find_missing`."""
        committed = await self._committed([one for one in fresh if one.key not in self._given])
        timed: list[tuple[PartitionProgress, Position]] = []
        for one in fresh:
            at = self._given.pop(one.key, None)
            if at is not None and at.offset >= 0:
                one.position = at.offset
            elif at is not None:
                timed.append((one, at))
            elif one.key in committed:
                one.position = one.committed = committed[one.key]
            else:
                self.reset(
                    one, f"the group has committed nothing for partition {one.index} of topic {one.topic}"
                )
        for (one, _), offset in zip(
            timed, await asyncio.gather(*(self.look_up(one.key, at) for one, at in timed)), strict=True
        ):
            one.position = offset
        await self._find_ends([one for one in fresh if one.position < 0], now_s)

    async def find_missing(self, progress: Progress, now_s: float) -> list[PartitionProgress]:
        """Those that have a position now."""
        missing = [one for one in progress if one.position < 0 and one.retry_at_s <= now_s]
        if missing:
            await self._find_ends(missing, now_s)
        return [one for one in missing if one.position >= 0]

    def reset(self, one: PartitionProgress, message: str) -> None:
        """Nothing says where to read: `find_missing` looks for the end that `offset_reset` names."""
        if self._what.offset_reset is OffsetReset.NONE:
            raise ConsumeError(ErrorCode.OFFSET_OUT_OF_RANGE, message)
        one.seek(UNKNOWN_POSITION)

    async def look_up(self, key: TopicPartition, at: Position) -> int:
        """The offset of a position. Raises ConsumeError."""
        if at.offset >= 0:
            return at.offset
        give_up_s = asyncio.get_running_loop().time() + PATIENCE_S
        while True:
            found = await self._leaders.list_offset(*key, at.timestamp, self._what.isolation_level)
            if found.error is ErrorCode.NONE:
                if found.offset < 0:  # nothing is so new
                    at = Position(timestamp=LATEST)
                    continue
                return found.offset
            if not found.error.retriable:
                raise ConsumeError(found.error)
            if asyncio.get_running_loop().time() > give_up_s:
                raise ConsumeError(
                    found.error, f"partition {key[1]} of topic {key[0]}: its leader cannot be asked"
                )
            await asyncio.sleep(RETRY_PAUSE_S)

    async def _committed(self, asked: Iterable[PartitionProgress]) -> dict[TopicPartition, int]:
        topics: dict[str, list[int]] = {}
        for one in asked:
            topics.setdefault(one.topic, []).append(one.index)
        if not topics or not self._what.group_id:
            return {}
        wanted = [TopicToFetch(topic, _ZERO_ID, indexes) for topic, indexes in topics.items()]
        give_up_s = asyncio.get_running_loop().time() + PATIENCE_S
        while True:
            group = await self._coordinators.committed(self._what.group_id, wanted)
            if group.error is ErrorCode.NONE:
                return {
                    (topic.name, one.partition): one.offset
                    for topic in group.topics
                    for one in topic.partitions
                    if one.offset >= 0
                }
            if not group.error.retriable:
                raise ConsumeError(group.error)
            if asyncio.get_running_loop().time() > give_up_s:
                raise ConsumeError(
                    group.error, f"group {self._what.group_id}: its coordinator cannot be asked"
                )
            await asyncio.sleep(RETRY_PAUSE_S)

    async def _find_ends(self, missing: Sequence[PartitionProgress], now_s: float) -> None:
        timestamp = self._what.offset_reset.value
        if timestamp is None or not missing:
            return
        found = await asyncio.gather(
            *(self._leaders.list_offset(*one.key, timestamp, self._what.isolation_level) for one in missing)
        )
        for one, answer in zip(missing, found, strict=True):
            if answer.error is ErrorCode.NONE:
                one.position = answer.offset
            elif answer.error.retriable:
                one.retry_at_s = now_s + RETRY_PAUSE_S
            else:
                raise ConsumeError(answer.error)
