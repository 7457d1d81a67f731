"""Prices, asked for by many at once: answers, an error that travels back, and a deadline.

python client/examples/patterns/request_reply.py [SERVER]
"""

from __future__ import annotations

import asyncio
import sys
import uuid

from odradek.client import ConsumerRecord
from odradek.client.patterns import RemoteError, Requester, Responder

PRICES = {b"apples": b"3", b"pears": b"4"}


async def price(request: ConsumerRecord) -> bytes:
    if request.key == b"gold":
        await asyncio.sleep(60)
    return PRICES[request.key or b""]


async def main(server: str) -> None:
    topic = f"prices-{uuid.uuid4().hex[:8]}"
    asking = Requester(server, topic)
    responder = asyncio.create_task(Responder(server, topic, "price-service", price).run())
    async with asking as requester:
        answers = await asyncio.gather(*(requester.request(b"", key=key) for key in list(PRICES) * 20))
        print(f"{len(answers)} answers, among them {sorted(set(filter(None, answers)))}")
        try:
            await requester.request(b"", key=b"plums")
        except RemoteError as error:
            print(f"plums: {error}")
        try:
            await requester.request(b"", key=b"gold", timeout_ms=300)
        except TimeoutError:
            print("gold: no answer in time")
    responder.cancel()  # a handler sleeps: `stop` would wait for it
    await asyncio.wait([responder])


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "localhost:50051"))
