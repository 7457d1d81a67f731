"""Consensus under random faults: no seed breaks an invariant. `RAFT_SEEDS=n` runs more seeds, `RAFT_SEED=k`
one."""

import os

import pytest
from tests.property.raft_world import World

pytestmark = pytest.mark.timeout(600)


def seeds(count: int) -> range:
    if "RAFT_SEED" in os.environ:
        return range(int(os.environ["RAFT_SEED"]), int(os.environ["RAFT_SEED"]) + 1)
    return range(int(os.environ.get("RAFT_SEEDS", count)))


@pytest.mark.parametrize("block", range(10))
def test_random_faults_break_no_invariant(block: int) -> None:
    for seed in seeds(120):
        if seed % 10 == block:
            world = World(seed)
            try:
                world.play()
            except AssertionError as error:
                raise AssertionError(f"RAFT_SEED={seed} at {world.now} ms") from error


def test_a_seed_repeats_exactly() -> None:
    first, second = World(7), World(7)
    first.play()
    second.play()
    assert (first.trace, first.invariants.committed) == (second.trace, second.invariants.committed)
