"""Where an `EventStore` begins to read: states of aggregates, and how far the events are that all of them cover.

When: as soon as reading all events at the start takes too long. `SnapshotTopic` keeps them in a compacted topic
(`<events>.snapshots`); any object with `load` and `save` will do as well.

    states      for each aggregate its state, version, and the partition and offset of the last commit in it
    positions   for each partition the offset before which every commit is covered by the states

Guaranteed: positions are written after the states that they rely on, so that whatever `load` returns is safe to begin
from: a commit behind a position may be covered by a state already, which its offset tells.

Not guaranteed: that snapshots still fit when `evolve` has changed: use another topic then, and begin from the events.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Protocol

from odradek.client.patterns.log_access import Log, log_of, read_to
from odradek.client.records import ConsumerRecord

_AGGREGATE: Final = b"aggregate/"
_POSITION: Final = b"position/"


class StateSnapshot(NamedTuple):
    """`state` as JSON holds it."""

    state: Any
    version: int
    partition: int
    offset: int


@dataclass(slots=True)
class Snapshots:
    """See the module."""

    states: dict[str, StateSnapshot] = field(default_factory=dict)
    positions: dict[int, int] = field(default_factory=dict)


class SnapshotStore(Protocol):
    async def load(self) -> Snapshots: ...
    async def save(self, snapshots: Snapshots) -> None:
        """Put these in the place of older ones; others stay."""


class MemorySnapshots:
    """For tests, and as a pattern for stores of one's own."""

    def __init__(self) -> None:
        self._kept = Snapshots()

    async def load(self) -> Snapshots:
        return Snapshots(dict(self._kept.states), dict(self._kept.positions))

    async def save(self, snapshots: Snapshots) -> None:
        self._kept.states.update(snapshots.states)
        self._kept.positions.update(snapshots.positions)


class SnapshotTopic:
    """Keeps snapshots in a topic of their own."""

    def __init__(self, servers: str | Log, topic: str) -> None:
        self._log = log_of(servers)
        self._topic = topic

    async def load(self) -> Snapshots:
        await self._log.create_topic(self._topic, configs={"cleanup.policy": "compact"})
        bounds = await self._log.bounds(self._topic)
        ends = {tp: one.end for tp, one in bounds.items() if one.end > one.start}
        found = Snapshots()
        if ends:
            async with self._log.reader(partitions=dict.fromkeys(ends), offset_reset="earliest") as reader:
                async for records in read_to(reader, ends):
                    for record in records:
                        _apply(found, record)
        return found

    async def save(self, snapshots: Snapshots) -> None:
        async with self._log.writer() as writer:
            states = [
                await writer.send(self._topic, json.dumps(state).encode(), _AGGREGATE + name.encode())
                for name, state in snapshots.states.items()
            ]
            await asyncio.gather(*states)
            for partition, offset in snapshots.positions.items():
                await writer.publish(self._topic, str(offset).encode(), _POSITION + str(partition).encode())


def _apply(found: Snapshots, record: ConsumerRecord) -> None:
    key, value = record.key or b"", record.value
    if value is None:
        return
    if key.startswith(_AGGREGATE):
        found.states[key.removeprefix(_AGGREGATE).decode()] = StateSnapshot(*json.loads(value))
    elif key.startswith(_POSITION):
        found.positions[int(key.removeprefix(_POSITION))] = int(value)
