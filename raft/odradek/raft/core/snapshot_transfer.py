"""A snapshot coming in from the leader, chunk by chunk.
 Decides which chunk is expected next. Invariant: all bytes come from one sender, in one term, for one
snapshot: two nodes may serialise the same state differently, so their bytes are never mixed. Source: Raft
thesis 5.1, figure 5.3.
"""

from .messages import SnapshotChunk


class IncomingSnapshot:
    """At most one at a time per group; a chunk of another snapshot starts over."""

    __slots__ = ("_data", "_key")

    def __init__(self) -> None:
        self._key: tuple[object, ...] | None = None
        self._data = bytearray()

    def add(self, chunk: SnapshotChunk) -> bool:
        """Take a chunk; True when the snapshot is complete. Chunks out of order or repeated change
        nothing."""
        key = (chunk.sender, chunk.term, chunk.index, chunk.index_term, chunk.configuration, chunk.total)
        if key != self._key:
            self._key = key
            self._data = bytearray()
        if chunk.offset == len(self._data) and len(self._data) + len(chunk.data) <= chunk.total:
            self._data += chunk.data
        return len(self._data) == chunk.total

    @property
    def next_offset(self) -> int:
        return len(self._data)

    def take(self) -> bytes:
        """The complete snapshot; nothing is kept."""
        data = bytes(self._data)
        self.drop()
        return data

    def drop(self) -> None:
        self._key = None
        self._data = bytearray()
