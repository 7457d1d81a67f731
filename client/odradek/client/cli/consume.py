"""`odradek consume TOPIC...`: read records, alone or in a group."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from odradek.client.cli import exits
from odradek.client.cli.commands import (
    CALL_TIMEOUT_MS,
    CommandParser,
    argument,
    cluster_of,
    completes,
    leaf,
    reachable,
)
from odradek.client.cli.partitions import parse_numbers
from odradek.client.cli.positions import Place, parse_place
from odradek.client.cli.record_format import RecordPrinter, as_json_line, compile_format, pretty

if TYPE_CHECKING:
    from odradek.client.admin import Admin
    from odradek.client.consumer import Consumer
    from odradek.client.records import Position, TopicPartition

_POLL_RECORDS = 500
_POLL_MS = 500
#: With -e: a tail that holds no records (compacted, or marks of transactions) ends after so many polls without any.
_IDLE_POLLS = 6
#: A group may take its time to divide its partitions.
_IDLE_POLLS_UNASSIGNED = 40

_EXAMPLES = r"""  odradek consume orders -e                                all there is, and stop
  odradek consume orders -o -10 -e -f '%p %o %k %s\n'      the last ten of each partition
  odradek consume orders -o @-1h --pretty                  since an hour ago
  odradek consume orders payments -g billing               in a group, from where it was
format (-f): %t topic %p partition %o offset %k key %s value %T timestamp in ms %h headers
  %K %S length of key and value (-1: none), %R that of the value as 4 bytes, %%; \n \t \xHH; or json"""


def fill(parser: CommandParser) -> None:
    leaf(parser, _consume, examples=_EXAMPLES)
    completes(parser.add_argument("topics", nargs="+", metavar="TOPIC"), "topic")
    parser.add_argument(
        "-r", "--regex", action="store_true", help="TOPIC is a regular expression of whole names"
    )
    completes(
        parser.add_argument("-g", "--group", metavar="GROUP", help="read and commit in a group"), "group"
    )
    parser.add_argument(
        "-o", "--offset", metavar="PLACE", default="start",
        help="start (default), end, N, +N from the start, -N before the end, @TIME (ms, s, 2026-01-31T08:00:00Z, -1h);"
        " in a group: start or end, where it has read nothing",
    )  # fmt: skip
    parser.add_argument(
        "-p", "--partitions", metavar="0,2-4", type=argument(parse_numbers), help="default: all"
    )
    parser.add_argument("-n", "--num", type=int, metavar="N", help="stop after so many records")
    parser.add_argument("-e", "--exit", action="store_true", help="stop at what is the end now")
    parser.add_argument(
        "-f", "--format", default="%s\\n", type=argument(printer_of), help="default: '%%s\\n'"
    )
    parser.add_argument(
        "--pretty", action="store_true", help="for eyes: when and where, key, headers, JSON set out"
    )
    parser.add_argument("--no-commit", action="store_true", help="in a group: do not remember what was read")


def printer_of(template: str) -> RecordPrinter:
    """A printer for the argument of -f. Raises ValueError."""
    return as_json_line if template == "json" else compile_format(template)


def _place(options: argparse.Namespace) -> Place:
    import time

    try:
        place = parse_place(options.offset, round(time.time() * 1000))
    except ValueError as error:
        raise exits.usage(f"argument -o/--offset: {error}") from None
    if options.group and (place.kind not in ("start", "end") or place.value):
        raise exits.usage(
            "in a group -o is start or end, where the group has read nothing; `odradek group seek` moves a group"
        )
    if options.group and options.partitions:
        raise exits.usage("in a group the members share the partitions: give -p or -g")
    if options.num is not None and options.num < 1:
        raise exits.usage("-n has to be at least 1")
    return place


async def _consume(options: argparse.Namespace) -> int:
    place = _place(options)
    cluster = cluster_of(options)
    servers = reachable(cluster.servers)
    from odradek.client.admin import Admin
    from odradek.client.consumer import Consumer

    reads: dict[str, Any] = {}
    ends: dict[TopicPartition, int] = {}
    async with Admin(servers, client_id=cluster.client_id, timeout_ms=CALL_TIMEOUT_MS) as admin:
        if options.group:
            reads = _membership(options, place)
            if options.exit:
                ends = await _ends(admin, await _partitions(admin, options))
        else:
            positions = await _positions(admin, options, place)
            if options.exit:
                ends = await _ends(admin, list(positions))
                positions = await _not_at_end(admin, positions, ends)
                ends = {tp: ends[tp] for tp in positions}
            if not positions:
                return exits.OK
            # Who names an offset wants that one, and no other.
            reads = {
                "partitions": positions,
                "offset_reset": "none" if place.kind == "offset" else "earliest",
            }
    async with Consumer(servers, client_id=cluster.client_id, **reads) as consumer:
        await _print_records(options, consumer, ends if options.exit else None)
        if options.group and not options.no_commit:
            await consumer.commit()
    return exits.OK


def _membership(options: argparse.Namespace, place: Place) -> dict[str, Any]:
    """The arguments of a consumer in a group."""
    topics = {"topic_pattern": "|".join(options.topics)} if options.regex else {"topics": options.topics}
    return {
        **topics,
        "group_id": options.group,
        "offset_reset": "earliest" if place.kind == "start" else "latest",
        "auto_commit": not options.no_commit,
    }


async def _partitions(admin: Admin, options: argparse.Namespace) -> list[TopicPartition]:
    """The partitions that are read. Raises CommandError if there are none."""
    from odradek.client.cli.resolving import partitions_of

    topics = options.topics
    if options.regex:
        topics = [topic.name async for topic in admin.list_topics("|".join(options.topics))]
        if not topics:
            raise exits.CommandError(f"no topic matches {'|'.join(options.topics)}", exits.NOT_FOUND)
    return [tp for topic in topics for tp in await partitions_of(admin, topic, options.partitions)]


async def _positions(
    admin: Admin, options: argparse.Namespace, place: Place
) -> dict[TopicPartition, Position]:
    from odradek.client.cli.resolving import positions_of

    return await positions_of(admin, dict.fromkeys(await _partitions(admin, options), place))


async def _ends(admin: Admin, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
    from odradek.client.records import Position

    return await admin.list_offsets(dict.fromkeys(partitions, Position.latest()))


async def _not_at_end(
    admin: Admin, positions: dict[TopicPartition, Position], ends: dict[TopicPartition, int]
) -> dict[TopicPartition, Position]:
    """Those that hold something to read before their end; as offsets, so that they mean the same when they are
    read."""
    from odradek.client.records import Position

    offsets = {tp: one.value for tp, one in positions.items() if one.kind == "offset"}
    asked = {tp: one for tp, one in positions.items() if tp not in offsets}
    offsets |= await admin.list_offsets(asked) if asked else {}
    return {tp: Position.at(offset) for tp, offset in offsets.items() if 0 <= offset < ends[tp]}


async def _print_records(
    options: argparse.Namespace, consumer: Consumer, ends: dict[TopicPartition, int] | None
) -> None:
    """Print what comes until there is enough; with `ends`, until these are reached."""
    printer = (lambda record: pretty(record).encode()) if options.pretty else options.format
    left = options.num
    idle = 0
    out = sys.stdout.buffer
    while left is None or left > 0:
        records = await consumer.poll(
            max_records=_POLL_RECORDS if left is None else min(left, _POLL_RECORDS), timeout_ms=_POLL_MS
        )
        out.write(b"".join([printer(record) for record in records]))
        out.flush()
        if left is not None:
            left -= len(records)
        if ends is None:
            continue
        idle = 0 if records else idle + 1
        for record in records:
            if record.offset + 1 >= ends.get(record.topic_partition, 0):
                ends.pop(record.topic_partition, None)
        assigned = consumer.assignment
        reading = [tp for tp in assigned if tp in ends and consumer.position(tp) < ends[tp]]
        limit = _IDLE_POLLS if assigned else _IDLE_POLLS_UNASSIGNED
        if (assigned and not reading) or not ends or idle >= limit:
            return
