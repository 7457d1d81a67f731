"""Delivered, acknowledged, committed: what goes forward only, and what a rebalance keeps."""

from __future__ import annotations

from odradek.node.app.consume.progress import PartitionProgress, Progress

A, B = ("t", 0), ("t", 1)


def progress_of(*keys: tuple[str, int]) -> Progress:
    progress = Progress()
    for one in progress.replace(keys, keeps=False):
        one.position = 0
    return progress


def at(progress: Progress, key: tuple[str, int]) -> PartitionProgress:
    found = progress.get(key)
    assert found is not None
    return found


def test_acknowledging_goes_forward_only() -> None:
    progress = progress_of(A)
    assert [progress.acknowledge(A, offset) for offset in (3, 2, 3, 4)] == [True, False, False, True]
    assert progress.to_commit() == {A: 5}
    progress.on_committed({A: 5, B: 9})
    assert progress.to_commit() == {}
    progress.on_committed({A: 2})
    assert at(progress, A).committed == 5
    assert not progress.acknowledge(B, 7)


def test_settled_is_what_was_delivered_and_acknowledged_or_committed() -> None:
    progress = progress_of(A, B)
    assert progress.is_settled
    at(progress, A).on_delivered(10, has_records=True)
    assert not progress.is_settled
    progress.acknowledge(A, 8)
    assert not progress.is_settled
    progress.acknowledge(A, 9)
    assert progress.is_settled
    at(progress, B).on_delivered(4, has_records=False)  # control batches alone
    assert progress.is_settled and at(progress, B).position == 4
    at(progress, B).on_delivered(6, has_records=True)
    progress.on_committed({B: 6})
    assert progress.is_settled


def test_a_seek_begins_anew() -> None:
    progress = progress_of(A)
    at(progress, A).on_delivered(10, has_records=True)
    progress.acknowledge(A, 5)
    at(progress, A).seek(2)
    assert progress.is_settled and progress.to_commit() == {}
    assert progress.acknowledge(A, 2) and progress.to_commit() == {A: 3}


def test_after_a_seek_back_less_is_committed_than_before() -> None:
    progress = progress_of(A)
    progress.acknowledge(A, 99)
    before = progress.seeks([A])
    progress.on_committed({A: 100}, before)
    at(progress, A).seek(0)
    at(progress, A).on_delivered(8, has_records=True)
    assert not progress.is_settled, "what was committed before says nothing of these"
    progress.acknowledge(A, 7)
    assert progress.to_commit() == {A: 8}
    progress.on_committed({A: 100}, before)
    assert progress.to_commit() == {A: 8}, "the answer to a commit from before the seek"


def test_what_stays_goes_on_where_it_was() -> None:
    progress = progress_of(A)
    at(progress, A).position = 7
    assert [one.key for one in progress.replace([B, A], keeps=True)] == [B]
    assert at(progress, A).position == 7 and len(progress) == 2
    assert [one.key for one in progress.replace([A], keeps=False)] == [A]
    assert at(progress, A).position == -1 and progress.get(B) is None


def test_who_was_served_comes_last() -> None:
    progress = progress_of(A, B)
    progress.on_served(at(progress, A))
    assert [one.key for one in progress] == [B, A]
