"""What clients ask for next: the operations of the workloads, out of a seed.

Decides: which record goes to which key, when a reader takes other partitions and where it begins in them, when a
client is torn down. Does not decide: how operations are carried out, nor how fast (`pace`). No clock, no I/O: the
same seed and the same answers give the same operations.

Source: jepsen.tests.kafka. A new assign or subscribe comes with probability 1/64 per operation, a third of those name
many keys ("poll-unseen": there, every key that holds something unread; here, all keys).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final, Literal, NamedTuple

from odradek.jepsen.history import NEVER

REASSIGN: Final = 1 / 64
WIDEN: Final = 1 / 3
REWIND: Final = 1 / 4
REWIND_RECORDS: Final = 1_000
TURN: Final = 16
_TRIES: Final = 8


class Assign(NamedTuple):
    """`starts`: where to begin, per key; None is wherever the newest record is. `sought`: those among them that a
    reader goes to on purpose, which a history has to tell."""

    starts: Mapping[str, int | None]
    sought: Mapping[str, int]


class Subscribe(NamedTuple):
    topics: Sequence[str]


class Poll(NamedTuple):
    pass


class Crash(NamedTuple):
    pass


ReadOperation = Assign | Subscribe | Poll | Crash


class Sends:
    """The records of one sending process.

    A key has its turn for some records in a row: clients send one request for each partition, so that records which
    change their partition one by one cost several times as much, here and at the nodes.
    """

    def __init__(self, random: Random, keys: Sequence[str], first_value: int, turn: int = TURN) -> None:
        """`turn`: how many records a key gets in a row, at most; half as many on average."""
        self._random = random
        self._keys = list(keys)
        self._next = first_value
        self._turn = turn

    def next(self, limit: int, room: Callable[[str], int]) -> tuple[str, range] | None:
        """A key and the values for it, one to `limit`, or None when a handful of keys have no room.

        `room(key)`: how many more may be under way to it.
        """
        for _ in range(_TRIES):
            key = self._keys[int(self._random.random() * len(self._keys))]
            count = min(limit, 1 + int(self._random.random() * self._turn), room(key))
            if count > 0:
                first = self._next
                self._next = first + count
                return key, range(first, self._next)
        return None


@dataclass(frozen=True, slots=True)
class Habits:
    """Of a reader: how it comes to its partitions, how probable per operation it is that it is torn down, and whether
    it begins at the newest records (a client that takes the place of a killed one does not read all again)."""

    mode: Literal["assign", "subscribe"]
    crash: float
    from_the_end: bool = False


class Reads:
    """The operations of one reading process, and where it is in each partition.

    A partition that it keeps is read on where it was; one that it comes back to as well, or from an earlier place.
    """

    def __init__(self, random: Random, keys: Sequence[str], habits: Habits) -> None:
        self._random = random
        self._keys = list(keys)
        self._topics = list(dict.fromkeys(key.rpartition("/")[0] for key in keys))
        self._habits = habits
        self._positions: dict[str, int] = {}
        self._held: frozenset[str] = frozenset()
        self._is_begun = False

    def next(self) -> ReadOperation:
        if not self._is_begun:
            self._is_begun = True
            return self._begin(wide=True)
        chance = self._random.random()
        if chance < REASSIGN:
            return self._begin(wide=self._random.random() < WIDEN)
        if chance < REASSIGN + self._habits.crash:
            self._is_begun = False
            self._held = frozenset()
            return Crash()
        return Poll()

    def was_read(self, key: str, offset: int) -> None:
        """The last record of a key in a poll."""
        self._positions[key] = offset + 1

    def was_lost(self) -> None:
        """The client reads nothing any more: it has to begin anew."""
        self._is_begun = False

    def _begin(self, wide: bool) -> Assign | Subscribe:
        random = self._random
        if self._habits.mode == "subscribe":
            count = len(self._topics) if wide else random.randint(1, len(self._topics))
            return Subscribe(sorted(random.sample(self._topics, count)))
        keys = self._keys if wide else random.sample(self._keys, random.randint(1, len(self._keys)))
        starts: dict[str, int | None] = {}
        sought: dict[str, int] = {}
        for key in sorted(keys):
            position = self._positions.get(key)
            if position is None:
                starts[key] = None if self._habits.from_the_end else 0
            elif key not in self._held and random.random() < REWIND:
                # Where it stands from now on, whether it reads anything there before it is assigned anew or not.
                position = max(0, position - random.randint(1, REWIND_RECORDS))
                starts[key] = sought[key] = self._positions[key] = position
            else:
                starts[key] = position
        self._held = frozenset(keys)
        return Assign(starts, sought)


class Crashes:
    """When a client that sends is torn down: after `mean_s` seconds on average, never for 0. Times are in ns."""

    def __init__(self, random: Random, mean_s: float, now: int) -> None:
        self._random = random
        self._mean_s = mean_s
        self._at = self._after(now)

    def is_due(self, now: int) -> bool:
        """Once; then the next one is waited for."""
        if now < self._at:
            return False
        self._at = self._after(now)
        return True

    def _after(self, now: int) -> int:
        if self._mean_s <= 0:
            return NEVER
        return now + int(self._random.expovariate(1 / self._mean_s) * 1_000_000_000)


class Lives:
    """How long members of a group stay, and stay away: half of the mean for certain, the rest at random."""

    def __init__(self, random: Random, life_s: float, away_s: float) -> None:
        self._random = random
        self._life_s = life_s
        self._away_s = away_s

    def stay_ns(self) -> int:
        return int(self._long(self._life_s) * 1_000_000_000)

    def away_s(self) -> float:
        return self._long(self._away_s)

    def _long(self, mean: float) -> float:
        return mean / 2 + self._random.expovariate(2 / mean)
