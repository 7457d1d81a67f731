"""The collector after start."""

from __future__ import annotations

import gc

from odradek.node.runtime.memory import THRESHOLDS, settle_garbage_collector


def test_what_is_alive_is_frozen_and_later_cycles_are_still_collected() -> None:
    before = gc.get_threshold()
    try:
        settle_garbage_collector()
        assert gc.get_threshold() == THRESHOLDS
        assert gc.get_freeze_count() > 0
        cycle: list[object] = []
        cycle.append(cycle)
        del cycle
        assert gc.collect() >= 1
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)
