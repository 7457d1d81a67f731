"""How much of the time records were acknowledged.

Decides: what a window of availability is. Does not decide: how much of it is enough. Metrics, no anomalies.

Time is cut into windows (100 ms unless said otherwise); a window counts as available to a key if an acknowledgement of
the key came in it. The share of a key has a ceiling, how often it is written to; that of all keys together has hardly
any, and is what a run is told by. A gap is the time between two acknowledgements of a key, or between the first or last
of them and the edge of the span.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from odradek.jepsen.checkers.observed import acknowledged_sends
from odradek.jepsen.history import NEVER, Operation

NS = 1_000_000_000


class Gap(NamedTuple):
    """Seconds without an acknowledgement, from `since` (ns)."""

    seconds: float
    since: int


class Availability(NamedTuple):
    """`share` of the windows in which anything was acknowledged, `every` of those in which every key was."""

    windows: int
    share: float
    every: float
    by_key: Mapping[str, float]
    gaps: Mapping[str, Gap]

    @property
    def longest(self) -> tuple[str, Gap] | None:
        """The key that waited longest."""
        return max(self.gaps.items(), key=lambda item: item[1].seconds) if self.gaps else None


def span_of_sends(operations: Iterable[Operation]) -> tuple[int, int] | None:
    """From the first invocation of a send to the last invocation or answer."""
    first, last = NEVER, -1
    for operation in operations:
        if operation.invoke.f in ("send", "txn"):
            first = min(first, operation.invoke.time)
            end = operation.completion.time
            last = max(last, operation.invoke.time if end == NEVER else end)
    return (first, last) if last >= 0 else None


def measure(
    operations: Sequence[Operation], *, window_ms: int = 100, span: tuple[int, int] | None = None
) -> Availability | None:
    """`span` (ns) is cut into windows, the last one may be short; None: `span_of_sends`. None if nothing was sent."""
    span = span or span_of_sends(operations)
    if span is None:
        return None
    begin, end = span
    width = window_ms * 1_000_000
    windows = max(1, -(-(end - begin) // width))
    times: dict[str, list[int]] = defaultdict(list)
    for operation in operations:
        if operation.invoke.f in ("send", "txn"):
            for micro in operation.invoke.value or ():
                if micro[0] == "send":
                    _ = times[micro[1]]  # a key that was never acknowledged has a share too
    for operation, key, _, _ in acknowledged_sends(operations):
        if begin <= operation.completion.time <= end:
            times[key].append(operation.completion.time)
    counts = [0] * windows
    by_key: dict[str, float] = {}
    gaps: dict[str, Gap] = {}
    for key, acknowledged in sorted(times.items()):
        hit = {min((time - begin) // width, windows - 1) for time in acknowledged}
        for window in hit:
            counts[window] += 1
        by_key[key] = len(hit) / windows
        edges = [begin, *sorted(acknowledged), end]
        gaps[key] = max(Gap((after - before) / NS, before) for before, after in pairwise(edges))
    return Availability(
        windows,
        sum(count > 0 for count in counts) / windows,
        sum(count == len(times) for count in counts) / windows,
        by_key,
        gaps,
    )
