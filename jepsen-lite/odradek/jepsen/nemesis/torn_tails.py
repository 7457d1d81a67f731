"""What of the unsynced bytes survives a power cut: any legal part of them.

Decides: for each file, which of the bytes that the kernel had and the disk had not are found on the disk afterwards.
Does not decide: when power is cut (`power`).
Invariants: bytes that were the same in both are never touched, so nothing that was synced is harmed; a page of 4 KiB
that was overwritten in place is the old one or the new one; a file that was replaced by another of its name stays the
old one, for a rename is never half done; names come back whole or not at all.

    what happened to the file      what may be found
    it grew                        what was on disk, and of the rest: nothing; its first bytes; some of its pages, the
                                   others zero; all zero; all of it with one to three bits turned
    overwritten, of the same size  every page the old one or the new one
    it is new                      nothing; or as one that grew from nothing
    anything else                  what was synced

Source: reliability.md 4.2; "All File Systems Are Not Created Equal" (Pillai and others, OSDI 2014).
"""

from __future__ import annotations

import fcntl
import os
import shutil
import struct
from collections.abc import Callable, Hashable, Iterator
from pathlib import Path
from random import Random
from typing import NamedTuple

PAGE = 4096
_GENERATION = 0x80087601  # FS_IOC_GETVERSION
HOWS = ("nothing", "prefix", "pages", "zeros", "bits")

#: What makes a file of the live file system and one of the copy the same file.
Identity = Callable[[Path, Path], Hashable]


class TornFile(NamedTuple):
    """`lost` bytes were not on the disk; `restored` of them (true, zero or turned) are there now."""

    path: str
    how: str
    lost: int
    restored: int


def inode(root: Path, path: Path) -> Hashable:
    """Number and generation: a number is given again when a file is gone, with another generation."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        number = os.fstat(descriptor).st_ino
        return number, struct.unpack("=q", fcntl.ioctl(descriptor, _GENERATION, bytes(8)))[0]
    finally:
        os.close(descriptor)


def tear(random: Random, live: Path, kept: Path, identity: Identity = inode) -> list[TornFile]:
    """Restore to the folder `kept`, what the disk has, a part of what only `live`, what the kernel has, holds.

    Returns the files for which they differ. Raises OSError.
    """
    disk = {identity(kept, path): path for path in _files(kept)}
    names_survive = random.random() < 0.5
    torn = []
    for path in _files(live):
        old = disk.get(identity(live, path))
        name = path.relative_to(live)
        if old is None:
            torn.append(_appear(random, path, kept / name, str(name)) if names_survive else _gone(path, name))
            continue
        found, there = old.read_bytes(), path.read_bytes()
        if found == there:
            continue
        how, content, lost, restored = torn_content(random, found, there)
        if content != found:
            _overwrite(old, found, content)
        torn.append(TornFile(str(old.relative_to(kept)), how, lost, restored))
    return torn


def torn_content(random: Random, kept: bytes, live: bytes) -> tuple[str, bytes, int, int]:
    """(how, content, bytes lost, bytes restored) of a file that the disk and the kernel have differently."""
    whole = _common(kept, live)
    if len(live) > len(kept) and not any(kept[whole:]):
        # The size of a file can reach the disk before the bytes do that end its last block: those are zeros then.
        how, content = torn_growth(random, kept[:whole], live)
        content = content.ljust(len(kept), b"\0")
        return how, content, len(live) - whole, len(content) - whole
    if len(live) == len(kept):
        pages = [place for place in range(0, len(live), PAGE) if _page(live, place) != _page(kept, place)]
        mixed = bytearray(kept)
        new = [place for place in pages if random.random() < 0.5]
        for place in new:
            mixed[place : place + PAGE] = _page(live, place)
        return "in place", bytes(mixed), len(pages) * PAGE, len(new) * PAGE
    return "left", kept, max(0, len(live) - len(kept)), 0


def torn_growth(random: Random, kept: bytes, live: bytes) -> tuple[str, bytes]:
    """(how, content) of a file that grew from `kept` to `live`. The content begins with `kept`."""
    start, end = len(kept), len(live)
    how = random.choice(HOWS)
    if how == "nothing":
        return how, kept
    if how == "prefix":
        return how, live[: random.randint(start, end)]
    if how == "zeros":
        return how, kept + bytes(random.randint(1, end - start))
    content = bytearray(live)
    if how == "bits":
        for _ in range(random.randint(1, 3)):
            content[random.randrange(start, end)] ^= 1 << random.randrange(8)
        return how, bytes(content)
    for place in range(start - start % PAGE, end, PAGE):
        if random.random() < 0.5:
            hole = slice(max(start, place), min(end, place + PAGE))
            content[hole] = bytes(hole.stop - hole.start)
    return how, bytes(content)


def _common(one: bytes, other: bytes) -> int:
    """How many first bytes are the same in both."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one[low:middle] == other[low:middle] else (low, middle - 1)
    return low


def _page(content: bytes, place: int) -> bytes:
    return content[place : place + PAGE]


def _files(root: Path) -> Iterator[Path]:
    """Regular files, in an order that does not depend on the file system."""
    for folder, folders, names in os.walk(root):
        folders.sort()
        for name in sorted(names):
            path = Path(folder, name)
            if path.is_file() and not path.is_symlink():
                yield path


def _gone(path: Path, name: Path) -> TornFile:
    return TornFile(str(name), "no name", path.stat().st_size, 0)


def _appear(random: Random, live: Path, target: Path, name: str) -> TornFile:
    """A file whose name reached the disk, and whose bytes did in part; none where another file has the name."""
    content = live.read_bytes()
    if target.exists() or not _has_room(target):
        return TornFile(name, "left", len(content), 0)
    how, part = torn_growth(random, b"", content) if content else ("nothing", b"")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(part)
    shutil.copymode(live, target)
    return TornFile(name, f"new: {how}", len(content), len(part))


def _has_room(target: Path) -> bool:
    """Whether the way to it consists of folders."""
    return all(parent.is_dir() or not parent.exists() for parent in target.parents)


def _overwrite(path: Path, found: bytes, content: bytes) -> None:
    """In place, and only what is different: the file keeps its blocks and its inode."""
    with path.open("r+b", buffering=0) as file:
        for place in range(0, len(content), PAGE):
            page = content[place : place + PAGE]
            if page != found[place : place + PAGE]:
                file.seek(place)
                file.write(page)
