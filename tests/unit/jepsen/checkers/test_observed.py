"""Which micro-operations count as acknowledged, asked and read."""

from __future__ import annotations

from typing import Any

from odradek.jepsen.checkers.observed import (
    acknowledged,
    acknowledged_sends,
    all_polled,
    asked_offsets,
    asked_sends,
    finder_of_sends,
    polled,
)
from odradek.jepsen.history import Event, Operation, pair


def _operation(op: int, f: str, asked: Any, kind: Any, told: Any) -> Operation:
    return pair([Event(op, "a", op, "invoke", f, asked), Event(op, "a", op, kind, f, told)])[0]


SEND = _operation(1, "send", [["send", "q/0", 7]], "ok", [["send", "q/0", [3, 7]]])
UNTOLD = _operation(2, "send", [["send", "q/0", 8]], "ok", [["send", "q/0", [None, 8]]])
LOST = _operation(3, "send", [["send", "q/0", 9]], "info", [["send", "q/0", 9]])
TXN = _operation(
    4,
    "txn",
    [["poll"], ["send", "q/1", 10]],
    "ok",
    [["poll", {"q/0": [[3, 7]]}], ["send", "q/1", [0, 10]]],
)


def test_acknowledged_sends_of_single_operations_and_transactions() -> None:
    assert acknowledged([SEND, UNTOLD, LOST, TXN]) == {"q/0": {7: 3, 8: None}, "q/1": {10: 0}}
    assert [sent.operation for sent in acknowledged_sends([TXN])] == [TXN]


def test_what_was_asked_counts_whatever_became_of_it() -> None:
    assert [list(asked_sends(operation)) for operation in (SEND, LOST, TXN)] == [
        [("q/0", 7)],
        [("q/0", 9)],
        [("q/1", 10)],
    ]


def test_what_was_read_is_told_by_key() -> None:
    assert [(key, list(pairs[0])) for key, pairs in polled(TXN)] == [("q/0", [3, 7])]
    assert list(polled(SEND)) == []
    assert [(operation, key) for operation, key, _ in all_polled([SEND, TXN, LOST])] == [(TXN, "q/0")]
    assert list(polled(_operation(5, "poll", [["poll"]], "info", [["poll"]]))) == []


def test_the_send_of_a_value_is_found() -> None:
    find = finder_of_sends([SEND, LOST, TXN])
    assert find(9) == [LOST]
    assert find(10) == [TXN]
    assert find(11) == []


def test_offsets_are_committed_alone_or_with_a_transaction() -> None:
    value = {"group": "g", "member": "m", "offsets": {"q/0": 4, "q/1": 7}}
    assert list(asked_offsets(_operation(6, "commit", value, "info", value))) == [
        ("g", "q/0", 4),
        ("g", "q/1", 7),
    ]
    more = {"offsets": {"g": {"q/0": 5}}}
    asked = TXN._replace(invoke=TXN.invoke._replace(more=more))
    told = TXN._replace(completion=TXN.completion._replace(more=more))
    assert list(asked_offsets(asked)) == list(asked_offsets(told)) == [("g", "q/0", 5)]
    assert list(asked_offsets(TXN)) == []
