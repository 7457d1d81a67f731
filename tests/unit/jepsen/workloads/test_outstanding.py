"""Sends under way: how many, and what is told of them."""

from __future__ import annotations

from pathlib import Path
from random import Random

from odradek.jepsen import history
from odradek.jepsen.history import Writer
from odradek.jepsen.workloads.generator import Sends
from odradek.jepsen.workloads.outstanding import WINDOW, WINDOW_OF_KEY, Outstanding
from odradek.jepsen.workloads.recorder import Recorder


def _outstanding(path: Path, keys: list[str]) -> Outstanding:
    return Outstanding(Recorder(Writer(path), "x"), Sends(Random(1), keys, 100))


def _begin(outstanding: Outstanding, due: int) -> list[tuple[int, str, int]]:
    return [(op, key, value) for key, sends in outstanding.begin(due) for op, value in sends]


def test_sends_are_in_the_history_in_the_order_in_which_they_go_out(tmp_path: Path) -> None:
    path = tmp_path / "h.jsonl"
    begun = _begin(_outstanding(path, ["a/0", "a/1"]), 20)
    events = list(history.read(path))
    assert [(event.op, *event.value[0][1:]) for event in events] == begun
    assert [value for _, _, value in begun] == list(range(100, 120))


def test_no_more_than_the_windows_hold_is_under_way(tmp_path: Path) -> None:
    one = _outstanding(tmp_path / "1.jsonl", ["a/0"])
    assert len(_begin(one, 1_000)) == WINDOW_OF_KEY == one.count
    many = _outstanding(tmp_path / "2.jsonl", [f"a/{number}" for number in range(20)])
    assert len(_begin(many, 1_000)) == WINDOW == many.count
    assert _begin(many, 1) == []


def test_an_end_makes_room_and_is_told_once(tmp_path: Path) -> None:
    path = tmp_path / "h.jsonl"
    outstanding = _outstanding(path, ["a/0"])
    begun = _begin(outstanding, 1_000)
    outstanding.acknowledged(*begun[0], 17)
    outstanding.acknowledged(*begun[1], None)
    outstanding.ended(*begun[2], "info", "_MSG_TIMED_OUT")
    outstanding.ended(*begun[3], "fail", "MSG_SIZE_TOO_LARGE")
    assert outstanding.count == WINDOW_OF_KEY - 4
    outstanding.tell()
    outstanding.tell()
    told = [event for event in history.read(path) if event.type != "invoke"]
    assert [(event.type, event.value[0][2], event.error) for event in told] == [
        ("ok", [17, 100], None),
        ("ok", [None, 101], None),
        ("info", 102, "_MSG_TIMED_OUT"),
        ("fail", 103, "MSG_SIZE_TOO_LARGE"),
    ]
    assert len(_begin(outstanding, 1_000)) == 4
