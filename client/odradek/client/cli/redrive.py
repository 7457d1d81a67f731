"""`odradek topic redrive`: send dead letters back to where they came from."""

from __future__ import annotations

import argparse

from odradek.client.cli import exits
from odradek.client.cli.commands import CommandParser, cluster_of, completes, leaf, reachable, say
from odradek.client.cli.progress import Progress


def fill(parser: CommandParser) -> None:
    leaf(
        parser,
        _redrive,
        examples="  odradek topic redrive emails.dlq --limit 100\n  odradek topic redrive emails.dlq --to emails.again",
    )
    completes(parser.add_argument("topic", metavar="TOPIC", help="the dead letter topic"), "topic")
    parser.add_argument("--to", metavar="TOPIC", help="default: the topic in the headers of each letter")
    parser.add_argument("--limit", type=int, metavar="N", help="at most so many")


async def _redrive(options: argparse.Namespace) -> int:
    from odradek.client.patterns.redriving import redrive

    if options.limit is not None and options.limit < 0:
        raise exits.usage("--limit is a number of letters, 0 or more")
    servers = reachable(cluster_of(options).servers)
    with Progress("sending back", options.limit) as progress:
        try:
            count = await redrive(
                servers, options.topic, to=options.to, limit=options.limit, on_progress=progress.update
            )
        except ValueError as error:
            raise exits.CommandError(f"{error} (--to TOPIC)", exits.FAILED) from None
    say(f"{options.topic}: {count} sent back")
    return exits.OK
