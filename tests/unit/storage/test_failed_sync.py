from __future__ import annotations

from odradek.storage.failed_sync import is_warned, leave_warning, lift_warning
from odradek.storage.memory_disk import MemoryDisk


def test_a_warning_lasts_until_it_is_lifted() -> None:
    disk = MemoryDisk()
    disk.makedirs("d")
    assert not is_warned(disk, "d")
    leave_warning(disk, "d")
    assert is_warned(disk, "d")
    lift_warning(disk, "d")
    assert not is_warned(disk, "d")


def test_a_power_cut_takes_the_warning_with_what_it_warns_of() -> None:
    disk = MemoryDisk()
    disk.makedirs("d")
    disk.sync_dir(".")
    leave_warning(disk, "d")
    disk.crash()
    assert not is_warned(disk, "d")


def test_a_disk_that_takes_nothing_is_not_an_error_more() -> None:
    disk = MemoryDisk()
    disk.makedirs("d")
    disk.fail_call(1)
    leave_warning(disk, "d")
    assert not is_warned(disk, "d")
