"""Money that appears or is lost is caught; transfers that are under way are not mistaken for it."""

from __future__ import annotations

from typing import Any

from odradek.jepsen.checkers import bank
from odradek.jepsen.checkers.bank import NS
from odradek.jepsen.history import Event, Operation, pair

_op = iter(range(1_000_000))
OPENED = {"a": 100, "b": 100}


def _operation(f: str, begin: float, end: float | None, value: Any, kind: Any = "ok") -> Operation:
    op = next(_op)
    events = [Event(int(begin * NS), "p", op, "invoke", f, value if f == "transfer" else None)]
    if end is not None:
        events.append(Event(int(end * NS), "p", op, kind, f, value))
    return pair(events)[0]


def _transfer(begin: float, end: float | None, amount: int, kind: str = "ok", to: str = "b") -> Operation:
    return _operation("transfer", begin, end, {"from": "a", "to": to, "amount": amount}, kind)


def _read(begin: float, end: float, a: int, b: int) -> Operation:
    return _operation("balances", begin, end, {"a": a, "b": b})


def _check(*history: Operation) -> list[str]:
    opened = _operation("accounts", 0, 1, OPENED)
    return [anomaly.kind for anomaly in bank.check([opened, *history])]


def test_transfers_one_after_another() -> None:
    history = (_transfer(1, 2, 30), _read(3, 4, 70, 130), _transfer(5, 6, 50, to="a"), _read(7, 8, 70, 130))
    assert _check(*history) == []


def test_money_that_was_made_or_lost() -> None:
    assert _check(_transfer(1, 2, 30), _read(3, 4, 100, 130)) == ["bank-balance-wrong", "bank-total-changed"]
    assert _check(_transfer(1, 2, 30), _read(3, 4, 70, 100)) == ["bank-balance-wrong", "bank-total-changed"]


def test_a_transfer_that_was_lost_or_happened_twice_keeps_the_total() -> None:
    assert _check(_transfer(1, 2, 30), _read(3, 4, 100, 100)) == ["bank-balance-wrong"] * 2
    assert _check(_transfer(1, 2, 30), _read(3, 4, 40, 160)) == ["bank-balance-wrong"] * 2


def test_a_transfer_that_failed_must_not_be_seen() -> None:
    assert _check(_transfer(1, 2, 30, "fail"), _read(3, 4, 70, 130)) == ["bank-balance-wrong"] * 2
    assert _check(_transfer(1, 2, 30, "fail"), _read(3, 4, 100, 100)) == []


def test_a_transfer_at_the_same_time_may_be_seen_in_part() -> None:
    for a, b in ((100, 100), (70, 100), (100, 130), (70, 130)):
        assert _check(_transfer(1, 9, 30), _read(3, 4, a, b)) == []
    assert _check(_transfer(1, 9, 30), _read(3, 4, 69, 131)) == ["bank-balance-wrong"] * 2
    assert _check(_transfer(5, 9, 30), _read(3, 4, 70, 130)) == ["bank-balance-wrong"] * 2


def test_a_transfer_without_an_answer_is_whole_once_it_is_decided() -> None:
    for kind, end in (("info", 2.0), ("ok", None)):
        unknown = _transfer(1, end, 30, kind)
        for a, b in ((100, 100), (70, 130)):
            assert _check(unknown, _read(100, 101, a, b)) == []
        assert _check(unknown, _read(30, 31, 70, 100)) == []
        assert _check(unknown, _read(100, 101, 70, 100)) == ["bank-total-changed"]


def test_accounts_that_nobody_opened() -> None:
    wrong = _operation("balances", 3, 4, {"a": 100})
    assert _check(wrong) == ["bank-account-unknown"]
    assert bank.check([wrong]) == []


def test_the_transfers_before_are_the_evidence() -> None:
    opened, transfer, reading = (
        _operation("accounts", 0, 1, OPENED),
        _transfer(1, 2, 30),
        _read(3, 4, 100, 130),
    )
    found = bank.check([opened, transfer, reading])[-1]
    assert list(found.evidence) == [*reading, *transfer]
    assert found.data == {"total": 200, "found": 230, "explained": 0}
