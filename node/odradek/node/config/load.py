"""From a file, the environment and the command line to one `NodeConfig`.

Decides: which source wins (command line over environment over file), and what `--data` and `--listen` stand
for. Reads the one file it is given and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from odradek.node.config.environment import settings_from_environment
from odradek.node.config.listeners import Listener, format_address, parse_address
from odradek.node.config.names import Note, notes_on_names
from odradek.node.config.node_config import NodeConfig
from odradek.node.config.properties import parse_properties
from odradek.storage.config_types import ConfigError, split_list

GRPC_LISTENER: Final = "odradek.grpc.listener"
GRPC_PORT: Final = 50051


class Loaded(NamedTuple):
    """A configuration, and what the operator should know about its names."""

    config: NodeConfig
    notes: tuple[Note, ...]


def load_config(
    *,
    file: str | None = None,
    environ: Mapping[str, str] | None = None,
    assignments: Sequence[str] = (),
    data: str | None = None,
    listen: str | None = None,
    grpc: str | None = None,
) -> Loaded:
    """The configuration of a node. Raises `ConfigError` with a sentence for the operator.

    `file`: path of a server.properties. `assignments`: name=value, the last of a name counts. `data`: the
    data directory, instead of log.dirs. `listen`: host:port for clients, instead of the client listeners. `grpc`:
    host:port for gRPC, instead of odradek.grpc.listener; a node without process.roles has one beside its clients'.
    """
    settings = {} if file is None else parse_properties(_read(file))
    settings |= settings_from_environment(environ or {})
    given = parse_assignments(assignments)
    settings |= given
    if data is not None:
        _refuse_both("--data", "log.dirs", given)
        if not data.strip() or "," in data:
            raise ConfigError(f"--data {data}: expected one directory, without a comma in its name")
        settings.pop("log.dir", None)
        settings["log.dirs"] = data
    if listen is not None:
        _refuse_both("--listen", "listeners", given)
        settings["listeners"] = _listeners(listen, settings)
    if grpc is not None:
        _refuse_both("--grpc", GRPC_LISTENER, given)
        settings[GRPC_LISTENER] = grpc
    elif "process.roles" not in settings and GRPC_LISTENER not in settings:
        settings[GRPC_LISTENER] = _beside(NodeConfig(settings).client_listeners)
        # Nobody asked for it, so a second node on this machine starts all the same.
        settings.setdefault("odradek.grpc.required", "false")
    return Loaded(NodeConfig(settings), notes_on_names(settings))


def parse_assignments(assignments: Sequence[str]) -> dict[str, str]:
    """Settings from name=value texts. Raises `ConfigError`."""
    settings: dict[str, str] = {}
    for assignment in assignments:
        name, separator, value = assignment.partition("=")
        if not separator or not name.strip():
            raise ConfigError(f"--set {assignment}: expected name=value, for example num.partitions=3")
        settings[name.strip()] = value
    return settings


def _listeners(listen: str, settings: Mapping[str, str]) -> str:
    """One client listener at `listen`, beside the controller listeners that the settings already have."""
    host, port = parse_address("--listen", listen)
    controllers = {name.upper() for name in split_list(settings.get("controller.listener.names", ""))}
    names = [element.partition("://")[0].upper() for element in split_list(settings.get("listeners", ""))]
    client = next((name for name in names if name not in controllers), "PLAINTEXT")
    kept = [
        element
        for element, name in zip(split_list(settings.get("listeners", "")), names, strict=True)
        if name in controllers
    ]
    return ",".join([f"{client}://{format_address(host, port)}", *kept])


def _beside(clients: Sequence[Listener]) -> str:
    """Where gRPC is spoken unless somebody says: at the address of the first client listener."""
    if not clients:
        return ""
    # Any free port there is any free port here: nodes of tests do not meet.
    return format_address(clients[0].host or "0.0.0.0", GRPC_PORT if clients[0].port else 0)


def _refuse_both(option: str, name: str, given: Mapping[str, str]) -> None:
    if name in given:
        raise ConfigError(f"{option} and --set {name} exclude each other")


def _read(file: str) -> str:
    try:
        with open(file, encoding="utf-8") as stream:
            return stream.read()
    except UnicodeDecodeError:
        raise ConfigError(f"--config {file}: the file is not UTF-8 text") from None
    except OSError as error:
        raise ConfigError(f"--config {file}: {error.strerror}") from None
