"""One fetch for each node, each answer once, and nothing left parked."""

from __future__ import annotations

import asyncio
from typing import cast

from tests.unit.node.app.partitions_in_memory import CONTEXT, PartitionsInMemory

from odradek.node.app.consume.lanes import Lanes
from odradek.node.app.leaders import Leaders
from odradek.node.partition.fetch_session import FetchPartition
from odradek.proto.kafka.record_batch import Record, build_batch

HERE, THERE = 1, 2


def asked(index: int, offset: int = 0) -> list[FetchPartition]:
    return [FetchPartition("t", bytes(16), index, offset, 1000, 3)]


def world() -> tuple[PartitionsInMemory, Lanes, list[None]]:
    memory, woken = PartitionsInMemory(t=3), list[None]()
    lanes = Lanes(CONTEXT, cast(Leaders, memory), 0, lambda: woken.append(None))
    return memory, lanes, woken


def write(memory: PartitionsInMemory, index: int) -> None:
    memory.write("t", index, build_batch([Record(0, 1, None, b"v", ())]))


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_an_answer_wakes_and_is_taken_once() -> None:
    memory, lanes, woken = world()
    lanes.fetch({HERE: asked(0), THERE: asked(1)})
    await settle()
    assert list(lanes.answered()) == [] and woken == []
    assert lanes.is_asked(HERE, ("t", 0)) and not lanes.is_asked(THERE, ("t", 0))
    write(memory, 0)
    write(memory, 1)
    await settle()
    assert len(woken) == 2
    assert [answer[0].asked.index for answer in lanes.answered()] == [0, 1]
    assert list(lanes.answered()) == [] and not lanes.is_asked(HERE, ("t", 0))


async def test_nothing_stays_parked() -> None:
    memory, lanes, woken = world()
    lanes.fetch({HERE: asked(0), THERE: asked(1)})
    await settle()
    assert len(memory.parked) == 2
    lanes.cancel()
    await settle()
    assert memory.abandoned == 1 and not lanes.is_asked(HERE, ("t", 0))
    write(memory, 0)
    await settle()
    assert woken == []


async def test_cancelled_between_two_answers() -> None:
    """The reader pauses while it is given the first: the second is forgotten, and nothing breaks."""
    memory, lanes, _ = world()
    lanes.fetch({HERE: asked(0), THERE: asked(1)})
    await settle()
    write(memory, 0)
    write(memory, 1)
    await settle()
    taken = []
    for answer in lanes.answered():
        taken.append(answer)
        lanes.cancel()
    assert len(taken) == 1
    lanes.fetch({HERE: asked(2), THERE: asked(2)})
    assert list(lanes.answered()) == []
    lanes.cancel()
