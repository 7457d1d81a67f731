"""What a topic holds, read beside every door: for a test that asks whether its records have arrived.

Decides: all partitions one after the other, each from its first record to its end at the time. Compressed batches are
opened; what compaction or retention has taken is not there; markers of transactions are no records.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from odradek.client.errors import from_reason
from odradek.client.records import ConsumerRecord
from odradek.node.app.consume.reading import take
from odradek.proto.kafka.api import ApiKey, request_class
from odradek.proto.kafka.errors import ErrorCode
from odradek.proto.kafka.schema import Message

Ask = Callable[[ApiKey, Message, int], Awaitable[Any]]
"""What the node answers to a request, in a version of it."""
_EARLIEST: Final = -2
_LATEST: Final = -1
_FETCH_BYTES: Final = 8 * 1024 * 1024
_ALL: Final = 1 << 62


async def stored_records(ask: Ask, topic: str) -> list[ConsumerRecord]:
    """Every record of a topic. Raises UnknownTopicError."""
    metadata: Any = request_class(ApiKey.METADATA)
    asked = metadata(topics=[metadata.MetadataRequestTopic(name=topic)], allow_auto_topic_creation=False)
    (found,) = (await ask(ApiKey.METADATA, asked, 12)).topics
    _check(found.error_code)
    partitions = sorted(one.partition_index for one in found.partitions)
    records: list[ConsumerRecord] = []
    for partition in partitions:
        position = await _offset(ask, topic, partition, _EARLIEST)
        end = await _offset(ask, topic, partition, _LATEST)
        while position < end:
            batches = await _fetch(ask, topic, partition, position)
            taken, position = take(batches, position, _ALL)
            records += [
                ConsumerRecord(
                    topic, partition, one.offset, one.timestamp, one.key, one.value, tuple(one.headers)
                )
                for one in taken
            ]
            if not batches:
                break
    return records


async def _offset(ask: Ask, topic: str, partition: int, which: int) -> int:
    lookup: Any = request_class(ApiKey.LIST_OFFSETS)
    part = lookup.ListOffsetsPartition(partition_index=partition, timestamp=which)
    request = lookup(replica_id=-1, topics=[lookup.ListOffsetsTopic(name=topic, partitions=[part])])
    answer = (await ask(ApiKey.LIST_OFFSETS, request, 6)).topics[0].partitions[0]
    _check(answer.error_code)
    return int(answer.offset)


async def _fetch(ask: Ask, topic: str, partition: int, position: int) -> bytes:
    fetch: Any = request_class(ApiKey.FETCH)
    part = fetch.FetchPartition(partition=partition, fetch_offset=position, partition_max_bytes=_FETCH_BYTES)
    request = fetch(max_bytes=_FETCH_BYTES, topics=[fetch.FetchTopic(topic=topic, partitions=[part])])
    answer = (await ask(ApiKey.FETCH, request, 11)).responses[0].partitions[0]
    _check(answer.error_code)
    return bytes(answer.records or b"")


def _check(code: int) -> None:
    error = ErrorCode(code)
    if error is not ErrorCode.NONE:
        raise from_reason(error.name)
