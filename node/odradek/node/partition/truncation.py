"""Where a follower cuts its log when its history and the leader's part. Pure.

The leader answers a fetch whose last epoch ends earlier with it than with the follower by the largest epoch of its
own that is not above the asked one, and where that epoch ends. The follower keeps what both have: up to where the
epoch ends with either. Where the follower does not know that epoch, it goes back to the end of its own epoch below
and asks again, with that epoch; each round drops at least one epoch, so this ends.

A leader that contradicts itself (its file of epochs is damaged) would have it cut what it sends, for ever: a round that
does not go below all before it is followed by a pause, which grows (`Rounds`).

Does not decide whether records below the high watermark are lost by it: the shell says so loudly, and goes on.

Source: KIP-101, KIP-279 (the rounds), KIP-595 (in the Fetch answer); Kafka's AbstractFetcherThread.
"""

from __future__ import annotations

from typing import Final

from odradek.storage.leader_epoch_cache import UNDEFINED_EPOCH, EpochEndOffset

PAUSE_MS_MIN: Final = 10


def truncation_offset(diverging: EpochEndOffset, own: EpochEndOffset, log_end_offset: int) -> int:
    """The log end offset to truncate to.

    `diverging` is the leader's answer, `own` what the follower's log says of `diverging.epoch`: its largest epoch
    that is not above it, and its end.
    """
    assert diverging.end_offset >= 0, f"a leader without an end offset: {diverging}"
    if own.epoch == UNDEFINED_EPOCH:
        return min(diverging.end_offset, log_end_offset)
    if own.epoch != diverging.epoch:
        return min(own.end_offset, log_end_offset)
    return min(own.end_offset, diverging.end_offset, log_end_offset)


class Rounds:
    """The cuts that one leader, in one leader epoch, has a replica make."""

    def __init__(self, pause_ms_max: int) -> None:
        self._pause_ms_max = pause_ms_max
        self._pause_ms = 0
        self._lowest: int | None = None

    def on_cut(self, before: int, end: int) -> int:
        """The log end offsets before and after a cut; how many ms to wait before the next question."""
        if end < before and (self._lowest is None or end < self._lowest):
            self._lowest = end
            self._pause_ms = 0
        else:
            self._pause_ms = min(max(2 * self._pause_ms, PAUSE_MS_MIN), max(self._pause_ms_max, PAUSE_MS_MIN))
        return self._pause_ms
