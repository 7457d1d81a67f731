"""`odradek produce TOPIC [FILE...]`: write records from stdin or files."""

from __future__ import annotations

import argparse
import sys
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from odradek.client.cli import exits
from odradek.client.cli.commands import (
    CALL_TIMEOUT_MS,
    CommandParser,
    argument,
    cluster_of,
    complain,
    completes,
    leaf,
    reachable,
    report,
)
from odradek.client.cli.input_format import InputFormat, InputRecord, lines_with_keys, parse_header
from odradek.client.cli.quantities import parse_duration_ms
from odradek.client.cli.record_format import unescape

if TYPE_CHECKING:
    from odradek.client.cli.feeding import Cut
    from odradek.client.producer import Producer

COMPRESSIONS = ("none", "gzip", "snappy", "lz4", "zstd")

_EXAMPLES = r"""  echo hello | odradek produce greetings
  odradek produce orders -K: -z zstd < orders.txt           lines such as KEY:VALUE
  odradek produce orders -H source=import -k 42 --whole-files order.json
  odradek produce orders -f '%k\t%h\t%s\n' dump.tsv
  odradek produce users -k 42 --tombstone
format (-f): %t topic %p partition %k key %s value %T timestamp in ms %h headers name=value,...
  %K %S length of the key or value that follows, %R that of the value as 4 bytes; \n \t \xHH"""


def fill(parser: CommandParser) -> None:
    leaf(parser, _produce, examples=_EXAMPLES)
    completes(parser.add_argument("topic", metavar="TOPIC", help="- if the format has %%t"), "topic")
    completes(parser.add_argument("files", nargs="*", metavar="FILE", help="default: stdin"), "file")
    parser.add_argument("-k", "--key", metavar="KEY", help="of every record")
    parser.add_argument(
        "-K", "--key-delimiter", metavar="TEXT", type=argument(unescape), help="lines are KEY TEXT VALUE"
    )
    parser.add_argument(
        "-H", "--header", metavar="NAME=VALUE", type=argument(parse_header), action="append", default=[],
        help="of every record; repeatable",
    )  # fmt: skip
    parser.add_argument(
        "-f", "--format", type=argument(InputFormat), help="how the input is cut into records"
    )
    parser.add_argument("-p", "--partition", type=int, metavar="N", help="default: as the key says")
    parser.add_argument("-T", "--timestamp", type=int, metavar="MS", help="since 1970; default: now")
    parser.add_argument("-z", "--compression", choices=COMPRESSIONS, default="none")
    parser.add_argument("--acks", choices=("all", "leader"), default="all", help="default: all")
    parser.add_argument("--tombstone", action="store_true", help="one record with the key of -k and no value")
    parser.add_argument(
        "--empty-is-tombstone", action="store_true", help="records with an empty value have none"
    )
    parser.add_argument("--whole-files", action="store_true", help="each file is one record")
    parser.add_argument("-v", "--verbose", action="store_true", help="a line for each record that is written")
    parser.add_argument(
        "--delivery-timeout",
        metavar="DURATION",
        type=argument(parse_duration_ms),
        default=30_000,
        help="default: 30s",
    )


def _cut(options: argparse.Namespace) -> Cut:
    """How the input becomes records."""
    from odradek.client.cli.feeding import whole

    chosen = [options.format is not None, options.key_delimiter is not None, options.whole_files]
    if sum(chosen) > 1:
        raise exits.usage("give one of -f, -K and --whole-files")
    if options.key is not None and options.key_delimiter is not None:
        raise exits.usage(
            "-k gives every record the same key, and -K reads one from each line: give one of them"
        )
    if options.key_delimiter == b"":
        raise exits.usage("the key delimiter (-K) is empty")
    if options.format is not None:
        cut: Cut = options.format.records
        return cut
    return whole if options.whole_files else lambda read: lines_with_keys(read, options.key_delimiter)


async def _produce(options: argparse.Namespace) -> int:
    from odradek.client.cli.feeding import feed, only
    from odradek.client.cli.progress import Progress

    cut = _cut(options)
    if options.tombstone and (options.key is None or options.files):
        raise exits.usage("--tombstone needs -k KEY, and reads no file: it deletes what this key had")
    cluster = cluster_of(options)
    servers = reachable(cluster.servers)
    if options.topic != "-":
        await _check_topic(servers, options.topic, options.partition)
    from odradek.client.producer import Producer

    written = _Written(options.verbose)
    done_bytes = 0
    with Progress("writing", _size_of(options.files)) as progress:

        def on_read(count: int) -> None:
            nonlocal done_bytes
            done_bytes += count
            progress.update(done_bytes, f"{written.count} records")

        batches = only(InputRecord(None)) if options.tombstone else feed(options.files, cut, on_read)
        async with Producer(
            servers,
            client_id=cluster.client_id,
            acks=options.acks,
            compression=options.compression,
            delivery_timeout_ms=options.delivery_timeout,
        ) as producer:
            await _send_all(options, producer, batches, written)
    if written.error is None:
        return exits.OK
    code = report(written.error)
    if not written.count:
        return code
    complain(f"{written.count} records were written before and beside that")
    return exits.PARTLY


async def _check_topic(servers: str, topic: str, partition: int | None) -> None:
    """Say at once that a topic, or this partition of it, is not there and will not be: a producer would wait for it
    to come. A topic that does not exist may be created by being written to."""
    from odradek.client.admin import Admin
    from odradek.client.cli.resolving import partitions_of
    from odradek.client.descriptions import ConfigResource
    from odradek.client.errors import UnknownTopicError

    setting = "auto.create.topics.enable"
    async with Admin(servers, timeout_ms=CALL_TIMEOUT_MS) as admin:
        try:
            await partitions_of(admin, topic, [] if partition is None else [partition])
        except UnknownTopicError:
            resource = ConfigResource.node((await admin.get_cluster()).answered_by)
            values = [config.value async for config in admin.list_configs(resource, [setting])]
            if "false" in values:
                raise exits.CommandError(
                    f"there is no topic {topic!r}, and none is created by being written to ({setting}=false):"
                    f" `odradek topic create {topic}`",
                    exits.NOT_FOUND,
                ) from None


class _Written:
    """Counts what became of records, and keeps the first error."""

    def __init__(self, verbose: bool) -> None:
        self.count = 0
        self.error: Exception | None = None
        self._verbose = verbose

    def on_done(self, future: Any) -> None:
        error = None if future.cancelled() else future.exception()
        if error is not None:
            self.error = self.error or error
        elif not future.cancelled():
            self.count += 1
            if self._verbose:
                where = future.result()
                sys.stdout.write(f"{where.topic}/{where.partition}@{where.offset}\n")


async def _send_all(
    options: argparse.Namespace,
    producer: Producer,
    batches: AsyncIterator[list[InputRecord]],
    written: _Written,
) -> None:
    """Send everything, until the input ends or a record is refused."""
    from odradek.client.errors import OdradekError

    key = None if options.key is None else options.key.encode(errors="surrogateescape")
    headers = tuple(options.header)
    try:
        async for batch in batches:
            for record in batch:
                if record.topic is None and options.topic == "-":
                    raise exits.usage("TOPIC is - and the format has no %t: name a topic")
                future = await producer.send(
                    record.topic or options.topic,
                    None if options.empty_is_tombstone and not record.value else record.value,
                    key=key if record.key is None else record.key,
                    headers=record.headers + headers,
                    partition=options.partition if record.partition is None else record.partition,
                    timestamp_ms=options.timestamp if record.timestamp_ms is None else record.timestamp_ms,
                )
                future.add_done_callback(written.on_done)
            if written.error is not None:
                return
    except (OdradekError, OSError, ValueError) as error:
        # Of the input, or of a record that cannot be taken: what was sent before is still waited for.
        written.error = written.error or (
            exits.CommandError(str(error)) if isinstance(error, ValueError) else error
        )
    await producer.flush()


def _size_of(files: list[str]) -> int | None:
    """How many bytes there are to read, if that is known."""
    import os

    try:
        return sum(os.stat(name).st_size for name in files) or None
    except OSError:
        return None
