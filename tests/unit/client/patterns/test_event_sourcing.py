from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from tests.unit.client.patterns.memory_log import MemoryLog

from odradek.client.patterns.event_fold import Aggregate, Commit, ConflictError, Event
from odradek.client.patterns.event_sourcing import EventStore
from odradek.client.patterns.snapshots import MemorySnapshots, Snapshots, StateSnapshot


def evolve(balance: int, event: Event) -> int:
    amount: int = event.data["amount"]
    return balance + amount


ACCOUNT = Aggregate(0, evolve)


def change(amount: int) -> Callable[[int], list[Event]]:
    """No account may be overdrawn."""
    return lambda balance: [Event("changed", {"amount": amount})] if balance + amount >= 0 else []


def foreign(log: MemoryLog, expected_version: int, amount: int) -> None:
    """Somebody else's commit."""
    commit = Commit("alice", "foreign", expected_version, (Event("changed", {"amount": amount}),))
    log.write("accounts", commit.value, commit.key, commit.headers)


async def test_commands_change_state() -> None:
    log = MemoryLog(partition_count=3)
    async with EventStore(log, "accounts", ACCOUNT) as accounts:
        first = await accounts.execute("alice", change(100))
        second = await accounts.execute("alice", change(-30))
        assert await accounts.execute("alice", change(-300)) is None
        assert first is not None and second is not None
        assert (first.version, second.version, second.offset) == (1, 2, first.offset + 1)
        assert (accounts.get("alice").state, accounts.get("alice").version) == (70, 2)
        assert accounts.get("bob").version == 0
    assert log.configs["accounts"] == {"retention.ms": "-1"}


async def test_state_is_there_after_a_restart() -> None:
    log = MemoryLog(partition_count=3)
    async with EventStore(log, "accounts", ACCOUNT) as accounts:
        for number in range(20):
            await accounts.execute(f"a{number}", change(number))
    async with EventStore(log, "accounts", ACCOUNT) as accounts:
        assert [accounts.get(f"a{number}").state for number in range(20)] == list(range(20))


async def test_a_version_that_is_old_is_a_conflict_without_a_record() -> None:
    log = MemoryLog()
    async with EventStore(log, "accounts", ACCOUNT) as accounts:
        await accounts.append("alice", [Event("changed", {"amount": 1})], 0)
        with pytest.raises(ConflictError) as raised:
            await accounts.append("alice", [Event("changed", {"amount": 1})], 0)
        assert (raised.value.expected_version, raised.value.version) == (0, 1)
        with pytest.raises(ValueError):
            await accounts.append("alice", [], 1)
    assert len(log.all_of("accounts")) == 1


async def test_the_log_decides_between_writers_that_do_not_know_of_each_other() -> None:
    log = MemoryLog()
    async with EventStore(log, "accounts", ACCOUNT) as accounts:
        foreign(log, 0, 5)  # written, and not read yet
        with pytest.raises(ConflictError):
            await accounts.append("alice", [Event("changed", {"amount": 100})], 0)
        assert (accounts.get("alice").state, accounts.lost_count) == (5, 1)
        foreign(log, 1, -5)
        assert await accounts.execute("alice", change(-5)) is None
        assert accounts.get("alice").state == 0


async def test_two_stores_never_overdraw() -> None:
    log = MemoryLog(partition_count=2)
    async with EventStore(log, "accounts", ACCOUNT) as one, EventStore(log, "accounts", ACCOUNT) as two:
        await one.execute("alice", change(10))
        await two.catch_up()
        done = await asyncio.gather(
            *(store.execute("alice", change(-1), attempts=99) for store in [one, two] * 8)
        )
        await one.catch_up()
        await two.catch_up()
        assert one.get("alice") == two.get("alice")
        assert one.get("alice").state == 0
        assert sum(committed is not None for committed in done) == 10
        assert one.lost_count == two.lost_count > 0


async def test_conflicts_without_end_are_raised() -> None:
    log = MemoryLog()
    async with EventStore(log, "accounts", ACCOUNT) as accounts:

        def disturbed(balance: int) -> list[Event]:
            foreign(log, accounts.get("alice").version, 1)
            return [Event("changed", {"amount": 1})]

        with pytest.raises(ConflictError):
            await accounts.execute("alice", disturbed, attempts=3)
        assert accounts.get("alice").state == 3


async def test_a_snapshot_saves_reading() -> None:
    log, snapshots = MemoryLog(), MemorySnapshots()
    async with EventStore(log, "accounts", ACCOUNT, snapshots=snapshots) as accounts:
        for _ in range(5):
            await accounts.execute("alice", change(1))
        await accounts.execute("bob", change(7))
        assert await accounts.snapshot() == 2
        assert await accounts.snapshot() == 0
        await accounts.execute("alice", change(10))
    before = log.topics["accounts"][0]
    log.topics["accounts"][0] = [record._replace(key=b"carol") for record in before[:6]] + before[6:]
    async with EventStore(log, "accounts", ACCOUNT, snapshots=snapshots) as accounts:
        assert (accounts.get("alice").state, accounts.get("alice").version) == (15, 6)
        assert accounts.get("bob").state == 7
        assert accounts.get("carol").version == 0


async def test_a_snapshot_may_be_ahead_of_its_position() -> None:
    log, snapshots = MemoryLog(), MemorySnapshots()
    async with EventStore(log, "accounts", ACCOUNT) as accounts:
        for _ in range(3):
            await accounts.execute("alice", change(1))
    await snapshots.save(Snapshots({"alice": StateSnapshot(2, 2, 0, 1)}, {0: 0}))
    async with EventStore(log, "accounts", ACCOUNT, snapshots=snapshots) as accounts:
        assert (accounts.get("alice").state, accounts.lost_count) == (3, 0)


async def test_a_snapshot_that_fails_is_made_again() -> None:
    class Failing(MemorySnapshots):
        fails = True

        async def save(self, snapshots: Snapshots) -> None:
            if self.fails:
                raise OSError("disk full")
            await super().save(snapshots)

    snapshots = Failing()
    async with EventStore(MemoryLog(), "accounts", ACCOUNT, snapshots=snapshots) as accounts:
        await accounts.execute("alice", change(1))
        with pytest.raises(OSError):
            await accounts.snapshot()
        snapshots.fails = False
        assert await accounts.snapshot() == 1


async def test_a_store_of_some_partitions_knows_its_own() -> None:
    log = MemoryLog(partition_count=2)
    async with EventStore(log, "accounts", ACCOUNT) as accounts:
        for number in range(10):
            await accounts.execute(f"a{number}", change(1))
    here, elsewhere = 0, 0
    async with EventStore(log, "accounts", ACCOUNT, partitions=[1]) as part:
        for number in range(10):
            try:
                assert part.get(f"a{number}").state == 1
                here += 1
            except ValueError:
                elsewhere += 1
                with pytest.raises(ValueError, match="which this store does not read"):
                    await part.execute(f"a{number}", change(1))
    assert (here, elsewhere) == (len(log.topics["accounts"][1]), len(log.topics["accounts"][0]))


async def test_without_a_place_for_snapshots_there_are_none() -> None:
    async with EventStore(MemoryLog(), "accounts", ACCOUNT) as accounts:
        with pytest.raises(ValueError):
            await accounts.snapshot()


async def test_commands_of_one_store_take_turns() -> None:
    log = MemoryLog()
    async with EventStore(log, "accounts", ACCOUNT) as accounts:
        await asyncio.gather(*(accounts.execute("alice", change(1), attempts=1) for _ in range(20)))
        assert (accounts.get("alice").state, accounts.lost_count) == (20, 0)
