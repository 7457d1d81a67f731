"""Transactions that are visible in part are caught, over keys and over offsets; whole and unknown ones are not."""

from __future__ import annotations

from typing import Any

import pytest

from odradek.jepsen.checkers import transactions
from odradek.jepsen.history import Event, Operation, pair

_op = iter(range(1_000_000))


def _operation(
    f: str, kind: Any, asked: Any, told: Any, *, error: str | None = None, **more: Any
) -> Operation:
    op = next(_op)
    events = [Event(10 * op, "a", op, "invoke", f, asked, None, more or None)]
    if kind != "lost":
        events.append(Event(10 * op + 5, "a", op, kind, f, told, error, more or None))
    return pair(events)[0]


def _txn(kind: str, *sends: tuple[str, int, int | None], offsets: Any = None) -> Operation:
    asked = [["send", key, value] for key, value, _ in sends]
    told = [["send", key, [offset, value]] for key, value, offset in sends] if kind == "ok" else asked
    more = {"offsets": {"g": offsets}} if offsets else {}
    return _operation("txn", kind, asked, told, error=None if kind == "ok" else "ABORTED", **more)


def _final(**records: list[list[int]]) -> Operation:
    told = [["poll", {key.replace("_", "/"): pairs for key, pairs in records.items()}]]
    return _operation("poll", "ok", [["poll"]], told, final=True)


def _poll(key: str, *records: list[int]) -> Operation:
    return _operation("poll", "ok", [["poll"]], [["poll", {key: list(records)}]])


def _commit(offset: int, kind: str = "ok") -> Operation:
    value = {"group": "g", "member": "m", "offsets": {"in/0": offset}}
    return _operation("commit", kind, value, value)


def _committed(offset: int | None) -> Operation:
    return _operation("committed", "ok", {"group": "g"}, {"group": "g", "offsets": {"in/0": offset}})


def _kinds(*history: Operation, **how: Any) -> list[str]:
    return [anomaly.kind for anomaly in transactions.check(history, **how)]


@pytest.mark.parametrize("kind", ["ok", "info", "lost"])
def test_a_transaction_that_is_visible_in_part(kind: str) -> None:
    txn = _txn(kind, ("q/0", 1, 0), ("q/1", 2, 0))
    history = (txn, _final(q_0=[[0, 1]], q_1=[[1, 7]]))
    (found,) = transactions.check(history)
    assert (found.kind, found.data) == (
        "torn-transaction",
        {"visible": ["1 in q/0"], "missing": ["2 in q/1"]},
    )
    assert found.evidence[0] == txn.invoke


@pytest.mark.parametrize("kind", ["ok", "info", "lost"])
def test_a_transaction_that_is_whole(kind: str) -> None:
    txn = _txn(kind, ("q/0", 1, 0), ("q/1", 2, 0))
    assert _kinds(txn, _final(q_0=[[0, 1]], q_1=[[0, 2], [2, 7]])) == []


def test_a_transaction_of_which_nothing_is_visible() -> None:
    assert _kinds(_txn("info", ("q/0", 1, None), ("q/1", 2, None)), _final(q_0=[[3, 9]], q_1=[[1, 7]])) == []


def test_the_other_part_was_read_earlier() -> None:
    txn = _txn("ok", ("q/0", 1, 0), ("q/1", 2, 0))
    assert _kinds(txn, _poll("q/1", [0, 2]), _final(q_0=[[0, 1]], q_1=[[1, 7]])) == []


def test_one_part_before_the_other_is_no_anomaly_before_the_end() -> None:
    txn = _txn("ok", ("q/0", 1, 0), ("q/1", 2, 0))
    assert _kinds(txn, _poll("q/0", [0, 1]), _poll("q/1", [1, 7])) == []


def test_a_key_whose_final_reads_did_not_come_that_far() -> None:
    txn = _txn("ok", ("q/0", 1, 0), ("q/1", 2, 8))
    history = (txn, _final(q_0=[[0, 1]], q_1=[[1, 7]]))
    assert _kinds(*history) == []
    assert _kinds(*history, complete=["q/0"]) == []
    assert _kinds(*history, complete=["q/0", "q/1"]) == ["torn-transaction"]


def test_what_a_transaction_reads_of_itself_does_not_count() -> None:
    asked: list[Any] = [["send", "q/0", 1], ["poll"], ["send", "q/1", 2]]
    told: list[Any] = [["send", "q/0", [0, 1]], ["poll", {"q/0": [[0, 1]]}], ["send", "q/1", [0, 2]]]
    txn = _operation("txn", "info", asked, told)
    assert _kinds(txn, _final(q_0=[[5, 9]], q_1=[[5, 7]])) == []


def test_a_record_of_a_transaction_that_failed() -> None:
    txn = _txn("fail", ("q/0", 1, None), ("q/1", 2, None))
    (found,) = transactions.check([txn, _poll("q/0", [0, 1])])
    assert (found.kind, found.data["value"]) == ("aborted-visible", 1)
    assert _kinds(txn, _poll("q/0", [0, 3])) == []


def test_records_without_their_offsets() -> None:
    history = (_commit(3), _txn("ok", ("q/0", 1, 0), offsets={"in/0": 6}), _final(q_0=[[0, 1]]))
    assert _kinds(*history, _committed(3)) == ["torn-transaction"]
    assert _kinds(*history, _committed(None)) == ["torn-transaction"]
    assert _kinds(*history, _committed(6)) == []
    assert _kinds(*history, _committed(8)) == []


def test_offsets_without_their_records() -> None:
    txn = _txn("lost", ("q/0", 1, None), offsets={"in/0": 6})
    reading = _operation(
        "committed", "ok", {"group": "g"}, {"group": "g", "offsets": {"in/0": 6}}, final=True
    )
    (found,) = transactions.check([_commit(3), txn, _final(q_0=[[0, 9]]), reading])
    assert (found.kind, found.data["missing"]) == ("torn-transaction", ["1 in q/0"])
    assert _kinds(_commit(6), txn, _final(q_0=[[0, 9]]), reading) == []


def test_a_lower_commit_that_came_later_explains_the_reading() -> None:
    txn = _txn("ok", ("q/0", 1, 0), offsets={"in/0": 6})
    assert _kinds(txn, _commit(3), _final(q_0=[[0, 1]]), _committed(3)) == []
    assert _kinds(_commit(3, "info"), txn, _final(q_0=[[0, 1]]), _committed(3)) == []


def test_an_earlier_reading_says_nothing() -> None:
    txn = _txn("info", ("q/0", 1, None), offsets={"in/0": 6})
    reading = _committed(3)
    early = reading._replace(invoke=reading.invoke._replace(time=txn.invoke.time))
    assert _kinds(_commit(3), early, txn, _final(q_0=[[0, 1]])) == []
