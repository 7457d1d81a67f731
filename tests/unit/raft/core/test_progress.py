"""What a leader knows of a follower: late, repeated and lost answers."""

from odradek.raft.core.progress import Progress, ProgressState
from odradek.raft.core.quorum import Configuration
from odradek.raft.core.types import SnapshotMeta

WINDOW = (2, 1000)


def replicating(match: int, next_index: int) -> Progress:
    progress = Progress(match + 1, 0)
    progress.on_accepted(match)
    progress.next_index = next_index
    return progress


def test_one_probe_at_a_time_then_a_window() -> None:
    progress = Progress(5, 0)
    progress.on_sent(4, 0, 0)
    assert progress.is_paused(*WINDOW)
    assert progress.on_accepted(4)
    assert progress.state == ProgressState.REPLICATE and progress.next_index == 5
    progress.on_sent(5, 10, 0)
    assert not progress.is_paused(*WINDOW)
    progress.on_sent(6, 10, 0)
    assert progress.is_paused(*WINDOW)
    progress.on_accepted(5)
    assert not progress.is_paused(*WINDOW) and progress.next_index == 7


def test_the_window_is_also_in_bytes() -> None:
    progress = replicating(1, 2)
    progress.on_sent(2, 1000, 0)
    assert progress.is_paused(*WINDOW)
    progress.on_accepted(2)
    assert not progress.is_paused(*WINDOW)


def test_match_never_goes_back_on_a_late_answer() -> None:
    progress = replicating(7, 9)
    assert not progress.on_accepted(3)
    assert (progress.match_index, progress.next_index) == (7, 9)


def test_late_rejections_change_nothing() -> None:
    progress = replicating(7, 12)
    assert not progress.on_rejected(6, 3)
    assert progress.state == ProgressState.REPLICATE
    assert progress.on_rejected(10, 9)
    assert (progress.state, progress.next_index) == (ProgressState.PROBE, 9)
    progress.on_sent(8, 0, 0)
    assert not progress.on_rejected(10, 2)
    assert progress.next_index == 9 and progress.probe_sent


def test_probing_goes_down_but_never_below_the_match() -> None:
    progress = replicating(7, 12)
    progress.on_rejected(11, 1)
    assert progress.next_index == 8
    progress = Progress(5, 0)
    progress.on_sent(4, 0, 0)
    assert progress.on_rejected(4, 9)
    assert progress.next_index == 4


def test_a_lost_log_forgets_the_match() -> None:
    progress = replicating(7, 12)
    progress.on_log_lost(11, 15)
    assert (progress.state, progress.match_index, progress.whole_after) == (ProgressState.PROBE, 0, 15)
    progress.on_refilled(11, 0, True, 1, last_index=15)
    assert (progress.next_index, progress.probe_sent) == (1, False)
    progress.on_sent(15, 10, 0)
    # Only the answer to the message under way sets off the next one.
    progress.on_refilled(7, 0, True, 1, last_index=15)
    assert progress.probe_sent
    # Refilled, it is asked again at the next heartbeat, not at once.
    progress.on_refilled(0, 15, True, 16, last_index=15)
    assert (progress.held_index, progress.next_index, progress.probe_sent) == (15, 16, True)
    progress.on_whole()
    assert (progress.held_index, progress.whole_after, progress.probe_sent) == (0, 0, False)


def test_a_lost_log_does_not_begin_the_snapshot_again_that_is_on_its_way() -> None:
    progress = Progress(5, 0)
    progress.begin_snapshot(SnapshotMeta(40, 2, 100, Configuration(frozenset({1, 2, 3}))))
    progress.on_snapshot_progress(40, 50)
    progress.on_log_lost(7, 45)
    progress.on_refilled(7, 0, True, 1, last_index=45)
    assert (progress.state, progress.snapshot_offset) == (ProgressState.SNAPSHOT, 50)
    # The snapshot is there; the leader's own log may begin after it by now.
    progress.on_refilled(40, 40, False, 41, last_index=45)
    assert (progress.state, progress.next_index, progress.probe_sent) == (ProgressState.PROBE, 41, False)
    assert progress.held_index == 0


def test_what_was_accepted_before_the_loss_moves_on_and_counts_nothing() -> None:
    progress = replicating(7, 12)
    progress.on_log_lost(3, 15)
    progress.on_sent(9, 10, 0)
    progress.on_late_acceptance(3)
    assert progress.probe_sent
    progress.on_late_acceptance(9)
    assert (progress.match_index, progress.next_index, progress.probe_sent) == (0, 10, False)
    progress.begin_snapshot(SnapshotMeta(12, 2, 100, Configuration(frozenset({1, 2, 3}))))
    progress.on_late_acceptance(11)
    assert progress.state == ProgressState.SNAPSHOT
    progress.on_late_acceptance(12)
    assert (progress.state, progress.match_index, progress.next_index) == (ProgressState.PROBE, 0, 13)
