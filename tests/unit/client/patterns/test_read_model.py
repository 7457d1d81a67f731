from __future__ import annotations

import pytest
from tests.unit.client.patterns.memory_log import MemoryLog

from odradek.client.patterns.event_fold import Aggregate, Commit, Event, StoredEvent
from odradek.client.patterns.event_sourcing import EventStore
from odradek.client.patterns.read_model import ReadModel


class Totals:
    def __init__(self) -> None:
        self.by_type: dict[str, int] = {}

    def __call__(self, stored: StoredEvent) -> None:
        if stored.event.type == "bad":
            raise ValueError("cannot project")
        self.by_type[stored.event.type] = self.by_type.get(stored.event.type, 0) + 1


def nothing(state: None, event: Event) -> None:
    return state


async def test_a_view_contains_what_was_written_before_it_is_waited_for() -> None:
    log, totals = MemoryLog(partition_count=2), Totals()
    async with EventStore(log, "e", Aggregate(None, nothing)) as store:
        await store.execute("a", lambda _: [Event("x")])
        async with ReadModel(log, "e", totals) as model:
            assert totals.by_type == {"x": 1}
            committed = await store.execute("b", lambda _: [Event("x"), Event("y")])
            assert committed is not None
            await model.wait_for(committed)
            assert totals.by_type == {"x": 2, "y": 1}
            assert await model.lag() == 0
            assert model.position(committed.partition) == committed.offset + 1


async def test_a_commit_that_lost_its_race_is_not_in_the_view() -> None:
    log, totals = MemoryLog(), Totals()
    for commit_id in ("first", "second"):
        commit = Commit("a", commit_id, 0, (Event("x"),))
        log.write("e", commit.value, commit.key, commit.headers)
    async with ReadModel(log, "e", totals) as model:
        assert totals.by_type == {"x": 1}
        assert model.position(0) == 2


async def test_an_error_of_the_projection_is_told() -> None:
    log, totals = MemoryLog(), Totals()
    async with EventStore(log, "e", Aggregate(None, nothing)) as store, ReadModel(log, "e", totals) as model:
        committed = await store.execute("a", lambda _: [Event("bad")])
        assert committed is not None
        with pytest.raises(ValueError, match="cannot project"):
            await model.wait_for(committed)
        assert await model.lag() == 1
        with pytest.raises(ValueError, match="cannot project"):
            await model.catch_up()
