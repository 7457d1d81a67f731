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
    progress.on_log_lost(1)
    assert (progress.state, progress.match_index, progress.next_index) == (ProgressState.PROBE, 0, 1)


def test_a_heartbeat_response_frees_one_message() -> None:
    progress = Progress(5, 0)
    progress.on_sent(4, 0, 0)
    progress.on_heartbeat_response()
    assert not progress.is_paused(*WINDOW)
    progress = replicating(1, 2)
    progress.on_sent(2, 1, 0)
    progress.on_sent(3, 1, 0)
    progress.on_heartbeat_response()
    assert progress.inflight == 1 and not progress.is_paused(*WINDOW)


def test_a_snapshot_goes_chunk_by_chunk_and_ends_with_its_index() -> None:
    progress = Progress(5, 0)
    progress.begin_snapshot(SnapshotMeta(40, 2, 100, Configuration(frozenset({1, 2, 3}))))
    progress.probe_sent = True
    assert not progress.on_snapshot_progress(39, 50)
    assert not progress.on_snapshot_progress(40, 101)
    assert progress.is_paused(*WINDOW)
    assert progress.on_snapshot_progress(40, 50)
    assert progress.snapshot_offset == 50 and not progress.is_paused(*WINDOW)
    progress.on_accepted(12)
    assert progress.state == ProgressState.SNAPSHOT
    progress.on_accepted(40)
    assert (progress.state, progress.next_index) == (ProgressState.REPLICATE, 41)
