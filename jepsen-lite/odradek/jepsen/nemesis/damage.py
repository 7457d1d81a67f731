"""How stored bytes go bad: turned bits, a sector of zeros, a file cut short, a chunk as it was before.

Decides: which kinds of files there are in a data folder, which of them is hit, where, and what is found there
afterwards. Does not decide: when, nor what becomes of the node (`corruption`).
Source: reliability.md 7.3 N8; "Redundancy Does Not Imply Fault Tolerance" (Ganesan and others, FAST 2017).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path, PurePath
from random import Random
from typing import NamedTuple

SECTOR = 512
PAGE = 4096

BIT_FLIP, ZERO_SECTOR, TRUNCATE, STALE_CHUNK = "bit-flip", "zero-sector", "truncate", "stale-chunk"
DAMAGES = (BIT_FLIP, ZERO_SECTOR, TRUNCATE, STALE_CHUNK)

#: The kinds of files. `checkpoint` are the small texts beside the logs, `meta` says who the node is and how it voted.
PARTS = ("log", "index", "epochs", "producers", "checkpoint", "raft-log", "raft-snapshot", "meta")

_BY_SUFFIX: Mapping[str, str] = {
    ".log": "log",
    ".index": "index",
    ".timeindex": "index",
    ".txnindex": "index",
    ".snapshot": "producers",
    ".wal": "raft-log",
    ".snap": "raft-snapshot",
    ".metadata": "checkpoint",
    ".properties": "meta",
}
_BY_NAME: Mapping[str, str] = {
    "leader-epoch-checkpoint": "epochs",
    "recovery-point-offset-checkpoint": "checkpoint",
    "log-start-offset-checkpoint": "checkpoint",
    "replication-offset-checkpoint": "checkpoint",
    "quorum-state": "meta",
}
#: In the folder of the metadata log, which is Apache Kafka's Raft log.
_OF_METADATA: Mapping[str, str] = {".log": "raft-log", ".checkpoint": "raft-snapshot"}


class Damage(NamedTuple):
    """One place of one file. `place` and `size` are in bytes; bits that were turned are told by their bytes."""

    how: str
    place: int
    size: int
    content: bytes


def part_of(path: PurePath) -> str | None:
    """Which kind of file it is, by its path in the data folder; None for locks and other files without content."""
    folder = path.parts[0] if len(path.parts) > 1 else ""
    if folder.startswith("__cluster_metadata") and path.suffix in _OF_METADATA:
        return _OF_METADATA[path.suffix]
    return _BY_NAME.get(path.name) or _BY_SUFFIX.get(path.suffix)


def candidates(data: Path, parts: Collection[str] = PARTS) -> dict[str, list[Path]]:
    """The files of a data folder that hold something, by kind, in the order of their names."""
    found: dict[str, list[Path]] = {}
    for path in sorted(data.rglob("*")):
        part = part_of(path.relative_to(data))
        if part is not None and part in parts and path.is_file() and path.stat().st_size:
            found.setdefault(part, []).append(path)
    return found


def drawn(random: Random, files: Mapping[str, Sequence[Path]], most: int) -> list[Path]:
    """One to `most` files of one kind; every kind is as likely as every other."""
    if not files:
        return []
    of_kind = files[random.choice(sorted(files))]
    return random.sample(of_kind, random.randint(1, min(most, len(of_kind))))


def damage(random: Random, how: str, content: bytes, before: bytes | None = None) -> Damage:
    """What becomes of a file with that content, which is not empty; `before` is what it held some time ago.

    The content may stay as it was: then zeros were zeros already, or nothing had changed.
    """
    if how == BIT_FLIP:
        return _bits(random, content)
    if how == TRUNCATE:
        # The size that is lost has a distribution of 1/size: mostly a few bytes, sometimes nearly all.
        lost = min(len(content), int((len(content) + 1) ** random.random()))
        return Damage(how, len(content) - lost, lost, content[: len(content) - lost])
    if how == ZERO_SECTOR:
        place = random.randrange(0, len(content), SECTOR)
        size = min(SECTOR, len(content) - place)
        return Damage(how, place, size, _with(content, place, bytes(size)))
    assert how == STALE_CHUNK, how
    return _stale(random, content, before)


def _bits(random: Random, content: bytes) -> Damage:
    """One to three bits within 64 bytes: what a worn cell or a bad cable does."""
    start = random.randrange(len(content))
    turned = bytearray(content)
    places = set()
    for _ in range(random.randint(1, 3)):
        place = random.randrange(start, min(start + 64, len(content)))
        turned[place] ^= 1 << random.randrange(8)
        places.add(place)
    if turned == content:  # the same bit twice
        turned[start] ^= 1
        places.add(start)
    return Damage(BIT_FLIP, min(places), max(places) - min(places) + 1, bytes(turned))


def _stale(random: Random, content: bytes, before: bytes | None) -> Damage:
    """A page as it was before, a lost write; without one, a sector from elsewhere in the file, a misdirected one."""
    if before is not None and before != content:
        if max(len(before), len(content)) <= PAGE and not content.startswith(before):
            return Damage(STALE_CHUNK, 0, len(content), before)
        places = [
            place for place in range(0, len(content), PAGE) if _page(content, place) != _page(before, place)
        ]
        if places:
            place = random.choice(places)
            old = _page(before, place).ljust(len(_page(content, place)), b"\0")[: len(content) - place]
            return Damage(STALE_CHUNK, place, len(old), _with(content, place, old))
    source, place = (random.randrange(0, len(content), SECTOR) for _ in range(2))
    chunk = content[source : source + SECTOR][: len(content) - place]
    return Damage("misdirected-chunk", place, len(chunk), _with(content, place, chunk))


def _page(content: bytes, place: int) -> bytes:
    return content[place : place + PAGE]


def _with(content: bytes, place: int, chunk: bytes) -> bytes:
    return content[:place] + chunk + content[place + len(chunk) :]
