"""`odradek topic`: list, create, describe, delete, alter-config, add-partitions, trim-prefix, produce, consume,
redrive."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from odradek.client.cli import exits
from odradek.client.cli.commands import (
    CommandParser,
    Verbs,
    argument,
    complain,
    completes,
    each,
    filler,
    open_admin,
    report,
    say,
    show,
    show_rows,
)
from odradek.client.cli.partitions import parse_numbers

if TYPE_CHECKING:
    from odradek.client.admin import Admin
    from odradek.client.records import TopicPartition


def fill(parser: CommandParser) -> None:
    verbs = Verbs(parser)
    listing = verbs.add(
        "list", _list, "list topics", output=True, examples="  odradek topic list -r 'orders-.*'"
    )
    listing.add_argument(
        "-r", "--regex", metavar="PATTERN", default="", help="only names that match it as a whole"
    )
    listing.add_argument("-i", "--internal", action="store_true", help="also those that begin with __")
    _fill_create(verbs)
    describe = verbs.add("describe", _describe, "describe topics, their partitions and settings", output=True)
    _topics(describe)
    describe.add_argument(
        "--no-offsets", action="store_true", help="do not ask the leaders how much there is"
    )
    delete = verbs.add("delete", _delete, "delete topics with all their records")
    _topics(delete)
    alter = verbs.add(
        "alter-config",
        _alter_config,
        "change settings of topics",
        examples="  odradek topic alter-config orders --set retention.ms=3600000 --delete cleanup.policy",
    )
    _topics(alter)
    alter.add_argument("--set", metavar="NAME=VALUE", action="append", default=[], help="set; repeatable")
    alter.add_argument(
        "--delete", metavar="NAME", action="append", default=[], help="back to the default; repeatable"
    )
    alter.add_argument(
        "--append", metavar="NAME=VALUE", action="append", default=[], help="add to a list; repeatable"
    )
    alter.add_argument(
        "--subtract", metavar="NAME=VALUE", action="append", default=[], help="take out of a list"
    )
    alter.add_argument("--dry-run", action="store_true", help="say whether it could be done, and do nothing")
    add = verbs.add("add-partitions", _add_partitions, "give topics more partitions")
    _topics(add)
    add.add_argument("-n", "--num", type=int, required=True, metavar="N", help="how many to add")
    add.add_argument("--dry-run", action="store_true", help="say whether it could be done, and do nothing")
    trim = verbs.add(
        "trim-prefix",
        _trim_prefix,
        "delete the oldest records of a topic",
        examples="  odradek topic trim-prefix orders -o 1000 -p 0\n  odradek topic trim-prefix orders -o @-7d",
    )
    completes(trim.add_argument("topic", metavar="TOPIC"), "topic")
    trim.add_argument(
        "-o", "--offset", required=True, metavar="PLACE", help="up to here: end, N, -N or @TIME"
    )
    trim.add_argument(
        "-p", "--partitions", type=argument(parse_numbers), metavar="0,2-4", help="default: all"
    )
    verbs.add_filled("produce", "write records from stdin or files", filler("produce"))
    verbs.add_filled("consume", "read records", filler("consume"))
    verbs.add_filled("redrive", "send dead letters back to where they came from", filler("redrive"))


def _fill_create(verbs: Verbs) -> None:
    create = verbs.add(
        "create",
        _create,
        "create topics",
        examples="  odradek topic create orders -p 12 -r 3 -c retention.ms=86400000",
    )
    create.add_argument("topics", nargs="+", metavar="TOPIC")
    create.add_argument(
        "-p", "--partitions", type=int, metavar="N", help="default: num.partitions of the cluster"
    )
    create.add_argument(
        "-r", "--replicas", type=int, metavar="N", help="default: default.replication.factor of the cluster"
    )
    create.add_argument(
        "-c", "--config", metavar="NAME=VALUE", action="append", default=[], help="repeatable"
    )
    create.add_argument(
        "-a", "--assign", metavar="1,2,3", action="append", default=[], type=argument(_nodes),
        help="instead of numbers: the nodes of partition 0, and again for 1, 2, ...",
    )  # fmt: skip
    create.add_argument(
        "--if-not-exists", action="store_true", help="a topic that is there already is no error"
    )
    create.add_argument("--dry-run", action="store_true", help="say whether it could be done, and do nothing")


def _topics(parser: CommandParser) -> None:
    completes(parser.add_argument("topics", nargs="+", metavar="TOPIC"), "topic")


def _nodes(text: str) -> list[int]:
    if not all(part.isdecimal() for part in text.split(",")):
        raise ValueError(f"{text!r} are no nodes: write their numbers with commas, such as 1,2,3")
    return [int(part) for part in text.split(",")]


def parse_settings(texts: list[str]) -> dict[str, str]:
    """`NAME=VALUE` each."""
    settings = {}
    for text in texts:
        name, found, value = text.partition("=")
        if not name or not found:
            raise exits.usage(f"{text!r} is no setting: write NAME=VALUE")
        settings[name] = value
    return settings


async def _list(options: argparse.Namespace) -> int:
    async with open_admin(options) as admin:
        rows = [
            {"name": topic.name, "partitions": topic.partition_count, "replicas": topic.replication_factor}
            async for topic in admin.list_topics(options.regex)
            if options.internal or not topic.name.startswith("__")
        ]
    show_rows(options, rows, ("name", "partitions", "replicas"))
    return exits.OK


async def _create(options: argparse.Namespace) -> int:
    configs = parse_settings(options.config)
    if options.assign and (options.partitions is not None or options.replicas is not None):
        raise exits.usage("give either -a for every partition, or -p and -r")
    async with open_admin(options) as admin:

        async def create(name: str) -> str:
            from odradek.client.errors import TopicExistsError

            try:
                topic = await admin.create_topic(
                    name,
                    partition_count=options.partitions,
                    replication_factor=options.replicas,
                    configs=configs,
                    assignments=options.assign,
                    validate_only=options.dry_run,
                )
            except TopicExistsError:
                if not options.if_not_exists:
                    raise
                return f"{name}: is there already"
            done = "could be created" if options.dry_run else "created"
            return f"{name}: {done} ({topic.partition_count} partitions, {topic.replication_factor} replicas)"

        return await each(options.topics, create)


async def _delete(options: argparse.Namespace) -> int:
    async with open_admin(options) as admin:

        async def delete(name: str) -> str:
            await admin.delete_topic(name)
            return f"{name}: deleted"

        return await each(options.topics, delete)


async def _describe(options: argparse.Namespace) -> int:
    from odradek.client.cli.rendering import Table

    described, codes = [], []
    async with open_admin(options) as admin:
        for name in options.topics:
            try:
                described.append(await _description(admin, name, with_offsets=not options.no_offsets))
                codes.append(exits.OK)
            except Exception as error:
                codes.append(report(error, name))
    tables = []
    for topic in described:
        settings = ", ".join(f"{name}={value}" for name, value in topic["configs"].items()) or "none set"
        head = (
            f"{topic['name']}: {len(topic['partitions'])} partitions, {topic['replication_factor']} replicas,"
            f" id {topic['topic_id']}\nsettings: {settings}"
        )
        columns = ["partition", "leader", "epoch", "replicas", "in_sync_replicas:ISR", "offline"]
        tables.append(
            Table(topic["partitions"], (*columns, "log_start_offset:START", "high_watermark:END"), head)
        )
    if described:
        show(options, described, tables)
    return exits.worst(codes)


async def _description(admin: Admin, name: str, *, with_offsets: bool) -> dict[str, Any]:
    """A topic with its partitions; where a leader cannot be asked the offsets are None."""
    from base64 import urlsafe_b64encode

    from odradek.client.errors import OdradekError
    from odradek.client.records import TopicPartition

    topic = await admin.get_topic(name)
    partitions = [partition async for partition in admin.list_partitions(name)]
    led = [TopicPartition(name, one.partition) for one in partitions if one.leader_id >= 0]
    start: dict[TopicPartition, int] = {}
    end: dict[TopicPartition, int] = {}
    try:
        if with_offsets and led:
            start, end = await edges(admin, led)
    except OdradekError as error:
        complain(f"the offsets of {name} are not known: {error}")
    return {
        "name": topic.name,
        "topic_id": urlsafe_b64encode(topic.topic_id).decode().rstrip("="),
        "replication_factor": topic.replication_factor,
        "configs": dict(sorted(topic.configs.items())),
        "partitions": [
            {
                "partition": one.partition,
                "leader": one.leader_id if one.leader_id >= 0 else None,
                "epoch": one.leader_epoch,
                "replicas": list(one.replicas),
                "in_sync_replicas": list(one.in_sync_replicas),
                "offline": list(one.offline_replicas),
                "adding": list(one.adding_replicas),
                "removing": list(one.removing_replicas),
                "log_start_offset": start.get(TopicPartition(name, one.partition)),
                "high_watermark": end.get(TopicPartition(name, one.partition)),
            }
            for one in partitions
        ],
    }


async def edges(
    admin: Admin, partitions: list[TopicPartition]
) -> tuple[dict[TopicPartition, int], dict[TopicPartition, int]]:
    """The oldest offset, and the one behind the newest record, of each partition."""
    from odradek.client.records import Position

    start = await admin.list_offsets(dict.fromkeys(partitions, Position.earliest()))
    return start, await admin.list_offsets(dict.fromkeys(partitions, Position.latest()))


async def _alter_config(options: argparse.Namespace) -> int:
    from odradek.client.descriptions import ConfigChange, ConfigResource

    changes = [ConfigChange(name, operation="delete") for name in options.delete]
    for operation in ("set", "append", "subtract"):
        settings = parse_settings(getattr(options, operation))
        changes += [ConfigChange(name, value, operation) for name, value in settings.items()]
    if not changes:
        raise exits.usage(
            "say what to change: --set NAME=VALUE, --delete NAME, --append or --subtract NAME=VALUE"
        )
    async with open_admin(options) as admin:

        async def alter(name: str) -> str:
            await admin.update_configs(ConfigResource.topic(name), changes, validate_only=options.dry_run)
            return f"{name}: {'could be changed' if options.dry_run else 'changed'}"

        return await each(options.topics, alter)


async def _add_partitions(options: argparse.Namespace) -> int:
    if options.num < 1:
        raise exits.usage("-n has to be at least 1: partitions can be added, not taken away")
    async with open_admin(options) as admin:

        async def add(name: str) -> str:
            count = (await admin.get_topic(name)).partition_count + options.num
            await admin.create_partitions(name, count, validate_only=options.dry_run)
            return f"{name}: {'could have' if options.dry_run else 'has'} {count} partitions now"

        return await each(options.topics, add)


async def _trim_prefix(options: argparse.Namespace) -> int:
    import time

    from odradek.client.cli.positions import parse_place
    from odradek.client.cli.resolving import partitions_of, resolve_places

    try:
        place = parse_place(options.offset, round(time.time() * 1000))
    except ValueError as error:
        raise exits.usage(str(error)) from None
    async with open_admin(options) as admin:
        partitions = await partitions_of(admin, options.topic, options.partitions)
        before = await resolve_places(admin, dict.fromkeys(partitions, place))
        kept = await admin.delete_records(before)
    for tp, offset in kept.items():
        say(f"{tp.topic}/{tp.partition}: begins at {offset} now")
    return exits.OK
