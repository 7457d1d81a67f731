"""Operations out of a seed: what is sent where, and how readers move."""

from __future__ import annotations

from collections import Counter
from random import Random

from odradek.jepsen.history import NEVER
from odradek.jepsen.workloads.generator import (
    REWIND_RECORDS,
    Assign,
    Crash,
    Crashes,
    Habits,
    Lives,
    Poll,
    ReadOperation,
    Reads,
    Sends,
    Subscribe,
)

KEYS = ["a/0", "a/1", "b/0", "b/1"]


def _sends(count: int, seed: int = 1) -> list[tuple[str, int]]:
    sends = Sends(Random(seed), KEYS, 7_000)
    told: list[tuple[str, int]] = []
    while len(told) < count:
        chosen = sends.next(count - len(told), lambda key: 100)
        assert chosen is not None
        told += [(chosen[0], value) for value in chosen[1]]
    return told


def test_values_follow_one_another_and_all_keys_get_some() -> None:
    told = _sends(2_000)
    assert [value for _, value in told] == list(range(7_000, 9_000))
    assert all(count > 300 for count in Counter(key for key, _ in told).values())


def test_the_same_seed_sends_the_same() -> None:
    assert _sends(300, 5) == _sends(300, 5)
    assert _sends(300, 5) != _sends(300, 6)


def test_a_key_gets_no_more_than_there_is_room_for() -> None:
    sends = Sends(Random(1), KEYS, 0)
    for _ in range(200):
        chosen = sends.next(50, lambda key: 3 if key == "b/0" else 0)
        if chosen is not None:
            assert chosen[0] == "b/0" and len(chosen[1]) <= 3


def test_nothing_is_sent_where_no_key_has_room() -> None:
    sends = Sends(Random(1), KEYS, 0)
    assert sends.next(50, lambda key: 0) is None
    chosen = sends.next(1, lambda key: 1)
    assert chosen is not None and list(chosen[1]) == [0]


def _operations(habits: Habits, count: int, seed: int = 3) -> list[ReadOperation]:
    reads = Reads(Random(seed), KEYS, habits)
    return [reads.next() for _ in range(count)]


def test_a_reader_begins_with_all_keys_from_the_beginning() -> None:
    assert _operations(Habits("assign", 0.0), 1) == [Assign(dict.fromkeys(KEYS, 0), {})]
    assert _operations(Habits("assign", 0.0, from_the_end=True), 1) == [Assign(dict.fromkeys(KEYS), {})]
    assert _operations(Habits("subscribe", 0.0), 1) == [Subscribe(["a", "b"])]


def test_one_operation_in_64_takes_other_keys() -> None:
    told = _operations(Habits("assign", 0.0), 64_000)
    assigns = [operation for operation in told if isinstance(operation, Assign)]
    assert 850 < len(assigns) < 1_150
    wide = sum(len(operation.starts) == len(KEYS) for operation in assigns)
    assert len(assigns) / 3 < wide < len(assigns) * 0.7  # a third on purpose, others by chance
    assert {type(operation) for operation in told} == {Assign, Poll}


def test_a_reader_that_was_torn_down_begins_anew() -> None:
    told = _operations(Habits("subscribe", 0.05), 2_000)
    crashes = [place for place, operation in enumerate(told[:-1]) if isinstance(operation, Crash)]
    assert 60 < len(crashes) < 140
    assert all(told[place + 1] == Subscribe(["a", "b"]) for place in crashes)


def test_keys_that_are_kept_are_read_on_and_others_may_be_read_again() -> None:
    reads = Reads(Random(11), KEYS, Habits("assign", 0.0))
    held: set[str] = set()
    positions = dict.fromkeys(KEYS, 0)
    rewinds = 0
    for _ in range(20_000):
        operation = reads.next()
        if isinstance(operation, Assign):
            for key, start in operation.starts.items():
                assert start is not None
                if key in operation.sought:
                    rewinds += 1
                    assert key not in held and operation.sought[key] == start
                    assert max(0, positions[key] - REWIND_RECORDS) <= start < positions[key]
                else:
                    assert start == positions[key]
                positions[key] = start
            held = set(operation.starts)
            continue
        for key in held:
            reads.was_read(key, positions[key])
            positions[key] += 1
    assert rewinds > 20


def test_a_reader_whose_client_is_lost_begins_anew() -> None:
    reads = Reads(Random(1), KEYS, Habits("assign", 0.0))
    reads.next()
    reads.was_read("a/0", 41)
    reads.was_lost()
    operation = reads.next()
    assert isinstance(operation, Assign) and operation.starts["a/0"] == 42


def test_crashes_come_after_the_mean_on_average_and_one_by_one() -> None:
    crashes = Crashes(Random(1), 2.0, 0)
    times = [now for now in range(0, 4_000_000_000_000, 10_000_000) if crashes.is_due(now)]
    assert 1_700 < len(times) < 2_300
    assert not Crashes(Random(1), 0.0, 0).is_due(NEVER - 1)


def test_lives_are_half_certain() -> None:
    lives = Lives(Random(1), 6.0, 0.5)
    stays = [lives.stay_ns() / 1e9 for _ in range(1_000)]
    assert min(stays) >= 3.0 and 5.5 < sum(stays) / len(stays) < 6.5
    assert lives.away_s() >= 0.25
