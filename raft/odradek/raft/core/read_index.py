"""Linearizable reads without a proposal: how far must a machine have applied to answer.

Decides when a read may be answered and with which index. Does not decide who leads. Invariants: the index of a read
is the leader's commit index of a moment after the read began, taken only once the leader has committed an entry of
its own term; it is handed out only after a quorum, asked after that moment, said that the leader still leads. Rounds
are numbered per term, so an old word never confirms a new round; ids of reads are unique across restarts, so an old
answer never serves a new read. Source: Raft thesis 6.4.
"""

from collections import deque
from dataclasses import dataclass

from .quorum import Configuration
from .types import Random

READ_ID_MAX = 1 << 62


@dataclass(frozen=True, slots=True)
class ReadResult:
    """`index` to wait for before reading, or None: the read failed and may be tried again."""

    read_id: int
    index: int | None


class ReadRounds:
    """The leader's side. All reads of one turn share one round of heartbeats."""

    __slots__ = ("_acknowledged", "_gathered", "_node_id", "_rounds", "_waiting", "_waiting_max", "number")

    def __init__(self, node_id: int, waiting_max: int) -> None:
        self._node_id = node_id
        self._waiting_max = waiting_max
        self._waiting = 0
        # The newest round; 0 before the first.
        self.number = 0
        self._gathered: list[tuple[int, int]] = []
        self._rounds: deque[tuple[int, int, list[tuple[int, int]]]] = deque()
        self._acknowledged: dict[int, int] = {}

    def gather(self, reader: int, read_id: int) -> bool:
        """Take a read of node `reader` for the next round; False when too many wait."""
        if self._waiting >= self._waiting_max:
            return False
        self._waiting += 1
        self._gathered.append((reader, read_id))
        return True

    def begin(self, commit: int) -> bool:
        """Open a round for what was gathered, at this commit index; False when there is nothing to ask for."""
        if not self._gathered:
            return False
        self.number += 1
        self._rounds.append((self.number, commit, self._gathered))
        self._gathered = []
        return True

    def on_acknowledged(self, voter: int, number: int) -> None:
        """`voter` heard the heartbeat of round `number`, and has this term."""
        if number > self._acknowledged.get(voter, 0):
            self._acknowledged[voter] = number

    def take_confirmed(self, configuration: Configuration) -> list[tuple[int, int, int]]:
        """Reads that may be answered, as (reader, read id, index)."""
        if not self._rounds:
            return []
        number = configuration.quorum_value(
            lambda voter: self.number if voter == self._node_id else self._acknowledged.get(voter, 0)
        )
        confirmed = []
        while self._rounds and self._rounds[0][0] <= number:
            _, index, readers = self._rounds.popleft()
            confirmed += [(reader, read_id, index) for reader, read_id in readers]
        self._waiting -= len(confirmed)
        return confirmed


class PendingReads:
    """The reader's side, on any node. Reads of one turn share one id; each has a deadline, since words get lost."""

    __slots__ = ("_deadlines", "_next_id", "_open", "_results")

    def __init__(self, random: Random) -> None:
        self._next_id = random.randrange(1, READ_ID_MAX)
        self._open: int | None = None
        # By id, in the order in which they were opened, which is that of the deadlines.
        self._deadlines: dict[int, int] = {}
        self._results: list[ReadResult] = []

    def open(self, deadline_ms: int) -> int:
        """Begin a read, or join the one that begins in this turn; its id."""
        if self._open is None:
            self._open = self._next_id
            self._next_id += 1
            self._deadlines[self._open] = deadline_ms
        return self._open

    def take_open(self) -> int | None:
        """The read that has to be asked for now."""
        read_id, self._open = self._open, None
        return read_id

    def finish(self, read_id: int, index: int | None) -> None:
        """The answer; only the first one counts."""
        if self._deadlines.pop(read_id, None) is not None:
            self._results.append(ReadResult(read_id, index))

    def fail_all(self) -> None:
        """Whoever was asked will not answer any more."""
        self._open = None
        for read_id in list(self._deadlines):
            self.finish(read_id, None)

    def on_timer(self, now_ms: int) -> None:
        """Fail what has waited too long."""
        while self._deadlines:
            read_id, deadline_ms = next(iter(self._deadlines.items()))
            if deadline_ms > now_ms:
                return
            if read_id == self._open:
                self._open = None
            self.finish(read_id, None)

    @property
    def next_deadline(self) -> int | None:
        return next(iter(self._deadlines.values()), None)

    def take_results(self) -> list[ReadResult]:
        """What is decided, each once."""
        results, self._results = self._results, []
        return results

    @property
    def has_news(self) -> bool:
        return bool(self._results) or self._open is not None
