"""`odradek bench produce|consume`: throughput and latency of a topic, with this machine's client."""

from __future__ import annotations

import argparse
import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

from odradek.client.cli import exits
from odradek.client.cli.commands import (
    CALL_TIMEOUT_MS,
    CommandParser,
    Verbs,
    argument,
    cluster_of,
    completes,
    reachable,
    show,
)
from odradek.client.cli.latencies import Latencies
from odradek.client.cli.produce import COMPRESSIONS
from odradek.client.cli.progress import Progress
from odradek.client.cli.quantities import format_size, parse_duration_ms, parse_size_bytes

if TYPE_CHECKING:
    from odradek.client.producer import Producer

_REPORT_S = 0.25
_POLL_RECORDS = 5_000
_POLL_MS = 500
_IDLE_POLLS = 6


def fill(parser: CommandParser) -> None:
    verbs = Verbs(parser)
    produce = verbs.add(
        "produce",
        _produce,
        "write records and measure how fast they are safe",
        output=True,
        examples="  odradek bench produce load -n 1000000 --size 100\n"
        "  odradek bench produce load --rate 1000 --duration 30s      latency at a given load",
    )
    completes(produce.add_argument("topic", metavar="TOPIC"), "topic")
    produce.add_argument(
        "-n", "--num", type=int, default=100_000, metavar="N", help="records; default: 100000"
    )
    produce.add_argument(
        "--duration", metavar="DURATION", type=argument(parse_duration_ms), help="instead of -n"
    )
    produce.add_argument(
        "--size", type=argument(parse_size_bytes), default=100, help="of a value; default: 100"
    )
    produce.add_argument("--rate", type=int, metavar="N", help="records a second; default: as many as go")
    produce.add_argument(
        "--keys", type=int, default=0, metavar="N", help="so many different keys; default: no keys"
    )
    produce.add_argument("-z", "--compression", choices=COMPRESSIONS, default="none")
    produce.add_argument("--acks", choices=("all", "leader"), default="all")
    produce.add_argument("--linger", metavar="DURATION", type=argument(parse_duration_ms), default=5)
    produce.add_argument(
        "--batch-size", type=argument(parse_size_bytes), default=512 * 1024, help="default: 512KiB"
    )
    consume = verbs.add("consume", _consume, "read records and measure how fast they come", output=True)
    completes(consume.add_argument("topic", metavar="TOPIC"), "topic")
    consume.add_argument("-n", "--num", type=int, metavar="N", help="records; default: all there are")
    consume.add_argument(
        "--duration", metavar="DURATION", type=argument(parse_duration_ms), help="at most so long"
    )


async def _produce(options: argparse.Namespace) -> int:
    cluster = cluster_of(options)
    servers = reachable(cluster.servers)
    from odradek.client.producer import Producer

    if options.num < 1 or options.size < 1 or (options.rate is not None and options.rate < 1):
        raise exits.usage("-n, --size and --rate have to be at least 1")
    load = _Load(options)
    async with Producer(
        servers,
        client_id=cluster.client_id,
        acks=options.acks,
        compression=options.compression,
        linger_ms=options.linger,
        batch_bytes=options.batch_size,
    ) as producer:
        # The first record finds out leaders and identity, which is not what is measured.
        await producer.publish(options.topic, b"begin")
        await load.run(producer)
    _show(options, load.done, load.done * options.size, load.elapsed_s, load.latencies)
    if load.error is not None:
        raise load.error
    return exits.OK


class _Load:
    """The records of one run."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._topic: str = options.topic
        self._rate: int | None = options.rate
        self._duration_s = None if options.duration is None else options.duration / 1000
        self._count: int | None = None if options.duration is not None else options.num
        self._keys: list[bytes | None] = [b"%d" % number for number in range(options.keys)] or [None]
        self._values = _values(options.size)
        self.latencies = Latencies()
        self.done = 0
        self.elapsed_s = 0.0
        self.error: BaseException | None = None

    async def run(self, producer: Producer) -> None:
        loop = asyncio.get_running_loop()
        clock = loop.time
        begun = clock()
        total = self._count or round((self._duration_s or 0) * (self._rate or 0)) or None
        with Progress("writing", total) as progress:
            shown = begun
            sent = 0
            while self.error is None and (self._count is None or sent < self._count):
                now = clock()
                if self._duration_s is not None and now - begun >= self._duration_s:
                    break
                if self._rate is not None and (ahead_s := sent / self._rate - (now - begun)) > 0:
                    await asyncio.sleep(ahead_s)
                    now = clock()
                # Under a given rate the record is late from the time that it was due.
                due = now if self._rate is None else begun + sent / self._rate
                future = await producer.send(
                    self._topic,
                    self._values[sent % len(self._values)],
                    key=self._keys[sent % len(self._keys)],
                )
                future.add_done_callback(partial(self._on_done, due))
                sent += 1
                if now - shown >= _REPORT_S:
                    shown = now
                    progress.update(self.done, f"{self.done / (now - begun):,.0f} records/s")
            await producer.flush()
        self.elapsed_s = clock() - begun

    def _on_done(self, due: float, future: Any) -> None:
        if future.cancelled() or future.exception() is not None:
            self.error = self.error or (None if future.cancelled() else future.exception())
            return
        self.done += 1
        self.latencies.add((future.get_loop().time() - due) * 1000)


def _values(size: int) -> list[bytes]:
    """Some different values that compress about as well as JSON does: half of each is random digits."""
    from random import Random

    random = Random(7)
    half = size // 2
    return [
        bytes(random.choices(b"0123456789abcdef", k=size - half))
        + b"odradek-" * (half // 8)
        + b"." * (half % 8)
        for _ in range(64)
    ]


async def _consume(options: argparse.Namespace) -> int:
    cluster = cluster_of(options)
    servers = reachable(cluster.servers)
    from odradek.client.admin import Admin
    from odradek.client.cli.resolving import partitions_of
    from odradek.client.cli.topic import edges
    from odradek.client.consumer import Consumer
    from odradek.client.records import Position

    async with Admin(servers, client_id=cluster.client_id, timeout_ms=CALL_TIMEOUT_MS) as admin:
        start, end = await edges(admin, await partitions_of(admin, options.topic))
    there = sum(end.values()) - sum(start.values())
    total = there if options.num is None else options.num
    partitions = {tp: Position.at(offset) for tp, offset in start.items() if end[tp] > offset or options.num}
    clock = asyncio.get_running_loop().time
    count = size_bytes = idle = 0
    begun = last = clock()
    async with Consumer(
        servers, client_id=cluster.client_id, credit=50_000, partitions=partitions
    ) as consumer:
        with Progress("reading", total) as progress:
            while count < total and idle < _IDLE_POLLS:
                records = await consumer.poll(
                    max_records=min(_POLL_RECORDS, total - count), timeout_ms=_POLL_MS
                )
                now = clock()
                if records:
                    # The first records: what came before was connecting.
                    begun, last, idle = (begun if count else now), now, 0
                else:
                    idle += 1
                count += len(records)
                size_bytes += sum(len(one.value or b"") for one in records)
                progress.update(count, f"{count / max(now - begun, 0.001):,.0f} records/s")
                if options.duration is not None and (now - begun) * 1000 >= options.duration:
                    break
    _show(options, count, size_bytes, last - begun, None)
    return exits.OK


def _show(
    options: argparse.Namespace, count: int, size_bytes: int, elapsed_s: float, latencies: Latencies | None
) -> None:
    from odradek.client.cli.rendering import properties

    seconds = max(elapsed_s, 0.001)
    data = {
        "records": count,
        "seconds": round(elapsed_s, 3),
        "records_per_second": round(count / seconds),
        "bytes_per_second": round(size_bytes / seconds),
        **({f"latency_{name}": value for name, value in latencies.summary().items()} if latencies else {}),
    }
    shown = {
        **{name.replace("p99_9", "p99.9"): value for name, value in data.items()},
        "bytes_per_second": f"{format_size(size_bytes / seconds)}/s",
    }
    show(options, data, [properties(shown)])
