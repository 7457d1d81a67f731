"""`odradek profile`: create, use, list, show, delete, edit named clusters. The file is the business of `profiles`."""

from __future__ import annotations

import argparse
import os
from typing import Any

from odradek.client.cli import exits
from odradek.client.cli.commands import CommandParser, Verbs, argument, completes, say, show, show_rows
from odradek.client.cli.profiles import (
    DEFAULT_CLIENT_ID,
    DEFAULT_SERVER,
    Profile,
    Profiles,
    choose,
    format_profiles,
    parse_profiles,
    parse_servers,
    profiles_path,
    read_profiles,
    write_profiles,
)


def fill(parser: CommandParser) -> None:
    verbs = Verbs(parser)
    create = verbs.add(
        "create",
        _create,
        "name a cluster, and use it from now on",
        examples="  odradek profile create staging --servers staging-1:50051,staging-2:50051",
    )
    create.add_argument("name", metavar="NAME")
    create.add_argument("--servers", metavar="HOST:PORT,...", type=argument(parse_servers), help="or -s")
    create.add_argument("--client-id", default=DEFAULT_CLIENT_ID, help=f"default: {DEFAULT_CLIENT_ID}")
    create.add_argument("--no-use", action="store_true", help="keep on using the present one")
    create.add_argument("--force", action="store_true", help="replace one of the same name")
    use = verbs.add("use", _use, "use this cluster from now on")
    completes(use.add_argument("name", metavar="NAME"), "profile")
    verbs.add("list", _list, "list the profiles", output=True)
    shown = verbs.add("show", _show, "show a profile; without a name, what would be used now", output=True)
    completes(shown.add_argument("name", nargs="?", metavar="NAME"), "profile")
    delete = verbs.add("delete", _delete, "delete a profile")
    completes(delete.add_argument("name", metavar="NAME"), "profile")
    verbs.add("edit", _edit, "open the file in $VISUAL or $EDITOR, and check it afterwards")


def _create(options: argparse.Namespace) -> int:
    servers = options.servers or parse_servers(
        options.server or os.environ.get("ODRADEK_SERVER") or DEFAULT_SERVER
    )
    profiles = read_profiles(os.environ)
    if options.name in profiles.by_name and not options.force:
        raise exits.CommandError(f"there is a profile {options.name!r} already: --force replaces it")
    profiles = profiles.put(options.name, Profile(servers, options.client_id))
    if not options.no_use:
        profiles = profiles.using(options.name)
    write_profiles(os.environ, profiles)
    say(f"{options.name}: created in {profiles_path(os.environ)}{'' if options.no_use else ', and in use'}")
    return exits.OK


def _use(options: argparse.Namespace) -> int:
    write_profiles(os.environ, read_profiles(os.environ).using(options.name))
    say(f"{options.name}: in use")
    return exits.OK


def _row(name: str, profile: Profile, profiles: Profiles) -> dict[str, Any]:
    return {
        "name": name,
        "in_use": name == profiles.current,
        "servers": list(profile.servers),
        "client_id": profile.client_id,
    }


def _list(options: argparse.Namespace) -> int:
    profiles = read_profiles(os.environ)
    rows = [_row(name, profile, profiles) for name, profile in sorted(profiles.by_name.items())]
    show_rows(options, rows, ("name", "in_use", "servers", "client_id"))
    return exits.OK


def _show(options: argparse.Namespace) -> int:
    from odradek.client.cli.rendering import properties

    profiles = read_profiles(os.environ)
    if options.name:
        data = _row(options.name, profiles.get(options.name), profiles)
    else:
        chosen = choose(
            parse_servers(options.server) if options.server else None, options.profile, os.environ
        )
        data = {
            "servers": list(chosen.servers),
            "client_id": chosen.client_id,
            "file": profiles_path(os.environ),
        }
    show(options, data, [properties(data)])
    return exits.OK


def _delete(options: argparse.Namespace) -> int:
    write_profiles(os.environ, read_profiles(os.environ).without(options.name))
    say(f"{options.name}: deleted")
    return exits.OK


def _edit(options: argparse.Namespace) -> int:
    """Edit a copy; the file is replaced only by one that can be read."""
    import shlex
    import subprocess
    import tempfile

    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    before = format_profiles(read_profiles(os.environ))
    with tempfile.NamedTemporaryFile("w", suffix=".toml", delete=False, encoding="utf-8") as copy:
        copy.write(before)
    try:
        try:
            code = subprocess.call([*shlex.split(editor), copy.name])
        except OSError as error:
            raise exits.CommandError(f"cannot start the editor {editor!r}: {error.strerror}") from None
        if code:
            raise exits.CommandError(f"the editor {editor!r} ended with {code}: nothing is changed")
        with open(copy.name, encoding="utf-8") as edited:
            text = edited.read()
    finally:
        os.unlink(copy.name)
    write_profiles(os.environ, parse_profiles(text))
    say("unchanged" if text == before else f"{profiles_path(os.environ)}: written")
    return exits.OK
