"""A check that cannot fail proves nothing: cores with a planted fault, each caught within a stated number of
seeds."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import pytest
from tests.property.raft_node import Disk
from tests.property.raft_world import World

from odradek.raft.core import following, leadership, quorum, raft, read_index, replication, snapshot_transfer
from odradek.raft.core.log_view import LogView
from odradek.raft.core.membership import Membership, left
from odradek.raft.core.messages import AppendAccepted, AppendRejected, AppendRequest, SnapshotChunk
from odradek.raft.core.ready import Ready
from odradek.raft.core.types import CONFIGURATION, NO_NODE, Entry, HardState

# The rarest fault takes a minute to find on a quiet machine.
pytestmark = pytest.mark.timeout(600)

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
    def hasty(self: following.Following, told_commit: int, term: int) -> None:
        self.damaged = False

    patch.setattr(following.Following, "_maybe_heal", hasty)


def only_the_new_voters_count_while_joint(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(
        quorum.Configuration,
        "quorum_value",
        lambda self, value_of: quorum.quorum_value(map(value_of, self.incoming)),
    )
    patch.setattr(
        quorum.Configuration,
        "vote_result",
        lambda self, votes: quorum.vote_result(self.incoming, votes),
    )


def learners_count(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(
        quorum.Configuration,
        "quorum_value",
        lambda self, value_of: quorum.quorum_value(map(value_of, self.incoming | self.learners)),
    )


def removed_leader_counts_itself(patch: pytest.MonkeyPatch) -> None:
    def committable(self: replication.Replication) -> int:
        own, progress = self._log.durable_index, self.progress
        voters = self._membership.configuration.incoming | {self._node_id}
        index = quorum.quorum_value(progress[v].match_index if v in progress else own for v in voters)
        is_own = self._log.term_at(index) == self._term
        return index if index > self._log.commit and is_own else self._log.commit

    patch.setattr(replication.Replication, "committable_index", committable)


def voters_change_in_one_step(patch: pytest.MonkeyPatch) -> None:
    def at_once(
        current: quorum.Configuration, voters: Iterable[int], learners: Iterable[int]
    ) -> quorum.Configuration:
        return quorum.Configuration(frozenset(voters), frozenset(), frozenset(learners))

    patch.setattr(leadership, "changed", at_once)


def second_change_before_the_first_is_committed(patch: pytest.MonkeyPatch) -> None:
    original = leadership.Leadership.change_membership

    def eager(
        self: leadership.Leadership, voters: Iterable[int], learners: Iterable[int], now_ms: int
    ) -> bool:
        if self._membership.configuration.is_joint:
            self._append_configuration(left(self._membership.configuration), now_ms)
        index, self._membership.index = self._membership.index, 0
        begun = original(self, voters, learners, now_ms)
        self._membership.index = max(index, self._membership.index)
        return begun

    patch.setattr(leadership.Leadership, "change_membership", eager)


def truncated_configuration_stays_in_force(patch: pytest.MonkeyPatch) -> None:
    original = Membership.replace_from

    def clinging(self: Membership, first_index: int, entries: Sequence[Entry]) -> None:
        kept = [change for change in self._changes if change[0] >= first_index]
        original(self, first_index, entries)
        if not any(entry.kind == CONFIGURATION for entry in entries):
            self._changes += kept
            self._settle()

    patch.setattr(Membership, "replace_from", clinging)


def snapshot_without_its_configuration(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Membership, "reset", lambda self, configuration: None)


def read_without_asking(patch: pytest.MonkeyPatch) -> None:
    original = read_index.ReadRounds.begin

    def trusting(self: read_index.ReadRounds, commit: int) -> bool:
        begun = original(self, commit)
        self._acknowledged = dict.fromkeys(range(9), self.number)
        return begun

    patch.setattr(read_index.ReadRounds, "begin", trusting)


def read_before_the_first_entry_of_the_term(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(leadership.Leadership, "is_settled", property(lambda self: True))


def survives(seeds: int, faults: Sequence[str] | None) -> bool:
    for seed in range(seeds):
        try:
            World(seed, faults).play()
        except AssertionError:
            return False
    return True


@pytest.mark.parametrize(
    ("plant", "seeds"),
    [
        (even_quorum, 10),
        (commit_by_count_of_an_older_term, 40),
        (vote_not_persisted, 10),
        (acknowledged_before_durable, 10),
        (leader_counts_itself_before_durable, 20),
        (stale_append_truncates, 40),
        (previous_entry_not_compared, 40),
        (vote_for_a_shorter_log, 40),
        (second_vote_in_a_term, 40),
        (damaged_node_votes, 80),
    ],
)
def test_a_planted_fault_is_found(plant: Plant, seeds: int, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    assert not survives(seeds, None), f"{plant.__name__} survived {seeds} seeds"


MOVING = ("change", "cut", "crash", "transfer")
CUTTING = ("cut", "hint")


@pytest.mark.parametrize(
    ("plant", "seeds", "faults"),
    [
        (only_the_new_voters_count_while_joint, 40, MOVING),
        (learners_count, 20, MOVING),
        (removed_leader_counts_itself, 20, MOVING),
        (voters_change_in_one_step, 10, MOVING),
        (second_change_before_the_first_is_committed, 40, MOVING),
        (truncated_configuration_stays_in_force, 40, ("change", "cut", "crash")),
        (snapshot_without_its_configuration, 40, ("change", "cut", "crash")),
        (damaged_node_heals_at_the_first_append, 40, ("rot", "one way", "crash", "hint")),
        (chunks_of_different_snapshots_mixed, 40, ("crash", "cut")),
        (read_without_asking, 40, CUTTING),
        (read_before_the_first_entry_of_the_term, 40, CUTTING),
    ],
)
def test_a_fault_in_what_is_rare_is_found_where_it_is_not(
    plant: Plant, seeds: int, faults: Sequence[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    assert not survives(seeds, faults), f"{plant.__name__} survived {seeds} seeds of {faults}"
