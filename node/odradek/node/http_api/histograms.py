"""From counts by bit length to the buckets of a histogram. Pure.

A count at bit length k means less than 2**k ns, so a bucket's upper bound is 2**k ns, in the unit of the family.
"""

from __future__ import annotations

from typing import Final

from odradek.storage.durations import SUM, Durations

FIRST_BITS: Final = 16
"""Everything under 66 µs is one bucket."""
LAST_BITS: Final = 34
"""Everything from 17 s on is one bucket."""


def buckets(durations: Durations, ns_per_unit: int) -> tuple[list[tuple[str, float]], float]:
    """Cumulative buckets `(le, count)` up to +Inf, and the sum, both in units of `ns_per_unit`."""
    found: list[tuple[str, float]] = []
    count = sum(durations[:FIRST_BITS])
    for bits in range(FIRST_BITS, LAST_BITS + 1):
        count += durations[bits]
        found.append((f"{2**bits / ns_per_unit:.6g}", count))
    count += sum(durations[LAST_BITS + 1 : SUM])
    found.append(("+Inf", count))
    return found, durations[SUM] / ns_per_unit
