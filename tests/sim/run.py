"""`python -m tests.sim SEED` runs one seed and tells its story; `python -m tests.sim --seeds N` runs many.

A run is a function of its seed alone: hashes of strings are pinned (the program starts itself again where they are
not), and `--twice` runs each seed twice and compares the digests of everything that happened. A seed that fails is
printed with the command that repeats it.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import os
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from tests.sim.cluster import Patches, install
from tests.sim.journal import Journal
from tests.sim.world import World

REGRESSIONS = Path(__file__).with_name("regressions.txt")
RAFT_LIMITS = {"snapshot_log_bytes": 4_096, "trailing_log_bytes": 1_024, "segment_bytes": 16_384}


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one seed. `failure` is None when every invariant held."""

    seed: int
    failure: str | None
    trace: str
    turns: int
    virtual_s: float
    real_s: float
    counts: Counter[str]
    converged_s: float = 0.0
    log: list[str] = field(default_factory=list)


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def play(seed: int, chaos_s: float = 10.0, size: int | None = None, *, echo: bool = False) -> Outcome:
    """Run one seed in this process."""
    patches = Patches()
    install(patches, RAFT_LIMITS)
    # Why: a process that was killed leaves coroutines behind that never ran, and never shall.
    warnings.filterwarnings("ignore", message="coroutine .* was never awaited", category=RuntimeWarning)
    began = time.perf_counter()
    world = World(seed, size)
    world.invariants.wal.install(patches)
    failure: str | None = None
    with Journal(world.scheduler, sys.stdout if echo else None) as journal:
        try:
            world.play(chaos_s)
        except AssertionError as error:
            failure = str(error) or repr(error)
        except Exception:  # a bug of the simulator, or of a node where it is asked: also a seed that failed
            failure = traceback.format_exc()
        finally:
            world.scheduler.end()
            patches.undo()
    scheduler = world.scheduler
    outcome = Outcome(
        seed,
        failure,
        scheduler.trace,
        scheduler.turns,
        scheduler.now_us / 1e6,
        time.perf_counter() - began,
        world.verdict.counts,
        world.converged_s,
        list(journal.lines) if failure else [],
    )
    # Why: a world is one large cycle, and the next one is made before anybody would look for it.
    del world, scheduler, journal
    gc.collect()
    return outcome


def play_twice(seed: int, chaos_s: float = 10.0, size: int | None = None) -> Outcome:
    """Run one seed twice; that the two differ is a failure of its own."""
    first, second = play(seed, chaos_s, size), play(seed, chaos_s, size)
    if first.failure is None and (first.trace, first.turns) != (second.trace, second.turns):
        text = f"not the same twice: {first.trace} ({first.turns} turns), {second.trace} ({second.turns})"
        return Outcome(seed, text, first.trace, first.turns, first.virtual_s, first.real_s, first.counts)
    return first


def play_many(
    seeds: Iterable[int], jobs: int, chaos_s: float, size: int | None, *, twice: bool = False
) -> list[Outcome]:
    """All seeds, in several processes; says so when one fails."""
    work = partial(play_twice if twice else play, chaos_s=chaos_s, size=size)
    outcomes: list[Outcome] = []
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        for outcome in pool.map(work, seeds):
            outcomes.append(outcome)
            if outcome.failure is not None:
                say(f"seed {outcome.seed}: {outcome.failure}\n    make sim SEED={outcome.seed}")
    return outcomes


def regressions() -> list[int]:
    """Seeds that failed once: they are run always. A line is a seed and what it found."""
    lines = REGRESSIONS.read_text(encoding="utf-8").splitlines()
    return [int(line.split()[0]) for line in lines if line.strip() and not line.startswith("#")]


def _report(outcomes: Sequence[Outcome], began: float) -> int:
    failed = [outcome.seed for outcome in outcomes if outcome.failure is not None]
    counts: Counter[str] = Counter()
    for outcome in outcomes:
        counts.update(outcome.counts)
    virtual_s = sum(outcome.virtual_s for outcome in outcomes)
    say(
        f"{len(outcomes)} seeds, {virtual_s / 60:.0f} minutes of virtual time in {time.monotonic() - began:.0f} s,"
        f" {sum(outcome.turns for outcome in outcomes)} turns; failed: {failed or 'none'}"
    )
    slowest = max(outcomes, key=lambda outcome: outcome.converged_s)
    say(f"    slowest to converge: seed {slowest.seed}, {slowest.converged_s:.1f} s after the faults ended")
    for what, times in sorted(counts.items()):
        say(f"    {what:<32}{times:>9}")
    return 1 if failed else 0


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.sim", description=__doc__)
    parser.add_argument("seed", type=int, nargs="?", help="run this one, and show what its nodes log")
    parser.add_argument("--seeds", type=int, help="run this many seeds, and those that failed once")
    parser.add_argument("--first", type=int, default=1, help="the first of them")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--nodes", type=int, help="as many nodes, instead of a number drawn from the seed")
    parser.add_argument("--chaos", type=float, default=10.0, metavar="S", help="virtual seconds of faults")
    parser.add_argument("--twice", action="store_true", help="run each seed twice and compare")
    options = parser.parse_args(argv)
    began = time.monotonic()
    if options.seed is not None:
        if options.twice:
            outcome = play_twice(options.seed, options.chaos, options.nodes)
        else:
            outcome = play(options.seed, options.chaos, options.nodes, echo=True)
        say(f"seed {outcome.seed}: {outcome.failure or 'every invariant held'}; trace {outcome.trace}")
        return _report([outcome], began)
    seeds = dict.fromkeys([*regressions(), *range(options.first, options.first + (options.seeds or 20))])
    return _report(play_many(seeds, options.jobs, options.chaos, options.nodes, twice=options.twice), began)


def pin_hashes(module: str) -> None:
    """Start again as a process whose string hashes do not change from run to run, unless this is one."""
    if os.environ.get("PYTHONHASHSEED") != "0":
        os.execve(
            sys.executable,
            [sys.executable, "-m", module, *sys.argv[1:]],
            {**os.environ, "PYTHONHASHSEED": "0"},
        )
