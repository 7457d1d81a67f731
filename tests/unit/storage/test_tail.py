"""The dense index of the newest batches."""

from __future__ import annotations

from odradek.storage.tail import MAX_BATCHES, Tail


def _tail(count: int) -> Tail:
    """Batches of 5 offsets and 70 bytes."""
    tail = Tail()
    for number in range(count):
        tail.add(number * 5, number * 70)
    return tail


def test_every_remembered_batch_is_found() -> None:
    tail = _tail(20)
    for offset in range(100):
        assert tail.covers(offset)
        assert tail.position_of(offset) == offset // 5 * 70
    for position in range(20 * 70):
        assert tail.cut(position) == position // 70 * 70


def test_the_oldest_are_dropped() -> None:
    count = MAX_BATCHES * 3
    tail = _tail(count)
    assert MAX_BATCHES // 2 <= len(tail.offsets) <= MAX_BATCHES
    first = tail.offsets[0]
    assert not tail.covers(first - 1) and tail.covers(first)
    assert tail.cut(tail.positions[0] - 1) is None
    assert tail.position_of(count * 5 - 1) == (count - 1) * 70


def test_empty() -> None:
    tail = _tail(3)
    tail.clear()
    assert not tail.covers(0)
    assert tail.cut(0) is None
