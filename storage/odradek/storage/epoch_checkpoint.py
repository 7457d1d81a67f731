"""The leader epochs of a loaded log together with their file.

Decides: when `leader-epoch-checkpoint` follows. Does not decide what is in it (`leader_epoch_cache`).

The file is replaced at every change, without a sync, for epochs are in the batches as well: recovery notices a
missing, damaged or old file and reads them there. A clean end makes it durable, since nothing is read then.
"""

from __future__ import annotations

from odradek.storage.checkpoints import LEADER_EPOCHS
from odradek.storage.disk import DiskError
from odradek.storage.leader_epoch_cache import LeaderEpochCache, decode
from odradek.storage.local_log import LocalLog


class StoredEpochs:
    """`cache` as of the log end. Every method that changes it may raise DiskError."""

    __slots__ = ("cache",)

    def __init__(self, cache: LeaderEpochCache) -> None:
        self.cache = cache

    def assign(self, local: LocalLog, epoch: int, offset: int) -> None:
        """The batch that is about to be appended at `offset` has `epoch`. After DiskError nothing is different."""
        if self.cache.assign(epoch, offset):
            try:
                self.save(local)
            except DiskError:
                self.cache.truncate_from_end(offset)
                raise

    def truncate_from_end(self, local: LocalLog, end_offset: int) -> None:
        """The log ends earlier."""
        if self.cache.truncate_from_end(end_offset) and local.has_directory:
            self.save(local)

    def truncate_from_start(self, local: LocalLog, start_offset: int) -> None:
        """The log starts later. After DiskError nothing is different."""
        before = self.cache.encode()
        if self.cache.truncate_from_start(start_offset) and local.has_directory:
            try:
                self.save(local)
            except DiskError:
                old = decode(before)
                assert isinstance(old, LeaderEpochCache), "what was encoded is decoded"
                self.cache = old
                raise

    def save(self, local: LocalLog, *, durable: bool = False) -> None:
        """Write the file; with `durable` it is synced before the next offset counts as flushed."""
        local.write_file(LEADER_EPOCHS, self.cache.encode(), durable=durable)
