"""Frames of the write-ahead log: what one write of one group looks like on disk.

Decides the layout and the checks. A file is a sequence of frames, each aligned to 8 bytes:
    header: magic, payload length, batch, durable batch, last index, group, kind, bytes of this batch that
    follow,
            CRC-32C of the payload, CRC-32C of the header up to here
    payload, then zeros up to the alignment
A *batch* is everything that one append to the file wrote; batches are numbered without gaps. `durable` is the
newest batch known to be synced when the frame was written: a bad frame of a batch that a later frame calls
durable is corruption, any other bad frame is a write that a crash cut short. The header has its own CRC so
that the damage in a payload can be laid at the door of one group.
"""

import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

from google_crc32c import value as crc32c

from .core.types import Entry, HardState

MAGIC: Final = 0x4C574F44
SEGMENT: Final = 1
HARD_STATE: Final = 2
ENTRIES: Final = 3

ALIGNMENT: Final = 8
HEADER: Final = struct.Struct("<IIQQQiIQI")
_HEADER_CRC: Final = struct.Struct("<I")
HEADER_SIZE: Final = HEADER.size + _HEADER_CRC.size
PAYLOAD_BYTES_MAX: Final = 1 << 30

_SEGMENT: Final = struct.Struct("<8sqQ")
_SEGMENT_MAGIC: Final = b"ODRAWAL1"
_HARD_STATE: Final = struct.Struct("<QqQQB")
_ENTRIES: Final = struct.Struct("<QQQQHHI")
_PADDING: Final = tuple(bytes(count) for count in range(ALIGNMENT))
assert HEADER_SIZE % ALIGNMENT == 0


class WalFormatError(Exception):
    """The file is not a log of this node."""


class Frame(NamedTuple):
    """A frame whose header is intact. `payload` is None when its CRC does not fit."""

    batch: int
    durable: int
    last_index: int
    group_id: int
    kind: int
    remaining: int
    payload: bytes | None
    end: int
    """Position after the frame."""


class HardStateRecord(NamedTuple):
    state: HardState
    last_index: int
    """Where the group's log ended when this was written."""


class EntriesRecord(NamedTuple):
    """Entries from `first_index`; they replace everything that was there before."""

    first_index: int
    prev_term: int
    term: int
    commit: int
    entries: list[Entry]


class Part(NamedTuple):
    """A frame without the fields that only the batch knows."""

    group_id: int
    kind: int
    last_index: int
    payload: bytes


def segment_part(node_id: int, number: int) -> Part:
    return Part(0, SEGMENT, 0, _SEGMENT.pack(_SEGMENT_MAGIC, node_id, number))


def check_segment(payload: bytes, node_id: int, number: int) -> None:
    """Raises WalFormatError for a file of another format, node, or place in the sequence."""
    magic, owner, found = _SEGMENT.unpack(payload)
    if magic != _SEGMENT_MAGIC:
        raise WalFormatError(f"the write-ahead log has an unknown format {magic!r}")
    if owner != node_id:
        raise WalFormatError(f"the write-ahead log belongs to node {owner}, this is node {node_id}")
    if found != number:
        raise WalFormatError(f"segment {number} of the write-ahead log says that it is segment {found}")


def hard_state_part(group_id: int, state: HardState, last_index: int) -> Part:
    payload = _HARD_STATE.pack(state.term, state.vote, state.commit, last_index, state.damaged)
    return Part(group_id, HARD_STATE, last_index, payload)


def decode_hard_state(payload: bytes) -> HardStateRecord:
    term, vote, commit, last_index, damaged = _HARD_STATE.unpack(payload)
    return HardStateRecord(HardState(term, vote, commit, bool(damaged)), last_index)


def entries_parts(
    group_id: int, first_index: int, prev_term: int, entries: Sequence[Entry], commit: int
) -> list[Part]:
    """One part per run of entries with the same term and kind; nearly always one."""
    parts: list[Part] = []
    start = 0
    while start < len(entries):
        term, kind = entries[start].term, entries[start].kind
        end = start + 1
        while end < len(entries) and entries[end].term == term and entries[end].kind == kind:
            end += 1
        run = [entry.data for entry in entries[start:end]]
        # Why the minimum: a crash between two parts must not leave a commit index beyond the entries.
        noted = min(commit, first_index + end - 1)
        head = _ENTRIES.pack(first_index + start, prev_term, term, noted, kind, 0, len(run))
        lengths = struct.pack(f"<{len(run)}I", *map(len, run))
        parts.append(Part(group_id, ENTRIES, first_index + end - 1, b"".join([head, lengths, *run])))
        start, prev_term = end, term
    return parts


def decode_entries(payload: bytes) -> EntriesRecord:
    first_index, prev_term, term, commit, kind, _, count = _ENTRIES.unpack_from(payload)
    position = _ENTRIES.size + 4 * count
    if count == 1:
        return EntriesRecord(first_index, prev_term, term, commit, [Entry(term, kind, payload[position:])])
    entries = []
    for length in struct.unpack_from(f"<{count}I", payload, _ENTRIES.size):
        end = position + length
        entries.append(Entry(term, kind, payload[position:end]))
        position = end
    return EntriesRecord(first_index, prev_term, term, commit, entries)


def encode_batch(parts: Sequence[Part], batch: int, durable: int) -> list[bytes]:
    """The buffers of one append."""
    remaining = sum(HEADER_SIZE + _padded(len(part.payload)) for part in parts)
    buffers: list[bytes] = []
    for part in parts:
        payload = part.payload
        size = len(payload)
        remaining -= HEADER_SIZE + _padded(size)
        header = HEADER.pack(
            MAGIC,
            size,
            batch,
            durable,
            part.last_index,
            part.group_id,
            part.kind,
            remaining,
            crc32c(payload),
        )
        buffers += (header, _HEADER_CRC.pack(crc32c(header)), payload)
        if size % ALIGNMENT:
            buffers.append(_PADDING[-size % ALIGNMENT])
    return buffers


def _padded(size: int) -> int:
    return size + -size % ALIGNMENT


def decode_frame(data: bytes, position: int) -> Frame | None:
    """The frame at `position`, or None where there is none (end of file, garbage, or a payload cut off)."""
    body = position + HEADER_SIZE
    if body > len(data):
        return None
    magic, size, batch, durable, last_index, group_id, kind, remaining, payload_crc = HEADER.unpack_from(
        data, position
    )
    if magic != MAGIC or crc32c(data[position : body - 4]) != _HEADER_CRC.unpack_from(data, body - 4)[0]:
        return None
    end = body + _padded(size)
    if size > PAYLOAD_BYTES_MAX or end > len(data):
        return None
    payload: bytes | None = data[body : body + size]
    if crc32c(payload) != payload_crc:
        payload = None
    return Frame(batch, durable, last_index, group_id, kind, remaining, payload, end)


def find_frame(data: bytes, position: int) -> int | None:
    """Position of the first intact header after `position`; it finds the way back after garbage."""
    magic = MAGIC.to_bytes(4, "little")
    while (position := data.find(magic, position + 1)) >= 0:
        if position % ALIGNMENT == 0 and decode_frame(data, position) is not None:
            return position
    return None
