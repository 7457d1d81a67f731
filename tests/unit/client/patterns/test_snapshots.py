from __future__ import annotations

import pytest
from tests.unit.client.patterns.memory_log import MemoryLog

from odradek.client.errors import UnknownTopicError
from odradek.client.patterns.snapshots import (
    MemorySnapshots,
    Snapshots,
    SnapshotStore,
    SnapshotTopic,
    StateSnapshot,
)


@pytest.fixture(params=["memory", "topic"])
def store(request: pytest.FixtureRequest) -> SnapshotStore:
    if request.param == "memory":
        return MemorySnapshots()
    return SnapshotTopic(MemoryLog(partition_count=2), "accounts.snapshots")


async def test_nothing_is_there_at_first(store: SnapshotStore) -> None:
    assert await store.load() == Snapshots()


async def test_newer_ones_take_the_place_of_older_ones(store: SnapshotStore) -> None:
    alice, bob = StateSnapshot({"balance": 5}, 2, 0, 7), StateSnapshot([1, 2], 1, 1, 3)
    await store.save(Snapshots({"alice": alice, "bob": bob}, {0: 8, 1: 4}))
    newer = StateSnapshot({"balance": 6}, 3, 0, 9)
    await store.save(Snapshots({"alice": newer}, {0: 10}))
    assert await store.load() == Snapshots({"alice": newer, "bob": bob}, {0: 10, 1: 4})


async def test_the_topic_is_compacted_and_holds_states_before_positions() -> None:
    log = MemoryLog()
    store = SnapshotTopic(log, "s")
    await store.load()
    await store.save(Snapshots({"position/0": StateSnapshot(1, 1, 0, 0)}, {0: 1}))
    assert log.configs["s"] == {"cleanup.policy": "compact"}
    assert [record.key for record in log.all_of("s")] == [b"aggregate/position/0", b"position/0"]
    log.write("s", None, b"aggregate/x")
    log.write("s", b"?", b"else")
    assert (await store.load()).positions == {0: 1}


async def test_a_snapshot_that_cannot_be_written_is_said() -> None:
    log = MemoryLog()
    log.refused.add("s")
    with pytest.raises(UnknownTopicError):
        await SnapshotTopic(log, "s").save(Snapshots({"a": StateSnapshot(1, 1, 0, 0)}, {}))
