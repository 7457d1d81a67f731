"""Compaction that takes the latest value, or brings one back, is caught; what it may take away is not missed."""

from __future__ import annotations

from typing import Any

from odradek.jepsen.checkers import compaction
from odradek.jepsen.checkers.compaction import NS
from odradek.jepsen.history import Event, Operation, pair

KEY = "c/0"
_op = iter(range(1_000_000))


def _operation(f: str, begin: float, end: float | None, asked: Any, told: Any, kind: Any = "ok") -> Operation:
    op = next(_op)
    events = [Event(int(begin * NS), "p", op, "invoke", f, asked)]
    if end is not None:
        events.append(Event(int(end * NS), "p", op, kind, f, told))
    return pair(events)[0]


def _put(at: float, offset: int | None, name: str, value: int | None, kind: str = "ok") -> Operation:
    asked = {"key": KEY, "name": name, "value": value}
    return _operation(
        "put", at, at + 0.5, asked, {**asked, "offset": offset} if kind == "ok" else asked, kind
    )


def _scan(
    at: float, *records: list[Any], end: int = 100, took: float = 0.5, dirty: int | None = None
) -> Operation:
    told = {"key": KEY, "records": list(records), "end": end, **({} if dirty is None else {"dirty": dirty})}
    return _operation("scan", at, at + took, {"key": KEY}, told)


def _kinds(*history: Operation, **how: Any) -> list[str]:
    ordered = sorted(history, key=lambda operation: operation.invoke.time)
    return [anomaly.kind for anomaly in compaction.check(ordered, **how)]


A1, B2, A3, A_GONE = _put(1, 0, "a", 1), _put(2, 1, "b", 2), _put(3, 2, "a", 3), _put(4, 3, "a", None)


def test_whole_and_compacted_logs() -> None:
    assert _kinds(A1, B2, A3, _scan(9, [0, "a", 1], [1, "b", 2], [2, "a", 3])) == []
    assert _kinds(A1, B2, A3, _scan(9, [1, "b", 2], [2, "a", 3])) == []
    assert _kinds(A1, B2, A3, A_GONE, _scan(9, [1, "b", 2], [3, "a", None])) == []


def test_superseded_values_may_come_back_with_another_leader() -> None:
    whole = [[0, "a", 1], [1, "b", 2], [2, "a", 3]]
    assert _kinds(A1, B2, A3, _scan(9, *whole[1:]), _scan(11, *whole)) == []


def test_the_latest_value_is_gone() -> None:
    (found,) = compaction.check([A1, B2, A3, _scan(9, [0, "a", 1], [1, "b", 2])])
    assert (found.kind, found.data["name"], found.data["value"]) == ("compaction-lost-value", "a", 3)
    assert found.data["shown"] == [0, 1]
    assert _kinds(A1, B2, A3, _scan(9, [2, "a", 3])) == ["compaction-lost-value"]


def test_a_value_that_an_earlier_scan_has_shown_is_gone() -> None:
    unknown = _put(3, None, "a", 3, "info")
    assert _kinds(unknown, _scan(5, [2, "a", 3]), _scan(9)) == ["compaction-lost-value"]


def test_a_value_that_is_being_replaced_may_be_gone() -> None:
    assert _kinds(A1, _put(8, 90, "a", 3), _scan(7, end=50, took=3)) == []
    assert _kinds(A1, _put(12, 90, "a", 3), _scan(7, end=50, took=3)) == ["compaction-lost-value"]
    assert _kinds(A1, _put(3, None, "a", None, "info"), _scan(7)) == []
    assert _kinds(A1, _put(3, None, "a", 8, "info"), _scan(7)) == ["compaction-lost-value"]
    assert _kinds(A1, _put(3, None, "a", None, "fail"), _scan(7)) == ["compaction-lost-value"]


def test_what_is_written_after_the_end_of_the_scan_is_not_missed() -> None:
    assert _kinds(A1, _scan(0.5, end=0)) == []
    assert _kinds(A1, A3, _scan(9, [0, "a", 1], end=2)) == []


def test_a_deleted_name_comes_back() -> None:
    assert _kinds(A1, A_GONE, _scan(9, [0, "a", 1])) == ["compaction-resurrection"]
    assert _kinds(A1, A_GONE, _scan(9, [0, "a", 1], [3, "a", None])) == []
    assert _kinds(A1, A_GONE, _put(6, 5, "a", 8), _scan(9, [5, "a", 8])) == []


def test_a_scan_that_takes_longer_than_tombstones_are_kept_may_see_old_values() -> None:
    history = (A1, A_GONE, _scan(90, [0, "a", 1], took=20))
    assert _kinds(*history, delete_retention_s=10) == []
    assert _kinds(*history, delete_retention_s=30) == ["compaction-resurrection"]


def test_a_tombstone_is_kept_for_its_time() -> None:
    assert _kinds(A1, A_GONE, _scan(9), delete_retention_s=60) == ["compaction-tombstone-gone-early"]
    assert _kinds(A1, A_GONE, _scan(90), delete_retention_s=60) == []


def test_offsets_rise_and_keep_their_records() -> None:
    assert _kinds(A1, B2, _scan(9, [1, "b", 2], [0, "a", 1])) == ["compaction-order"]
    moved = _kinds(A1, B2, A3, _scan(9, [0, "b", 2], [2, "a", 3]))
    assert moved == ["compaction-changed-record", "compaction-lost-value"]


def test_a_value_that_nobody_put() -> None:
    assert _kinds(A1, _scan(9, [0, "a", 1], [4, "z", 9])) == ["compaction-invented"]
    failed = _put(3, None, "z", 9, "fail")
    assert _kinds(A1, failed, _scan(9, [0, "a", 1], [4, "z", 9])) == ["compaction-invented"]


def test_nothing_is_gone_from_where_the_cleaner_has_not_been() -> None:
    records = ([1, "b", 2], [2, "a", 3])
    assert _kinds(A1, B2, A3, _scan(9, *records, dirty=1)) == []
    assert _kinds(A1, B2, A3, _scan(9, *records, dirty=0)) == ["compaction-lost-value"]
