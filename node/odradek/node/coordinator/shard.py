"""The ports between the coordinator runtime and the replicated log of a shard, owned by the runtime.

Decides nothing. `odradek.raft.group.RaftGroup` fits `ReplicatedLog`, and what `Shard` offers fits the log's
state machine; they meet in `broker.py`.
"""

from __future__ import annotations

from asyncio import Future
from typing import Protocol


class ReplicatedLog(Protocol):
    """A shard's log. `propose` resolves once the entry is committed and this replica's machine has applied
    it; it fails when this replica cannot commit it, whatever the reason.
    """

    @property
    def is_leader(self) -> bool: ...

    def propose(self, data: bytes) -> Future[int]: ...
