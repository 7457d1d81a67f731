"""The log as the core sees it: the entries after the last snapshot, in memory, and three cursors.
 Decides where an append fits, what conflicts, and what may be handed out for persisting and for applying.
Does not decide what is committed. Invariants: base_index <= applied <= commit <= last_index (the cursors
never go back except in `reset`, which replaces everything by a snapshot), durable_index <= last_index, a
committed entry is never truncated. Source: Raft thesis 3.5 and 5.1.
"""

from collections import deque
from collections.abc import Sequence

from .types import Entry


class LogView:
    """Entries with index in (`base_index`, `last_index`]; everything up to `base_index` is in a snapshot."""

    __slots__ = (
        "_entries",
        "_handed_out",
        "_writes",
        "applied",
        "base_index",
        "base_term",
        "commit",
        "durable_index",
    )

    def __init__(self, base_index: int, base_term: int, entries: list[Entry]) -> None:
        self.base_index = base_index
        self.base_term = base_term
        self._entries = entries
        self.commit = base_index
        self.applied = base_index
        # Invariant: everything up to here survives a crash, and no write under way can change it.
        self.durable_index = base_index + len(entries)
        self._handed_out = self.durable_index
        # Writes handed out and not yet confirmed: (number, last index that this write makes durable).
        self._writes: deque[tuple[int, int]] = deque()

    @property
    def last_index(self) -> int:
        return self.base_index + len(self._entries)

    @property
    def last_term(self) -> int:
        return self._entries[-1].term if self._entries else self.base_term

    def term_at(self, index: int) -> int | None:
        """The term of the entry at `index`, or None where the log holds no such entry (any more)."""
        at = index - self.base_index - 1
        if at >= 0:
            return self._entries[at].term if at < len(self._entries) else None
        return self.base_term if at == -1 else None

    def entries(self, first: int, last: int, bytes_max: int) -> list[Entry]:
        """Entries first..last as far as `bytes_max` allows, but at least one. `first` must be above the
        base."""
        start, stop = first - self.base_index - 1, last - self.base_index
        assert 0 <= start <= stop <= len(self._entries), (first, last, self.base_index, len(self._entries))
        chosen = self._entries[start:stop]
        total = 0
        for count, entry in enumerate(chosen):
            total += len(entry.data)
            if total > bytes_max and count:
                return chosen[:count]
        return chosen

    def all_entries(self) -> Sequence[Entry]:
        """Everything after the base."""
        return self._entries

    def append(self, entries: Sequence[Entry]) -> None:
        """A leader's own entries, at the end."""
        self._entries.extend(entries)

    def merge(self, prev_index: int, entries: Sequence[Entry]) -> int | None:
        """A leader's entries after a matching (prev_index, prev_term). Truncates only at a real conflict. The first
        index that holds something new, or None.

        Why: a delayed or repeated request may describe a shorter log; what it does not contradict stays.
        """
        index = prev_index
        for position, entry in enumerate(entries):
            index += 1
            if self.term_at(index) != entry.term:
                self._truncate(index)
                self._entries.extend(entries[position:])
                return index
        return None

    def _truncate(self, index: int) -> None:
        """Drop `index` and what follows."""
        assert index > self.commit, f"truncation at {index} would drop committed entries up to {self.commit}"
        if index > self.last_index:
            return
        del self._entries[index - self.base_index - 1 :]
        # Why: a write that is still under way may hold the dropped entries. Confirming it later must not
        # vouch for what has taken their place, even where the same entry comes back (scenario: (5, term 1)
        # written, replaced by (5, term 2), replaced by (5, term 1) again; the first confirmation arrives
        # between the second and third write).
        self.durable_index = min(self.durable_index, index - 1)
        self._handed_out = min(self._handed_out, index - 1)
        self._writes = deque((number, min(last, index - 1)) for number, last in self._writes)

    def commit_to(self, index: int) -> bool:
        """Move the commit index forward; False when that is no news."""
        if index <= self.commit:
            return False
        assert index <= self.last_index, f"commit {index} beyond the last entry {self.last_index}"
        self.commit = index
        return True

    def take_unwritten(self, number: int) -> tuple[int, list[Entry]]:
        """Entries not handed out for persisting yet, as (first index, entries); registers them as write
        `number`."""
        first = self._handed_out + 1
        entries = self._entries[self._handed_out - self.base_index :]
        if entries:
            self._handed_out = self.last_index
            self._writes.append((number, self.last_index))
        return first, entries

    @property
    def has_unwritten(self) -> bool:
        return self._handed_out < self.base_index + len(self._entries)

    def on_durable(self, number: int) -> None:
        """All writes up to `number` survive a crash."""
        while self._writes and self._writes[0][0] <= number:
            self.durable_index = max(self.durable_index, self._writes.popleft()[1])

    def take_committed(self, bytes_max: int) -> tuple[int, list[Entry]]:
        """Committed entries not handed out for application yet, as (first index, entries)."""
        first = self.applied + 1
        if self.commit < first:
            return first, []
        entries = self.entries(first, self.commit, bytes_max)
        self.applied += len(entries)
        return first, entries

    def last_possible_match(self, index: int, term: int) -> tuple[int, int]:
        """The last (index, term) not after `index` whose term is at most `term`: where two logs may still
        agree."""
        index = min(index, self.last_index)
        while index > self.base_index:
            own = self._entries[index - self.base_index - 1].term
            if own <= term:
                return index, own
            index -= 1
        return self.base_index, self.base_term

    def tail_start(self, index: int, bytes_max: int) -> int:
        """The first index of the entries that end at `index` and are at most `bytes_max` long in all."""
        while index > self.base_index:
            bytes_max -= len(self._entries[index - self.base_index - 1].data)
            if bytes_max < 0:
                break
            index -= 1
        return index + 1

    def compact(self, index: int) -> None:
        """Forget entries up to `index`, which a durable snapshot covers."""
        if index <= self.base_index:
            return
        assert index <= self.applied, f"compaction to {index} beyond the applied entries {self.applied}"
        term = self.term_at(index)
        assert term is not None
        del self._entries[: index - self.base_index]
        self.base_index, self.base_term = index, term
        # A write under way may end below the new base: the snapshot vouches for it now.
        self.durable_index = max(self.durable_index, index)
        self._handed_out = max(self._handed_out, index)

    def reset(self, index: int, term: int) -> None:
        """Replace everything by the snapshot (index, term). The caller persists that snapshot before any
        later write."""
        assert index > self.commit, (index, self.commit)
        self.base_index, self.base_term = index, term
        self._entries = []
        self.commit = self.applied = self.durable_index = self._handed_out = index
        self._writes.clear()
