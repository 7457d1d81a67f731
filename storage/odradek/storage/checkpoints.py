"""Small text files beside the logs, as Kafka writes them: their names and formats.

Decides: the format of offset checkpoints (one offset per partition) and of `partition.metadata`; the leader
epoch checkpoint is `leader_epoch_cache`'s. All of them are replaced whole and atomically. A damaged one
reads as None: each can be rebuilt from the logs, or be done without.

    offset checkpoints         partition.metadata
    0                          version: 0
    2                          topic_id: 8E0gGX5jTDu6kfAjRLjBdQ
    topic-a 0 1234
    topic-b 7 88

Source: Kafka's CheckpointFile, OffsetCheckpointFile, PartitionMetadataFile.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Final

from odradek.storage.disk import Disk, MissingFileError, replace_file

RECOVERY_POINTS: Final = "recovery-point-offset-checkpoint"
LOG_START_OFFSETS: Final = "log-start-offset-checkpoint"
HIGH_WATERMARKS: Final = "replication-offset-checkpoint"
LEADER_EPOCHS: Final = "leader-epoch-checkpoint"
PARTITION_METADATA: Final = "partition.metadata"
CLEAN_SHUTDOWN: Final = ".kafka_cleanshutdown"
_VERSION: Final = "0"


def _lines(text: str) -> list[str] | None:
    """The entries of a checkpoint file, None if its frame is wrong."""
    lines = text.split("\n")
    if len(lines) < 2 or lines[0].strip() != _VERSION or not lines[1].strip().isdecimal():
        return None
    entries = [line for line in lines[2:] if line.strip()]
    return entries if len(entries) == int(lines[1]) else None


def _file(lines: list[str]) -> bytes:
    return "\n".join([_VERSION, str(len(lines)), *lines, ""]).encode()


def encode_offsets(offsets: Mapping[str, int]) -> bytes:
    """File content for offsets by partition name (`topic-3`)."""
    return _file(
        [f"{name[: name.rindex('-')]} {name[name.rindex('-') + 1 :]} {offsets[name]}" for name in offsets]
    )


def decode_offsets(data: bytes) -> dict[str, int] | None:
    """Offsets by partition name, or None if the file is damaged."""
    lines = _lines(data.decode("utf-8", "replace"))
    if lines is None:
        return None
    offsets: dict[str, int] = {}
    try:
        for line in lines:
            topic, partition, offset = line.split()
            offsets[f"{topic}-{int(partition)}"] = int(offset)
    except ValueError:
        return None
    return offsets


def encode_partition_metadata(topic_id: bytes) -> bytes:
    """File content for the 16 bytes of a topic id."""
    text = base64.urlsafe_b64encode(topic_id).decode().rstrip("=")
    return f"version: 0\ntopic_id: {text}\n".encode()


def decode_partition_metadata(data: bytes) -> bytes | None:
    """The topic id, or None if the file is damaged."""
    fields: dict[str, str] = {}
    for line in data.decode("utf-8", "replace").splitlines():
        name, _, value = line.partition(":")
        fields[name.strip()] = value.strip()
    try:
        topic_id = base64.urlsafe_b64decode(fields.get("topic_id", "") + "==")
    except (binascii.Error, ValueError):
        return None
    return topic_id if len(topic_id) == 16 and fields.get("version") == "0" else None


def read_offsets(disk: Disk, path: str) -> dict[str, int]:
    """Offsets of a checkpoint file; none if it is missing or damaged. Raises DiskError."""
    try:
        return decode_offsets(disk.read(path)) or {}
    except MissingFileError:
        return {}


def write_offsets(disk: Disk, path: str, offsets: Mapping[str, int]) -> None:
    """Replace a checkpoint file, durably. Raises DiskError."""
    replace_file(disk, path, encode_offsets(offsets))
