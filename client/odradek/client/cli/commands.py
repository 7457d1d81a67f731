"""The client's commands beside `odradek start`: their names, and how one of them is parsed and run.

Nothing here imports what a command needs: a command's module fills its parser when that command is the one that was
typed, and a verb imports grpc and the rest when it runs. So `--help` is quick, and so is everything up to the first
byte that is sent.

Decides: one-line errors, exit codes (`exits`), Ctrl-C (130) and a closed pipe (silence)."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, NoReturn

from odradek.client.cli import exits

if TYPE_CHECKING:
    from odradek.client.admin import Admin
    from odradek.client.cli.profiles import Profile
    from odradek.client.cli.rendering import Table

#: Name, one line of help. The module of the same name here has `fill(parser)`.
COMMANDS: Final = (
    ("topic", "list, create, describe, change, read and write topics"),
    ("produce", "write records from stdin or files (the same as `topic produce`)"),
    ("consume", "read records (the same as `topic consume`)"),
    ("group", "list, describe, move and delete consumer groups"),
    ("cluster", "nodes, health, partitions, moves, elections, disks, quorum"),
    ("config", "read and change settings of topics, nodes and the cluster"),
    ("bench", "measure throughput and latency"),
    ("doctor", "say in words what is wrong with the cluster, and what to do"),
    ("profile", "named clusters in a file"),
    ("completion", "completion for bash, zsh and fish"),
)

CALL_TIMEOUT_MS: Final = 15_000
CONNECT_TIMEOUT_S: Final = 3.0

Run = Callable[[argparse.Namespace], "int | Coroutine[Any, Any, int]"]


class _HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Help beside long options instead of below them."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=34)


class CommandParser(argparse.ArgumentParser):
    """A parser that is filled when it is used, and whose errors are one line."""

    def __init__(
        self, *args: Any, fill: Callable[[CommandParser], None] | None = None, **kwargs: Any
    ) -> None:
        kwargs.setdefault("formatter_class", _HelpFormatter)
        kwargs.setdefault("allow_abbrev", False)
        super().__init__(*args, **kwargs)
        self._fill = fill

    def filled(self) -> CommandParser:
        """The parser with all its arguments."""
        fill, self._fill = self._fill, None
        if fill is not None:
            fill(self)
        return self

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        self.filled()
        parsed, unknown = super().parse_known_args(args, namespace)
        if unknown and self._subparsers is None:
            unknown = self._scattered(parsed, unknown)
        if unknown and self._subparsers is None:
            # Here, where it is known whose arguments they are not.
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return parsed, unknown

    def _scattered(self, parsed: argparse.Namespace, unknown: list[str]) -> list[str]:
        """Take names behind a flag (`produce orders -k 1 FILE`), which argparse leaves over; what is left then."""
        several = [action for action in self._get_positional_actions() if action.nargs in ("*", "+")]
        if not several or any(word.startswith("-") for word in unknown):
            return unknown
        try:
            values = [self._get_value(several[-1], word) for word in unknown]
        except argparse.ArgumentError as error:
            self.error(str(error))
        setattr(parsed, several[-1].dest, [*(getattr(parsed, several[-1].dest) or []), *values])
        return []

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        try:
            sys.stdout.flush()
        except BrokenPipeError:
            _drop_stdout()
        super().exit(status, message)

    def error(self, message: str) -> NoReturn:
        self.exit(exits.USAGE, f"{self.prog}: {message} (see {self.prog} --help)\n")


class Verbs:
    """The verbs of a command, such as `create` of `topic`."""

    def __init__(self, parser: CommandParser) -> None:
        self._subparsers = parser.add_subparsers(
            title="verbs", metavar="VERB", required=True, parser_class=CommandParser
        )

    def add(
        self, name: str, run: Run, help_text: str, *, examples: str = "", output: bool = False
    ) -> CommandParser:
        """A verb with the arguments that all have, for the caller to add its own."""
        parser: CommandParser = self._subparsers.add_parser(
            name, help=help_text, description=_sentence(help_text)
        )
        return leaf(parser, run, examples=examples, output=output)

    def add_filled(self, name: str, help_text: str, fill: Callable[[CommandParser], None]) -> None:
        self._subparsers.add_parser(name, help=help_text, description=_sentence(help_text), fill=fill)


def leaf(parser: CommandParser, run: Run, *, examples: str = "", output: bool = False) -> CommandParser:
    """Make `parser` one that runs something: with the flags that all verbs have."""
    parts = [f"examples:\n{examples}"] if examples else []
    parser.epilog = "\n".join([*parts, exits.EXPLANATION])
    cluster = parser.add_argument_group("cluster")
    completes(
        cluster.add_argument(
            "-s",
            "--server",
            metavar="HOST:PORT,...",
            help="gRPC addresses (or ODRADEK_SERVER; else the profile in use)",
        ),
        "server",
    )
    completes(
        cluster.add_argument("--profile", metavar="NAME", help="the profile to use this once"), "profile"
    )
    if output:
        parser.add_argument(
            "-o", "--output", choices=("table", "json", "yaml"), default="table", help="default: table"
        )
    parser.set_defaults(run=lambda options: guarded(run, options))
    return parser


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + "."


def completes(action: argparse.Action, kind: str) -> argparse.Action:
    """Remember what the words of an argument are, for completion: topic, group, profile, node, file."""
    action.completes = kind  # type: ignore[attr-defined]
    return action


def argument(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    """A `type=` whose ValueError is shown as it is."""

    def parsed(text: str) -> Any:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return parsed


def mount(subparsers: argparse._SubParsersAction[CommandParser], root: CommandParser) -> None:
    """Add every command to the parser of `odradek`, each to be filled when it is used."""
    for name, help_text in COMMANDS:
        parser = subparsers.add_parser(
            name, help=help_text, description=_sentence(help_text), fill=filler(name)
        )
        parser.set_defaults(root=root)


def filler(name: str) -> Callable[[CommandParser], None]:
    """What fills the parser of a command: its module is imported then."""

    def fill(parser: CommandParser) -> None:
        from importlib import import_module

        import_module(f"odradek.client.cli.{name}").fill(parser)

    return fill


def guarded(run: Run, options: argparse.Namespace) -> int:
    """The exit code of a verb. No error leaves it, other than a fault of ours with ODRADEK_DEBUG set."""
    try:
        result = run(options)
        code = result if isinstance(result, int) else _run(result)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return exits.INTERRUPTED
    except BrokenPipeError:
        _drop_stdout()
        return exits.OK
    except Exception as error:
        return report(error)


def _drop_stdout() -> None:
    """Whoever read has what it wanted. The interpreter would complain when it flushes stdout at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _run(coroutine: Coroutine[Any, Any, int]) -> int:
    import asyncio

    return asyncio.run(coroutine)


def report(error: Exception, name: str = "") -> int:
    """Complain of an error, that of `name` if that is not said; its exit code."""
    described = exits.describe(error)
    if described is None:
        if os.environ.get("ODRADEK_DEBUG"):
            raise error
        described = (
            exits.FAILED,
            f"{type(error).__name__}: {error} (a fault of this program; ODRADEK_DEBUG=1 shows where)",
        )
    code, text = described
    complain(text if not name or name in text else f"{name}: {text}")
    return code


def complain(message: str) -> None:
    """One line on stderr."""
    sys.stderr.write(f"odradek: {' '.join(message.split())}\n")


def say(text: str) -> None:
    """Text on stdout, ended with a newline."""
    sys.stdout.write(text if text.endswith("\n") else f"{text}\n")


def show(options: argparse.Namespace, data: Any, tables: Iterable[Table]) -> None:
    """Print data as -o asks for."""
    from odradek.client.cli.rendering import render

    sys.stdout.write(render(data, list(tables), options.output))


def show_rows(options: argparse.Namespace, rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> None:
    """Print a list of things."""
    from odradek.client.cli.rendering import Table

    show(options, list(rows), [Table(rows, columns)])


def cluster_of(options: argparse.Namespace) -> Profile:
    """Where to go: flag, environment, profile or default."""
    from odradek.client.cli.profiles import choose, parse_servers

    servers = parse_servers(options.server) if options.server else None
    return choose(servers, options.profile, os.environ)


def open_admin(options: argparse.Namespace) -> Admin:
    """An Admin of the cluster that was chosen, to be entered with `async with`."""
    from odradek.client.admin import Admin

    cluster = cluster_of(options)
    return Admin(reachable(cluster.servers), client_id=cluster.client_id, timeout_ms=CALL_TIMEOUT_MS)


def reachable(servers: Sequence[str]) -> str:
    """Those of `servers` that can be dialed, with commas between. Raises CommandError, which says of each why not.

    gRPC would wait for a server that is not there until the call's time is over, and then say little."""
    import socket

    found, failures = [], []
    for server in servers:
        host, _, port = server.rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), CONNECT_TIMEOUT_S).close()
            found.append(server)
        except OSError as error:
            failures.append(f"{server} ({error.strerror or error})")
    if found:
        return ",".join(found)
    raise exits.CommandError(
        f"cannot reach the cluster at {', '.join(failures)}: start a node (`odradek start`) or name another"
        " address (-s HOST:PORT)",
        exits.UNREACHABLE,
    )


async def each(names: Sequence[str], do: Callable[[str], Coroutine[Any, Any, str]]) -> int:
    """Do something for each name, with a line for each; go on after one that failed."""
    codes = []
    for name in names:
        try:
            say(await do(name))
            codes.append(exits.OK)
        except Exception as error:
            codes.append(report(error, name))
            if codes[-1] == exits.UNREACHABLE:
                break
    return exits.worst(codes)
