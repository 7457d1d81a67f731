from odradek.node.runtime.deadlines import GRANULARITY_MS, Deadlines


def test_items_are_due_no_earlier_than_their_deadline_and_at_most_a_bucket_later() -> None:
    deadlines: Deadlines[str] = Deadlines()
    deadlines.add("a", 101)
    assert deadlines.pop_due(100) == []
    assert deadlines.pop_due(101 + GRANULARITY_MS) == ["a"]
    assert deadlines.pop_due(10**9) == []


def test_earliest_first_and_in_order_of_arrival() -> None:
    deadlines: Deadlines[str] = Deadlines()
    for name, at in (("late", 5000), ("b", 96), ("a", 96), ("early", 8)):
        deadlines.add(name, at)
    assert deadlines.pop_due(96) == ["early", "b", "a"]
    assert deadlines.next_deadline_ms() == 5000


def test_a_discarded_item_is_never_due_and_leaves_nothing_behind() -> None:
    deadlines: Deadlines[int] = Deadlines()
    for item in range(10_000):
        deadlines.add(item, 30_000 + item % 100)
        deadlines.discard(item)
    assert len(deadlines) == 0
    assert deadlines.next_deadline_ms() is None
    assert not deadlines._buckets and not deadlines._order


def test_discarding_what_is_not_there_does_nothing() -> None:
    deadlines: Deadlines[str] = Deadlines()
    deadlines.discard("nobody")
    assert deadlines.next_deadline_ms() is None
