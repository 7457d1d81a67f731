"""Whose directory it is: `meta.properties` in every data directory, and the lock against a second process.

Decides: what makes a directory ours, when an empty one is initialised, and the sentence with which another
one is refused. Nothing is written before every directory has been looked at, so a refused start changes
nothing.

`meta.properties` has version 1 of Kafka's format: version, cluster.id, node.id, directory.id. A directory
formatted by Kafka's own tool is refused: its metadata is in Kafka's metadata log, which is not read here.
A last line, a comment to whoever does not know it, is the CRC of those before: a turned bit in an id makes
another valid id, and a node that believes it belongs to no cluster.
Source: Kafka's MetaProperties and StorageTool (KIP-858), tried."""

from __future__ import annotations

import base64
import os
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from odradek.node.config.properties import format_properties, parse_properties
from odradek.storage.config_types import ConfigError
from odradek.storage.disk import (
    Disk,
    DiskError,
    DiskLockedError,
    DiskSyncError,
    Lock,
    MissingFileError,
    replace_file,
)

META_PROPERTIES: Final = "meta.properties"
_CRC_LINE: Final = b"#odradek.crc32="
LOCK_FILE: Final = ".lock"
_KAFKA_TRACES: Final = ("bootstrap.checkpoint", "__cluster_metadata-0")
_UUID_BYTES: Final = 16


class Identity(NamedTuple):
    """The directories of a node: the cluster they belong to, and the id (16 raw bytes) of each.

    `cluster_id` is empty while the node does not know yet which cluster it will be part of. `failed`: directories that
    could not be read, with the reason; the node can live without them.
    """

    cluster_id: str
    directory_ids: Mapping[str, bytes]
    failed: Mapping[str, str]


class _Meta(NamedTuple):
    """One meta.properties. `cluster_id` is empty until the node has heard it from the cluster."""

    cluster_id: str
    node_id: str
    directory_id: str | None


def random_uuid(random_bytes: Callable[[int], bytes] = os.urandom) -> bytes:
    """16 random bytes (a version 4 UUID) that Kafka's tools accept: their text does not begin with a dash."""
    while True:
        value = bytearray(random_bytes(_UUID_BYTES))
        value[6] = value[6] & 0x0F | 0x40
        value[8] = value[8] & 0x3F | 0x80
        if not format_uuid(bytes(value)).startswith("-"):
            return bytes(value)


def format_uuid(value: bytes) -> str:
    """The text of a UUID as Kafka writes it: 22 characters of URL-safe base64."""
    return base64.urlsafe_b64encode(value).decode("ascii").rstrip("=")


def parse_uuid(text: str) -> bytes:
    """The 16 bytes of a UUID's text. Raises ValueError."""
    try:
        value = base64.b64decode(text + "==", altchars=b"-_", validate=True)
    except ValueError as error:
        raise ValueError(f"{text} is not a UUID: {error}") from None
    if len(value) != _UUID_BYTES or format_uuid(value) != text:
        raise ValueError(f"{text} is not a UUID of 22 base64 characters")
    return value


def lock_directories(disk: Disk, directories: Sequence[str]) -> list[Lock]:
    """Take the directories for this process, making them if they are missing.

    A directory that cannot be written is skipped: `identify` reports it. Raises `ConfigError` if another
    process has one of them; then none is taken."""
    locks: list[Lock] = []
    for directory in dict.fromkeys(directories):
        try:
            _make_durably(disk, directory)
            locks.append(disk.lock(f"{directory}/{LOCK_FILE}"))
        except DiskLockedError:
            for lock in locks:
                lock.release()
            raise ConfigError(f"the directory {directory} is in use by another process") from None
        except DiskError:
            continue
    return locks


def _make_durably(disk: Disk, directory: str) -> None:
    """Make a directory such that no power cut takes it away again, with all that is synced in it by then."""
    made: list[str] = []
    path = directory
    while path and not disk.exists(path):
        made.append(path)
        path = path.rpartition("/")[0]
    disk.makedirs(directory)
    for path in reversed(made):
        try:
            disk.sync_dir(path.rpartition("/")[0] or ("/" if path.startswith("/") else "."))
        except DiskSyncError:
            raise
        except DiskError:
            continue  # a parent that may not be opened cannot be synced either


def claim_directories(
    disk: Disk,
    directories: Sequence[str],
    *,
    node_id: int,
    cluster_id: str | None = None,
    is_founder: bool = True,
    random_bytes: Callable[[int], bytes] = os.urandom,
) -> Identity:
    """Lock, `identify`, and let go again: for a caller whose logs take the locks themselves.

    Whoever gets in between finds the directories initialised, and one of the two is refused when it locks
    them."""
    locks = lock_directories(disk, directories)
    try:
        return identify(
            disk,
            directories,
            node_id=node_id,
            cluster_id=cluster_id,
            is_founder=is_founder,
            new_uuid=lambda: random_uuid(random_bytes),
        )
    finally:
        for lock in locks:
            lock.release()


def identify(
    disk: Disk,
    directories: Sequence[str],
    *,
    node_id: int,
    cluster_id: str | None = None,
    is_founder: bool = True,
    new_uuid: Callable[[], bytes] = random_uuid,
) -> Identity:
    """Check that the directories belong to this node, and initialise the empty ones.

    `cluster_id` is what the configuration asks for, None if it does not say; then a founder makes one, and others
    leave it open until `join_cluster`. The first directory holds the
    metadata and must be readable. The caller holds the locks. Raises `ConfigError`."""
    if cluster_id is not None:
        _check_cluster_id(cluster_id)
    found: dict[str, _Meta] = {}
    empty: list[str] = []
    failed: dict[str, str] = {}
    for directory in dict.fromkeys(directories):
        try:
            meta = _look_at(disk, directory)
        except DiskError as error:
            failed[directory] = error.reason
            continue
        if meta is None:
            empty.append(directory)
        else:
            found[directory] = meta
            if is_founder and not meta.cluster_id:
                raise ConfigError(f"{directory}/{META_PROPERTIES} has no cluster.id")
    if directories[0] in failed:
        raise ConfigError(f"the directory {directories[0]} cannot be used: {failed[directories[0]]}")
    _check_together(found, node_id, cluster_id)
    known = next((meta.cluster_id for meta in found.values() if meta.cluster_id), cluster_id)
    cluster = known or (format_uuid(new_uuid()) if is_founder else "")
    ids = {directory: meta.directory_id for directory, meta in found.items()}
    unnamed = [directory for directory, meta in found.items() if meta.cluster_id != cluster]
    for directory in dict.fromkeys(
        [*empty, *(one for one, known_id in ids.items() if known_id is None), *unnamed]
    ):
        ids[directory] = ids.get(directory) or format_uuid(new_uuid())
        try:
            _write(disk, directory, _Meta(cluster, str(node_id), ids[directory]))
        except DiskError as error:
            raise ConfigError(f"the directory {directory} cannot be initialised: {error.reason}") from error
    return Identity(cluster, {directory: parse_uuid(text) for directory, text in ids.items() if text}, failed)


def join_cluster(disk: Disk, identity: Identity, node_id: int, cluster_id: str) -> None:
    """Note in the directories to which cluster the node belongs from now on. Raises `ConfigError`."""
    for directory, directory_id in identity.directory_ids.items():
        try:
            _write(disk, directory, _Meta(cluster_id, str(node_id), format_uuid(directory_id)))
        except DiskError as error:
            raise ConfigError(f"the directory {directory} cannot be initialised: {error.reason}") from error


def _look_at(disk: Disk, directory: str) -> _Meta | None:
    """The identity in a directory, None if it is empty. Raises `ConfigError` for one that is neither."""
    names = disk.listdir(directory)
    if any(trace in names for trace in _KAFKA_TRACES):
        raise ConfigError(
            f"the directory {directory} was formatted by Apache Kafka, whose metadata log Odradek does not"
            " read;"
            " give Odradek a directory of its own"
        )
    try:
        text = _checked(directory, disk.read(f"{directory}/{META_PROPERTIES}")).decode("utf-8")
    except MissingFileError:
        others = [
            name
            for name in names
            if not name.startswith(".") and name not in ("lost+found", "meta.properties.tmp")
        ]
        if others:
            raise ConfigError(
                f"the directory {directory} is not empty ({min(others)}) but has no {META_PROPERTIES}; it"
                " is not a"
                " directory of an Odradek node"
            ) from None
        return None
    except UnicodeDecodeError:
        raise ConfigError(f"{directory}/{META_PROPERTIES} is not text") from None
    return _read_meta(directory, parse_properties(text))


def _checked(directory: str, data: bytes) -> bytes:
    """The same bytes. Raises `ConfigError` when they are not those that were written; without a checksum all are."""
    told, mark, crc = data.rpartition(_CRC_LINE)
    if mark and crc.strip() != _crc_of(told):
        raise ConfigError(
            f"{directory}/{META_PROPERTIES} is not what was written (its checksum is {_crc_of(told).decode()}):"
            " restore it, or give the node an empty directory if other nodes have its data; whoever has changed"
            f" it on purpose takes the line {_CRC_LINE.decode()}... out"
        )
    return data


def _crc_of(data: bytes) -> bytes:
    return b"%08x" % zlib.crc32(data)


def _read_meta(directory: str, properties: Mapping[str, str]) -> _Meta:
    where = f"{directory}/{META_PROPERTIES}"
    if properties.get("version") != "1":
        raise ConfigError(
            f"{where} has version {properties.get('version', 'none')}; only version 1 can be used"
        )
    if not properties.get("node.id"):
        raise ConfigError(f"{where} has no node.id")
    directory_id = properties.get("directory.id")
    if directory_id:
        try:
            parse_uuid(directory_id)
        except ValueError:
            raise ConfigError(f"{where} has a directory.id that is not a UUID: {directory_id}") from None
    return _Meta(properties.get("cluster.id", ""), properties["node.id"], directory_id or None)


def _check_cluster_id(cluster_id: str) -> None:
    try:
        parse_uuid(cluster_id)
    except ValueError:
        raise ConfigError(
            f"the cluster id {cluster_id} is not valid: expected a UUID of 22 characters of URL-safe base64"
        ) from None


def _check_together(found: Mapping[str, _Meta], node_id: int, cluster_id: str | None) -> None:
    first: tuple[str, _Meta] | None = None
    ids: dict[str, str] = {}
    for directory, meta in found.items():
        if meta.node_id != str(node_id):
            raise ConfigError(
                f"the directory {directory} belongs to node {meta.node_id} of cluster {meta.cluster_id},"
                " but this is"
                f" node {node_id}"
            )
        if cluster_id is not None and meta.cluster_id not in ("", cluster_id):
            raise ConfigError(
                f"the directory {directory} belongs to cluster {meta.cluster_id}, but this node is"
                " configured for"
                f" cluster {cluster_id}"
            )
        if first is not None and meta.cluster_id and meta.cluster_id != first[1].cluster_id:
            raise ConfigError(
                f"the directory {directory} belongs to cluster {meta.cluster_id}, but {first[0]} to cluster"
                f" {first[1].cluster_id}"
            )
        if first is None and meta.cluster_id:
            first = (directory, meta)
        if meta.directory_id is not None and meta.directory_id in ids:
            other = ids[meta.directory_id]
            raise ConfigError(
                f"the directories {other} and {directory} have the same directory.id {meta.directory_id};"
                " one is a copy"
            )
        if meta.directory_id is not None:
            ids[meta.directory_id] = directory


def _write(disk: Disk, directory: str, meta: _Meta) -> None:
    properties = {"version": "1", "cluster.id": meta.cluster_id, "node.id": meta.node_id}
    if not meta.cluster_id:
        del properties["cluster.id"]
    if meta.directory_id is not None:
        properties["directory.id"] = meta.directory_id
    data = format_properties(properties).encode("ascii")
    replace_file(disk, f"{directory}/{META_PROPERTIES}", data + _CRC_LINE + _crc_of(data) + b"\n")
