"""KIP-101 and KIP-279 as a table, and that the rounds end where the histories part."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odradek.node.partition.truncation import Rounds, truncation_offset
from odradek.storage.leader_epoch_cache import EpochEndOffset, EpochEntry, LeaderEpochCache


@pytest.mark.parametrize(
    ("diverging", "own", "end", "expected"),
    [
        ((3, 10), (3, 15), 15, 10),  # the leader has less of the epoch
        ((3, 20), (3, 15), 18, 15),  # the follower went on in another epoch
        ((3, 20), (2, 12), 18, 12),  # the follower does not know that epoch: go back to its own before it
        ((3, 20), (-1, -1), 18, 18),
        ((3, 7), (-1, -1), 18, 7),
    ],
)
def test_where_to_cut(diverging: tuple[int, int], own: tuple[int, int], end: int, expected: int) -> None:
    assert truncation_offset(EpochEndOffset(*diverging), EpochEndOffset(*own), end) == expected


Log = list[int]
"""The epoch of every record."""


def cache_of(log: Log) -> LeaderEpochCache:
    cache = LeaderEpochCache()
    for offset, epoch in enumerate(log):
        cache.assign(epoch, offset)
    return cache


def epochs_after(common: Log) -> st.SearchStrategy[Log]:
    start = common[-1] if common else 0
    return st.lists(st.integers(start, start + 4), max_size=8).map(sorted)


@given(st.data())
def test_the_rounds_end_in_a_common_history(data: st.DataObject) -> None:
    """Both logs begin alike; in no epoch do both have records that the other has not (one leader per epoch)."""
    common = data.draw(st.lists(st.integers(0, 4), max_size=8).map(sorted))
    mine = data.draw(epochs_after(common))
    taken = {*mine, *([common[-1]] if mine and common and mine[0] == common[-1] else [])}
    theirs = [epoch for epoch in data.draw(epochs_after(common)) if epoch not in taken]
    leader, follower = common + theirs, common + mine
    for _ in range(len(follower) + 2):
        if not follower:
            break
        asked = follower[-1]
        answer = cache_of(leader).end_offset_for(asked, len(leader))
        if answer.epoch < 0:
            answer = EpochEndOffset(leader[-1] if leader else asked, len(leader))  # its own epoch has begun
        if answer.epoch >= asked and answer.end_offset >= len(follower):
            break
        own = cache_of(follower).end_offset_for(answer.epoch, len(follower))
        cut = truncation_offset(answer, own, len(follower))
        assert cut < len(follower), "every round drops something"
        del follower[cut:]
    assert follower == leader[: len(follower)]
    assert len(follower) >= len(common), "and nothing that both have"


def test_the_empty_log_of_a_leader_is_an_epoch_too() -> None:
    assert LeaderEpochCache([EpochEntry(3, 0)]).end_offset_for(2, 5) == (2, 0)


def test_rounds_that_go_down_do_not_wait_and_others_wait_longer_each_time() -> None:
    rounds = Rounds(pause_ms_max=50)
    assert [rounds.on_cut(20, 15), rounds.on_cut(15, 10)] == [0, 0]
    assert [rounds.on_cut(30, 10) for _ in range(4)] == [10, 20, 40, 50]
    assert rounds.on_cut(30, 12) == 50
    assert [rounds.on_cut(30, 9), rounds.on_cut(9, 9)] == [0, 10]
    assert Rounds(pause_ms_max=0).on_cut(5, 5) == 10
