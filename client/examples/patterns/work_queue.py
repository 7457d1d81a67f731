"""Emails that are sent by two workers; some fail at first, one for good, until somebody repairs it.

python client/examples/patterns/work_queue.py [SERVER]
"""

# ruff: noqa: ASYNC110
from __future__ import annotations

import asyncio
import sys
import uuid

from odradek.client import ConsumerRecord, Producer
from odradek.client.patterns import Reject, RetryPolicy, WorkQueue, redrive, running

is_repaired = False
attempts: dict[bytes, int] = {}


async def send_email(record: ConsumerRecord) -> None:
    address = record.value or b""
    attempts[address] = attempts.get(address, 0) + 1
    if address == b"nobody" and not is_repaired:
        raise Reject("nobody is no address")
    if address == b"flaky" and attempts[address] < 3:
        raise ConnectionError("the mail server is busy")
    print(f"sent to {address.decode()} at attempt {attempts[address]}")


async def main(server: str) -> None:
    global is_repaired
    topic = f"emails-{uuid.uuid4().hex[:8]}"
    retry = RetryPolicy(max_attempts=5, first_delay_ms=100)
    workers = [WorkQueue(server, topic, "mailers", send_email, retry=retry) for _ in range(2)]
    done = [worker.counts for worker in workers]
    async with Producer(server) as producer:
        for address in (b"alice", b"flaky", b"nobody", b"bob"):
            await producer.publish(topic, address)
    async with running(*workers):
        while sum(counts.done for counts in done) < 3 or not sum(counts.dead for counts in done):
            await asyncio.sleep(0.02)
        print("nobody is among the dead letters; repaired, and sent back")
        is_repaired = True
        print(f"redriven: {await redrive(server, f'{topic}.dlq', limit=10)}")
        while sum(counts.done for counts in done) < 4:
            await asyncio.sleep(0.02)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "localhost:50051"))
