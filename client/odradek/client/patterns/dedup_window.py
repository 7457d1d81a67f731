"""Keys that were seen before, within bounds. Pure: `now_ms` is an argument.

Invariants: at most `max_count` keys are kept, the oldest leave first; a key older than `max_age_ms` counts as never
seen. Remembering a key again makes it young again.
"""

from __future__ import annotations


class DedupWindow:
    def __init__(self, max_count: int = 100_000, max_age_ms: int = 24 * 3_600_000) -> None:
        if max_count < 1 or max_age_ms < 1:
            raise ValueError("a window has to hold at least one key for one ms")
        self.max_count = max_count
        self.max_age_ms = max_age_ms
        self._seen_ms: dict[bytes, int] = {}
        """In the order in which they were remembered."""

    def __len__(self) -> int:
        return len(self._seen_ms)

    def contains(self, key: bytes, now_ms: int) -> bool:
        seen_ms = self._seen_ms.get(key)
        return seen_ms is not None and now_ms - seen_ms < self.max_age_ms

    def add(self, key: bytes, at_ms: int, now_ms: int | None = None) -> None:
        """Remember a key that was seen at `at_ms`, which is now unless `now_ms` says otherwise."""
        now_ms = at_ms if now_ms is None else now_ms
        self._seen_ms.pop(key, None)
        self._seen_ms[key] = at_ms
        while self._seen_ms:
            oldest = next(iter(self._seen_ms))
            is_old = now_ms - self._seen_ms[oldest] >= self.max_age_ms
            if not is_old and len(self._seen_ms) <= self.max_count:
                break
            del self._seen_ms[oldest]
