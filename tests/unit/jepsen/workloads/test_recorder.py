"""Numbered operations of one process after another."""

from __future__ import annotations

from pathlib import Path

from odradek.jepsen import history
from odradek.jepsen.history import Writer
from odradek.jepsen.workloads.recorder import Recorder


def test_an_invocation_is_in_the_file_before_anything_else_happens(tmp_path: Path) -> None:
    path = tmp_path / "h.jsonl"
    recorder = Recorder(Writer(path), "x")
    op = recorder.invoke("assign", ["a/0"], {"seek": "beginning"})
    (event,) = history.read(path)
    assert (event.process, event.op, event.type, event.f) == ("x", op, "invoke", "assign")
    assert (event.value, event.more) == (["a/0"], {"seek": "beginning"})


def test_operations_meet_their_completions(tmp_path: Path) -> None:
    path = tmp_path / "h.jsonl"
    recorder = Recorder(Writer(path), "x")
    first, second = recorder.invoke_sends("a/0", range(1, 3))
    poll = recorder.invoke("poll", [["poll"]])
    late = recorder.event(second, "info", "send", [["send", "a/0", 2]], "_MSG_TIMED_OUT")
    recorder.append([history.encode(late), recorder.acknowledged(first, "a/0", 1, 5)])
    recorder.complete(poll, "ok", "poll", [["poll", {}]], more={"final": True})
    operations = history.pair(history.read(path))
    assert [operation.type for operation in operations] == ["ok", "info", "ok"]
    assert operations[1].completion.error == "_MSG_TIMED_OUT"
    assert operations[2].completion.more == {"final": True}
    assert all(operation.invoke.time <= operation.completion.time for operation in operations)


def test_lines_of_sends_are_those_that_encode_makes(tmp_path: Path) -> None:
    path = tmp_path / "h.jsonl"
    recorder = Recorder(Writer(path), 'x"1')
    first, second = recorder.invoke_sends("a-b.c_d/10", range(7, 9))
    told = (
        recorder.acknowledged(first, "a-b.c_d/10", 7, 12),
        recorder.acknowledged(second, "a-b.c_d/10", 8, None),
    )
    recorder.append(told)
    assert path.read_text() == "".join(map(history.encode, history.read(path)))
    assert [event.value for event in history.read(path)] == [
        [["send", "a-b.c_d/10", 7]],
        [["send", "a-b.c_d/10", 8]],
        [["send", "a-b.c_d/10", [12, 7]]],
        [["send", "a-b.c_d/10", [None, 8]]],
    ]


def test_who_comes_after_is_another_process_in_the_same_file(tmp_path: Path) -> None:
    path = tmp_path / "h.jsonl"
    first = Recorder(Writer(path), "x.2")
    second = first.successor()
    third = second.successor()
    for recorder in (first, second, third, first):
        recorder.invoke("poll", [["poll"]])
    events = list(history.read(path))
    assert [event.process for event in events] == ["x.2", "x.2+1", "x.2+2", "x.2"]
    assert [event.op for event in events] == [1, 1, 1, 2]


def test_remarks_are_no_operations(tmp_path: Path) -> None:
    path = tmp_path / "h.jsonl"
    recorder = Recorder(Writer(path), "x")
    recorder.remark("assigned", {"group": "g"}, more={"a": 1})
    op = recorder.invoke("poll", [["poll"]])
    recorder.complete(op, "ok", "poll", [["poll", {}]])
    assert [event.f for event in history.read(path)] == ["assigned", "poll", "poll"]
    (operation,) = history.pair(history.read(path))
    assert operation.invoke.f == "poll"
