"""A check that cannot fail proves nothing: cores with a planted fault, each caught within a stated number of
seeds."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from tests.property.raft_node import Disk
from tests.property.raft_world import World

from odradek.raft.core import following, quorum, raft, replication, snapshot_transfer
from odradek.raft.core.log_view import LogView
from odradek.raft.core.membership import Membership
from odradek.raft.core.messages import AppendAccepted, AppendRejected, AppendRequest, SnapshotChunk
from odradek.raft.core.ready import Ready
from odradek.raft.core.types import NO_NODE, Entry, HardState

Plant = Callable[[pytest.MonkeyPatch], None]


def even_quorum(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(quorum, "quorum_size", lambda voters: (voters + 1) // 2)


def commit_by_count_of_an_older_term(patch: pytest.MonkeyPatch) -> None:
    def committable(self: replication.Replication) -> int:
        own, progress = self._log.durable_index, self.progress
        index = self._membership.configuration.quorum_value(
            lambda v: progress[v].match_index if v in progress else own
        )
        return max(index, self._log.commit)

    patch.setattr(replication.Replication, "committable_index", committable)


def vote_not_persisted(patch: pytest.MonkeyPatch) -> None:
    write = Disk.write

    def forgetful(self: Disk, ready: Ready) -> None:
        write(self, ready)
        self.hard_state = self.hard_state._replace(vote=NO_NODE)

    patch.setattr(Disk, "write", forgetful)


def acknowledged_before_durable(patch: pytest.MonkeyPatch) -> None:
    original = raft.Raft.ready

    def hasty(self: raft.Raft) -> Ready | None:
        ready = original(self)
        if ready is None:
            return None
        now = [*ready.messages_now, *ready.messages_after_durable]
        return ready._replace(messages_now=now, messages_after_durable=())

    patch.setattr(raft.Raft, "ready", hasty)


def leader_counts_itself_before_durable(patch: pytest.MonkeyPatch) -> None:
    original = LogView.take_unwritten

    def optimistic(self: LogView, number: int) -> tuple[int, list[Entry]]:
        taken = original(self, number)
        self.durable_index = self.last_index
        return taken

    patch.setattr(LogView, "take_unwritten", optimistic)


def stale_append_truncates(patch: pytest.MonkeyPatch) -> None:
    def merge(self: LogView, prev_index: int, entries: tuple[Entry, ...]) -> int:
        self._truncate(prev_index + 1)
        self._entries.extend(entries)
        return prev_index + 1

    patch.setattr(LogView, "merge", merge)


def previous_entry_not_compared(patch: pytest.MonkeyPatch) -> None:
    def trusting(
        log: LogView, membership: Membership, message: AppendRequest, lost: bool
    ) -> AppendAccepted | AppendRejected:
        index = min(message.prev_index, log.last_index)
        changed = replace(message, prev_index=index, prev_term=log.term_at(index) or 0)
        return original(log, membership, changed, lost)

    original = following.answer_append
    patch.setattr(following, "answer_append", trusting)


def vote_for_a_shorter_log(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(raft, "is_up_to_date", lambda log, last_index, last_term: True)


def chunks_of_different_snapshots_mixed(patch: pytest.MonkeyPatch) -> None:
    original = snapshot_transfer.IncomingSnapshot.add

    def add(self: snapshot_transfer.IncomingSnapshot, chunk: SnapshotChunk) -> bool:
        if self._key is not None:
            self._key = (
                chunk.sender,
                chunk.term,
                chunk.index,
                chunk.index_term,
                chunk.configuration,
                chunk.total,
            )
        return original(self, chunk)

    patch.setattr(snapshot_transfer.IncomingSnapshot, "add", add)


def second_vote_in_a_term(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(raft, "may_vote", lambda state, leader, candidate: leader == NO_NODE)


def damaged_node_votes(patch: pytest.MonkeyPatch) -> None:
    original = Disk.__init__

    def unaware(self: Disk, *arguments: HardState) -> None:
        original(self)

    patch.setattr(Disk, "__init__", unaware)


def damaged_node_heals_at_the_first_append(patch: pytest.MonkeyPatch) -> None:
    def hasty(self: following.Following, term: int) -> None:
        self.damaged = False

    patch.setattr(following.Following, "_maybe_heal", hasty)


@pytest.mark.parametrize(
    ("plant", "seeds"),
    [
        (even_quorum, 10),
        (commit_by_count_of_an_older_term, 20),
        (vote_not_persisted, 5),
        (acknowledged_before_durable, 5),
        (leader_counts_itself_before_durable, 10),
        (stale_append_truncates, 20),
        (previous_entry_not_compared, 20),
        (vote_for_a_shorter_log, 20),
        (chunks_of_different_snapshots_mixed, 100),
        (second_vote_in_a_term, 20),
        (damaged_node_votes, 40),
        (damaged_node_heals_at_the_first_append, 40),
    ],
)
def test_a_planted_fault_is_found(plant: Plant, seeds: int, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    for seed in range(seeds):
        try:
            World(seed).play()
        except AssertionError:
            return
    pytest.fail(f"{plant.__name__} survived {seeds} seeds")
