"""A warehouse and a bank that react to each other's events; one order is paid, one is taken back.

python client/examples/patterns/choreography.py [SERVER]
"""

from __future__ import annotations

import asyncio
import sys
import uuid
from typing import Any

from odradek.client import Producer
from odradek.client.patterns import Participant, Reaction, Reject, SagaEvent, emit, running

ended = asyncio.Semaphore(0)


async def reserve(event: SagaEvent) -> list[tuple[str, Any]]:
    print(f"warehouse: reserves for {event.saga_id}")
    return [("stock.reserved", event.data)]


async def release(event: SagaEvent) -> list[tuple[str, Any]]:
    print(f"warehouse: releases for {event.saga_id}, because of {event.data['error']}")
    return [("order.cancelled", None)]


async def pay(event: SagaEvent) -> list[tuple[str, Any]]:
    if event.data["price"] > 100:
        raise Reject("too expensive")
    print(f"bank: pays {event.saga_id}")
    return [("order.paid", None)]


async def notice(event: SagaEvent) -> None:
    print(f"shop: {event.saga_id} ended with {event.type}")
    ended.release()


async def main(server: str) -> None:
    topic = f"orders-{uuid.uuid4().hex[:8]}"
    warehouse = Participant(
        server,
        f"{topic}-warehouse",
        topic,
        {"order.placed": Reaction(reserve), "payment.refused": Reaction(release)},
    )
    bank = Participant(
        server, f"{topic}-bank", topic, {"stock.reserved": Reaction(pay, failure="payment.refused")}
    )
    shop = Participant(
        server, f"{topic}-shop", topic, {"order.paid": Reaction(notice), "order.cancelled": Reaction(notice)}
    )
    async with Producer(server) as producer:
        for saga_id, price in (("order-1", 20), ("order-2", 2_000)):
            await emit(producer, topic, "order.placed", saga_id, {"price": price})
        async with running(warehouse, bank, shop):
            await ended.acquire()
            await ended.acquire()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "localhost:50051"))
