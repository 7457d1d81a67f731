"""A check that cannot fail proves nothing: nodes with a planted fault, each caught within a stated number of seeds.

`python -m tests.sim.mutants` runs them all and prints which seed found which, by which invariant. A mutant is a small
change to a module or a class, undone afterwards; whole runs of whole clusters have to notice it.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from typing import Any, NamedTuple

from tests.sim.cluster import Patches
from tests.sim.run import pin_hashes, play, say

from odradek.node.app.fetch_reader import FetchReader
from odradek.node.controller import elections, partition_changes, producer_ids
from odradek.node.controller.image import PartitionImage
from odradek.node.controller.records import Result
from odradek.node.coordinator.group.commands import NO_MEMBER_ID, CommitOffsets
from odradek.node.coordinator.group.offsets import GroupOffsets
from odradek.node.coordinator.group.shard import GroupShard
from odradek.node.interbroker.lease import Lease
from odradek.node.partition import truncation
from odradek.node.partition.fetch_schedule import FetchSchedule
from odradek.node.partition.follower import SourceFetcher
from odradek.node.partition.partition import Partition
from odradek.node.partition.replica import Replica
from odradek.proto.kafka.errors import ErrorCode
from odradek.raft import group as raft_group
from odradek.raft import host as raft_host
from odradek.raft.core import following, quorum, raft, replication
from odradek.raft.core.log_view import LogView
from odradek.raft.core.types import NO_NODE
from odradek.raft.wal import Wal
from odradek.storage.producer_snapshots import StoredProducers
from odradek.storage.producer_state import ProducerState

Plant = Callable[[Patches], None]


class Mutant(NamedTuple):
    """`seeds`: it must be found by one of so many. `nodes`: the size of the cluster, None for what the seed draws."""

    plant: Plant
    seeds: int
    nodes: int | None = 3

    @property
    def name(self) -> str:
        return self.plant.__name__.replace("_", " ")


def everywhere(patch: Patches, name: str, original: object, mutated: object) -> None:
    """Replace a function in every module that has imported it."""
    for module_name, module in list(sys.modules.items()):
        if module_name.startswith("odradek.") and module.__dict__.get(name) is original:
            patch.setattr(module, name, mutated)


# -- consensus


def vote_not_persisted(patch: Patches) -> None:
    original = Wal.append

    def forgetful(self: Wal, listener: Any, number: int, group_id: int, hard_state: Any, *rest: Any) -> None:
        kept = None if hard_state is None else hard_state._replace(vote=NO_NODE)
        original(self, listener, number, group_id, kept, *rest)

    patch.setattr(Wal, "append", forgetful)


def raft_acknowledges_before_it_is_durable(patch: Patches) -> None:
    original = raft.Raft.ready

    def hasty(self: raft.Raft) -> Any:
        ready = original(self)
        if ready is None:
            return None
        now = [*ready.messages_now, *ready.messages_after_durable]
        return ready._replace(messages_now=now, messages_after_durable=())

    patch.setattr(raft.Raft, "ready", hasty)


def leader_counts_itself_before_it_is_durable(patch: Patches) -> None:
    original = LogView.take_unwritten

    def optimistic(self: LogView, number: int) -> Any:
        taken = original(self, number)
        self.durable_index = self.last_index
        return taken

    patch.setattr(LogView, "take_unwritten", optimistic)


def commit_by_count_of_an_older_term(patch: Patches) -> None:
    def committable(self: replication.Replication) -> int:
        own, progress = self._log.durable_index, self.progress
        index = self._membership.configuration.quorum_value(
            lambda voter: progress[voter].match_index if voter in progress else own
        )
        return max(index, self._log.commit)

    patch.setattr(replication.Replication, "committable_index", committable)


def even_quorum_arithmetic(patch: Patches) -> None:
    patch.setattr(quorum, "quorum_size", lambda voters: (voters + 1) // 2)


def previous_entry_not_compared(patch: Patches) -> None:
    original = following.answer_append

    def trusting(log: LogView, membership: Any, message: Any, log_lost: bool) -> Any:
        index = min(message.prev_index, log.last_index)
        known = replace(message, prev_index=index, prev_term=log.term_at(index) or 0)
        return original(log, membership, known, log_lost)

    patch.setattr(following, "answer_append", trusting)


def vote_for_a_shorter_log(patch: Patches) -> None:
    patch.setattr(raft, "is_up_to_date", lambda log, last_index, last_term: True)


def snapshot_without_the_tail_behind_it(patch: Patches) -> None:
    original = raft_host._restored

    def short(record: Any, snapshot: Any) -> Any:
        log, hard_state = original(record, snapshot)
        if snapshot is not None:
            log = LogView(snapshot.index, snapshot.term, [])
        return log, hard_state

    patch.setattr(raft_host, "_restored", short)


def stale_leader_acknowledges_proposals(patch: Patches) -> None:
    original = raft_group.RaftGroup.propose_many

    def eager(self: raft_group.RaftGroup, proposals: Sequence[bytes]) -> Any:
        future = original(self, proposals)
        if not future.done():
            future.set_result(self.raft.log.last_index)
        return future

    patch.setattr(raft_group.RaftGroup, "propose_many", eager)


# -- partitions


def acknowledged_before_fsync(patch: Patches) -> None:
    patch.setattr(Partition, "durable_end_offset", property(lambda self: self.log.log_end_offset))
    original = Replica.on_local_append

    def durable_at_once(self: Replica, end: int, now_ms: int, *, durable: bool) -> bool:
        return original(self, end, now_ms, durable=True)

    patch.setattr(Replica, "on_local_append", durable_at_once)


def follower_fetches_on_before_fsync(patch: Patches) -> None:
    def hasty(self: SourceFetcher, partition: Partition, followed: Any) -> None:
        self._tell(partition, followed)

    patch.setattr(SourceFetcher, "_tell_when_durable", hasty)


def follower_truncates_below_the_high_watermark(patch: Patches) -> None:
    original = truncation.truncation_offset

    def deeper(diverging: Any, own: Any, log_end_offset: int) -> int:
        return max(0, original(diverging, own, log_end_offset) - 3)

    everywhere(patch, "truncation_offset", original, deeper)


def truncation_skipped(patch: Patches) -> None:
    original = FetchSchedule.moved

    def moved(self: FetchSchedule, followed: Any, leader_epoch: int, end: int, _: int, start: int) -> None:
        original(self, followed, leader_epoch, end, -1, start)

    patch.setattr(FetchSchedule, "moved", moved)


def isr_expands_one_record_early(patch: Patches) -> None:
    original = Replica.propose_join

    def generous(self: Replica, broker_id: int, *arguments: Any, **options: Any) -> Any:
        follower = self.followers.get(broker_id)
        if follower is None:
            return None
        follower.log_end_offset += 1
        try:
            return original(self, broker_id, *arguments, **options)
        finally:
            follower.log_end_offset -= 1

    patch.setattr(Replica, "propose_join", generous)


def high_watermark_over_the_isr_instead_of_the_maximal_isr(patch: Patches) -> None:
    def count(self: Replica) -> None:
        self._counted = [self.followers[one] for one in self.isr if one in self.followers]
        wanted = min(self.min_insync_replicas, len(self.followers) + 1)
        self.has_enough_replicas = len(self.isr) >= wanted

    patch.setattr(Replica, "_count", count)


def high_watermark_does_not_wait_for_one_follower(patch: Patches) -> None:
    original = Replica._count

    def count(self: Replica) -> None:
        original(self)
        if len(self._counted) > 1:
            self._counted.pop()

    patch.setattr(Replica, "_count", count)


def min_insync_replicas_ignored(patch: Patches) -> None:
    original = Replica._count

    def count(self: Replica) -> None:
        original(self)
        self.has_enough_replicas = True

    patch.setattr(Replica, "_count", count)


def lease_ignored(patch: Patches) -> None:
    patch.setattr(Lease, "is_held", lambda self: True)


def leader_epoch_not_fenced(patch: Patches) -> None:
    patch.setattr(Replica, "check_epoch", lambda self, epoch: ErrorCode.NONE)


def consumers_read_above_the_high_watermark(patch: Patches) -> None:
    original = FetchReader._answered

    def answered(asked: Any, partition: Partition) -> Any:
        answer = original(asked, partition)
        answer.high_watermark = answer.last_stable_offset = partition.log.log_end_offset
        return answer

    patch.setattr(FetchReader, "_answered", staticmethod(answered))


def producers_forgotten_at_failover(patch: Patches) -> None:
    patch.setattr(StoredProducers, "take_in", lambda self, records, headers, now_ms: None)


def duplicates_not_recognised(patch: Patches) -> None:
    patch.setattr(ProducerState, "check", lambda self, header, **options: None)


# -- the controller


def leader_elected_outside_the_isr(patch: Patches) -> None:
    original = elections._elect

    def careless(current: int, candidates: Any, electorate: Any, election: Any) -> int:
        return original(current, candidates, electorate, elections.Election.UNCLEAN)

    patch.setattr(elections, "_elect", careless)


def leader_epoch_not_raised(patch: Patches) -> None:
    original = partition_changes.apply_change

    def lazy(before: PartitionImage, change: Any) -> PartitionImage:
        return original(before, change)._replace(leader_epoch=before.leader_epoch)

    everywhere(patch, "apply_change", original, lazy)


def producer_ids_given_twice(patch: Patches) -> None:
    original = producer_ids.allocate_block

    def again(image: Any, broker_id: int, count: int) -> Result[int]:
        given = original(image, broker_id, count)
        return Result(given.records, max(0, given.response - count))

    everywhere(patch, "allocate_block", original, again)


# -- groups


def committed_offsets_lost_with_their_coordinator(patch: Patches) -> None:
    original = GroupShard.lead

    def forgetful(self: GroupShard, now: Any) -> Any:
        for group in self.stored.groups.values():
            group.offsets.clear()
        return original(self, now)

    patch.setattr(GroupShard, "lead", forgetful)


def commits_of_an_old_generation_taken(patch: Patches) -> None:
    original = GroupOffsets.commit

    def lenient(self: GroupOffsets, command: CommitOffsets, *rest: Any) -> None:
        original(self, command._replace(member_id=NO_MEMBER_ID, instance_id=None), *rest)

    patch.setattr(GroupOffsets, "commit", lenient)
    patch.setattr(GroupOffsets, "_check_commit", lambda self, group, command: ErrorCode.NONE)


MUTANTS = [
    Mutant(vote_not_persisted, 80),
    Mutant(raft_acknowledges_before_it_is_durable, 20),
    Mutant(leader_counts_itself_before_it_is_durable, 20),
    Mutant(commit_by_count_of_an_older_term, 100),
    Mutant(even_quorum_arithmetic, 40, 4),
    Mutant(previous_entry_not_compared, 40),
    Mutant(vote_for_a_shorter_log, 80),
    Mutant(snapshot_without_the_tail_behind_it, 80),
    Mutant(stale_leader_acknowledges_proposals, 40),
    Mutant(acknowledged_before_fsync, 10),
    Mutant(follower_fetches_on_before_fsync, 10),
    Mutant(follower_truncates_below_the_high_watermark, 150),
    Mutant(truncation_skipped, 150),
    Mutant(isr_expands_one_record_early, 80),
    Mutant(high_watermark_over_the_isr_instead_of_the_maximal_isr, 150, None),
    Mutant(high_watermark_does_not_wait_for_one_follower, 10),
    Mutant(min_insync_replicas_ignored, 80),
    Mutant(lease_ignored, 150),
    Mutant(leader_epoch_not_fenced, 60),
    Mutant(consumers_read_above_the_high_watermark, 10),
    Mutant(producers_forgotten_at_failover, 20),
    Mutant(duplicates_not_recognised, 20),
    Mutant(leader_elected_outside_the_isr, 80, 5),
    Mutant(leader_epoch_not_raised, 10),
    Mutant(producer_ids_given_twice, 10),
    Mutant(committed_offsets_lost_with_their_coordinator, 40),
    Mutant(commits_of_an_old_generation_taken, 150),
]


class Found(NamedTuple):
    """`seeds_run`: how many it took. `failure` None: nothing noticed."""

    name: str
    seeds: int
    seeds_run: int
    failure: str | None


def hunt(index: int) -> Found:
    """Plant one, and run seeds until something notices."""
    mutant = MUTANTS[index]
    patches = Patches()
    mutant.plant(patches)
    try:
        for seed in range(1, mutant.seeds + 1):
            failure = play(seed, size=mutant.nodes).failure
            if failure is not None:
                return Found(mutant.name, mutant.seeds, seed, failure)
    finally:
        patches.undo()
    return Found(mutant.name, mutant.seeds, mutant.seeds, None)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.sim.mutants", description=__doc__)
    parser.add_argument("--only", default="", help="those whose names contain this")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    options = parser.parse_args(argv)
    chosen = [at for at, mutant in enumerate(MUTANTS) if options.only in mutant.name]
    survivors = 0
    context = multiprocessing.get_context("spawn")
    say(f"{'planted fault':<60}{'limit':>6}{'found by':>10}  invariant")
    with ProcessPoolExecutor(options.jobs, mp_context=context) as pool:
        for done in as_completed([pool.submit(hunt, at) for at in chosen]):
            found = done.result()
            survivors += found.failure is None
            by = f"seed {found.seeds_run}" if found.failure is not None else "-"
            say(f"{found.name:<60}{found.seeds:>6}{by:>10}  {(found.failure or 'SURVIVED')[:90]}")
    say(f"{len(chosen)} planted faults, {survivors} survived")
    return 1 if survivors else 0


if __name__ == "__main__":
    pin_hashes("tests.sim.mutants")
    sys.exit(main())
