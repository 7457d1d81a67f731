"""A warning to the next process: what this one wrote may be in the page cache alone.

After a failed sync the page cache may hold bytes that the disk does not, marked clean: a process that starts on the
same machine would read them, sync them with success, and lose them at the next power cut. So a failed sync leaves an
empty file, in the page cache as well: a power cut takes the doubt away together with its reason. Where it is found,
everything that counts is written once more before it is synced.

Source: "Can Applications Recover from fsync Failures?" (Rebello and others, USENIX ATC 2020).
"""

from __future__ import annotations

import logging
from typing import Final

from odradek.storage.disk import Disk, DiskError

logger = logging.getLogger(__name__)

FAILED_SYNC: Final = ".odradek-failed-sync"


def leave_warning(disk: Disk, directory: str) -> None:
    """A sync in the directory failed. Raises nothing: there is nothing left to be done about it."""
    try:
        disk.open(f"{directory}/{FAILED_SYNC}", create=True).close()
    except DiskError:
        # Then the disk takes nothing at all, and a start on it will not get far either.
        logger.warning("%s: the failed sync could not be noted", directory)


def is_warned(disk: Disk, directory: str) -> bool:
    """Whether the last process left a warning. Raises DiskError."""
    return disk.exists(f"{directory}/{FAILED_SYNC}")


def lift_warning(disk: Disk, directory: str) -> None:
    """All that counts was written and synced again; the caller syncs the directory. Raises DiskError."""
    disk.remove(f"{directory}/{FAILED_SYNC}")
