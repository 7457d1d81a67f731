"""What one reader commits to its group: at once, or before long what it has acknowledged; one commit after another."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from odradek.node.app.consume.progress import Progress
from odradek.node.app.consume.values import TopicPartition
from odradek.node.app.coordinators import Coordinators
from odradek.node.app.offsets import CommitCommand, PartitionToCommit, TopicToCommit
from odradek.proto.kafka.errors import ErrorCode

PATIENCE_S: Final = 5.0
PAUSE_S: Final = 0.1
ZERO_ID: Final = bytes(16)
_FINAL: Final = frozenset((ErrorCode.NONE, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION))

Identity = tuple[int, str, str | None]
"""Generation, member id and instance id; (-1, "", None) for who is no member."""
ToCommit = Sequence[tuple[str, int, int, str]]
"""(topic, partition, next offset, metadata)."""


class Commits:
    def __init__(
        self,
        coordinators: Coordinators,
        group_id: str,
        identity: Callable[[], Identity],
        progress: Progress,
        interval_ms: int,
    ) -> None:
        self._coordinators = coordinators
        self._group_id = group_id
        self._identity = identity
        self._progress = progress
        self._interval_s = interval_ms / 1000
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._turn = asyncio.Lock()
        self._is_over = False

    async def commit(self, offsets: ToCommit) -> list[ErrorCode]:
        """One outcome per partition, in the order given."""
        places: dict[str, list[int]] = {}
        for place, (topic, *_) in enumerate(offsets):
            places.setdefault(topic, []).append(place)
        async with self._turn:
            seeks = self._progress.seeks((topic, partition) for topic, partition, *_ in offsets)
            generation, member_id, instance_id = self._identity()
            command = CommitCommand(
                self._group_id,
                generation,
                member_id,
                instance_id,
                [
                    TopicToCommit(
                        topic,
                        ZERO_ID,
                        [
                            PartitionToCommit(offsets[at][1], offsets[at][2], -1, offsets[at][3])
                            for at in those
                        ],
                    )
                    for topic, those in places.items()
                ],
            )
            told = await self._coordinators.commit(command)
        outcomes = [ErrorCode.NONE] * len(offsets)
        order = [place for those in places.values() for place in those]
        for place, error in zip(order, told, strict=True):
            outcomes[place] = error
        self._progress.on_committed(
            {
                (topic, partition): offset
                for (topic, partition, offset, _), error in zip(offsets, outcomes, strict=True)
                if error is ErrorCode.NONE
            },
            seeks,
        )
        return outcomes

    def commit_later(self) -> None:
        """Something was acknowledged."""
        if self._timer is None and self._group_id and not self._is_over:
            self._timer = asyncio.get_running_loop().call_later(self._interval_s, self._on_due)

    async def commit_all(self) -> bool:
        """What is acknowledged, now; again for a while if the coordinator is on its way. Whether it is committed."""
        give_up_s = asyncio.get_running_loop().time() + PATIENCE_S
        while True:
            outcomes = await self.commit_acknowledged()
            if all(error in _FINAL for error in outcomes.values()):
                return True
            is_passing = any(error.retriable for error in outcomes.values())
            if not is_passing or asyncio.get_running_loop().time() > give_up_s:
                return False
            await asyncio.sleep(PAUSE_S)

    async def commit_acknowledged(self) -> Mapping[TopicPartition, ErrorCode]:
        """Now. What could not be committed is acknowledged still, and comes with the next time."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        offsets = [(*key, offset, "") for key, offset in self._progress.to_commit().items()]
        if not offsets or not self._group_id:
            return {}
        outcomes = await self.commit(offsets)
        return {
            (topic, partition): error for (topic, partition, *_), error in zip(offsets, outcomes, strict=True)
        }

    def stop(self) -> None:
        """No more timers; what is under way goes on."""
        self._is_over = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_due(self) -> None:
        self._timer = None
        task = asyncio.get_running_loop().create_task(self._commit_in_background())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _commit_in_background(self) -> None:
        outcomes = await self.commit_acknowledged()
        # A coordinator may be on its way, or the group between two generations: it is asked again.
        if any(error not in _FINAL for error in outcomes.values()):
            self.commit_later()
