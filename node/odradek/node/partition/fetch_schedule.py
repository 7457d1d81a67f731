"""What to ask one source broker for: the follower's side of a fetch session (KIP-227). Pure.

All partitions that follow one source share one session. A request mentions those whose position is new to the source
and forgets those that must not be answered now: moved to another source, put off after an error, or throttled.
Everything else costs nothing. When the session is lost the next request mentions everything again.

Does not decide what an answer means for a log (`catch_up`). The caller keeps one request under way at a time, and
hands in a position only when all before it is durable.

Invariant: an answer counts only for a partition whose position was told as it is now (`is_told`): one that came back
from another source, or has another leader epoch, hears nothing that was asked for before.
"""

from __future__ import annotations

import heapq
import itertools
from typing import Final, NamedTuple

Key = tuple[bytes, int]
"""Topic id and partition."""

BACKOFF_MS_MIN: Final = 10


class Followed:
    """One partition that follows a source: from where on, as its log says. Offsets of records, leader epochs."""

    __slots__ = (
        "backoff_ms",
        "delayed_until_ms",
        "fetch_offset",
        "in_session",
        "index",
        "is_ready",
        "is_told",
        "last_epoch",
        "leader_epoch",
        "log_start_offset",
        "topic_id",
    )

    def __init__(self, topic_id: bytes, index: int) -> None:
        self.topic_id = topic_id
        self.index = index
        self.leader_epoch = -1
        self.fetch_offset = 0
        self.last_epoch = -1
        self.log_start_offset = 0
        self.is_ready = False
        """It may be asked for."""
        self.is_told = False
        """The source knows this very position."""
        self.in_session = False
        """The source answers for it, told or not."""
        self.delayed_until_ms = -1
        self.backoff_ms = BACKOFF_MS_MIN

    @property
    def key(self) -> Key:
        return self.topic_id, self.index


class Ask(NamedTuple):
    """One request: its session, the partitions whose positions it mentions, and those that it forgets."""

    session_id: int
    session_epoch: int
    mentioned: list[Followed]
    forgotten: list[Key]
    max_wait_ms: int


class FetchSchedule:
    """The partitions that follow one source. Times are monotonic ms."""

    def __init__(self, wait_ms_max: int, backoff_ms_max: int) -> None:
        self._wait_ms_max = wait_ms_max
        self._backoff_ms_max = backoff_ms_max
        self._followed: dict[Key, Followed] = {}
        self._ready = 0
        self._untold: dict[Followed, None] = {}
        self._forgotten: dict[Key, None] = {}
        self._delayed: list[tuple[int, int, Followed]] = []
        self._order = itertools.count()
        self._session_id = 0
        self._session_epoch = 0

    def __len__(self) -> int:
        return len(self._followed)

    def get(self, key: Key) -> Followed | None:
        return self._followed.get(key)

    def add(self, followed: Followed) -> None:
        """It follows this source from now on; asked for once it is `moved` to a position."""
        earlier = self._followed.get(followed.key)
        if earlier is not None:
            self.remove(earlier)
        self._followed[followed.key] = followed

    def remove(self, followed: Followed) -> None:
        """It follows another source, or nobody."""
        if self._followed.get(followed.key) is followed:
            self._withdraw(followed)
            del self._followed[followed.key]

    def moved(
        self, followed: Followed, leader_epoch: int, fetch_offset: int, last_epoch: int, log_start_offset: int
    ) -> None:
        """Everything before `fetch_offset` is here and durable."""
        if self._followed.get(followed.key) is not followed:
            return
        followed.leader_epoch = leader_epoch
        followed.fetch_offset = fetch_offset
        followed.last_epoch = last_epoch
        followed.log_start_offset = log_start_offset
        followed.backoff_ms = BACKOFF_MS_MIN
        followed.delayed_until_ms = -1
        self._make_ready(followed)

    def back_off(self, followed: Followed, now_ms: int) -> None:
        """It could not be answered: ask again after a while, which grows."""
        if self._followed.get(followed.key) is followed:
            self.delay(followed, now_ms + followed.backoff_ms)
            followed.backoff_ms = min(2 * followed.backoff_ms, max(self._backoff_ms_max, BACKOFF_MS_MIN))

    def delay(self, followed: Followed, until_ms: int) -> None:
        """Do not ask for it before `until_ms`."""
        if self._followed.get(followed.key) is followed:
            self._withdraw(followed)
            followed.delayed_until_ms = until_ms
            heapq.heappush(self._delayed, (until_ms, next(self._order), followed))

    def hold(self, followed: Followed) -> None:
        """Do not ask for it before it `moved`."""
        if self._followed.get(followed.key) is followed:
            self._withdraw(followed)
            followed.delayed_until_ms = -1

    def next_ask(self, now_ms: int, wait_ms_max: int | None = None) -> Ask | None:
        """The next request; None while there is nothing to ask for. Taken as sent."""
        self._end_delays(now_ms)
        if not self._ready:
            return None
        is_full = self._session_epoch == 0
        if is_full:
            mentioned = [one for one in self._followed.values() if one.is_ready]
            self._forgotten.clear()
            for one in self._followed.values():
                one.in_session = one.is_ready
        else:
            mentioned = list(self._untold)
        for one in mentioned:
            one.is_told = one.in_session = True
            self._forgotten.pop(one.key, None)
        self._untold.clear()
        forgotten = list(self._forgotten)
        self._forgotten.clear()
        wait_ms = self._wait_ms_max if wait_ms_max is None else min(self._wait_ms_max, wait_ms_max)
        due_ms = self.next_deadline_ms()
        if due_ms is not None:
            wait_ms = min(wait_ms, max(0, due_ms - now_ms))
        return Ask(self._session_id, self._session_epoch, mentioned, forgotten, wait_ms)

    def next_deadline_ms(self) -> int | None:
        """When a partition that was put off may be asked for again."""
        while self._delayed:
            until_ms, _, followed = self._delayed[0]
            if followed.delayed_until_ms == until_ms and self._followed.get(followed.key) is followed:
                return until_ms
            heapq.heappop(self._delayed)
        return None

    def on_answer(self, session_id: int, *, is_session_lost: bool) -> None:
        """The request was answered; `is_session_lost`: the source does not know the session (any more)."""
        if is_session_lost or session_id == 0:
            self.start_over(keep_id=False)
        else:
            self._session_id = session_id
            self._session_epoch = self._session_epoch + 1 if self._session_epoch < 2**31 - 1 else 1

    def start_over(self, *, keep_id: bool = True) -> None:
        """Nobody knows what the source took note of: mention everything, in a session of its own."""
        if not keep_id:
            self._session_id = 0  # otherwise the next request ends the old one
        self._session_epoch = 0

    # -- inside

    def _make_ready(self, followed: Followed) -> None:
        if not followed.is_ready:
            followed.is_ready = True
            self._ready += 1
        followed.is_told = False
        self._untold.pop(followed, None)
        self._untold[followed] = None

    def _withdraw(self, followed: Followed) -> None:
        if followed.is_ready:
            followed.is_ready = False
            self._ready -= 1
        followed.is_told = False
        self._untold.pop(followed, None)
        if followed.in_session:
            followed.in_session = False
            self._forgotten[followed.key] = None

    def _end_delays(self, now_ms: int) -> None:
        while (due_ms := self.next_deadline_ms()) is not None and due_ms <= now_ms:
            _, _, followed = heapq.heappop(self._delayed)
            followed.delayed_until_ms = -1
            self._make_ready(followed)
