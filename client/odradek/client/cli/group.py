"""`odradek group`: list, describe, seek, delete, offset-delete, remove-member."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from odradek.client.cli import exits
from odradek.client.cli.commands import (
    CommandParser,
    Verbs,
    argument,
    completes,
    each,
    open_admin,
    report,
    say,
    show,
    show_rows,
)
from odradek.client.cli.partitions import parse_topic_partitions

if TYPE_CHECKING:
    from odradek.client.admin import Admin
    from odradek.client.cli.positions import Place
    from odradek.client.records import TopicPartition

STATES = ("empty", "preparing_rebalance", "completing_rebalance", "stable", "dead")


def fill(parser: CommandParser) -> None:
    verbs = Verbs(parser)
    listing = verbs.add("list", _list, "list groups", output=True)
    listing.add_argument(
        "--state", choices=STATES, action="append", default=[], help="only those; repeatable"
    )
    describe = verbs.add(
        "describe", _describe, "describe groups: members, what each reads, and the lag", output=True
    )
    _groups(describe)
    seek = verbs.add(
        "seek",
        _seek,
        "move a group that has no members to another place",
        examples="  odradek group seek billing --to start --topic orders\n"
        "  odradek group seek billing --to @2026-01-31T08:00:00Z\n"
        "  odradek group seek billing --to-group billing-old",
    )
    completes(seek.add_argument("group", metavar="GROUP"), "group")
    target = seek.add_mutually_exclusive_group(required=True)
    target.add_argument(
        "--to", metavar="PLACE", help="start, end, N, +N from the start, -N before the end, or @TIME"
    )
    completes(target.add_argument("--to-group", metavar="GROUP", help="where this group is"), "group")
    completes(
        seek.add_argument(
            "-t", "--topic", metavar="TOPIC[/0,2]", type=argument(parse_topic_partitions), action="append", default=[],
            help="repeatable; default: what the group has read so far",
        ),
        "topic",
    )  # fmt: skip
    seek.add_argument("--dry-run", action="store_true", help="show where it would be, and move nothing")
    seek.add_argument(
        "-o", "--output", choices=("table", "json", "yaml"), default="table", help="default: table"
    )
    delete = verbs.add("delete", _delete, "delete groups that have no members, and their offsets")
    _groups(delete)
    forget = verbs.add("offset-delete", _offset_delete, "forget how far a group has read in topics")
    completes(forget.add_argument("group", metavar="GROUP"), "group")
    completes(
        forget.add_argument(
            "-t", "--topic", metavar="TOPIC[/0,2]", type=argument(parse_topic_partitions), action="append",
            required=True, help="repeatable",
        ),
        "topic",
    )  # fmt: skip
    remove = verbs.add("remove-member", _remove_member, "take a member out of a group")
    completes(remove.add_argument("group", metavar="GROUP"), "group")
    who = remove.add_mutually_exclusive_group(required=True)
    who.add_argument("--member", metavar="ID", default="", help="its member id")
    who.add_argument("--instance", metavar="ID", default="", help="its instance id")


def _groups(parser: CommandParser) -> None:
    completes(parser.add_argument("groups", nargs="+", metavar="GROUP"), "group")


async def _list(options: argparse.Namespace) -> int:
    rows: list[dict[str, Any]] = []
    code = exits.OK
    async with open_admin(options) as admin:
        try:
            async for group in admin.list_groups(options.state):
                rows.append(  # noqa: PERF401  what came before an error is shown
                    {
                        "group": group.group_id,
                        "state": group.state,
                        "protocol_type": group.protocol_type,
                        "coordinator": group.coordinator_id,
                    }
                )
        except Exception as error:
            if not rows:
                raise
            report(error)
            code = exits.PARTLY
    show_rows(options, rows, ("group", "state", "protocol_type", "coordinator"))
    return code


async def _describe(options: argparse.Namespace) -> int:
    from odradek.client.cli.rendering import Table

    described, codes = [], []
    async with open_admin(options) as admin:
        for group_id in options.groups:
            try:
                described.append(await _description(admin, group_id))
                codes.append(exits.OK)
            except Exception as error:
                codes.append(report(error, group_id))
    tables = []
    for group in described:
        head = (
            f"{group['group']}: {group['state']}, {len(group['members'])} members, lag {group['lag']},"
            f" coordinator {group['coordinator']}, assignor {group['assignor'] or '-'}"
        )
        columns = (
            "topic",
            "partition",
            "offset",
            "high_watermark:END",
            "lag",
            "member",
            "instance",
            "client",
            "host",
        )
        tables.append(Table(group["partitions"], columns, head))
    if described:
        show(options, described, tables)
    return exits.worst(codes)


async def _description(admin: Admin, group_id: str) -> dict[str, Any]:
    group = await admin.get_group(group_id)
    offsets = {(one.topic, one.partition): one async for one in admin.list_group_offsets(group_id)}
    owners = {tp: member for member in group.members for tp in member.partitions}
    rows = []
    for topic, partition in sorted(offsets.keys() | owners.keys()):
        offset, owner = offsets.get((topic, partition)), owners.get((topic, partition))
        rows.append(
            {
                "topic": topic,
                "partition": partition,
                "offset": None if offset is None else offset.offset,
                "high_watermark": None
                if offset is None or offset.high_watermark < 0
                else offset.high_watermark,
                "lag": None if offset is None else offset.lag,
                "member": owner.member_id if owner else None,
                "instance": owner.instance_id or None if owner else None,
                "client": owner.client_id if owner else None,
                "host": owner.client_host if owner else None,
            }
        )
    return {
        "group": group.group_id,
        "state": group.state,
        "protocol_type": group.protocol_type,
        "assignor": group.assignor,
        "coordinator": group.coordinator_id,
        "generation": group.generation,
        "lag": sum(row["lag"] or 0 for row in rows),
        "members": [
            {
                "member": member.member_id,
                "instance": member.instance_id or None,
                "client": member.client_id,
                "host": member.client_host,
                "partitions": [f"{topic}/{partition}" for topic, partition in member.partitions],
            }
            for member in group.members
        ],
        "partitions": rows,
    }


async def _seek(options: argparse.Namespace) -> int:
    import time

    from odradek.client.cli.positions import parse_place
    from odradek.client.cli.resolving import resolve_places

    try:
        place = parse_place(options.to, round(time.time() * 1000)) if options.to else None
    except ValueError as error:
        raise exits.usage(str(error)) from None
    async with open_admin(options) as admin:
        before = {
            (one.topic, one.partition): one.offset async for one in admin.list_group_offsets(options.group)
        }
        if place is None:
            offsets = await _offsets_of_group(admin, options)
        else:
            offsets = await resolve_places(admin, await _places(admin, options, place))
        moved = offsets if options.dry_run else await admin.set_group_offsets(options.group, offsets)
    rows = [
        {
            "topic": tp.topic,
            "partition": tp.partition,
            "from": before.get((tp.topic, tp.partition)),
            "to": offset,
        }
        for tp, offset in sorted(moved.items())
    ]
    show_rows(options, rows, ("topic", "partition", "from", "to"))
    return exits.OK


async def _places(admin: Admin, options: argparse.Namespace, place: Place) -> dict[TopicPartition, Place]:
    """The partitions that are to be moved, each to `place`."""
    chosen = await _chosen(admin, options.topic)
    if not options.topic:
        chosen = await _read_by(admin, options.group)
        if not chosen:
            raise exits.CommandError(
                f"group {options.group} has read nothing: name topics with -t to give it a place",
                exits.NOT_FOUND,
            )
    return dict.fromkeys(chosen, place)


async def _read_by(admin: Admin, group_id: str) -> list[TopicPartition]:
    from odradek.client.records import TopicPartition

    return [TopicPartition(one.topic, one.partition) async for one in admin.list_group_offsets(group_id)]


async def _chosen(admin: Admin, topics: list[tuple[str, list[int] | None]]) -> list[TopicPartition]:
    from odradek.client.cli.resolving import partitions_of

    return [tp for topic, numbers in topics for tp in await partitions_of(admin, topic, numbers)]


async def _offsets_of_group(admin: Admin, options: argparse.Namespace) -> dict[TopicPartition, int]:
    """Where another group is, in the topics that were chosen."""
    from odradek.client.records import TopicPartition

    other = {
        TopicPartition(one.topic, one.partition): one.offset
        async for one in admin.list_group_offsets(options.to_group)
    }
    if options.topic:
        chosen = set(await _chosen(admin, options.topic))
        other = {tp: offset for tp, offset in other.items() if tp in chosen}
    if not other:
        raise exits.CommandError(f"group {options.to_group} has read nothing there", exits.NOT_FOUND)
    return other


async def _delete(options: argparse.Namespace) -> int:
    async with open_admin(options) as admin:

        async def delete(group_id: str) -> str:
            await admin.delete_group(group_id)
            return f"{group_id}: deleted"

        return await each(options.groups, delete)


async def _offset_delete(options: argparse.Namespace) -> int:
    async with open_admin(options) as admin:
        chosen = await _chosen(admin, options.topic)
        await admin.delete_group_offsets(options.group, chosen)
    for tp in chosen:
        say(f"{options.group}: forgot {tp.topic}/{tp.partition}")
    return exits.OK


async def _remove_member(options: argparse.Namespace) -> int:
    async with open_admin(options) as admin:
        await admin.remove_group_member(options.group, member_id=options.member, instance_id=options.instance)
    say(f"{options.group}: removed {options.member or options.instance}")
    return exits.OK
