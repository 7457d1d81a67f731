"""How far each node's consensus log is really on its disk, whatever the node itself believes.

Listens where the write-ahead log is told to write and where it reports a sync. A write that replaces entries takes back
what was durable from there on, as soon as it is asked for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

from tests.sim.cluster import Patches

from odradek.raft.core.types import Entry
from odradek.raft.group import RaftGroup
from odradek.raft.wal import Wal

_Key = tuple[int, int]


class WalWatch:
    """`durable` by (node, group): the last index that a power cut leaves."""

    def __init__(self) -> None:
        self.durable: dict[_Key, int] = {}
        self._written: dict[_Key, deque[tuple[int, int]]] = {}

    def on_start(self, node_id: int, group_id: int, last_index: int) -> None:
        """A process has read its log, and synced it."""
        self.durable[node_id, group_id] = last_index
        self._written[node_id, group_id] = deque()

    def install(self, patches: Patches) -> None:
        append, on_durable, note_reset = Wal.append, RaftGroup.on_durable, Wal.note_reset

        def watched_append(
            wal: Wal,
            listener: Any,
            number: int,
            group_id: int,
            hard_state: Any,
            first_index: int,
            prev_term: int,
            entries: Sequence[Entry],
            commit: int,
        ) -> None:
            append(wal, listener, number, group_id, hard_state, first_index, prev_term, entries, commit)
            if entries:
                self._on_write((wal._node_id, group_id), number, first_index, first_index + len(entries) - 1)

        def watched_on_durable(group: RaftGroup, number: int) -> None:
            self._on_synced((group.raft.node_id, group.group_id), number)
            on_durable(group, number)

        def watched_reset(wal: Wal, group_id: int, index: int) -> None:
            note_reset(wal, group_id, index)
            self.durable[wal._node_id, group_id] = index

        patches.setattr(Wal, "append", watched_append)
        patches.setattr(Wal, "note_reset", watched_reset)
        patches.setattr(RaftGroup, "on_durable", watched_on_durable)

    def _on_write(self, key: _Key, number: int, first_index: int, last_index: int) -> None:
        self.durable[key] = min(self.durable.get(key, 0), first_index - 1)
        self._written.setdefault(key, deque()).append((number, last_index))

    def _on_synced(self, key: _Key, number: int) -> None:
        written = self._written.get(key)
        while written and written[0][0] <= number:
            self.durable[key] = written.popleft()[1]
