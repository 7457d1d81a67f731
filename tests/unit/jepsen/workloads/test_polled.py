"""What a poll brought, in the shape of histories."""

from __future__ import annotations

from odradek.jepsen.workloads.polled import Polled


def test_records_are_told_by_key_in_their_order() -> None:
    polled = Polled()
    for key, offset, value in [("a/0", 4, 40), ("b/1", 0, 7), ("a/0", 5, 41)]:
        polled.add(key, offset, value)
    assert polled.value() == [["poll", {"a/0": [[4, 40], [5, 41]], "b/1": [[0, 7]]}]]
    assert polled.last_offsets() == {"a/0": 5, "b/1": 0}
    assert polled.count == 3


def test_nothing_besides_is_told_when_there_is_nothing() -> None:
    assert Polled().value() == [["poll", {}]]
    assert Polled().more() is None


def test_what_is_besides() -> None:
    polled = Polled()
    polled.corrupt.append({"key": "a/0", "offset": 3, "reason": "noise"})
    polled.errors.append("_PARTITION_EOF")
    assert polled.more(["a/0"], final=True) == {
        "rebalanced": ["a/0"],
        "final": True,
        "corrupt": [{"key": "a/0", "offset": 3, "reason": "noise"}],
        "errors": ["_PARTITION_EOF"],
    }
