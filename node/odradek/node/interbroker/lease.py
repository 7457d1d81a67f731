"""Until when this node may take itself for a member of the cluster.

A node that was paused or cut off may have been fenced meanwhile without hearing of it, and others lead its
partitions. So it acknowledges nothing unless a heartbeat that it *sent* less than a session ago was confirmed: the
controller counts the session from a later moment, when that heartbeat arrived. Pure.

Source: the argument of leases (Gray and Cheriton, 1989); only the drift of two clocks over one session matters.
"""

from __future__ import annotations

from collections.abc import Callable


class Lease:
    """`now_ms` is monotonic and goes on while the process is stopped; `session_ms` as the controller counts it."""

    __slots__ = ("_held_until_ms", "_is_alone", "_now_ms", "_session_ms")

    def __init__(self, session_ms: int, now_ms: Callable[[], int], *, is_alone: bool) -> None:
        """`is_alone`: the only voter, who cannot be replaced, holds it always."""
        self._session_ms = session_ms
        self._now_ms = now_ms
        self._is_alone = is_alone
        self._held_until_ms = 0

    def renew(self, sent_ms: int) -> None:
        """A heartbeat that left at `sent_ms` was confirmed."""
        self._held_until_ms = max(self._held_until_ms, sent_ms + self._session_ms)

    def drop(self) -> None:
        """The controller has said that this node is fenced."""
        self._held_until_ms = 0

    def is_held(self) -> bool:
        return self._is_alone or self._now_ms() < self._held_until_ms
