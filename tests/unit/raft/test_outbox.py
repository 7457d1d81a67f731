"""The queue to one peer: what leaves, and what is lost."""

from collections import deque

from hypothesis import given
from hypothesis import strategies as st

from odradek.raft.outbox import Outbox


def filled(*weights: int, bytes_max: int = 100, items_max: int = 10) -> Outbox[int]:
    outbox: Outbox[int] = Outbox(bytes_max, items_max)
    for number, weight in enumerate(weights):
        outbox.put(number, weight, now_ms=number)
    return outbox


def test_what_fits_leaves_together_and_in_order() -> None:
    outbox = filled(10, 20, 30, 40)
    assert outbox.take(60) == [0, 1, 2]
    assert outbox.take(60) == [3]
    assert outbox.take(60) == []
    assert outbox.waiting_bytes == 0


def test_one_leaves_however_large() -> None:
    assert filled(90, 1).take(5) == [0]


def test_the_oldest_is_lost_when_bytes_run_out() -> None:
    outbox = filled(40, 40, 40)
    assert outbox.lost == 1
    assert outbox.take(100) == [1, 2]


def test_the_oldest_is_lost_when_items_run_out() -> None:
    outbox = filled(1, 1, 1, items_max=2)
    assert outbox.lost == 1
    assert outbox.take(100) == [1, 2]


def test_what_can_never_fit_does_not_push_out_the_rest() -> None:
    outbox = filled(40, 101, 40)
    assert outbox.lost == 1
    assert outbox.take(100) == [0, 2]


def test_what_nobody_waits_for_is_lost() -> None:
    outbox = filled(1, 1, 1, 1)
    outbox.drop_older(2)
    assert (outbox.take(100), outbox.lost) == ([2, 3], 2)


def test_clear_loses_all() -> None:
    outbox = filled(1, 2)
    outbox.clear()
    assert (len(outbox), outbox.waiting_bytes, outbox.lost) == (0, 0, 2)
    assert outbox.take(100) == []


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("put"), st.integers(0, 60)),
            st.tuples(st.just("take"), st.integers(0, 120)),
        ),
        max_size=60,
    )
)
def test_it_is_a_list_that_forgets_its_head(steps: list[tuple[str, int]]) -> None:
    outbox: Outbox[int] = Outbox(100, 5)
    model: deque[tuple[int, int]] = deque()
    for number, (step, value) in enumerate(steps):
        if step == "put":
            outbox.put(number, value, number)
            model.append((number, value))
            while sum(weight for _, weight in model) > 100 or len(model) > 5:
                model.popleft()
        else:
            expected: list[tuple[int, int]] = []
            while model and (not expected or sum(w for _, w in expected) + model[0][1] <= value):
                expected.append(model.popleft())
            assert outbox.take(value) == [item for item, _ in expected]
        assert outbox.waiting_bytes == sum(weight for _, weight in model) <= 100
