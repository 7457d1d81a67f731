from hypothesis import given
from hypothesis import strategies as st

from odradek.node.coordinator.timers import Timers


def pop_all(timers: Timers[str], now_ms: int) -> list[str]:
    found: list[str] = []
    while (key := timers.pop_due(now_ms)) is not None:
        found.append(key)
    return found


def test_due_keys_come_earliest_first() -> None:
    timers: Timers[str] = Timers()
    timers.set("b", 20)
    timers.set("a", 10)
    timers.set("c", 30)
    assert timers.next_deadline_ms == 10
    assert pop_all(timers, 25) == ["a", "b"]
    assert timers.next_deadline_ms == 30


def test_pushing_a_deadline_back_leaves_the_heap_alone() -> None:
    timers: Timers[str] = Timers()
    for deadline_ms in range(100, 1100):
        timers.set("session", deadline_ms)
    assert len(timers._heap) == 1
    assert timers.next_deadline_ms == 100, "early, never late"
    assert timers.pop_due(100) is None
    assert timers.next_deadline_ms == 1099
    assert timers.pop_due(1098) is None
    assert timers.pop_due(1099) == "session"


def test_an_earlier_deadline_counts_at_once() -> None:
    timers: Timers[str] = Timers()
    timers.set("a", 100)
    timers.set("a", 50)
    assert timers.next_deadline_ms == 50
    assert timers.pop_due(50) == "a"
    assert pop_all(timers, 1000) == []


def test_a_cancelled_key_is_never_due_and_can_come_back() -> None:
    timers: Timers[str] = Timers()
    timers.set("a", 10)
    timers.cancel("a")
    assert timers.next_deadline_ms is None
    timers.set("a", 10)
    timers.cancel("a")
    timers.set("a", 20)
    assert pop_all(timers, 19) == []
    assert pop_all(timers, 20) == ["a"]


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.sampled_from(["set", "cancel", "pop"]), st.integers(0, 40)),
        max_size=60,
    )
)
def test_like_a_dictionary_of_deadlines(steps: list[tuple[str, str, int]]) -> None:
    timers: Timers[str] = Timers()
    model: dict[str, int] = {}
    now_ms = 0
    for key, action, amount in steps:
        if action == "set":
            timers.set(key, now_ms + amount)
            model[key] = now_ms + amount
        elif action == "cancel":
            timers.cancel(key)
            model.pop(key, None)
        else:
            now_ms += amount
            due = {k for k, deadline_ms in model.items() if deadline_ms <= now_ms}
            popped = pop_all(timers, now_ms)
            assert len(popped) == len(set(popped)) and set(popped) == due
            model = {k: v for k, v in model.items() if k not in due}
        assert len(timers) == len(model)
        next_ms = timers.next_deadline_ms
        assert (next_ms is None) == (not model)
        assert next_ms is None or next_ms <= min(model.values())
