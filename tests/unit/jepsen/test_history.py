"""Histories keep what a killed client had written, and refuse what is no history."""

from __future__ import annotations

from pathlib import Path

import pytest

from odradek.jepsen.history import NEVER, Event, HistoryError, Writer, join, pair, read


def _send(time: int, process: str, op: int, kind: str, value: object = None) -> Event:
    return Event(time, process, op, kind, "send", value)  # type: ignore[arg-type]


def test_an_event_comes_back_as_it_was_written(tmp_path: Path) -> None:
    events = [
        Event(1, "kafka-1", 0, "invoke", "send", [["send", "q/0", 7]]),
        Event(
            2, "kafka-1", 0, "info", "send", [["send", "q/0", [None, 7]]], "REQUEST_TIMED_OUT", {"node": 2}
        ),
    ]
    writer = Writer(tmp_path / "h.jsonl")
    writer.write(*events)
    writer.close()
    assert list(read(tmp_path / "h.jsonl")) == events


def test_a_line_cut_off_by_a_crash_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "h.jsonl"
    writer = Writer(path)
    writer.write(_send(1, "a", 0, "invoke"), _send(2, "a", 0, "ok"))
    path.write_bytes(path.read_bytes()[:-3])
    assert [event.type for event in read(path)] == ["invoke"]


@pytest.mark.parametrize("line", ["nonsense\n", "{}\n", "[]\n", '{"time": 1}\n'])
def test_a_line_that_is_no_event_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "h.jsonl"
    path.write_text(line)
    with pytest.raises(HistoryError, match=r"h\.jsonl, line 1"):
        list(read(path))


def test_several_histories_are_joined_in_the_order_of_time(tmp_path: Path) -> None:
    for name, times in (("a", (1, 5, 3)), ("b", (2, 4))):
        writer = Writer(tmp_path / name)
        writer.write(*(_send(time, name, time, "invoke") for time in times))
        writer.close()
    assert [event.time for event in join([tmp_path / "a", tmp_path / "b"])] == [1, 2, 3, 4, 5]


def test_operations_stand_in_the_order_of_their_invocations_and_may_overlap() -> None:
    history = [
        _send(1, "a", 0, "invoke"),
        _send(2, "a", 1, "invoke"),
        _send(3, "a", 1, "ok"),
        _send(4, "a", 0, "fail"),
    ]
    assert [(operation.invoke.op, operation.type) for operation in pair(history)] == [(0, "fail"), (1, "ok")]


def test_without_a_completion_nobody_knows() -> None:
    (operation,) = pair([_send(1, "a", 0, "invoke")])
    assert (operation.type, operation.completion.time, operation.completion.error) == (
        "info",
        NEVER,
        "no-answer",
    )


def test_remarks_are_no_operations() -> None:
    assert pair([Event(1, "nemesis", 0, "info", "fault"), Event(2, "a", 3, "ok", "assigned")]) == []


def test_the_same_operation_twice_is_refused() -> None:
    with pytest.raises(HistoryError, match="twice"):
        pair([_send(1, "a", 0, "invoke"), _send(2, "a", 0, "invoke")])
