"""A harness that cannot fail proves nothing: nodes with a planted fault, each of which a run must notice in time.

`python -m tests.jepsen.mutants` runs them all and prints who noticed which, and when; with `--control` the same runs
without any planted fault, in which nothing may be found. Decides: which faults, under which load and which nemeses each
must come to light, and within how many seconds, set-up included. Does not decide: how a fault is planted (`planted`).
Exit code: 0 all were caught, 1 some survived (control: something was found), 3 there is no cluster on this machine.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
NOT_RUN = 3


class Mutant(NamedTuple):
    """`kinds`: anomalies of which one must be found. `seeds`: with which it is tried, one after the other."""

    name: str
    workload: str
    nemesis: str
    kinds: frozenset[str]
    seconds: int = 20
    within_s: int = 150
    seeds: tuple[int, ...] = (1, 2)
    more: str = ""


_LOST = frozenset({"lost-write", "unseen", "replica-missing-record", "inconsistent-offsets"})
_TWICE = frozenset({"duplicate", "replica-duplicate", "replica-sequence"})
_TORN = frozenset(
    {"replica-divergence", "replica-corrupt", "corrupt-record", "replica-torn-tail", "replica-gap"}
)
_GROUPS = frozenset({"committed-offset-regression", "commit-lost", "ownership-overlap", "group-skip"})
_ORDER = frozenset({"nonmonotonic-poll", "int-nonmonotonic-poll"})
_SKIPPED = frozenset({"poll-skip", "int-poll-skip"})

#: Cuts that have another leader chosen: with these seeds they last, and strike more than one node.
_LONG_CUTS = (
    "--at-least partition-brokers=3 --spacing 3-5 "
    "--set broker.session.timeout.ms=2500 --set broker.heartbeat.interval.ms=500"
)

MUTANTS = [
    Mutant("segments-not-synced", "queue", "power-all", _LOST, more="--at-least power-all=2"),
    Mutant("duplicates-not-recognised", "idempotent", "none", _TWICE, 10),
    Mutant(
        "truncation-skipped",
        "queue",
        "partition-brokers",
        _TORN | _LOST,
        35,
        within_s=450,  # its replicas never agree again, and a run waits for that
        seeds=(329, 597),
        more=_LONG_CUTS,
    ),
    Mutant(
        "high-watermark-does-not-wait-for-the-next-leader",
        "queue",
        "pause-kill",
        _LOST,
        25,
        within_s=180,
        more="--at-least pause-kill=3 --spacing 4-6",
    ),
    Mutant(
        "consumers-read-above-the-high-watermark",
        "queue",
        "partition-brokers",
        _LOST,
        35,
        seeds=(597, 329),
        more=_LONG_CUTS,
    ),
    Mutant("committed-offsets-lost-with-their-coordinator", "groups", "kill", _GROUPS, 20, within_s=160),
    Mutant("readers-skip-a-batch-now-and-then", "queue", "none", _SKIPPED, 10),
    Mutant("publish-sends-again-as-somebody-else", "idempotent", "kill,pause", _TWICE, 20),
    Mutant(
        "recovery-cuts-the-last-batch",
        "queue",
        "power-all",
        _LOST,
        20,
        within_s=180,
        more="--at-least power-all=2",
    ),
    Mutant(
        "acknowledged-by-the-leader-alone",
        "queue",
        "partition-brokers",
        _LOST,
        35,
        within_s=160,
        seeds=(597, 329),
        more=_LONG_CUTS,
    ),
    Mutant(
        "stale-leader-acknowledges",
        "queue",
        "partition-brokers",
        _LOST,
        35,
        within_s=160,
        seeds=(597, 329),
        more=_LONG_CUTS,
    ),
    Mutant(
        "producers-forgotten-at-failover",
        "idempotent",
        "kill",
        _TWICE,
        30,
        within_s=160,
        seeds=(2, 1),
        more="--at-least kill=5 --spacing 3-4",
    ),
    Mutant(
        "disk-errors-ignored",
        "queue",
        "disk-full",
        _LOST | {"replica-torn-tail"},
        25,
        within_s=300,  # partitions stand still, and a run waits for them
        more="--at-least disk-full=3 --spacing 4-6",
    ),
    Mutant(
        "checksums-not-compared",
        "queue",
        "bit-flip,stale-chunk",
        _TORN | _LOST,
        40,
        within_s=240,
        seeds=(5, 6),
        more="--at-least corruption=6 --spacing 3-4",
    ),
    Mutant("refused-after-it-was-written", "queue", "none", frozenset({"G1a"}), 10),
    Mutant("values-mangled-at-the-grpc-door", "idempotent", "none", frozenset({"corrupt-record"}), 10),
    Mutant("batches-in-the-wrong-order-now-and-then", "queue", "none", _ORDER, 10),
    Mutant("commits-not-written-now-and-then", "groups", "none", _GROUPS, 15),
    Mutant(
        "topic-ids-given-again",
        "metadata",
        "none",
        frozenset({"topic-id-reused"}),
        15,
        more="--acknowledged 0",
    ),
]


class Found(NamedTuple):
    """`seed` is None when nobody noticed."""

    seed: int | None
    kinds: Sequence[str]
    took_s: float


def command(mutant: Mutant, seed: int, folder: Path, *, planted: bool = True) -> list[str]:
    """The run that must notice it; or the same one over nodes that are as they should be."""
    node = ["env", f"PYTHONPATH={ROOT}", sys.executable, "-m", "tests.jepsen.planted", mutant.name]
    run = [sys.executable, "-m", "odradek.jepsen", "run", "--workload", mutant.workload]
    run += ["--nemesis", mutant.nemesis, "--seconds", str(mutant.seconds), "--seed", str(seed)]
    run += ["--interval", "8-12", "--quiet", "0", "--rate", "600", "--folder", str(folder)]
    return [*run, *(["--command", shlex.join(node)] if planted else []), *mutant.more.split()]


def _run(mutant: Mutant, seed: int, *, planted: bool = True) -> dict[str, int]:
    """How many anomalies of each kind were found. Raises RuntimeError when the run did not take place."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "run"
        run = command(mutant, seed, folder, planted=planted)
        done = subprocess.run(run, capture_output=True, text=True, cwd=ROOT)
        if not (folder / "verdict.json").exists():
            raise RuntimeError(f"{mutant.name}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
        counts: dict[str, int] = json.loads((folder / "verdict.json").read_text())["counts"]
        return counts


def control(mutants: Sequence[Mutant]) -> int:
    """The runs without their faults, each once; how many found something all the same."""
    wrong = 0
    runs = {tuple(command(one, one.seeds[0], ROOT, planted=False)): one for one in mutants}
    for run in runs.values():
        counts = _run(run, run.seeds[0], planted=False)
        wrong += bool(counts)
        said = f"as for {run.name}: {run.workload}, {run.nemesis}, {run.seconds} s, seed {run.seeds[0]}"
        sys.stdout.write(f"{'FOUND' if counts else 'clean':8}  {said}  {counts or ''}\n")
        sys.stdout.flush()
    return wrong


def hunt(mutant: Mutant) -> Found:
    """Run it until it is noticed. Raises RuntimeError when no run can take place."""
    began = time.monotonic()
    not_run = []
    for seed in mutant.seeds:
        try:
            counts = _run(mutant, seed)
        except RuntimeError as error:
            not_run.append(str(error))
            continue
        if seen := sorted(mutant.kinds & set(counts)):
            return Found(seed, seen, time.monotonic() - began)
        sys.stdout.write(f"  seed {seed}: not noticed ({counts or 'nothing'})\n")
    if len(not_run) == len(mutant.seeds):
        raise RuntimeError(not_run[0])
    return Found(None, (), time.monotonic() - began)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.jepsen.mutants", description=__doc__)
    parser.add_argument("--only", default="", help="those whose name contains this")
    parser.add_argument("--control", action="store_true", help="the same runs without planted faults")
    options = parser.parse_args(argv)
    mutants = [mutant for mutant in MUTANTS if options.only in mutant.name]
    try:
        return bool(control(mutants)) if options.control else _hunt_all(mutants)
    except RuntimeError as error:
        sys.stderr.write(f"{error}\n")
        return NOT_RUN


def _hunt_all(mutants: Sequence[Mutant]) -> int:
    survivors = []
    for mutant in mutants:
        found = hunt(mutant)
        in_time = found.seed is not None and found.took_s <= mutant.within_s
        word = "caught" if in_time else "LATE" if found.seed is not None else "SURVIVED"
        sys.stdout.write(
            f"{word:8}  {mutant.name:48} {found.took_s:5.0f} s of {mutant.within_s}  {', '.join(found.kinds)}\n"
        )
        sys.stdout.flush()
        if not in_time:
            survivors.append(mutant.name)
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
