"""How often Python looks for garbage cycles in a running node.

Decides: what is frozen and how rarely the collector runs. Most objects of a node die by reference count; the
collector's full passes are what shows in the slowest answers, so what lives from the start on is taken out
of them."""

from __future__ import annotations

import gc
from typing import Final

#: Allocations before a young collection, and young collections before older ones.
THRESHOLDS: Final = (50_000, 20, 100)


def settle_garbage_collector() -> None:
    """Collect once, take everything that is alive now out of later collections, and collect rarely from now
    on."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
