"""Claims, and what is found to belong to them. What is taken away is for root: tests/jepsen/test_cluster.py."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from odradek.jepsen.db import leftovers


@pytest.fixture(autouse=True)
def claims(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "claims"
    monkeypatch.setattr(leftovers, "CLAIMS", folder)
    return folder


def test_a_claim_of_this_process_is_alive_and_known_to_others(tmp_path: Path) -> None:
    made = leftovers.claim("mine", tmp_path)
    assert made.is_alive
    assert leftovers.claims() == [made]
    assert (made.pid, made.folder) == (os.getpid(), tmp_path)


def test_a_tag_is_claimed_once_and_nothing_else_is_left_in_the_folder(tmp_path: Path, claims: Path) -> None:
    leftovers.claim("mine", tmp_path)
    with pytest.raises(leftovers.TagTaken, match=str(os.getpid())):
        leftovers.claim("mine", tmp_path)
    assert [file.name for file in claims.iterdir()] == ["mine.json"]


def test_a_claim_dies_with_its_process(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert not leftovers.Claim("a", ended.pid, 1, tmp_path).is_alive


def test_another_process_with_the_same_id_does_not_keep_a_claim_alive(tmp_path: Path) -> None:
    made = leftovers.claim("mine", tmp_path)
    assert not made._replace(started=made.started - 1).is_alive


def test_a_zombie_keeps_no_claim(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    started = leftovers._started(child.pid)
    assert started is not None
    claim = leftovers.Claim("a", child.pid, started, tmp_path)
    assert claim.is_alive
    assert child.stdin is not None
    child.stdin.close()
    os.waitid(
        os.P_PID, child.pid, os.WEXITED | os.WNOWAIT
    )  # it has ended, and nobody has asked for its status
    assert not claim.is_alive
    child.wait()


def test_files_that_are_no_claims_are_nobodys(tmp_path: Path, claims: Path) -> None:
    made = leftovers.claim("mine", tmp_path)
    (claims / "found.json").write_text(json.dumps({"other": 1}))
    (claims / "torn.json").write_text('{"tag": "to')
    assert leftovers.claims() == [made]


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupt_during_the_end_comes_after_it(ending: signal.Signals) -> None:
    done = []
    before = signal.signal(ending, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt), leftovers.uninterrupted():
            signal.raise_signal(ending)
            done.append("all")
        assert done == ["all"]
        assert signal.getsignal(ending) is signal.default_int_handler
    finally:
        signal.signal(ending, before)


def test_what_ends_by_a_signal_without_a_handler_ends_after_it() -> None:
    code = (
        "import os, signal; from odradek.jepsen.db.leftovers import uninterrupted\n"
        "with uninterrupted(): os.kill(os.getpid(), signal.SIGTERM); print('done', flush=True)\n"
        "print('on', flush=True)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (-signal.SIGTERM, "done\n")


def test_a_claim_is_released_whatever_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    released: list[leftovers.Claim] = []
    monkeypatch.setattr(leftovers, "release", released.append)
    with pytest.raises(KeyboardInterrupt), leftovers.claimed("mine", tmp_path) as made:
        raise KeyboardInterrupt
    assert released == [made]


MOUNTINFO = """\
22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
40 22 7:0 / /results/run/node1/disk rw - ext4 /dev/loop0 rw
41 22 7:1 / /results/run/node2/disk rw - ext4 /dev/loop1 rw
42 40 0:50 / /results/run/node1/disk/deeper rw - tmpfs tmpfs rw
43 22 7:2 / /results/runner/node1/disk rw - ext4 /dev/loop2 rw
44 22 7:3 / /results/with\\040space/disk rw - ext4 /dev/loop3 rw
"""


def test_mounts_are_those_below_the_folder_the_latest_first() -> None:
    assert leftovers.mounts_below(Path("/results/run"), MOUNTINFO) == [
        "/results/run/node1/disk/deeper",
        "/results/run/node2/disk",
        "/results/run/node1/disk",
    ]


def test_names_with_spaces_are_read_as_they_are() -> None:
    assert leftovers.mounts_below(Path("/results/with space"), MOUNTINFO) == ["/results/with space/disk"]


def test_no_namespace_has_no_processes() -> None:
    assert leftovers.processes_in([]) == []
    assert leftovers.processes_in(["odk-nobody-n1"]) == []
