"""Buckets of counts by bit length."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from odradek.node.http_api.histograms import FIRST_BITS, LAST_BITS, buckets
from odradek.storage.durations import SUM, new_durations

MS = 1_000_000


def counted(*elapsed_ns: int) -> list[int]:
    durations = new_durations()
    for ns in elapsed_ns:
        durations[ns.bit_length()] += 1
        durations[SUM] += ns
    return durations


@given(st.lists(st.integers(0, 2**40)))
def test_each_bound_counts_what_is_below_it(elapsed_ns: list[int]) -> None:
    found, total = buckets(counted(*elapsed_ns), MS)
    assert total == sum(elapsed_ns) / MS
    assert found[-1] == ("+Inf", len(elapsed_ns))
    for bits, (bound, count) in zip(range(FIRST_BITS, LAST_BITS + 1), found[:-1], strict=True):
        assert count == sum(ns < 2**bits for ns in elapsed_ns)
        assert abs(float(bound) / (2**bits / MS) - 1) < 1e-5


def test_bounds_are_in_the_unit_of_the_family() -> None:
    found, _ = buckets(new_durations(), MS)
    assert [bound for bound, _ in found[:2]] == ["0.065536", "0.131072"]
    assert found[-2][0] == "17179.9"
