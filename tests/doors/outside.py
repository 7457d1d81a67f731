"""A node in a process of its own: `outside.py DATA SETTING...`; says where it listens, and stops at SIGTERM."""

from __future__ import annotations

import asyncio
import signal
import sys

import uvloop

from odradek.node.broker import Broker
from odradek.node.config import load_config
from odradek.node.runtime.memory import settle_garbage_collector


async def main(data: str, *settings: str) -> None:
    broker = Broker(load_config(data=data, listen="127.0.0.1:0", assignments=settings).config)
    await broker.start()
    settle_garbage_collector()
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    sys.stdout.write(f"{broker.addresses[0]} {broker.grpc_address}\n")
    sys.stdout.flush()
    await stopping.wait()
    await broker.stop()


if __name__ == "__main__":
    uvloop.install()
    asyncio.run(main(*sys.argv[1:]))
