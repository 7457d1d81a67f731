"""How far a reader is in each of its partitions: delivered, acknowledged, committed. Pure.

Offsets here are of the *next* record, as Kafka's committed offsets are. Invariant: acknowledging and committing never
go back, except by a seek. A reader may acknowledge what was delivered on an earlier stream of its.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from odradek.node.app.consume.values import UNKNOWN_POSITION, TopicPartition

_NOTHING: Final = -1


class PartitionProgress:
    """`retry_at_s`: not to be asked before, after an error; 0 for at once."""

    __slots__ = (
        "acknowledged",
        "committed",
        "delivered",
        "index",
        "is_paused",
        "position",
        "retry_at_s",
        "seeks",
        "topic",
    )

    def __init__(self, topic: str, index: int, position: int) -> None:
        self.topic = topic
        self.index = index
        self.position = position
        self.delivered = _NOTHING
        self.acknowledged = _NOTHING
        self.committed = _NOTHING
        self.is_paused = False
        self.retry_at_s = 0.0
        self.seeks = 0
        """How often it was moved: what was committed before says nothing afterwards."""

    @property
    def key(self) -> TopicPartition:
        return self.topic, self.index

    @property
    def is_settled(self) -> bool:
        """All that was delivered is acknowledged or committed."""
        return self.delivered <= max(self.acknowledged, self.committed)

    def on_delivered(self, next_offset: int, *, has_records: bool) -> None:
        self.position = next_offset
        if has_records:
            self.delivered = next_offset

    def seek(self, offset: int) -> None:
        self.position = offset
        self.delivered = self.acknowledged = self.committed = _NOTHING
        self.retry_at_s = 0.0
        self.seeks += 1


class Progress:
    """All partitions of one reader, those that were served longest ago first."""

    def __init__(self) -> None:
        self._partitions: dict[TopicPartition, PartitionProgress] = {}
        self.tells_what_is_done = False
        """The reader acknowledges or commits, so it is worth waiting for that."""

    def __len__(self) -> int:
        return len(self._partitions)

    def __iter__(self) -> Iterator[PartitionProgress]:
        return iter(self._partitions.values())

    def get(self, key: TopicPartition) -> PartitionProgress | None:
        return self._partitions.get(key)

    def replace(self, keys: Iterable[TopicPartition], *, keeps: bool) -> list[PartitionProgress]:
        """These partitions from now on. Those that stay go on where they are if `keeps`. Returns the others, whose
        positions have to be found."""
        before = self._partitions if keeps else {}
        self._partitions = {}
        fresh: list[PartitionProgress] = []
        for key in keys:
            known = before.get(key)
            if known is None:
                known = PartitionProgress(*key, UNKNOWN_POSITION)
                fresh.append(known)
            self._partitions[key] = known
        return fresh

    def on_served(self, partition: PartitionProgress) -> None:
        """Others come first next time."""
        key = partition.key
        self._partitions[key] = self._partitions.pop(key)

    def acknowledge(self, key: TopicPartition, offset: int) -> bool:
        """The record at `offset` and all before it are dealt with. True when there is something new to commit."""
        self.tells_what_is_done = True
        partition = self._partitions.get(key)
        if partition is None or offset + 1 <= partition.acknowledged:
            return False
        partition.acknowledged = offset + 1
        return True

    def to_commit(self) -> dict[TopicPartition, int]:
        """Acknowledged and not committed."""
        return {
            key: partition.acknowledged
            for key, partition in self._partitions.items()
            if partition.acknowledged > partition.committed
        }

    def seeks(self, keys: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """How often each was moved so far."""
        return {key: partition.seeks for key in keys if (partition := self._partitions.get(key)) is not None}

    def on_committed(
        self, offsets: Mapping[TopicPartition, int], seeks: Mapping[TopicPartition, int] | None = None
    ) -> None:
        """`seeks`: as it was when the commit was sent. One from before a seek says nothing of what came after."""
        for key, offset in offsets.items():
            partition = self._partitions.get(key)
            if partition is not None and (seeks is None or seeks.get(key) == partition.seeks):
                partition.committed = max(partition.committed, offset)

    @property
    def is_settled(self) -> bool:
        return all(partition.is_settled for partition in self._partitions.values())
