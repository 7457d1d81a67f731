"""What is said of a machine. That the probes are right is for root: tests/jepsen/test_cluster.py."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from odradek.jepsen.db import capabilities, control_groups, leftovers
from odradek.jepsen.db.capabilities import ESSENTIAL, Capabilities, Capability, Missing

NEEDS = {"kill": (), "clock-step": ("faketime",), "power-all": ("loop",), "strobe": ("faketime", "loop")}


def _found(**details: str | None) -> Capabilities:
    """By name: what is missing and why, or None for what is there."""
    return Capabilities(
        [
            Capability(name.replace("_", "-"), why is None, why or "found", "for tests")
            for name, why in details.items()
        ]
    )


def test_what_needs_something_absent_is_missing_for_that_reason() -> None:
    found = _found(loop=None, faketime="not installed")
    assert found.names == {"loop"}
    assert found.missing_for(NEEDS) == {
        "clock-step": "faketime: not installed",
        "strobe": "faketime: not installed",
    }


def test_what_was_never_probed_is_missing_too() -> None:
    assert _found(loop=None).missing_for({"x": ("magic",)}) == {"x": "magic: unknown"}


def test_each_capability_has_a_line_and_an_absent_one_says_what_is_skipped() -> None:
    lines = _found(loop=None, faketime="not installed").lines(NEEDS)
    assert lines == [
        "yes  loop      for tests: found",
        "NO   faketime  for tests: not installed; SKIPPED: clock-step, strobe",
    ]


def test_a_cluster_needs_what_is_essential_and_nothing_else() -> None:
    everything = dict.fromkeys(ESSENTIAL)
    assert _found(**everything, nft="absent").unable() is None
    for name in ESSENTIAL:
        assert _found(**{**everything, name: "gone"}).unable() == f"{name}: gone"


def test_without_root_nothing_is_tried_and_each_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr(leftovers, "CLAIMS", tmp_path / "claims")
    found = capabilities.probe(tmp_path)
    assert "not root" in (found.unable() or "")
    assert "not root" in found.detail("nft")
    assert not (tmp_path / "claims").exists()


def _raise(error: Exception) -> Callable[[], str]:
    def attempt() -> str:
        raise error

    return attempt


@pytest.mark.parametrize(
    "error",
    [
        Missing("why"),
        PermissionError(1, "why"),
        subprocess.TimeoutExpired(["why"], 1),
        OSError("why\nand so on"),
    ],
)
def test_a_probe_that_fails_is_an_absence_with_its_reason_on_one_line(error: Exception) -> None:
    found = capabilities._try("x", "use", _raise(error))
    assert not found.present and "why" in found.detail and "\n" not in found.detail


def test_a_fault_of_a_probe_itself_is_not_hidden() -> None:
    with pytest.raises(AssertionError):
        capabilities._try("x", "use", _raise(AssertionError()))


def test_a_program_that_is_absent_or_complains_is_quoted() -> None:
    with pytest.raises(Missing, match="no-such-program is not on the PATH"):
        capabilities._said(["no-such-program"])
    with pytest.raises(Missing, match="sh: alas"):
        capabilities._said(["sh", "-c", "echo alas >&2; echo more >&2; exit 3"])
    assert capabilities._said(["sh", "-c", "echo $X"], environment={"X": "y"}) == "y\n"


V1 = "cgroup /sys/fs/cgroup/cpuset cgroup rw,cpuset 0 0\ncgroup /sys/fs/cgroup/cpu cgroup rw,relatime,cpu 0 0\n"
V2 = "cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n"


def test_groups_are_made_where_cpu_is_limited() -> None:
    assert control_groups.cgroup_folder(V2 + V1) == Path("/sys/fs/cgroup/cpu")
    assert control_groups.cgroup_folder(V2) == Path("/sys/fs/cgroup/unified")
    assert control_groups.cgroup_folder("tmpfs /tmp tmpfs rw 0 0\n") is None
