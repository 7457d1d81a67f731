"""The table of planted faults, without a cluster: the hunt itself takes a while (`make jepsen-mutants`)."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from tests.jepsen import planted
from tests.jepsen.mutants import MUTANTS, Mutant, command
from tests.sim import mutants as simulated
from tests.sim.cluster import Patches

from odradek.jepsen import cli
from odradek.jepsen.nemesis.schedule import plan
from odradek.jepsen.report.meanings import MEANINGS

_HARNESS = ["-m", "odradek.jepsen"]
by_name = pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: str(mutant.name))


def test_there_are_twelve_at_least_and_each_has_a_name_of_its_own() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= 12


def test_every_fault_has_a_name_of_its_own() -> None:
    assert len(planted.plants()) == len(simulated.MUTANTS) + len(planted.OWN)


@by_name
def test_it_is_planted_and_taken_away_again(mutant: Mutant) -> None:
    patches = Patches()
    try:
        planted.plants()[mutant.name](patches)
    finally:
        patches.undo()


@by_name
def test_what_must_be_found_is_something_that_checkers_find(mutant: Mutant) -> None:
    assert mutant.kinds
    assert mutant.kinds <= set(MEANINGS)


@by_name
def test_the_time_is_longer_than_the_load(mutant: Mutant) -> None:
    assert mutant.within_s >= max(60, mutant.seconds)


@by_name
def test_the_run_is_one_that_the_harness_understands_and_has_time_for(mutant: Mutant, tmp_path: Path) -> None:
    for seed in mutant.seeds:
        _, *arguments = command(mutant, seed, tmp_path / "results")
        assert arguments[:2] == _HARNESS
        options = cli.options_of(cli._parser().parse_args(arguments[2:]))
        assert options.seed == seed
        assert options.command[-1] == mutant.name
        assert shlex.join(options.command).startswith("env PYTHONPATH=")
        asked = (options.quiet, options.interval_s, options.spacing_s, options.at_least)
        steps = plan(options.nemeses, options.seconds, seed, [1, 2, 3], *asked)
        assert bool(steps) == (mutant.nemesis != "none")
