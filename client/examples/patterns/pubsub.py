"""One order, heard by everybody who cares: two with a name, and one that listens to all topics of a kind.

python client/examples/patterns/pubsub.py [SERVER]
"""

# ruff: noqa: ASYNC110
from __future__ import annotations

import asyncio
import sys
import uuid
from collections.abc import Awaitable, Callable

from odradek.client import ConsumerRecord, Producer
from odradek.client.patterns import Subscriber, running


def listener(name: str) -> Callable[[ConsumerRecord], Awaitable[None]]:
    async def hear(record: ConsumerRecord) -> None:
        print(f"{name} heard {(record.value or b'').decode()}")

    return hear


async def main(server: str) -> None:
    shop = f"shop-{uuid.uuid4().hex[:8]}"
    async with Producer(server) as producer:
        await producer.publish(f"{shop}.orders", b"order 1")
        subscribers = [
            Subscriber(
                server,
                listener("billing"),
                topics=[f"{shop}.orders"],
                name=f"{shop}-billing",
                start="earliest",
            ),
            Subscriber(
                server, listener("mail"), topics=[f"{shop}.orders"], name=f"{shop}-mail", start="earliest"
            ),
            Subscriber(server, listener("audit"), topic_pattern=rf"{shop}\..*"),  # only what comes now
        ]
        async with running(*subscribers):
            await producer.publish(f"{shop}.orders", b"order 2")
            while [subscriber.handled_count for subscriber in subscribers] != [2, 2, 1]:
                await asyncio.sleep(0.02)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "localhost:50051"))
