"""Registers that could have been one at a time, and such that could not; and all orders of small histories."""

from __future__ import annotations

from itertools import permutations
from random import Random
from typing import NamedTuple

import pytest

from odradek.jepsen.checkers.linearizability import Call, check, check_objects
from odradek.jepsen.history import NEVER


class _Op(NamedTuple):
    """A write of `value` or a read that returned it."""

    f: str
    value: int


class _Register:
    initial = 0

    def step(self, state: int, operation: _Op) -> tuple[bool, int]:
        if operation.f == "write":
            return True, operation.value
        return operation.value == state, state


def _write(start: int, end: int, value: int) -> Call[_Op]:
    return Call(start, end, _Op("write", value))


def _read(start: int, end: int, value: int) -> Call[_Op]:
    return Call(start, end, _Op("read", value))


def _verdict(*calls: Call[_Op]) -> str:
    return check(calls, _Register()).verdict


def test_one_after_another() -> None:
    assert _verdict() == "linearizable"
    assert _verdict(_read(1, 2, 0), _write(3, 4, 1), _read(5, 6, 1)) == "linearizable"
    assert _verdict(_write(1, 2, 1), _read(3, 4, 0)) == "illegal"


def test_a_read_may_see_a_write_that_it_overlaps_or_not() -> None:
    for value in (0, 1):
        assert _verdict(_write(1, 5, 1), _read(2, 4, value)) == "linearizable"


def test_what_one_has_read_the_next_may_not_miss() -> None:
    assert _verdict(_write(1, 9, 1), _read(2, 3, 1), _read(4, 5, 0)) == "illegal"
    assert _verdict(_write(1, 9, 1), _read(2, 5, 1), _read(4, 6, 0)) == "linearizable"


def test_at_the_same_instant_is_at_the_same_time() -> None:
    assert _verdict(_write(1, 3, 1), _read(3, 4, 0)) == "linearizable"


def test_a_write_without_an_answer_may_happen_at_any_time_or_never() -> None:
    assert _verdict(_write(1, NEVER, 1), _read(2, 3, 0), _read(4, 5, 1)) == "linearizable"
    assert _verdict(_write(1, NEVER, 1), _read(2, 3, 0)) == "linearizable"
    assert _verdict(_write(1, NEVER, 1), _read(2, 3, 1), _read(4, 5, 0)) == "illegal"
    assert _verdict(_read(1, 2, 1), _write(3, NEVER, 1)) == "illegal"


def test_what_could_not_be_placed_is_told() -> None:
    result = check([_write(1, 2, 1), _write(3, 4, 2), _read(5, 6, 1), _read(7, 8, 1)], _Register())
    assert (result.verdict, list(result.longest), result.blocked) == ("illegal", [0, 1], 2)


def test_a_search_that_is_given_up_proves_nothing() -> None:
    calls = [_write(1, 100, value) for value in range(9)] + [_read(200, 201, 99)]
    assert check(calls, _Register(), limit=100).verdict == "unknown"
    assert check(calls, _Register(), limit=100).explored == 100
    assert check(calls, _Register()).verdict == "illegal"


def test_objects_are_searched_alone() -> None:
    results = check_objects({"a": [_read(1, 2, 0)], "b": [_read(1, 2, 1)]}, _Register())
    assert {name: result.verdict for name, result in results.items()} == {"a": "linearizable", "b": "illegal"}


def test_many_operations_of_a_few_clients_take_no_time() -> None:
    random, calls, value, now = Random(7), [], 0, 0
    for _ in range(3_000):
        now += 10
        if random.random() < 0.5:
            value = random.randrange(5)
            calls.append(_write(now - random.randrange(20), now + random.randrange(1, 5), value))
        else:
            calls.append(_read(now - random.randrange(20), now + random.randrange(1, 5), value))
    result = check(calls, _Register())
    assert (result.verdict, result.explored < 30_000) == ("linearizable", True)


def _by_all_orders(calls: list[Call[_Op]]) -> bool:
    done = [call for call in calls if call.end < NEVER]
    open_ = [call for call in calls if call.end == NEVER]
    for chosen in range(1 << len(open_)):
        some = done + [call for place, call in enumerate(open_) if chosen >> place & 1]
        for order in permutations(some):
            state = 0
            for place, call in enumerate(order):
                allowed, state = _Register().step(state, call.operation)
                if not allowed or any(later.end < call.start for later in order[place + 1 :]):
                    break
            else:
                return True
    return False


@pytest.mark.parametrize("seed", range(5))
def test_small_histories_are_judged_as_by_trying_all_orders(seed: int) -> None:
    random = Random(seed)
    verdicts = set()
    for _ in range(60):
        calls = []
        for _ in range(5):
            start = random.randrange(10)
            end = NEVER if random.random() < 0.2 else start + random.randrange(1, 6)
            op = _Op(random.choice(("write", "read")), random.randrange(3))
            if op.f == "write" or end < NEVER:
                calls.append(Call(start, end, op))
        expected = _by_all_orders(calls)
        assert (check(calls, _Register()).verdict == "linearizable") == expected, calls
        verdicts.add(expected)
    assert verdicts == {True, False}
