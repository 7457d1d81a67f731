"""The `odradek` command.

Decides: arguments, exit codes (0 clean, 1 failed while running, 2 wrong usage or configuration) and what is
printed around a node's life. What a node does is in `broker`, imported only when one is started, so that
--help is quick. All other commands are clients of a node: `odradek.client.cli` adds them, and they import what
they need when they run."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

from odradek.client.cli.commands import CommandParser, mount

if TYPE_CHECKING:
    from odradek.node.config import Loaded, NodeConfig
    from odradek.node.runtime.signals import StopSignals

_EVERYWHERE: Final = ("", "0.0.0.0", "[::]", "::")
EXIT_CLEAN: Final = 0
EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2

_START_EXAMPLES: Final = """\
examples:
  odradek start                                 one node on 127.0.0.1:9092, data in ./data
  odradek start --config server.properties      a configuration of Apache Kafka 4 (KRaft)
  odradek start --listen 0.0.0.0:9092 --data /var/lib/odradek --set num.partitions=3

Settings of the command line win over KAFKA_* environment variables, and those over the file.
"""


class Node(Protocol):
    """What the command needs of a broker."""

    @property
    def addresses(self) -> Sequence[str]:
        """host:port of every client listener, once started."""

    @property
    def grpc_address(self) -> str | None:
        """host:port where gRPC is spoken, once started; None for nowhere."""

    async def start(self) -> None:
        """Return when clients can be served. Raises ConfigError for a configuration that cannot work."""

    async def stop(self) -> None:
        """Flush, checkpoint and close."""

    async def failed(self) -> BaseException:
        """Return only when the node cannot go on, with the reason."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the return value is the exit code."""
    options = _parser().parse_args(arguments)
    if not __debug__:
        sys.stderr.write("odradek does not run under python -O: its checks of itself would be missing\n")
        return EXIT_USAGE
    return int(options.run(options))


def _parser() -> CommandParser:
    parser = CommandParser(prog="odradek", description="A Kafka-compatible distributed log.")
    parser.add_argument("--version", action=_ShowVersion)
    commands = parser.add_subparsers(
        title="commands", metavar="COMMAND", required=True, parser_class=CommandParser
    )
    start = commands.add_parser(
        "start",
        help="run a node until it is told to stop",
        description="Run a node until SIGTERM or Ctrl-C; a second one ends it at once.",
        epilog=_START_EXAMPLES,
    )
    start.add_argument("--config", metavar="FILE", help="a server.properties")
    start.add_argument(
        "--set", metavar="NAME=VALUE", action="append", default=[], help="one setting; repeatable"
    )
    start.add_argument("--data", metavar="DIR", help="data directory, instead of log.dirs")
    start.add_argument("--listen", metavar="HOST:PORT", help="where clients connect, instead of listeners")
    start.add_argument(
        "--grpc", metavar="HOST:PORT", help="where gRPC is spoken, instead of odradek.grpc.listener"
    )
    start.add_argument(
        "--log-level", choices=("debug", "info", "warning", "error"), default="info", help="default: info"
    )
    start.set_defaults(run=_start)
    mount(commands, parser)
    return parser


class _ShowVersion(argparse.Action):
    """Looks the version up only when asked for: reading package metadata takes longer than all the rest."""

    def __init__(self, option_strings: Sequence[str], dest: str) -> None:
        super().__init__(option_strings, dest, nargs=0, help="show the version and exit")

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        sys.stdout.write(f"odradek {version()}\n")
        parser.exit(EXIT_CLEAN)


def version() -> str:
    """The version of the installed distribution."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed_version

    try:
        return installed_version("odradek")
    except PackageNotFoundError:
        return "0 (not installed)"


def _start(options: argparse.Namespace) -> int:
    from odradek.node.config import ConfigError, load_config
    from odradek.node.runtime.log import configure_logging

    configure_logging(options.log_level, sys.stderr)
    try:
        loaded = load_config(
            file=options.config,
            environ=os.environ,
            assignments=options.set,
            data=options.data,
            listen=options.listen,
            grpc=options.grpc,
        )
    except ConfigError as error:
        sys.stderr.write(f"odradek: {error}\n")
        return EXIT_USAGE
    _log_notes(loaded)
    return run_node(loaded.config, _open_broker)


def _open_broker(config: NodeConfig) -> Node:
    from odradek.node.broker import Broker

    return Broker(config)


def run_node(config: NodeConfig, open_node: Callable[[NodeConfig], Node]) -> int:
    """Run a node on an event loop of its own until a signal or a failure; the return value is the exit"
    " code."""
    import asyncio

    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(_live(config, open_node))


def _loop_factory() -> Callable[[], Any] | None:
    """uvloop where it is installed, else asyncio's own loop."""
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], Any] = uvloop.new_event_loop
    return factory


async def _live(config: NodeConfig, open_node: Callable[[NodeConfig], Node]) -> int:
    """One node's life: start, announce, wait for a signal or a failure, stop."""
    import asyncio
    import logging

    from odradek.node.config import ConfigError
    from odradek.node.runtime.memory import settle_garbage_collector
    from odradek.node.runtime.signals import StopSignals

    log = logging.getLogger("odradek.node")
    with StopSignals(asyncio.get_running_loop()) as signals:
        waiting = [asyncio.ensure_future(_asked(signals))]
        try:
            node = open_node(config)
            waiting.append(asyncio.ensure_future(_failure(node)))
            started = asyncio.ensure_future(node.start())
            # Why not only wait for it: a node of several starts when enough others do, which may be never.
            await asyncio.wait([started, *waiting], return_when=asyncio.FIRST_COMPLETED)
            if started.done():
                started.result()
                settle_garbage_collector()
                sys.stdout.write(announcement(config, node.addresses, node.grpc_address))
                sys.stdout.flush()
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            code, text = next(iter(done)).result()
            log.log(logging.INFO if code == EXIT_CLEAN else logging.ERROR, "stopping: %s", text)
            if started.done():
                await node.stop()
            else:
                started.cancel()
                await asyncio.wait([started])
        except ConfigError as error:
            sys.stderr.write(f"odradek: {error}\n")
            return EXIT_USAGE
        except Exception:
            log.exception("the node failed")
            return EXIT_FAILED
        finally:
            for one in waiting:
                one.cancel()
        log.info("stopped")
        return code


async def _asked(signals: StopSignals) -> tuple[int, str]:
    number = await signals.wait()
    return EXIT_CLEAN, f"{number.name} received; a second signal ends the process at once"


async def _failure(node: Node) -> tuple[int, str]:
    reason = await node.failed()
    return EXIT_FAILED, f"the node cannot go on: {reason!r}"


def announcement(config: NodeConfig, addresses: Sequence[str], grpc: str | None = None) -> str:
    """What is printed when clients can connect: the addresses, and something to try. `grpc`: where gRPC is spoken."""
    where = addresses[0] if addresses else "nowhere"
    host, _, port = where.rpartition(":")
    # Everywhere is not an address that a client can use.
    server = f"localhost:{port}" if host in _EVERYWHERE else where
    first = (
        f"odradek {version()}: node {config.node_id} is listening on {', '.join(addresses)}"
        f"{f', for gRPC on {grpc}' if grpc else ''},"
        f" data in {', '.join(os.path.abspath(directory) for directory in config.log_dirs)}\n"
    )
    if grpc:
        host, _, port = grpc.rpartition(":")
        flag = (
            ""
            if port == "50051" and host in (*_EVERYWHERE, "127.0.0.1")
            else f" -s {'localhost' if host in _EVERYWHERE else host}:{port}"
        )
        own = f"  echo hello | odradek produce greetings{flag}; odradek consume greetings -e{flag}\n"
    else:
        own = ""
    return (
        f"{first}Try it:\n{own}"
        f"  echo hello | kcat -P -b {server} -t greetings; kcat -C -e -b {server} -t greetings\n"
        '  python -c "from confluent_kafka import Producer; p ='
        f" Producer({{'bootstrap.servers': '{server}'}});"
        " p.produce('greetings', 'hello'); p.flush()\"\n"
    )


def _log_notes(loaded: Loaded) -> None:
    import logging

    log = logging.getLogger("odradek.node.config")
    for note in loaded.notes:
        log.log(logging.WARNING if note.is_warning else logging.INFO, note.text)
