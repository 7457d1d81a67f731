"""What the shell has to do next: `Ready`, with durability visible in its fields.

Decides nothing. The contract, in order:
1. `snapshot`, if any: store it durably, then restore the machine from it. Nothing below may happen before.
2. Append `entries` (they replace everything from `first_index` on) and `hard_state` to the disk, in the order
   of `Ready.number`. Send `messages_now` and the chunks at any time, also before the disk is done.
3. When this write **and all earlier ones** survive a crash: send `messages_after_durable`, and call
   `Raft.on_durable(number)`. A `Ready` without a write waits for the earlier writes all the same.
4. Apply `committed` in order. This may happen at once, also while the write is under way.
5. Complete each of `reads` once its index is applied, or fail it.
A failed write is never retried: nothing more is sent for the group.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from .messages import Message
from .quorum import Configuration
from .read_index import ReadResult
from .types import Entry, HardState


@dataclass(frozen=True, slots=True)
class InstalledSnapshot:
    """A snapshot received from the leader: the machine's state after `index`, an entry of `term`, and the
    configuration in force there."""

    index: int
    term: int
    data: bytes
    configuration: Configuration


@dataclass(frozen=True, slots=True)
class ChunkToSend:
    """Read `length` bytes at `offset` of the stored snapshot `index` and send them to `to` as a
    `SnapshotChunk`."""

    to: int
    term: int
    index: int
    index_term: int
    configuration: Configuration
    total: int
    offset: int
    length: int


class Ready(NamedTuple):
    number: int
    snapshot: InstalledSnapshot | None
    hard_state: HardState | None
    """None when neither term, vote nor damage changed; the commit index alone is no reason to write."""
    commit: int
    """The commit index to note beside `entries`."""
    first_index: int
    prev_term: int
    """Term of the entry before `first_index`."""
    entries: Sequence[Entry]
    messages_now: Sequence[Message]
    messages_after_durable: Sequence[Message]
    chunks: Sequence[ChunkToSend]
    committed_first: int
    committed: Sequence[Entry]
    reads: Sequence[ReadResult]

    @property
    def must_write(self) -> bool:
        return self.hard_state is not None or bool(self.entries)
