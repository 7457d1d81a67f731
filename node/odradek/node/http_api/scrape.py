"""One scrape: everything a node tells, as text, made in slices so that the event loop goes on in between.

Scrapers that ask while a scrape in their format is under way get the same one; scrapes never run side by side.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from time import perf_counter
from typing import Final, NamedTuple

from odradek.node.http_api.families import NodeFamilies
from odradek.node.http_api.groups import GroupTables
from odradek.node.http_api.partitions import PartitionTables
from odradek.node.http_api.sources import Health, Sources
from odradek.node.http_api.text import Writer

SLICE_S: Final = 0.002
"""After this much work, the loop gets a turn."""


class Scraped(NamedTuple):
    content_type: str
    chunks: list[bytes]


class Scraper:
    """`per_partition=False` leaves out every series that has a partition in it."""

    def __init__(self, sources: Sources, health: Health, *, per_partition: bool = True) -> None:
        self._sources = sources
        self._families = NodeFamilies(sources, health)
        self._per_partition = per_partition
        self._running: dict[str, asyncio.Task[Scraped]] = {}
        self._turn = asyncio.Lock()

    async def scrape(self, accept: str) -> Scraped:
        """The answer to a scraper with this Accept header."""
        writer = Writer(accept)
        task = self._running.get(writer.content_type)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._run(writer))
            self._running[writer.content_type] = task
            task.add_done_callback(lambda _: self._running.pop(writer.content_type))
        # Why shielded: one scraper that goes away must not end it for the others.
        return await asyncio.shield(task)

    async def _run(self, writer: Writer) -> Scraped:
        async with self._turn:
            until = perf_counter() + SLICE_S
            for _ in self._write(writer):
                if perf_counter() >= until:
                    await asyncio.sleep(0)
                    until = perf_counter() + SLICE_S
        return Scraped(writer.content_type, writer.end())

    def _write(self, writer: Writer) -> Iterator[None]:
        """All families, in steps of a fraction of a millisecond each."""
        for family in self._families.collect():
            writer.write(family)
            yield
        writer.write_rows(self._families.request_times())
        yield
        for rows in self._families.traffic():
            writer.write_rows(rows)
            yield
        image = self._sources.image()
        partitions = PartitionTables(self._sources, per_partition=self._per_partition)
        yield from partitions.visit(image)
        for family in partitions.families(image):
            writer.write(family)
        yield from partitions.write(writer)
        groups = GroupTables(per_partition=self._per_partition)
        yield from groups.visit(self._sources.shards(), partitions.high_watermarks)
        yield from groups.write(writer)
