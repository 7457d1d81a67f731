"""A node with a planted fault, in a process of its own: `python -m tests.jepsen.planted NAME start --config FILE`.

Decides: which faults there are and where they are planted. Does not decide: who must notice one, and how soon
(`mutants`). Most are those of the simulation (`tests.sim.mutants`); the others are of real disks and real requests.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from tests.sim import mutants as simulated
from tests.sim.cluster import Patches

from odradek.node import cli
from odradek.node.app import senders
from odradek.node.app.fetch_command import FetchCommand
from odradek.node.app.fetch_reader import FetchReader
from odradek.proto.kafka.record_batch import parse_header
from odradek.storage import batch_validator, recovery
from odradek.storage.disk import DiskError
from odradek.storage.os_disk import OsFile
from odradek.storage.ring_flusher import RingFlusher

_NOTHING = -1  # a descriptor with nothing behind it to sync
Plant = Callable[[Patches], None]


def segments_not_synced(patch: Patches) -> None:
    """Records are acknowledged once they are in the page cache; everything else is synced as it should be."""
    sync, hold, let_go = OsFile.sync, OsFile.hold, OsFile.let_go

    def is_segment(file: OsFile) -> bool:
        folder, _, name = file.path.rpartition("/")
        return name.endswith(".log") and "-" in folder.rpartition("/")[2]

    patch.setattr(OsFile, "sync", lambda self: None if is_segment(self) else sync(self))
    patch.setattr(OsFile, "hold", lambda self: _NOTHING if is_segment(self) else hold(self))
    patch.setattr(OsFile, "let_go", lambda self, fd: None if fd == _NOTHING else let_go(self, fd))
    fdatasync = os.fdatasync
    patch.setattr(os, "fdatasync", lambda fd: None if fd == _NOTHING else fdatasync(fd))


def journal_not_synced(patch: Patches) -> None:
    """Consensus acknowledges once its log is in the page cache."""
    sync = OsFile.sync
    patch.setattr(OsFile, "sync", lambda self: None if "/wal" in self.path else sync(self))


def disk_errors_ignored(patch: Patches) -> None:
    """What the disk refused is acknowledged all the same: fsyncgate."""
    append = OsFile.append

    def forgiving(self: OsFile, buffers: Sequence[Any]) -> int:
        try:
            return append(self, buffers)
        except DiskError:
            self.size += sum(map(len, buffers))
            return self.size

    patch.setattr(OsFile, "append", forgiving)
    patch.setattr(RingFlusher, "_fail", lambda self, error: None)


def checksums_not_compared(patch: Patches) -> None:
    """What a disk has turned is served and replicated."""

    def as_written(buffer: Any, position: int, size: int) -> int:
        return parse_header(buffer, position).crc

    for module in (batch_validator, recovery):
        patch.setattr(module, "compute_crc", as_written)


def readers_skip_a_batch_now_and_then(patch: Patches) -> None:
    """Every hundredth answer with more than one batch begins with the second."""
    records = FetchReader._records
    count = 0

    def skipping(self: FetchReader, command: FetchCommand, *rest: Any) -> Any:
        nonlocal count
        answer = records(self, command, *rest)
        if command.replica_id < 0 and len(answer.records):
            first = parse_header(answer.records).size
            if len(answer.records) > first:
                count += 1
                if not count % 100:
                    answer.records = answer.records[first:]
        return answer

    patch.setattr(FetchReader, "_records", skipping)


def publish_sends_again_as_somebody_else(patch: Patches) -> None:
    """A name gives another producer id each time, so what a sender repeats is written twice."""
    original = senders.producer_id_of
    count = 0

    def another(name: str) -> int:
        nonlocal count
        count += 1
        return original(f"{name}-{count}")

    simulated.everywhere(patch, "producer_id_of", original, another)


#: Faults of real disks and real requests.
OWN: tuple[Plant, ...] = (
    segments_not_synced,
    journal_not_synced,
    disk_errors_ignored,
    checksums_not_compared,
    readers_skip_a_batch_now_and_then,
    publish_sends_again_as_somebody_else,
)


def plants() -> dict[str, Plant]:
    """Every fault by its name, the words joined by hyphens."""
    all_of_them = [mutant.plant for mutant in simulated.MUTANTS] + list(OWN)
    return {plant.__name__.replace("_", "-"): plant for plant in all_of_them}


def main() -> None:
    name, *arguments = sys.argv[1:]
    known = plants()
    if name not in known:
        sys.exit(f"no planted fault {name!r}; there are: {', '.join(sorted(known))}")
    known[name](Patches())
    sys.exit(cli.main(arguments))


if __name__ == "__main__":
    main()
