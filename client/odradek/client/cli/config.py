"""`odradek config`: list, get, set, delete settings of a topic (topic:NAME), a node (node:ID) or all (cluster)."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from odradek.client.cli import exits
from odradek.client.cli.commands import CommandParser, Verbs, argument, completes, open_admin, say, show_rows

if TYPE_CHECKING:
    from odradek.client.descriptions import Config, ConfigResource

_EXAMPLES = """\
  odradek config list topic:orders
  odradek config get cluster log.retention.ms
  odradek config set node:1 log.retention.ms=3600000
  odradek config delete topic:orders retention.ms"""


def fill(parser: CommandParser) -> None:
    verbs = Verbs(parser)
    listing = verbs.add(
        "list", _list, "list settings and where each comes from", output=True, examples=_EXAMPLES
    )
    _resource(listing)
    listing.add_argument("-c", "--changed", action="store_true", help="only those that somebody has set")
    listing.add_argument("--docs", action="store_true", help="with what each means")
    get = verbs.add("get", _get, "print the values of settings", output=True)
    _resource(get)
    get.add_argument("names", nargs="+", metavar="NAME")
    change = verbs.add("set", _set, "set one or more settings, all of them or none")
    _resource(change)
    change.add_argument("settings", nargs="+", metavar="NAME=VALUE")
    change.add_argument("--dry-run", action="store_true", help="say whether it could be done, and do nothing")
    delete = verbs.add("delete", _delete, "take settings back to what they are without")
    _resource(delete)
    delete.add_argument("names", nargs="+", metavar="NAME")
    delete.add_argument("--dry-run", action="store_true", help="say whether it could be done, and do nothing")


def _resource(parser: CommandParser) -> None:
    completes(
        parser.add_argument(
            "resource",
            metavar="RESOURCE",
            type=argument(parse_resource),
            help="topic:NAME, node:ID or cluster",
        ),
        "resource",
    )


def parse_resource(text: str) -> tuple[str, str]:
    """The type and the name; the cluster is the node without a name."""
    kind, found, name = text.partition(":")
    if text == "cluster":
        return "node", ""
    if found and name and (kind == "topic" or (kind in ("node", "broker") and name.isdecimal())):
        return "topic" if kind == "topic" else "node", name
    raise ValueError(f"{text!r} is nothing that has settings: write topic:NAME, node:ID or cluster")


def _of(options: argparse.Namespace) -> ConfigResource:
    from odradek.client.descriptions import ConfigResource

    return ConfigResource(*options.resource)


def _row(config: Config) -> dict[str, Any]:
    return {
        "name": config.name,
        "value": config.value,
        "source": config.source,
        "read_only": config.read_only,
        "sensitive": config.sensitive,
        "documentation": config.documentation,
    }


async def _list(options: argparse.Namespace) -> int:
    async with open_admin(options) as admin:
        rows = [
            _row(config)
            async for config in admin.list_configs(_of(options))
            if config.source != "default" or not options.changed
        ]
    columns = ("name", "value", "source", "read_only")
    show_rows(options, rows, (*columns, "documentation") if options.docs else columns)
    return exits.OK


async def _get(options: argparse.Namespace) -> int:
    async with open_admin(options) as admin:
        found = {config.name: config async for config in admin.list_configs(_of(options), options.names)}
    missing = [name for name in options.names if name not in found]
    rows = [_row(found[name]) for name in options.names if name in found]
    if options.output == "table" and len(options.names) == 1 and rows:
        # The bare value, for `$(odradek config get ...)`.
        say(rows[0]["value"] or "")
    elif rows:
        show_rows(options, rows, ("name", "value", "source"))
    if missing:
        raise exits.CommandError(
            f"there is no setting {', '.join(missing)} (`odradek config list` shows all)",
            exits.PARTLY if rows else exits.NOT_FOUND,
        )
    return exits.OK


async def _set(options: argparse.Namespace) -> int:
    from odradek.client.cli.topic import parse_settings
    from odradek.client.descriptions import ConfigChange

    changes = [ConfigChange(name, value) for name, value in parse_settings(options.settings).items()]
    async with open_admin(options) as admin:
        await admin.update_configs(_of(options), changes, validate_only=options.dry_run)
    for change in changes:
        say(f"{change.name}: {'could be' if options.dry_run else 'is'} {change.value} now")
    return exits.OK


async def _delete(options: argparse.Namespace) -> int:
    from odradek.client.descriptions import ConfigChange

    changes = [ConfigChange(name, operation="delete") for name in options.names]
    async with open_admin(options) as admin:
        await admin.update_configs(_of(options), changes, validate_only=options.dry_run)
    for name in options.names:
        say(f"{name}: {'could be taken back' if options.dry_run else 'as it is without'}")
    return exits.OK
