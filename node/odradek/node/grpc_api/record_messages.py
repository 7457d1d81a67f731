"""Records between the messages of `odradek.v1` and the values of the application layer. Everything per record of the
simple level is here: plain loops, because this is what its speed is made of.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from odradek.node.grpc_api.refusal import invalid, refused
from odradek.proto.kafka.errors import ErrorCode
from odradek.proto.kafka.records import Record
from odradek.v1 import record_pb2

NOW_MS = -1


def records_of(messages: Iterable[record_pb2.Record]) -> tuple[list[Record], list[int] | None]:
    """Records, and beside them the partition that each asks for (-1: none); None if none of them does.

    Raises RefusalError for numbers that cannot be right: below 0 they mean something else from here on.
    """
    records: list[Record] = []
    partitions: list[int] | None = None
    for message in messages:
        has = message.HasField
        headers = message.headers
        timestamp = NOW_MS
        if has("timestamp_ms"):
            timestamp = message.timestamp_ms
            if timestamp < 0:
                raise refused(
                    ErrorCode.INVALID_TIMESTAMP,
                    f"record {len(records)}: timestamp_ms {timestamp}; ms since 1970 are not negative",
                )
        records.append(
            Record(
                0,
                timestamp,
                message.key if has("key") else None,
                message.value if has("value") else None,
                [(one.key, one.value if one.HasField("value") else None) for one in headers]
                if headers
                else (),
            )
        )
        if has("partition"):
            if message.partition < 0:
                raise invalid(f"record {len(records) - 1}: partition {message.partition} does not exist")
            if partitions is None:
                partitions = [-1] * (len(records) - 1)
            partitions.append(message.partition)
        elif partitions is not None:
            partitions.append(-1)
    return records, partitions


def add_consumed(messages: object, records: Sequence[Record]) -> None:
    """Append records to a repeated field of ConsumedRecord."""
    add = messages.add  # type: ignore[attr-defined]
    for offset, timestamp, key, value, headers in records:
        message = add(offset=offset, timestamp_ms=timestamp)
        if key is not None:
            message.key = key
        if value is not None:
            message.value = value
        for name, content in headers:
            header = message.headers.add(key=printable(name))
            if content is not None:
                header.value = content


def printable(key: str) -> str:
    """A header's key as a string of protobuf, which has no room for bytes that are not UTF-8."""
    if key.isascii():
        return key
    return key.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
