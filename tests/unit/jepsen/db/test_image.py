"""Copies keep holes, and the machine's settings come back whoever leaves last and however."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from odradek.jepsen.db import image
from odradek.jepsen.db.image import (
    QUIET,
    LoopImage,
    copy_sparse,
    holders,
    parse_progress,
    quiet_writeback,
    restore_writeback,
)

FOUND = {"dirty_writeback_centisecs": "500", "dirty_expire_centisecs": "3000"}


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    folder = tmp_path / "vm"
    folder.mkdir()
    for name, value in FOUND.items():
        (folder / name).write_text(value + "\n")
    return folder


def _values(settings: Path) -> dict[str, str]:
    return {name: (settings / name).read_text().strip() for name in FOUND}


def test_a_copy_has_the_bytes_and_the_holes(tmp_path: Path) -> None:
    source, target = tmp_path / "a", tmp_path / "b"
    with source.open("wb") as file:
        file.write(b"start")
        file.seek(5 << 20)
        file.write(b"middle" * 1000)
        file.truncate(16 << 20)
    target.write_bytes(b"x" * (20 << 20))
    copy_sparse(source, target)
    assert target.read_bytes() == source.read_bytes()
    assert target.stat().st_blocks * 512 < 1 << 20


def test_the_progress_of_a_device_is_read_from_its_statistics() -> None:
    line = "     317     0    2536       3     71      0     4512      14     2   12   18   5   0  800   0  3  0\n"
    assert parse_progress(line) == (71, 4512, 5, 2)


def test_runs_share_the_quiet_and_the_last_one_restores(tmp_path: Path, settings: Path) -> None:
    state = tmp_path / "state"
    first, second = quiet_writeback(state, settings), quiet_writeback(state, settings)
    first.__enter__()
    assert _values(settings) == QUIET
    second.__enter__()
    first.__exit__(None, None, None)
    assert _values(settings) == QUIET
    second.__exit__(None, None, None)
    assert _values(settings) == FOUND
    assert [path.name for path in state.iterdir()] == ["lock"]


def test_what_a_killed_run_left_is_restored_by_the_next(tmp_path: Path, settings: Path) -> None:
    state = tmp_path / "state"
    code = (
        "import os, sys; from pathlib import Path; from odradek.jepsen.db.image import quiet_writeback\n"
        "run = quiet_writeback(Path(sys.argv[1]), Path(sys.argv[2])); run.__enter__(); os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", code, state, settings], check=False).returncode == 9
    assert _values(settings) == QUIET
    with quiet_writeback(state, settings):
        assert _values(settings) == QUIET
    assert _values(settings) == FOUND


def test_what_a_killed_run_left_is_restored_by_a_sweep_unless_another_one_lives(
    tmp_path: Path, settings: Path
) -> None:
    state = tmp_path / "state"
    assert not restore_writeback(state, settings)
    with quiet_writeback(state, settings):
        assert not restore_writeback(state, settings)
        assert _values(settings) == QUIET
        kept = (state / "found.json").read_text()
    (state / "found.json").write_text(kept)
    for name, value in QUIET.items():
        (settings / name).write_text(value)
    assert restore_writeback(state, settings)
    assert _values(settings) == FOUND
    assert not restore_writeback(state, settings)


def test_an_interrupt_during_the_set_up_restores_what_was_found(
    tmp_path: Path, settings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = tmp_path / "state"
    quieten = image._quieten

    def interrupted(found: Path, settings: Path) -> None:
        signal.raise_signal(signal.SIGINT)
        quieten(found, settings)

    monkeypatch.setattr(image, "_quieten", interrupted)
    with pytest.raises(KeyboardInterrupt), quiet_writeback(state, settings):
        raise AssertionError("entered")
    assert _values(settings) == FOUND
    assert [path.name for path in state.iterdir()] == ["lock"]


def test_what_the_owner_set_after_a_crash_is_what_comes_back(tmp_path: Path, settings: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    (state / "found.json").write_text('{"dirty_writeback_centisecs": "1", "dirty_expire_centisecs": "2"}')
    with quiet_writeback(state, settings):
        pass
    assert _values(settings) == FOUND


def test_the_holder_of_a_file_system_is_named(tmp_path: Path) -> None:
    assert os.getpid() in holders(os.stat(sys.executable).st_dev)
    assert not holders(os.makedev(4000, 4000))


@pytest.mark.skipif(not shutil.which("mkfs.ext4"), reason="no mkfs.ext4")
def test_a_new_image_is_an_ext4_file_system_in_a_sparse_file(tmp_path: Path) -> None:
    image = LoopImage(tmp_path / "images/n1.img", tmp_path / "mounts/n1", size_mib=32)
    image.create()
    assert image.file.stat().st_size == 32 << 20
    assert image.file.stat().st_blocks * 512 < 16 << 20
    assert image.file.read_bytes()[1024 + 56 : 1024 + 58] == b"\x53\xef"  # the magic number of ext4
    assert not image.mounted
    image.unmount()  # nothing to do
    image.fail()
    copy = tmp_path / "copy"
    image.copy_to(copy)
    bytes_then = image.file.read_bytes()
    image.make_anew()
    image.replace_by(copy)
    assert image.file.read_bytes() == bytes_then
