from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from odradek.node.app.list_offsets import ListedOffset
from odradek.node.app.offset_lookups import AT_ONCE, LookUp, OffsetLookUps
from odradek.proto.kafka.errors import ErrorCode


class Leaders:
    """Partition n is led by node n modulo 2; node 1 answers when `answer` is set. Offsets are partition numbers."""

    def __init__(self) -> None:
        self.answer = asyncio.Event()
        self.under_way: Counter[int] = Counter()
        self.most: Counter[int] = Counter()
        self.cancelled = 0

    def leader_of(self, topic: str, partition: int) -> int | None:
        return None if topic == "no" else partition % 2

    async def list_offset(
        self, topic: str, partition: int, timestamp: int, isolation_level: int
    ) -> ListedOffset:
        node = self.leader_of(topic, partition)
        if node is None:
            return ListedOffset(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
        self.under_way[node] += 1
        self.most[node] = max(self.most[node], self.under_way[node])
        try:
            if node == 1:
                await self.answer.wait()
            else:
                await asyncio.sleep(0)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.under_way[node] -= 1
        return ListedOffset(ErrorCode.NONE, timestamp, partition, isolation_level)


def asked(*numbers: int, topic: str = "t") -> list[LookUp]:
    return [LookUp(topic, number, -1) for number in numbers]


async def test_answers_come_in_the_order_asked_with_the_errors_of_leaders() -> None:
    leaders = Leaders()
    leaders.answer.set()
    found = await OffsetLookUps(leaders).find([*asked(3, 0), *asked(5, topic="no"), *asked(2)], 10)
    assert [(one.error.name, one.offset) for one in found] == [
        ("NONE", 3),
        ("NONE", 0),
        ("UNKNOWN_TOPIC_OR_PARTITION", -1),
        ("NONE", 2),
    ]
    assert found[0] == ListedOffset(ErrorCode.NONE, -1, 3, 0)
    assert await OffsetLookUps(leaders).find([], 10) == []


async def test_a_silent_leader_holds_up_none_but_its_own_and_is_asked_little_at_once() -> None:
    leaders = Leaders()
    found = await OffsetLookUps(leaders).find(asked(*range(60)), 0.3)
    assert [one.offset for one in found[::2]] == list(range(0, 60, 2))
    assert {one.error for one in found[1::2]} == {ErrorCode.REQUEST_TIMED_OUT}
    assert leaders.most == {0: AT_ONCE, 1: AT_ONCE}
    await asyncio.sleep(0)
    assert leaders.under_way == {0: 0, 1: 0} and leaders.cancelled == AT_ONCE


async def test_who_gives_up_leaves_nothing_under_way() -> None:
    leaders = Leaders()
    task = asyncio.create_task(OffsetLookUps(leaders).find(asked(1, 3), 100))
    for _ in range(3):
        await asyncio.sleep(0)
    assert leaders.under_way[1] == 2
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(0)
    assert leaders.cancelled == 2
