"""Reading the logs of stopped nodes: every replica's folder, in Kafka's own segment format.

Decides: what is a batch and where a log ends. Does not decide: whether replicas agree (`checkers.replicas`). The folder
may have been written by Odradek or by Apache Kafka. Nothing is repaired: bytes that are no batch end the reading, as
they would end a log that is recovered, and are told as a flaw.

A log has a torn tail when the bytes after the last whole batch of its last segment are no whole batch with a right
checksum. That is what a power cut leaves; whoever stopped in order (`.kafka_cleanshutdown` beside the folder) must not
have one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from hashlib import blake2b
from pathlib import Path
from typing import Final

from odradek.jepsen.checkers.replicas import Batch, Flaw, Replica
from odradek.jepsen.payload import Corrupt, decode
from odradek.proto.kafka.record_batch import (
    HEADER_SIZE,
    MAGIC,
    MIN_BATCH_LENGTH,
    BatchHeader,
    InvalidBatchError,
    compute_crc,
    iter_records,
    parse_header,
)
from odradek.proto.kafka.records import Header

CLEAN_SHUTDOWN: Final = ".kafka_cleanshutdown"
LOG_STARTS: Final = "log-start-offset-checkpoint"

#: The integer of a record: its key, value, headers and the "topic/partition" where it lies. Raises payload.Corrupt.
Decode = Callable[[bytes | None, bytes | None, Iterable[Header], str], int]


def folder_of(key: str) -> str:
    """The name of the folder of a "topic/partition"."""
    topic, _, partition = key.rpartition("/")
    return f"{topic}-{partition}"


def key_of(folder: str) -> str:
    """The "topic/partition" of a folder's name."""
    topic, _, partition = folder.rpartition("-")
    return f"{topic}/{partition}"


def read_node(data: Path, keys: Iterable[str], decode: Decode | None = decode) -> dict[str, Replica]:
    """The replicas of `keys` in a log directory; a key without a folder has none here."""
    return {key: read_replica(folder, decode) for key in keys if (folder := data / folder_of(key)).is_dir()}


def read_replica(folder: Path, decode: Decode | None = decode) -> Replica:
    """One log, named "topic-partition". `decode` None: the records are not looked into, only the batches."""
    segments = sorted(
        (path for path in folder.glob("*.log") if path.stem.isdecimal()), key=lambda path: int(path.stem)
    )
    first = int(segments[0].stem) if segments else 0
    start = max(first, _log_start(folder))
    replica = Replica(log_start=start, clean=(folder.parent / CLEAN_SHUTDOWN).exists(), end=start)
    for segment in segments:
        content = segment.read_bytes()
        expected = replica.end if len(replica) else first
        stopped = _read_segment(replica, key_of(folder.name), content, expected, decode)
        if stopped is not None:
            position, why = stopped
            replica.flaws.append(
                Flaw(
                    "torn" if segment is segments[-1] else "corrupt",
                    replica.end,
                    f"{len(content) - position} bytes at {position} of {segment.name} are no batch: {why}",
                )
            )
            break
    return replica


def _log_start(folder: Path) -> int:
    """What the checkpoint beside the folder says; 0 when it says nothing."""
    try:
        lines = (folder.parent / LOG_STARTS).read_text(encoding="utf-8").splitlines()
    except (FileNotFoundError, UnicodeDecodeError):
        return 0
    for line in lines[2:]:
        topic, _, rest = line.partition(" ")
        partition, _, offset = rest.partition(" ")
        if f"{topic}-{partition}" == folder.name and offset.strip().isdecimal():
            return int(offset)
    return 0


def _read_segment(
    replica: Replica, key: str, content: bytes, expected: int, decode: Decode | None
) -> tuple[int, str] | None:
    """Add the batches of one file; where and why the reading stopped, or None at its end."""
    position = 0
    while position < len(content):
        header, why = _whole_batch(content, position)
        if header is None:
            return position, why
        _note_place(replica, header, expected)
        digest = blake2b(memoryview(content)[position : position + header.size], digest_size=8).digest()
        replica.add(
            Batch(
                header.base_offset,
                header.last_offset,
                header.partition_leader_epoch,
                header.producer_id,
                header.producer_epoch,
                header.base_sequence,
                header.crc,
                int.from_bytes(digest, "big"),
            )
        )
        if decode is not None and not header.is_control:
            _read_records(replica, key, content, position, decode)
        expected = header.last_offset + 1
        position += header.size
    return None


def _whole_batch(content: bytes, position: int) -> tuple[BatchHeader | None, str]:
    left = len(content) - position
    if left < HEADER_SIZE:
        return None, f"a header has {HEADER_SIZE}"
    header = parse_header(content, position)
    if header.magic != MAGIC or header.batch_length < MIN_BATCH_LENGTH or header.last_offset_delta < 0:
        return None, f"magic {header.magic}, length {header.batch_length}"
    if header.size > left:
        return None, f"the batch at offset {header.base_offset} has {header.size}"
    if (crc := compute_crc(content, position, header.size)) != header.crc:
        return (
            None,
            f"the checksum of the batch at offset {header.base_offset} is {crc:#x} and not {header.crc:#x}",
        )
    return header, ""


def _note_place(replica: Replica, header: BatchHeader, expected: int) -> None:
    """A batch that does not follow the one before it."""
    if header.base_offset > expected:
        replica.flaws.append(
            Flaw("gap", expected, f"offsets {expected} to {header.base_offset - 1} are missing")
        )
    elif header.base_offset < expected and len(replica):
        replica.flaws.append(
            Flaw(
                "order",
                header.base_offset,
                f"a batch at offset {header.base_offset} lies after {expected - 1}",
            )
        )


def _read_records(replica: Replica, key: str, content: bytes, position: int, decode: Decode) -> None:
    try:
        records = iter_records(content, position)
    except InvalidBatchError as error:
        replica.flaws.append(Flaw("record", parse_header(content, position).base_offset, str(error)))
        return
    for record in records:
        try:
            value = decode(record.key, record.value, record.headers, key)
        except Corrupt as error:
            replica.flaws.append(
                Flaw("record", record.offset, f"the record at offset {record.offset}: {error}")
            )
        else:
            replica.offsets.append(record.offset)
            replica.values.append(value)
