"""Invoices that arrive twice and are paid once, also by the process that comes after a restart.

python client/examples/patterns/idempotent.py [SERVER]
"""

# ruff: noqa: ASYNC110
from __future__ import annotations

import asyncio
import sys
import uuid

from odradek.client import ConsumerRecord, Producer
from odradek.client.patterns import IdempotentHandler, TopicSeenStore, WorkQueue, running


async def pay(record: ConsumerRecord) -> None:
    print(f"paid {(record.value or b'').decode()}")


async def main(server: str) -> None:
    topic = f"payments-{uuid.uuid4().hex[:8]}"
    for process in (1, 2):
        async with Producer(server) as producer:
            for invoice in (b"invoice-1", b"invoice-2", b"invoice-1", f"invoice-{process + 2}".encode()):
                await producer.publish(topic, invoice, headers=[("message_id", invoice)])
        async with TopicSeenStore(server, f"{topic}.seen", max_age_ms=3_600_000) as seen:
            pay_once = IdempotentHandler(pay, seen)
            queue = WorkQueue(server, topic, "payers", pay_once)
            async with running(queue):
                while queue.counts.done < 4:
                    await asyncio.sleep(0.02)
        print(f"process {process}: {pay_once.skipped_count} of 4 were known")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "localhost:50051"))
