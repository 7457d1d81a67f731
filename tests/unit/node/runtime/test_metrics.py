"""Counters of a node."""

from __future__ import annotations

import asyncio
import gc

from odradek.node.runtime.metrics import LAG_PROBE_INTERVAL_S, GcPauses, LoopLag, Traffic
from odradek.storage.durations import SUM


def test_the_total_of_all_topics_never_goes_back() -> None:
    traffic = Traffic()
    traffic.of("a").bytes_in += 5
    traffic.of("b").bytes_out += 7
    assert traffic.of("a") is traffic.of("a")
    traffic.forget("a")
    traffic.forget("never there")
    traffic.of("a").bytes_in += 1
    total = traffic.total()
    assert (total.bytes_in, total.bytes_out) == (6, 7)
    assert traffic.topics["a"].bytes_in == 1


def test_the_loop_is_late_by_as_much_as_it_was_held_up() -> None:
    now_s = 100.0

    class Loop(asyncio.SelectorEventLoop):
        def time(self) -> float:
            return now_s

    loop = Loop()
    lag = LoopLag(loop)
    lag.start()
    now_s += LAG_PROBE_INTERVAL_S + 0.5
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert sum(lag.durations[:SUM]) == 1
    assert abs(lag.durations[SUM] - 500_000_000) < 1000
    lag.stop()
    now_s += 10
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.close()
    assert sum(lag.durations[:SUM]) == 1, "it measures only while it is started"


def test_collections_are_counted_by_generation_while_somebody_watches() -> None:
    pauses = GcPauses()
    pauses.start()
    try:
        gc.collect(0)
        gc.collect(2)
    finally:
        pauses.stop()
    counted = [durations.copy() for durations in pauses.durations]
    gc.collect(2)
    assert list(pauses.durations) == counted
    assert sum(counted[0][:SUM]) >= 1
    assert sum(counted[2][:SUM]) >= 1
    assert counted[2][SUM] > 0
    pauses.stop()
