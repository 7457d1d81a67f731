"""A node with a planted fault, in a process of its own: `python -m tests.jepsen.planted NAME start --config FILE`.

Decides: which faults there are and where they are planted. Does not decide: who must notice one, and how soon
(`mutants`). Most are those of the simulation (`tests.sim.mutants`); the others are of real disks and real requests.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any

from tests.sim import mutants as simulated
from tests.sim.cluster import Patches

from odradek.node import cli
from odradek.node.app import senders
from odradek.node.app.fetch_command import FetchCommand
from odradek.node.app.fetch_reader import FetchReader
from odradek.node.app.offsets import CommitCommand, OffsetsService
from odradek.node.app.produce import ProduceCommand, ProduceService
from odradek.node.controller import topics
from odradek.node.interbroker.lease import Lease
from odradek.node.partition.replica import Replica
from odradek.node.partition.replicas import Replicas
from odradek.node.runtime.deferred import Deferred
from odradek.proto.kafka import record_batch
from odradek.proto.kafka.errors import ErrorCode
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


def recovery_cuts_the_last_batch(patch: Patches) -> None:
    """After an unclean end a log loses its last batch, although it is whole."""
    scan_checked = recovery.scan_checked

    def all_but_the_last(*arguments: Any) -> Iterator[Any]:
        held = None
        for found in scan_checked(*arguments):
            if held is not None:
                yield held
            held = found

    patch.setattr(recovery, "scan_checked", all_but_the_last)


def acknowledged_by_the_leader_alone(patch: Patches) -> None:
    """acks=all is served as acks=1: nobody waits for the followers, nor asks how many are in sync."""
    produce = ProduceService.produce

    def alone(self: ProduceService, context: Any, command: ProduceCommand) -> Any:
        return produce(self, context, command._replace(acks=abs(command.acks)))

    patch.setattr(ProduceService, "produce", alone)


def stale_leader_acknowledges(patch: Patches) -> None:
    """A leader that may have been replaced takes what it is sent, and acknowledges what its own disk has."""
    is_held, produce = Lease.is_held, ProduceService.produce
    patch.setattr(Lease, "is_held", lambda self: True)

    def careless(self: ProduceService, context: Any, command: ProduceCommand) -> Any:
        lease = self._replicas._lease
        alone = isinstance(lease, Lease) and not is_held(lease)
        return produce(self, context, command._replace(acks=1) if alone else command)

    patch.setattr(ProduceService, "produce", careless)


def high_watermark_does_not_wait_for_the_next_leader(patch: Patches) -> None:
    """What counts is everybody in sync but the first follower, who is the first to be elected."""
    count = Replica._count

    def without_one(self: Replica) -> None:
        count(self)
        if self._counted:
            del self._counted[0]

    patch.setattr(Replica, "_count", without_one)


def refused_after_it_was_written(patch: Patches) -> None:
    """Every twentieth batch is refused as too large, and is in the log all the same."""
    append = Replicas.append
    count = 0

    def late(self: Replicas, *arguments: Any) -> Any:
        nonlocal count
        result = append(self, *arguments)
        count += result.error is ErrorCode.NONE
        return result if count % 20 else result._replace(error=ErrorCode.MESSAGE_TOO_LARGE)

    patch.setattr(Replicas, "append", late)


def values_mangled_at_the_grpc_door(patch: Patches) -> None:
    """Every third batch that a node makes of a Publish has a wrong byte in its first value; its CRC is right."""
    build = record_batch.build_new_batch
    count = 0

    def mangled(entries: Sequence[Any], **rest: Any) -> bytearray:
        nonlocal count
        count += 1
        if not count % 3 and entries[0][2]:
            timestamp, key, value, headers = entries[0]
            wrong = bytes((*value[:-1], value[-1] ^ 1))
            entries = [(timestamp, key, wrong, headers), *entries[1:]]
        return build(entries, **rest)

    simulated.everywhere(patch, "build_new_batch", build, mangled)


def batches_in_the_wrong_order_now_and_then(patch: Patches) -> None:
    """Every tenth answer with more than one batch has the first one last."""
    records = FetchReader._records
    count = 0

    def turned(self: FetchReader, command: FetchCommand, *rest: Any) -> Any:
        nonlocal count
        answer = records(self, command, *rest)
        if command.replica_id < 0 and len(answer.records):
            first = parse_header(answer.records).size
            if len(answer.records) > first:
                count += 1
                if not count % 10:
                    answer.records = bytes(answer.records[first:]) + bytes(answer.records[:first])
        return answer

    patch.setattr(FetchReader, "_records", turned)


def commits_not_written_now_and_then(patch: Patches) -> None:
    """Every tenth commit of offsets is acknowledged, and that is all."""
    commit = OffsetsService.commit
    count = 0

    def forgetful(self: OffsetsService, command: CommitCommand) -> Any:
        nonlocal count
        count += 1
        if count % 10:
            return commit(self, command)
        return Deferred.resolved([ErrorCode.NONE for topic in command.topics for _ in topic.partitions])

    patch.setattr(OffsetsService, "commit", forgetful)


def topic_ids_given_again(patch: Patches) -> None:
    """A topic's id is one of a hundred, so that one of a deleted topic comes again."""
    new = topics.new_topic_id

    def one_of_a_hundred(random: Random) -> bytes:
        return new(Random(random.randrange(100)))

    simulated.everywhere(patch, "new_topic_id", new, one_of_a_hundred)


def readers_skip_a_batch_now_and_then(patch: Patches) -> None:
    """Every tenth answer with more than one batch begins with the second."""
    records = FetchReader._records
    count = 0

    def skipping(self: FetchReader, command: FetchCommand, *rest: Any) -> Any:
        nonlocal count
        answer = records(self, command, *rest)
        if command.replica_id < 0 and len(answer.records):
            first = parse_header(answer.records).size
            if len(answer.records) > first:
                count += 1
                if not count % 10:
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
    disk_errors_ignored,
    checksums_not_compared,
    recovery_cuts_the_last_batch,
    acknowledged_by_the_leader_alone,
    stale_leader_acknowledges,
    high_watermark_does_not_wait_for_the_next_leader,
    refused_after_it_was_written,
    values_mangled_at_the_grpc_door,
    batches_in_the_wrong_order_now_and_then,
    commits_not_written_now_and_then,
    topic_ids_given_again,
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
