"""How long things took, counted for whoever watches the node: plain integers, cheap enough for the hot path.

A measurement of `ns` nanoseconds is counted at `ns.bit_length()`, so bucket k holds what took less than 2**k ns and
not less than half of it: no search, no floating point, 0.1 µs. One more integer holds the sum. The code that measures
writes the two lines itself, because a call would cost as much again:

    durations[elapsed_ns.bit_length()] += 1
    durations[SUM] += elapsed_ns

Here rather than in the node, because the disk is measured too. Decides nothing; no lock, since every list has one
writer.
"""

from __future__ import annotations

from typing import Final

SUM: Final = 64
"""Where the sum in nanoseconds stands. Nothing lasts 2**63 ns, so no count is ever there."""

Durations = list[int]
"""Counts by bit length, then the sum."""


def new_durations() -> Durations:
    return [0] * (SUM + 1)
