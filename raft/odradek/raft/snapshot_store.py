"""Snapshots of all groups of a node, one file each.

Decides the file format, and that the newest two of a group are kept. Invariants: a file under its final name
is complete and durable (written under another name, synced, renamed, directory synced); a file whose checksum
does not fit is passed over. Names: `<group>-<index>-<term>.snap`. Layout: header, CRC of the header, the machine's
data, the configuration in force at the index.
"""

import struct
from collections.abc import Callable
from functools import partial
from typing import Final

from google_crc32c import value as crc32c

from odradek.storage.disk import Disk, DiskFullError, File

from .core.membership import decode_configuration, encode_configuration
from .core.types import SnapshotMeta
from .syncer import Syncer

_MAGIC: Final = b"ODRASNP2"
_HEADER: Final = struct.Struct("<8siQQQIII")
_CRC: Final = struct.Struct("<I")
_HEADER_SIZE: Final = _HEADER.size + _CRC.size
_SUFFIX: Final = ".snap"
KEPT: Final = 2


class SnapshotStore:
    """All calls on the loop's thread; only syncs happen elsewhere."""

    def __init__(self, disk: Disk, path: str, syncer: Syncer) -> None:
        self._disk = disk
        self._path = path
        self._syncer = syncer
        # (index, term) of each group's files, oldest first.
        self._files: dict[int, list[tuple[int, int]]] = {}

    def open(self) -> None:
        """Look what is there; drop half-written files. Raises DiskError."""
        self._disk.makedirs(self._path)
        for name in self._disk.listdir(self._path):
            if name.endswith(_SUFFIX):
                group_id, index, term = name[: -len(_SUFFIX)].split("-")
                self._files.setdefault(int(group_id), []).append((int(index), int(term)))
            else:
                self._disk.remove(f"{self._path}/{name}")
        for files in self._files.values():
            files.sort()

    def load(self, group_id: int) -> tuple[SnapshotMeta, bytes] | None:
        """The newest intact snapshot of a group; None when there is none. Raises DiskError."""
        files = self._files.get(group_id, [])
        while files:
            index, term = files[-1]
            content = self._disk.read(self._name(group_id, index, term))
            found = _decode(content, group_id, index, term)
            if found is not None:
                return found
            # Why removed: it must not count as one of the kept ones, nor be sent to anyone.
            self._disk.remove(self._name(group_id, index, term))
            files.pop()
        return None

    def save(self, group_id: int, meta: SnapshotMeta, data: bytes, done: Callable[[], None]) -> None:
        """Store a snapshot; `done` follows when it is durable. Raises DiskError; after a DiskFullError nothing
        is left of it.
        """
        assert meta.size == len(data), (meta, len(data))
        name = self._name(group_id, meta.index, meta.term)
        configuration = encode_configuration(meta.configuration)
        header = _HEADER.pack(
            _MAGIC,
            group_id,
            meta.index,
            meta.term,
            len(data),
            crc32c(data),
            len(configuration),
            crc32c(configuration),
        )
        self._disk.remove(f"{name}.tmp")
        file = self._disk.open(f"{name}.tmp", create=True)
        try:
            file.append([header, _CRC.pack(crc32c(header)), data, configuration])
        except DiskFullError:
            file.close()
            self._disk.remove(f"{name}.tmp")
            raise
        self._syncer.submit(file.sync, partial(self._on_written, file, group_id, meta.index, meta.term, done))

    def _on_written(self, file: File, group_id: int, index: int, term: int, done: Callable[[], None]) -> None:
        name = self._name(group_id, index, term)
        file.close()
        self._disk.rename(f"{name}.tmp", name)
        self._syncer.submit(self._sync_dir, partial(self._on_stored, group_id, index, term, done))

    def _on_stored(self, group_id: int, index: int, term: int, done: Callable[[], None]) -> None:
        files = self._files.setdefault(group_id, [])
        if (index, term) not in files:
            files.append((index, term))
            files.sort()
        while len(files) > KEPT:
            self._disk.remove(self._name(group_id, *files.pop(0)))
        done()

    def read(self, group_id: int, index: int, term: int, offset: int, length: int) -> bytes | None:
        """`length` bytes of a stored snapshot's data, which holds that many; None when it is not kept any more.
        Raises DiskError."""
        if (index, term) not in self._files.get(group_id, ()):
            return None
        file = self._disk.open(self._name(group_id, index, term))
        try:
            return file.pread(_HEADER_SIZE + offset, length)
        finally:
            file.close()

    def _name(self, group_id: int, index: int, term: int) -> str:
        return f"{self._path}/{group_id}-{index:020d}-{term}{_SUFFIX}"

    def _sync_dir(self) -> None:
        self._disk.sync_dir(self._path)


def _decode(content: bytes, group_id: int, index: int, term: int) -> tuple[SnapshotMeta, bytes] | None:
    if len(content) < _HEADER_SIZE:
        return None
    header = content[: _HEADER.size]
    if _CRC.unpack_from(content, _HEADER.size)[0] != crc32c(header):
        return None
    *key, size, data_crc, configuration_size, configuration_crc = _HEADER.unpack(header)
    data, configuration = content[_HEADER_SIZE : _HEADER_SIZE + size], content[_HEADER_SIZE + size :]
    if key != [_MAGIC, group_id, index, term] or len(configuration) != configuration_size:
        return None
    if (crc32c(data), crc32c(configuration)) != (data_crc, configuration_crc):
        return None
    return SnapshotMeta(index, term, size, decode_configuration(configuration)), data
