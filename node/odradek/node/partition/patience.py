"""How long a producer is asked to send again what leaves out the batches before it.

A client has several batches under way. When the first of them is refused, or stays behind on the way from the old
leader to this one, those after it must neither be taken (a client reads the success of a later one as that of both) nor
called out of order: for librdkafka that is a reason to begin a new epoch, under which it writes once more whatever it
is not sure of, in any partition. So they are asked for again, and come in order.

Decides: which producers are asked, and for how long: REPEATED_WITHIN_MS from the first time for the same gap, and from
the last refusal of this very producer. One that is not known here is taken then, beginning with the earliest batch that
it was asked for. Does not decide: whether a batch leaves something out (`storage.producer_state`).
Invariants: where this node has always led, without followers, only those are asked whom it refused. Nobody is asked for
ever: what is lost stays lost, and its producer has to hear so. What holds the time of a producer is dropped only when
that is over; when there are too many of them, the next ones are treated as Kafka treats all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from odradek.proto.kafka.record_batch import BatchHeader, InvalidBatchError, parse_header
from odradek.storage.producer_entry import FIRST_SPARSE_PRODUCER_ID

REPEATED_WITHIN_MS: Final = 2_000
"""A batch that was refused comes again within this time, after those that were under way behind it."""

_FORGOTTEN_AFTER_MS: Final = 60_000
_MOST: Final = 4_096
_NOBODY: Final = -1
_NEVER: Final = -(1 << 62)


class _Asked:
    """One producer: what was asked of it since when, and when it was refused."""

    __slots__ = ("asked_ms", "gap", "refused_ms", "sequence", "since_ms")

    def __init__(self) -> None:
        self.refused_ms = _NEVER
        self.gap: tuple[int, int] | None = None  # its epoch, and the last offset it has here
        self.sequence = 0  # the lowest that was asked for
        self.since_ms = self.asked_ms = _NEVER

    def is_over(self, now: int) -> bool:
        return now - max(self.refused_ms, self.since_ms) >= 2 * REPEATED_WITHIN_MS


class Patience:
    """Of one partition. Implements `storage.producer_state.GapJudge`; `clock` gives monotonic ms."""

    __slots__ = ("_asked", "_clock", "_new_below", "_was_led_elsewhere")

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._new_below = _NOBODY
        self._was_led_elsewhere = False
        self._asked: dict[int, _Asked] = {}  # by producer id

    def follow(self) -> None:
        """Another node leads, or none."""
        self._was_led_elsewhere = True

    def lead(self, epoch_start_offset: int, *, is_new: bool, is_followed: bool) -> None:
        """This node leads: producers that have written nothing from there on may have left something behind at another
        leader, or at this one under an older epoch."""
        if is_new:
            self._asked.clear()
        self._new_below = epoch_start_offset if is_followed or self._was_led_elsewhere else _NOBODY

    def on_refused(self, records: bytearray | memoryview | None) -> None:
        """A batch was sent away that may come again."""
        try:
            producer_id = parse_header(records or b"").producer_id
        except InvalidBatchError:
            return
        now = self._clock()
        may_be_asked = 0 <= producer_id < FIRST_SPARSE_PRODUCER_ID
        if may_be_asked and (asked := self._entry(producer_id, now)) is not None:
            asked.refused_ms = now

    def ask_again(self, header: BatchHeader, last_offset: int) -> bool:
        """`header` leaves something out; `last_offset` is that of its producer's last batch in the log, -1 if there is
        none. True: it is asked for again."""
        now = self._clock()
        asked = self._asked.get(header.producer_id)
        is_refused = asked is not None and now - asked.refused_ms < REPEATED_WITHIN_MS
        if not is_refused and last_offset >= self._new_below:
            return False
        asked = asked or self._entry(header.producer_id, now)
        if asked is None:
            return False
        gap = header.producer_epoch, last_offset
        if asked.gap != gap or now - asked.asked_ms >= _FORGOTTEN_AFTER_MS:
            asked.gap, asked.since_ms, asked.sequence = gap, now, header.base_sequence
        asked.asked_ms = now
        asked.sequence = min(asked.sequence, header.base_sequence)
        waited_ms = now - asked.since_ms
        if is_refused or waited_ms < REPEATED_WITHIN_MS:
            return True
        # Nothing of it is known here, so whatever is taken first decides what is next.
        is_later = last_offset < 0 and header.base_sequence > asked.sequence
        return is_later and waited_ms < 2 * REPEATED_WITHIN_MS

    def _entry(self, producer_id: int, now: int) -> _Asked | None:
        asked = self._asked.get(producer_id)
        if asked is None:
            if len(self._asked) >= _MOST:
                self._asked = {one: kept for one, kept in self._asked.items() if not kept.is_over(now)}
                if len(self._asked) >= _MOST:
                    return None
            asked = self._asked[producer_id] = _Asked()
        return asked
