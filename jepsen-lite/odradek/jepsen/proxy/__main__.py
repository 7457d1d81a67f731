"""`python -m odradek.jepsen.proxy ADDRESS`: the proxy as a process, told by its input what to do.

Decides: nothing. The commands are in `service`; `controller` is the side that gives them.
"""

from __future__ import annotations

import asyncio
import signal
import sys

import uvloop

from odradek.jepsen.proxy.service import Service


async def serve(address: str) -> None:
    """Until the input ends."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=1 << 20)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    service = Service(address)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while line := await reader.readline():
        sys.stdout.write(await service.answer(line.decode()) + "\n")
        sys.stdout.flush()
    await service.close()


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m odradek.jepsen.proxy ADDRESS\n")
        return 2
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the run, which ends this one by its input
    uvloop.run(serve(arguments[0]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
