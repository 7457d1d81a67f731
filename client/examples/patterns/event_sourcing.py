"""Accounts that cannot be overdrawn, two writers that race, a snapshot, and a view of who has how much.

python client/examples/patterns/event_sourcing.py [SERVER]
"""

from __future__ import annotations

import asyncio
import sys
import uuid
from collections.abc import Callable

from odradek.client.patterns import Aggregate, Event, EventStore, ReadModel, SnapshotTopic, StoredEvent


def evolve(balance: int, event: Event) -> int:
    amount: int = event.data["amount"]
    return balance + amount


def deposit(amount: int) -> Callable[[int], list[Event]]:
    return lambda _: [Event("deposited", {"amount": amount})]


def withdraw(amount: int) -> Callable[[int], list[Event]]:
    return lambda balance: [Event("withdrawn", {"amount": -amount})] if balance >= amount else []


async def main(server: str) -> None:
    topic = f"accounts-{uuid.uuid4().hex[:8]}"
    account = Aggregate(0, evolve)
    snapshots = SnapshotTopic(server, f"{topic}.snapshots")
    balances: dict[str, int] = {}

    def project(stored: StoredEvent) -> None:
        balances[stored.aggregate_id] = evolve(balances.get(stored.aggregate_id, 0), stored.event)

    async with (
        EventStore(server, topic, account, snapshots=snapshots) as here,
        EventStore(server, topic, account) as there,
        ReadModel(server, topic, project) as model,
    ):
        committed = await here.execute("alice", deposit(100))
        assert committed is not None
        await model.wait_for(committed)
        print(f"the view after the first deposit: {balances}")
        await there.catch_up()
        done = await asyncio.gather(*(store.execute("alice", withdraw(30)) for store in (here, there) * 3))
        await here.catch_up()
        await model.catch_up()
        taken = sum(one is not None for one in done)
        print(f"6 times 30 were asked for, {taken} times given; {here.lost_count} commits lost a race")
        print(f"the view: {balances}, {await model.lag()} records behind")
        print(f"snapshots of {await here.snapshot()} aggregates")
    async with EventStore(server, topic, account, snapshots=snapshots) as again:
        alice = again.get("alice")
        print(f"after a restart: {alice.state} at version {alice.version}")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "localhost:50051"))
