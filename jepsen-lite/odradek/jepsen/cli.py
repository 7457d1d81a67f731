"""The command line: `python -m odradek.jepsen run|check|canary|sweep|capabilities|outcomes`.

Decides: how options are spelt, what is printed, and the exit code: 0 valid, 1 invalid, 2 unknown, or a command line
that is wrong, 3 a run that could not take place or broke down, 130 interrupted. Does not decide: what a run does
(`run`). Invariants: an error of the harness itself is never mistaken for a verdict, nor for a wrong command line.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import os
import secrets
import shlex
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from odradek.jepsen.run.options import Options, OptionsError

if TYPE_CHECKING:
    from odradek.jepsen.run.record import Recorded

EXIT_USAGE, EXIT_NOT_RUN, EXIT_INTERRUPTED = 2, 3, 130
RESULTS = Path("jepsen-results")
T = TypeVar("T", int, str)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the return value is the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = _parser().parse_args(given)
    for ending in (signal.SIGTERM, signal.SIGHUP):  # whatever ends a run, it takes its cluster down
        signal.signal(ending, signal.default_int_handler)
    try:
        return int(options.do(options, given))
    except KeyboardInterrupt:
        sys.stderr.write("odradek.jepsen: interrupted\n")
        return EXIT_INTERRUPTED
    except UsageError as error:
        sys.stderr.write(f"odradek.jepsen: {error}\n")
        return EXIT_USAGE
    except NotRun as error:
        sys.stderr.write(f"odradek.jepsen: {error}\n")
        return EXIT_NOT_RUN
    except Exception:
        traceback.print_exc()
        return EXIT_NOT_RUN


class UsageError(Exception):
    """The command line is wrong; the message says what is allowed."""


class NotRun(Exception):
    """Nothing is wrong with the command line, but it cannot be done here; the message says why."""


@contextlib.contextmanager
def _understanding() -> Iterator[None]:
    """What is wrong with what was asked for is the user's error here, and nowhere else."""
    from odradek.jepsen.nemesis.kinds import UnknownKindError
    from odradek.jepsen.nemesis.schedule import PlanError
    from odradek.jepsen.run.machine import CannotRun
    from odradek.jepsen.workloads.spec import UnknownWorkload

    try:
        yield
    except (OptionsError, UnknownWorkload, UnknownKindError, PlanError) as error:
        raise UsageError(str(error)) from error
    except CannotRun as error:
        raise NotRun(str(error)) from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m odradek.jepsen",
        description="Breaks a real cluster while clients use it, and says whether it kept its promises.",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_run(commands)
    _add_others(commands)
    return parser


def _add_run(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    run = commands.add_parser("run", help="break a cluster, check everything, write a report")
    run.add_argument("--nodes", type=int, default=3, metavar="N")
    run.add_argument("--workload", default="queue", metavar="W,...", help="or all")
    run.add_argument(
        "--nemesis", default="default", metavar="N,...", help="kinds and groups of faults, or none"
    )
    run.add_argument("--seconds", type=int, default=60, metavar="S", help="under faults")
    run.add_argument(
        "--seed", type=int, metavar="K", help="of the plan and of what clients do (drawn if not given)"
    )
    run.add_argument("--cluster", default="odradek", metavar="odradek|kafka")
    run.add_argument("--at-least", default="", metavar="KIND=N,...", help="faults that the plan must hold")
    run.add_argument("--acknowledged", type=int, default=1, metavar="N", help="fewer records prove nothing")
    run.add_argument(
        "--rate", type=int, default=1_000, metavar="N", help="records a second that senders aim at"
    )
    run.add_argument("--interval", default="15-30", metavar="LO-HI", help="seconds of a period of faults")
    run.add_argument(
        "--spacing", default="3-9", metavar="LO-HI", help="seconds between the faults of a period"
    )
    run.add_argument("--quiet", type=float, default=0.25, metavar="P", help="share of periods without faults")
    run.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="for every server.properties"
    )
    run.add_argument("--topic-config", action="append", default=[], metavar="NAME=VALUE")
    run.add_argument("--command", default="", metavar="COMMAND", help="starts a node, instead of odradek")
    run.add_argument("--image-mib", type=int, default=256, metavar="N", help="size of each node's disk")
    run.add_argument(
        "--folder", type=Path, metavar="DIR", help=f"for the results; must not exist ({RESULTS}/...)"
    )
    run.set_defaults(do=_run)


def _add_others(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    again = commands.add_parser("check", help="check once more what a run left")
    again.add_argument("folder", type=Path, help="the results of a run, or a folder of *.jsonl")
    again.set_defaults(do=_check)
    canary = commands.add_parser("canary", help="exit 0 if a cluster that must lose records is found out")
    canary.add_argument("--seed", type=int, default=1, metavar="K")
    canary.add_argument("--folder", type=Path, metavar="DIR")
    canary.set_defaults(do=_canary)
    sweep = commands.add_parser("sweep", help="take away what killed runs left on this machine")
    sweep.set_defaults(do=_sweep)
    capabilities = commands.add_parser(
        "capabilities", help="what this machine can do, and what is left out for that"
    )
    capabilities.set_defaults(do=_capabilities)
    outcomes = commands.add_parser("outcomes", help="which error means what, as a table in Markdown")
    outcomes.set_defaults(do=_outcomes)


def _run(given: argparse.Namespace, arguments: Sequence[str]) -> int:
    from odradek.jepsen.db.capabilities import probe
    from odradek.jepsen.run.machine import survey
    from odradek.jepsen.run.session import perform, steps_of

    with _understanding():
        options = options_of(given)
        machine = survey(options, probe())
        steps_of(options, machine.able)  # a plan that cannot be made is known before anything is
    for line in machine.lines:
        say(line)
    options.folder.mkdir(parents=True)
    command = _command(arguments, options.seed)
    say(f"{command}\nresults in {options.folder}")
    verdict = perform(options, command, machine, say)
    for line in verdict.lines():
        say(line)
    say(f"report: {options.folder / 'report.html'}")
    return verdict.exit_code


#: What a cluster that does not sync before it acknowledges must lose when all nodes lose power.
_CANARY = (
    "run --workload queue --nemesis power-all --at-least power-all=2 --seconds 20 --interval 8-10 --quiet 0 "
    "--topic-config flush.messages=9223372036854775807"
)
_LOSSES = frozenset({"lost-write", "unseen", "replica-missing-record"})


def _canary(given: argparse.Namespace, arguments: Sequence[str]) -> int:
    own = [*_CANARY.split(), "--seed", str(given.seed)]
    own += ["--folder", str(given.folder)] if given.folder else []
    parsed = _parser().parse_args(own)
    folder = parsed.folder = parsed.folder or _folder_of("canary", given.seed)
    _run(parsed, own)
    found = json.loads((folder / "verdict.json").read_text())["counts"]
    losses = {kind: count for kind, count in found.items() if kind in _LOSSES}
    if not losses:
        say(
            "the canary lives: a cluster that syncs nothing lost nothing, so this harness proves nothing here"
        )
        return 1
    say(f"the canary is dead, as it should be: {losses}")
    return 0


def _check(given: argparse.Namespace, arguments: Sequence[str]) -> int:
    """Everything that is in the folder. The replicas were gone when the run was over."""
    from odradek.jepsen.checkers.analysis import Analysis
    from odradek.jepsen.checkers.verdict import GAVE_UP, Policy
    from odradek.jepsen.history import join
    from odradek.jepsen.run.checking import check_again

    inside = given.folder / "history"
    paths = sorted((inside if inside.is_dir() else given.folder).glob("*.jsonl"))
    if not paths:
        raise UsageError(f"{given.folder}: there is no *.jsonl in it")
    recorded = _recorded(given.folder)
    recorded.logs = _logs_in(given.folder)
    analysis = Analysis.of(join(paths))
    results = check_again(analysis, recorded)
    fatal = unknown = 0
    for checker, anomalies in results.items():
        say(f"{checker}: {len(anomalies)} anomalies")
        for anomaly in anomalies:
            fatal += Policy().is_fatal(anomaly)
            unknown += anomaly.kind == GAVE_UP
            say(f"  {anomaly.kind}: {anomaly.detail}")
    return _beside_verdict(given.folder, 1 if fatal else 2 if unknown else 0)


def _recorded(folder: Path) -> Recorded:
    from odradek.jepsen.run import record

    try:
        return record.load(folder)
    except FileNotFoundError:
        say("what the run recorded beside its history is not here: nothing is known of the ends of the logs")
        return record.Recorded()
    except ValueError as damaged:
        raise NotRun(str(damaged)) from damaged


def _logs_in(folder: Path) -> dict[int, Path]:
    """What the nodes said, by node."""
    found = {}
    for path in folder.glob("node*/server.log"):
        number = path.parent.name.removeprefix("node")
        if number.isdecimal():
            found[int(number)] = path
    return found


def _beside_verdict(folder: Path, code: int) -> int:
    """The exit code of a check; not 0 where the run itself was found not to be valid, by what is not checked here."""
    verdict = folder / "verdict.json"
    if code or not verdict.exists():
        return code
    valid = json.loads(verdict.read_text())["valid"]
    if valid is True:
        return 0
    say(f"nothing was found now, but {verdict} says valid: {json.dumps(valid)}")
    return 1 if valid is False else 2


def options_of(given: argparse.Namespace) -> Options:
    """Raises OptionsError, UnknownWorkload."""
    seed = secrets.randbelow(1_000_000) if given.seed is None else given.seed
    folder = given.folder or _folder_of(given.cluster, seed)
    if folder.exists():
        raise OptionsError(f"--folder {folder}: is there already")
    return Options(
        seed=seed,
        folder=folder,
        nodes=given.nodes,
        workloads=_workloads(given.workload),
        nemeses=tuple(_split(given.nemesis)),
        seconds=given.seconds,
        flavour=given.cluster,
        at_least=pairs("--at-least", given.at_least.split(",") if given.at_least else [], int),
        acknowledged=given.acknowledged,
        interval_s=_range("--interval", given.interval),
        spacing_s=_range("--spacing", given.spacing),
        quiet=given.quiet,
        rate=given.rate,
        command=_words(given.command),
        properties=pairs("--set", given.set, str),
        topic_configs=pairs("--topic-config", given.topic_config, str),
        image_mib=given.image_mib,
    )


def _folder_of(name: str, seed: int) -> Path:
    moment = datetime.datetime.now().astimezone()
    return RESULTS / f"{moment:%Y%m%d-%H%M%S}-{name}-{seed}"


def _workloads(given: str) -> tuple[str, ...]:
    from odradek.jepsen.workloads.spec import topics_for, workloads

    names = workloads() if given == "all" else _split(given)
    for name in names:
        topics_for(name)
    return tuple(names)


def _split(given: str) -> list[str]:
    return [name.strip() for name in given.split(",") if name.strip()]


def pairs(option: str, given: Sequence[str], of: Callable[[str], T]) -> dict[str, T]:
    """NAME=VALUE, ... Raises OptionsError."""
    found = {}
    for pair in given:
        name, equals, value = pair.partition("=")
        try:
            found[name.strip()] = of(value.strip())
        except ValueError:
            equals = ""
        if not equals or not name.strip():
            raise OptionsError(f"{option} {pair}: NAME={of.__name__}")
    return found


def _words(command: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(command))
    except ValueError as error:
        raise OptionsError(f"--command {command}: {error}") from None


def _range(option: str, given: str) -> tuple[float, float]:
    low, dash, high = given.partition("-")
    try:
        return float(low), float(high if dash else low)
    except ValueError:
        raise OptionsError(f"{option} {given}: LO-HI, in seconds") from None


def _command(arguments: Sequence[str], seed: int) -> str:
    again = list(arguments)
    if not any(argument.startswith("--seed") for argument in again):
        again += ["--seed", str(seed)]
    return shlex.join(["python", "-m", "odradek.jepsen", *again])


def _sweep(given: argparse.Namespace, arguments: Sequence[str]) -> int:
    from odradek.jepsen.db import control_groups, leftovers
    from odradek.jepsen.db.image import restore_writeback
    from odradek.jepsen.nemesis import clocks

    if os.geteuid() != 0:
        raise NotRun("only root can take away what runs left")
    swept = [f"run {tag}: processes, namespaces, mounts, images" for tag in leftovers.sweep()]
    swept += [f"control group {name}" for name in control_groups.sweep()]
    swept += [f"shared memory {name}" for name in clocks.sweep()]
    swept += ["settings of the kernel's writeback: restored"] if restore_writeback() else []
    for line in swept or ["nothing was left"]:
        say(line)
    return 0


def _capabilities(given: argparse.Namespace, arguments: Sequence[str]) -> int:
    from odradek.jepsen.db.capabilities import probe
    from odradek.jepsen.nemesis.kinds import KINDS

    for line in probe().lines({kind.name: kind.needs for kind in KINDS.values()}):
        say(line)
    return 0


def _outcomes(given: argparse.Namespace, arguments: Sequence[str]) -> int:
    from odradek.jepsen.outcomes import markdown

    say(markdown())
    return 0


def say(line: str) -> None:
    """To standard output, at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
