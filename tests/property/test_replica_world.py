"""Replicas that crash, lag and hear late lose nothing that was acknowledged; and the world would notice if they did."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.property.replica_world import ReplicaWorld

from odradek.node.partition.isr import IsrProposal
from odradek.node.partition.replica import Replica

STEPS = 1000


def run(seed: int) -> ReplicaWorld:
    world = ReplicaWorld(seed)
    for _ in range(STEPS):
        world.step()
    world.heal()
    return world


@pytest.mark.parametrize("first", range(0, 100, 25))
def test_nothing_acknowledged_is_lost(first: int) -> None:
    acknowledged = [len(run(seed).acknowledged) for seed in range(first, first + 25)]
    assert sum(acknowledged) > 500, "the world does not get anywhere"


def test_a_seed_is_a_story_that_can_be_told_again() -> None:
    assert run(7).logs == run(7).logs


def _high_watermark_over_the_isr_alone(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Replica, "is_maximal_member", lambda self, broker_id: broker_id in self.isr)


def _acknowledge_before_the_leaders_sync(patch: pytest.MonkeyPatch) -> None:
    append = Replica.on_local_append

    def hasty(self: Replica, end: int, now_ms: int, *, durable: bool) -> bool:
        return append(self, end, now_ms, durable=True)

    patch.setattr(Replica, "on_local_append", hasty)


def _join_one_record_early(patch: pytest.MonkeyPatch) -> None:
    propose = Replica.propose_join

    def early(self: Replica, broker_id: int, *arguments: Any, **more: Any) -> IsrProposal | None:
        follower = self.followers[broker_id]
        follower.log_end_offset += 1
        try:
            return propose(self, broker_id, *arguments, **more)
        finally:
            follower.log_end_offset -= 1

    patch.setattr(Replica, "propose_join", early)


def _no_truncation(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("tests.property.replica_world.truncation_offset", lambda diverging, own, end: end)


def _min_isr_ignored(patch: pytest.MonkeyPatch) -> None:
    init = Replica.__init__

    def careless(self: Replica, node_id: int, min_insync_replicas: int = 1) -> None:
        init(self, node_id, 1)

    patch.setattr(Replica, "__init__", careless)


def _shrunk_before_the_controller_agrees(patch: pytest.MonkeyPatch) -> None:
    shrink = Replica.propose_shrink

    def eager(self: Replica, *arguments: int) -> IsrProposal | None:
        proposal = shrink(self, *arguments)
        if proposal is not None:
            self.isr = proposal.isr
            self._count()
        return proposal

    patch.setattr(Replica, "propose_shrink", eager)


FAULTS = (
    _high_watermark_over_the_isr_alone,
    _acknowledge_before_the_leaders_sync,
    _join_one_record_early,
    _no_truncation,
    _min_isr_ignored,
    _shrunk_before_the_controller_agrees,
)


@pytest.mark.parametrize("plant", FAULTS, ids=lambda plant: plant.__name__.strip("_"))
def test_a_planted_fault_is_found(
    plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    for seed in range(100):
        try:
            run(seed)
        except AssertionError:
            return
    raise AssertionError(f"{plant.__name__} was not found in 100 seeds")
