"""Trips of three bookings: one is completed, one compensated, one goes on after its runner died.

python client/examples/patterns/saga.py [SERVER]
"""

from __future__ import annotations

import asyncio
import sys
import uuid

from odradek.client.patterns import Reject, RetryPolicy, Saga, SagaRunner, Step, StepContext, running

hotel_is_asked = asyncio.Event()
is_dying = True


async def book(context: StepContext) -> str:
    step = context.key.rpartition("/")[2]
    if step == "hotel" and context.data == "carol" and is_dying:
        hotel_is_asked.set()
        await asyncio.sleep(60)
    if step == "payment" and context.data == "bob":
        raise Reject("bob has no money")
    print(f"{context.data}: {step} is booked")
    return f"{step} of {context.data}"


async def cancel(context: StepContext) -> None:
    print(f"{context.data}: {context.key.split('/')[1]} is cancelled")


async def main(server: str) -> None:
    global is_dying
    topic = f"trips-{uuid.uuid4().hex[:8]}"
    trip = Saga("trip", [Step("flight", book, cancel), Step("hotel", book, cancel), Step("payment", book)])
    runner = SagaRunner(server, topic, trip, retry=RetryPolicy(max_attempts=2, first_delay_ms=50))
    task = asyncio.create_task(runner.run())
    await runner.ready()
    for name in ("alice", "bob", "carol"):
        await runner.start(f"trip-{name}", name)
    for name in ("alice", "bob"):
        outcome = await runner.outcome(f"trip-{name}")
        print(f"{name}: {outcome.kind.value} {outcome.error}")
    await hotel_is_asked.wait()
    task.cancel()
    await asyncio.wait([task])
    print("the runner died while carol's hotel was being booked")
    is_dying = False
    other = SagaRunner(server, topic, trip)
    async with running(other):
        print(f"carol: {(await other.outcome('trip-carol')).kind.value}")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "localhost:50051"))
