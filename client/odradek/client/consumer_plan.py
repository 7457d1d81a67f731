"""What a consumer reads, and the first request of its stream.

Decides: which arguments go together. Times are in ms. Positions of partitions that were read before go into the
first request where it has a place for them (`Assign`); `consumer_state` sees to the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from odradek.client.records import Position, TopicPartition
from odradek.v1 import record_service_pb2 as pb

OFFSET_RESETS: Final = {
    "earliest": pb.OFFSET_RESET_EARLIEST,
    "latest": pb.OFFSET_RESET_LATEST,
    "none": pb.OFFSET_RESET_NONE,
}


@dataclass(frozen=True, slots=True)
class Plan:
    """Topics or a pattern, in a group or alone; or partitions. ValueError where that is not clear."""

    topics: tuple[str, ...] = ()
    topic_pattern: str | None = None
    partitions: Mapping[TopicPartition, Position | int | None] | None = None
    group_id: str | None = None
    instance_id: str = ""
    offset_reset: str = "earliest"
    session_timeout_ms: int = 10_000
    credit: int = 1000
    auto_commit: bool = True
    _starts: dict[TopicPartition, Position | None] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        if isinstance(self.topics, str):
            raise ValueError("topics is a sequence of names, not one name")
        asked = [bool(self.topics), self.topic_pattern is not None, self.partitions is not None]
        if sum(asked) != 1:
            raise ValueError("one of topics, topic_pattern and partitions says what is read")
        if self.offset_reset not in OFFSET_RESETS:
            raise ValueError(f"offset_reset {self.offset_reset!r} is none of {', '.join(OFFSET_RESETS)}")
        if self.credit < 1:
            raise ValueError("credit must be at least 1")
        for tp, start in (self.partitions or {}).items():
            self._starts[TopicPartition(*tp)] = None if start is None else Position.of(start)

    @property
    def is_member(self) -> bool:
        """Partitions are divided among the members of a group."""
        return bool(self.group_id) and self.partitions is None

    @property
    def can_commit(self) -> bool:
        return bool(self.group_id)

    @property
    def some_topic(self) -> str:
        """A topic to ask for where any would do."""
        if self.topics:
            return self.topics[0]
        return next((tp.topic for tp in self._starts), "-")

    def first_request(self, positions: Mapping[TopicPartition, Position]) -> pb.ConsumeRequest:
        """Opens a stream. `positions`: where partitions that were read before are read on."""
        reset = OFFSET_RESETS[self.offset_reset]
        if self.partitions is None:
            subscribe = pb.Subscribe(
                topics=self.topics,
                topic_pattern=self.topic_pattern or "",
                group_id=self.group_id or "",
                instance_id=self.instance_id if self.group_id else "",
                offset_reset=reset,
                session_timeout_ms=self.session_timeout_ms if self.group_id else 0,
            )
            return pb.ConsumeRequest(subscribe=subscribe, credit=self.credit)
        assign = pb.Assign(group_id=self.group_id or "", offset_reset=reset)
        for tp, start in self._starts.items():
            position = positions.get(tp, start)
            assign.partitions.add(
                topic=tp.topic,
                partition=tp.partition,
                position=None if position is None else position.to_proto(),
            )
        return pb.ConsumeRequest(assign=assign, credit=self.credit)
