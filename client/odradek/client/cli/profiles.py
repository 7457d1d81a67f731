"""Profiles: named clusters in a file, and which of all the places that name a server wins.

    -s/--server  >  --profile  >  ODRADEK_SERVER  >  the profile in use  >  localhost:50051

The file is TOML, at $ODRADEK_CONFIG or ~/.config/odradek/profiles.toml:

    current = "staging"
    [profiles.staging]
    servers = ["staging-1:50051", "staging-2:50051"]
    client_id = "odradek-cli"
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, NamedTuple

DEFAULT_SERVER: Final = "localhost:50051"
DEFAULT_CLIENT_ID: Final = "odradek-cli"

_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SERVER: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:,\[\]]+):(\d{1,5})")
_FIELDS: Final = {"servers", "client_id"}


class ProfileError(ValueError):
    """The file, or what is to be written to it, is not as it has to be; the sentence says how it has to be."""


class UnknownProfileError(ProfileError):
    """There is no profile of that name."""


class Profile(NamedTuple):
    """One cluster."""

    servers: tuple[str, ...]
    client_id: str = DEFAULT_CLIENT_ID


class Profiles(NamedTuple):
    """What the file holds."""

    current: str | None = None
    #: Never changed in place: `put` and `without` make another.
    by_name: Mapping[str, Profile] = MappingProxyType({})

    def get(self, name: str) -> Profile:
        """Raises UnknownProfileError."""
        if name not in self.by_name:
            known = ", ".join(sorted(self.by_name)) or "none yet"
            raise UnknownProfileError(f"there is no profile {name!r}; there are: {known}")
        return self.by_name[name]

    def put(self, name: str, profile: Profile) -> Profiles:
        if _NAME.fullmatch(name) is None:
            raise ProfileError(f"{name!r} is no name of a profile: use 1 to 64 letters, digits, '_' and '-'")
        return self._replace(by_name={**self.by_name, name: profile})

    def without(self, name: str) -> Profiles:
        self.get(name)
        rest = {other: profile for other, profile in self.by_name.items() if other != name}
        return Profiles(None if self.current == name else self.current, rest)

    def using(self, name: str) -> Profiles:
        self.get(name)
        return self._replace(current=name)


def profiles_path(environ: Mapping[str, str]) -> str:
    """Where the file is, or would be."""
    if environ.get("ODRADEK_CONFIG"):
        return environ["ODRADEK_CONFIG"]
    return os.path.join(os.path.expanduser("~"), ".config", "odradek", "profiles.toml")


def parse_servers(text: str) -> tuple[str, ...]:
    """`host:port,host:port`; a host without a port has 50051. Raises ProfileError."""
    servers = []
    for one in (part.strip() for part in text.split(",")):
        with_port = one if ":" in one and not one.endswith("]") else f"{one}:50051"
        found = _SERVER.fullmatch(with_port)
        if found is None or not 0 < int(found[2]) < 65536:
            raise ProfileError(f"{one!r} is no server: write host:port, several with commas between")
        servers.append(with_port)
    return tuple(servers)


def parse_profiles(text: str) -> Profiles:
    """What is in a file. Raises ProfileError."""
    import tomllib

    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ProfileError(f"not TOML: {error}") from None
    unknown = data.keys() - {"current", "profiles"}
    tables = data.get("profiles", {})
    if unknown or not isinstance(tables, dict):
        raise ProfileError(
            f"unknown: {', '.join(sorted(unknown)) or 'profiles'}; allowed: current, [profiles.NAME]"
        )
    profiles = Profiles()
    for name, table in tables.items():
        profiles = profiles.put(name, _parse_profile(name, table))
    current = data.get("current")
    if current is not None and current not in profiles.by_name:
        raise ProfileError(f"current = {current!r} is none of its profiles")
    return profiles._replace(current=current)


def _parse_profile(name: str, table: Any) -> Profile:
    if not isinstance(table, dict) or table.keys() - _FIELDS:
        raise ProfileError(f'profile {name}: allowed are servers = ["host:port"] and client_id = "..."')
    servers, client_id = table.get("servers"), table.get("client_id", DEFAULT_CLIENT_ID)
    if not isinstance(servers, list) or not servers or not all(isinstance(one, str) for one in servers):
        raise ProfileError(f'profile {name}: servers has to be a list, such as ["localhost:50051"]')
    if not isinstance(client_id, str) or not client_id:
        raise ProfileError(f"profile {name}: client_id has to be a text")
    return Profile(parse_servers(",".join(servers)), client_id)


def format_profiles(profiles: Profiles) -> str:
    """The text of the file."""
    lines = [] if profiles.current is None else [f"current = {_quoted(profiles.current)}"]
    for name, profile in profiles.by_name.items():
        servers = ", ".join(_quoted(server) for server in profile.servers)
        lines += [
            "",
            f"[profiles.{name}]",
            f"servers = [{servers}]",
            f"client_id = {_quoted(profile.client_id)}",
        ]
    return "\n".join(lines).lstrip("\n") + "\n"


def _quoted(text: str) -> str:
    """A basic string of TOML: JSON's escapes are among its own."""
    import json

    return json.dumps(text, ensure_ascii=False)


def read_profiles(environ: Mapping[str, str]) -> Profiles:
    """Those of the file; none if there is no file. Raises ProfileError, OSError."""
    path = profiles_path(environ)
    try:
        with open(path, encoding="utf-8") as file:
            return parse_profiles(file.read())
    except FileNotFoundError:
        return Profiles()
    except (ProfileError, UnicodeDecodeError) as error:
        raise ProfileError(f"{path}: {error}") from None


def write_profiles(environ: Mapping[str, str], profiles: Profiles) -> None:
    """Replace the file as a whole: a reader sees the old one or the new one."""
    path = profiles_path(environ)
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    beside = f"{path}.{os.getpid()}.new"
    with open(beside, "w", encoding="utf-8") as file:
        file.write(format_profiles(profiles))
    os.replace(beside, path)


def choose(servers: Sequence[str] | None, profile_name: str | None, environ: Mapping[str, str]) -> Profile:
    """The cluster to talk to. `servers` and `profile_name` are those of the flags. Raises ProfileError, OSError."""
    if profile_name:
        profile = read_profiles(environ).get(profile_name)
        return profile._replace(servers=tuple(servers)) if servers else profile
    if servers:
        return Profile(tuple(servers))
    if environ.get("ODRADEK_SERVER"):
        return Profile(parse_servers(environ["ODRADEK_SERVER"]))
    profiles = read_profiles(environ)
    return profiles.get(profiles.current) if profiles.current else Profile((DEFAULT_SERVER,))
