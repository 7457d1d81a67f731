"""What consumers of a classic group tell each other: subscriptions and assignments, as all Kafka clients write them.

Version 0 of both is written, which every client reads; of other versions the part that all share is read. Pure.
Source: ConsumerProtocolSubscription.json, ConsumerProtocolAssignment.json; see also `subscription`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence

_SHORT = struct.Struct(">h")
_INT = struct.Struct(">i")
_HEAD = struct.Struct(">hi")
_NO_USER_DATA = _INT.pack(-1)

Assignment = Mapping[str, Sequence[int]]
"""Partition numbers by topic."""


class MalformedAssignmentError(ValueError):
    """The bytes are no assignment."""


def encode_subscription(topics: Iterable[str]) -> bytes:
    names = sorted(set(topics))
    return b"".join([_HEAD.pack(0, len(names)), *map(_string, names), _NO_USER_DATA])


def encode_assignment(assignment: Assignment) -> bytes:
    out = [_HEAD.pack(0, len(assignment))]
    for topic, partitions in sorted(assignment.items()):
        out.append(_string(topic))
        out.append(struct.pack(f">i{len(partitions)}i", len(partitions), *partitions))
    out.append(_NO_USER_DATA)
    return b"".join(out)


def decode_assignment(data: bytes) -> dict[str, list[int]]:
    """Partition numbers by topic; none at all for empty bytes. Raises MalformedAssignmentError."""
    if not data:
        return {}
    try:
        _, count = _HEAD.unpack_from(data, 0)
        position = _HEAD.size
        assignment: dict[str, list[int]] = {}
        for _ in range(count):
            (length,) = _SHORT.unpack_from(data, position)
            position += _SHORT.size
            if length < 0 or position + length > len(data):
                raise MalformedAssignmentError(f"a topic of {length} bytes at {position}")
            topic = str(data[position : position + length], "utf-8")
            position += length
            (number,) = _INT.unpack_from(data, position)
            position += _INT.size
            if not 0 <= number <= (len(data) - position) // _INT.size:
                raise MalformedAssignmentError(f"{number} partitions at {position}")
            partitions = struct.unpack_from(f">{number}i", data, position)
            position += number * _INT.size
            assignment.setdefault(topic, []).extend(partitions)
        return assignment
    except (struct.error, UnicodeDecodeError) as error:
        raise MalformedAssignmentError(str(error)) from None


def _string(text: str) -> bytes:
    data = text.encode()
    return _SHORT.pack(len(data)) + data
