"""When the bytes of one direction arrive.

Pure: bytes, the time and a Random in, deliveries out. Decides: delay, stalls, loss, the link's rate, dribbling, resets
and silence. Does not decide: anything that needs a request to be understood (`exchange`).
Invariant: deliveries of one direction are in the order in which their bytes were offered, and so are their times.
"""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Literal, NamedTuple

from odradek.jepsen.proxy.behaviour import Pace

#: What TCP takes over Ethernet, and Linux's least retransmission timeout, which doubles with every loss in a row.
SEGMENT_BYTES = 1448
RETRANSMISSION_TIMEOUT_MS = 200.0
RETRANSMISSIONS_MAX = 6
#: So many segments behind a lost one make the sender repeat it after a round trip.
DUPLICATE_ACKNOWLEDGEMENTS = 3

#: deliver: to the other end. reset: both ends. cut: the client's end alone. replay: to the target, by a new connection.
Kind = Literal["deliver", "reset", "cut", "replay"]


class Delivery(NamedTuple):
    """Something to do at a time, in the order of its direction (a replay: whenever its time comes)."""

    at_ms: float
    kind: Kind
    data: bytes = b""
    #: Its request was held: it leaves whatever has become of the client.
    late: bool = False


class Pacer:
    """One direction of one connection."""

    __slots__ = ("_clear_ms", "_counts", "_free_ms", "_idle", "_pace", "_random", "is_dead")

    def __init__(self, pace: Pace, random: Random, counts: Counter[str]) -> None:
        self._random = random
        self._counts = counts
        #: Nothing arrives before what was sent before it; the link is busy until `_free_ms`.
        self._clear_ms = 0.0
        self._free_ms = 0.0
        #: A reset was decided: nothing more is delivered.
        self.is_dead = False
        self.change(pace)

    def change(self, pace: Pace) -> None:
        """From now on. What is under way arrives as it was decided."""
        self._pace = pace
        self._idle = pace == Pace()

    @property
    def is_idle(self) -> bool:
        """Bytes pass as they are, and at once if nothing is under way."""
        return self._idle and not self.is_dead

    def offer(
        self, data: bytes, now_ms: float, *, not_before_ms: float = 0.0, late: bool = False
    ) -> list[Delivery]:
        """What becomes of one piece: a read, or a frame where frames are cut."""
        if self.is_dead:
            return []
        if self._idle:
            self._clear_ms = max(now_ms, self._clear_ms, not_before_ms)
            return [Delivery(self._clear_ms, "deliver", data, late)]
        pace, random = self._pace, self._random
        if pace.swallow:
            self._counts["swallowed_bytes"] += len(data)
            return []
        is_cut = pace.reset > 0 and random.random() < pace.reset
        if is_cut:
            data = data[: random.randrange(len(data))] if data else data
        at_ms = max(now_ms, not_before_ms) + pace.delay_ms
        if pace.jitter_ms:
            at_ms += random.uniform(-min(pace.jitter_ms, pace.delay_ms), pace.jitter_ms)
        if pace.stall and random.random() < pace.stall:
            self._counts["stalls"] += 1
            at_ms += random.uniform(0.0, pace.stall_ms)
        if pace.loss:
            at_ms += self._lost_ms(len(data))
        deliveries = self._on_the_link(data, at_ms, late)
        if is_cut:
            self._counts["resets"] += 1
            self.is_dead = True
            deliveries.append(Delivery(self._clear_ms, "reset"))
        return deliveries

    def _on_the_link(self, data: bytes, at_ms: float, late: bool) -> list[Delivery]:
        """The piece as the link's rate and its dribbling cut it."""
        pace = self._pace
        size = len(data)
        step = pace.dribble_bytes or (max(1, pace.bytes_per_s // 50) if pace.bytes_per_s else size)
        deliveries: list[Delivery] = []
        for start in range(0, size, step or 1):
            piece = data[start : start + step]
            if pace.bytes_per_s:
                self._free_ms = max(self._free_ms, at_ms) + 1000.0 * len(piece) / pace.bytes_per_s
                at_ms = self._free_ms
            self._clear_ms = max(self._clear_ms, at_ms)
            deliveries.append(Delivery(self._clear_ms, "deliver", piece, late))
            if pace.dribble_bytes:
                at_ms = self._clear_ms + pace.dribble_ms
        return deliveries

    def _lost_ms(self, size: int) -> float:
        """How much later a piece arrives because segments of it were lost."""
        pace, random = self._pace, self._random
        segments = max(1, -(-size // SEGMENT_BYTES))
        worst = 0.0
        for place in range(segments):
            lost = 0
            while lost < RETRANSMISSIONS_MAX and random.random() < pace.loss:
                lost += 1
            if not lost:
                continue
            self._counts["lost_segments"] += lost
            if segments - place > DUPLICATE_ACKNOWLEDGEMENTS:
                wait = 2.0 * pace.delay_ms + RETRANSMISSION_TIMEOUT_MS * (2 ** (lost - 1) - 1)
            else:
                wait = RETRANSMISSION_TIMEOUT_MS * (2**lost - 1)
            worst = max(worst, wait)
        return worst
