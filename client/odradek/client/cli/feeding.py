"""Reads records for `produce` from stdin or files, beside the event loop.

A thread reads and cuts, because a read of a pipe or a terminal blocks; it is a daemon, so that Ctrl-C need not wait for
the next line. Records that are there are handed over before the next read, so that none waits for others to come."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from threading import Thread

from odradek.client.cli.input_format import InputRecord, Read

#: Cuts an input into records.
Cut = Callable[[Read], Iterator[InputRecord]]

_BATCH_RECORDS = 500
_BATCHES_WAITING = 4


async def feed(
    files: Sequence[str], cut: Cut, on_read: Callable[[int], None]
) -> AsyncIterator[list[InputRecord]]:
    """Records of the files in order, of stdin without any (or for `-`); `on_read` hears how many bytes were read.

    Raises OSError for a file that cannot be read, ValueError for an input that is not as it should be."""
    loop = asyncio.get_running_loop()
    waiting: asyncio.Queue[list[InputRecord] | Exception | None] = asyncio.Queue(_BATCHES_WAITING)

    def hand_over(batch: list[InputRecord] | Exception | None) -> None:
        asyncio.run_coroutine_threadsafe(waiting.put(batch), loop).result()

    def tell(count: int) -> None:
        loop.call_soon_threadsafe(on_read, count)

    def work() -> None:
        try:
            try:
                for name in files or ("-",):
                    _read_one(name, cut, tell, hand_over)
                hand_over(None)
            except (OSError, ValueError) as error:
                hand_over(error)
        except (RuntimeError, CancelledError):
            # The loop is closed, or ends: nobody wants the rest.
            return

    Thread(target=work, name="odradek-produce-input", daemon=True).start()
    while (batch := await waiting.get()) is not None:
        if isinstance(batch, Exception):
            raise batch
        yield batch


def _read_one(
    name: str, cut: Cut, on_read: Callable[[int], None], hand_over: Callable[[list[InputRecord]], None]
) -> None:
    batch: list[InputRecord] = []

    def read(count: int) -> bytes:
        nonlocal batch
        if batch:
            hand_over(batch)
            batch = []
        chunk = os.read(descriptor, count)
        on_read(len(chunk))
        return chunk

    descriptor = 0 if name == "-" else os.open(name, os.O_RDONLY)
    try:
        for record in cut(read):
            batch.append(record)
            if len(batch) >= _BATCH_RECORDS:
                hand_over(batch)
                batch = []
        if batch:
            hand_over(batch)
    finally:
        if descriptor:
            os.close(descriptor)


def whole(read: Read) -> Iterator[InputRecord]:
    """The whole input as one record."""
    chunks = []
    while chunk := read(1024 * 1024):
        chunks.append(chunk)
    yield InputRecord(b"".join(chunks))


async def only(record: InputRecord) -> AsyncIterator[list[InputRecord]]:
    """One record that is not read from anywhere."""
    yield [record]
