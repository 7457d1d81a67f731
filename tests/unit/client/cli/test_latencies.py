from __future__ import annotations

import pytest

from odradek.client.cli.latencies import Latencies


def test_percentiles_are_two_percent_exact() -> None:
    latencies = Latencies()
    for value in range(1, 10_001):
        latencies.add(value / 10)
    for percent, value in ((50, 500), (95, 950), (99, 990), (99.9, 999)):
        assert latencies.percentile(percent) == pytest.approx(value, rel=0.02)
    assert latencies.max_ms == 1000
    assert latencies.summary()["average_ms"] == pytest.approx(500, rel=0.01)


def test_nothing_and_next_to_nothing() -> None:
    assert set(Latencies().summary().values()) == {0.0}
    latencies = Latencies()
    latencies.add(0.0, times=3)
    assert latencies.percentile(99) <= latencies.max_ms == 0.0
