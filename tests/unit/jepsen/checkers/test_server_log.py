"""Crashes are found in the logs of servers, whatever they are written in; expected ones are not."""

from __future__ import annotations

from odradek.jepsen.checkers.server_log import crashes

PYTHON = """\
2026-01-01 INFO    node: started
Traceback (most recent call last):
  File "a.py", line 1, in f
    assert x > 3, x
AssertionError: 2
2026-01-01 INFO    node: went on
"""
JAVA = """\
[2026-01-01] ERROR Uncaught exception (kafka.server)
java.lang.IllegalStateException: no epoch
\tat kafka.log.UnifiedLog.append
[2026-01-01] INFO fine
"""


def test_a_crash_is_reported_with_its_lines() -> None:
    (found,) = crashes(2, PYTHON.splitlines(keepends=True))
    assert found.kind == "server-crash"
    assert "AssertionError: 2" in found.detail
    assert "went on" not in found.data["log"]
    (found,) = crashes(1, JAVA.splitlines())
    assert "IllegalStateException" in found.data["log"]


def test_a_quiet_log_has_none() -> None:
    assert crashes(1, ["2026-01-01 INFO node: started", "WARNING fetch failed: connection refused"]) == []


def test_what_a_fault_asked_for_is_no_crash_and_the_rest_still_is() -> None:
    failing = PYTHON.replace("AssertionError: 2", "OSError: [Errno 5] Input/output error")
    found = crashes(1, (failing + PYTHON).splitlines(), allowed=[r"Errno 5"])
    assert [anomaly.detail for anomaly in found] == ["node 1: AssertionError: 2"]


def test_a_long_list_is_cut() -> None:
    found = crashes(1, (PYTHON * 50).splitlines())
    assert len(found) == 20
    assert found[-1].data["of"] == 50
    assert "of" not in crashes(1, (PYTHON * 20).splitlines())[-1].data


def test_only_the_exception_itself_may_be_allowed() -> None:
    for around in ("assert x > 3, 'Errno 5'", "pass"):
        log = PYTHON.replace("assert x > 3, x", around)
        assert len(crashes(1, log.splitlines(), allowed=["Errno 5"])) == 1
