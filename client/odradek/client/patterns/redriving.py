"""Sends dead letters back to where they came from, once what made them fail is repaired.

When: after a fix, by hand: `odradek topic redrive emails.dlq`, or from a program.

How: the group `<dead letter topic>.redrive` remembers how far the dead letters were dealt with, so that what was sent
back is not sent again next time. Letters that were there when it began are read; those that are picked go to `to`, or
to the topic in their headers, without the headers of their failure; those that `predicate` does not pick are written
to the end of the dead letter topic again (keeping their timestamp), so that the next redrive finds them. After `limit`
letters it ends; the rest was not touched.

Guaranteed: at least once; a letter that was not sent back is still behind the place of the group.

Not guaranteed: exactly once (a redrive that dies, or two at the same time, may send a letter twice); order; that
only the group which failed gets a letter again: all readers of the topic see it, unless `to` names another one.
The letters that were dealt with stay in the topic until its retention deletes them.

    count = await redrive("localhost:50051", "emails.dlq", limit=100)
    count = await redrive(
        "localhost:50051",
        "emails.dlq",
        predicate=lambda letter: text_of(letter.headers, EXCEPTION_CLASS) == "TimeoutError",
    )
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import TypeAlias

from odradek.client.patterns.dead_letters import TOPIC, redriven_headers
from odradek.client.patterns.header_fields import text_of
from odradek.client.patterns.log_access import Log, Reader, Writer, log_of, read_to
from odradek.client.records import ConsumerRecord, RecordMetadata, TopicPartition

Predicate: TypeAlias = Callable[[ConsumerRecord], bool]


async def redrive(
    servers: str | Log,
    dead_letter_topic: str,
    *,
    to: str | None = None,
    limit: int | None = None,
    predicate: Predicate | None = None,
    group_id: str | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> int:
    """Send dead letters back; returns how many. `on_progress` hears how many it were so far.

    ValueError: a letter does not say where it came from, and there is no `to`. What was sent before is remembered.
    UnknownTopicError: no such topic of dead letters.
    """
    if limit is not None and limit < 0:
        raise ValueError(f"limit {limit} is negative")
    log = log_of(servers)
    bounds = await log.bounds(dead_letter_topic)
    ends = {tp: one.end for tp, one in bounds.items() if one.end > one.start}
    if not ends or limit == 0:
        return 0
    group = group_id or f"{dead_letter_topic}.redrive"
    count = 0
    async with (
        log.writer() as writer,
        log.reader(partitions=dict.fromkeys(ends), group_id=group, auto_commit=False) as reader,
    ):
        async for records in read_to(reader, ends):
            left = None if limit is None else limit - count
            letters = [letter for letter in records if letter.offset < ends[letter.topic_partition]]
            moved = await _move(writer, reader, _plan(letters, to, predicate, left))
            count += moved
            if on_progress is not None:
                on_progress(count)
            if count == limit:
                break
    return count


def _plan(
    letters: Iterable[ConsumerRecord], to: str | None, predicate: Predicate | None, left: int | None
) -> list[tuple[ConsumerRecord, str | None]]:
    """Letters and where they go, None for the end of the dead letters; with `left` of them going elsewhere it ends."""
    plan: list[tuple[ConsumerRecord, str | None]] = []
    for letter in letters:
        if left == 0:
            break
        target = None
        if predicate is None or predicate(letter):
            target = to or text_of(letter.headers, TOPIC)
            if target is None:
                place = f"{letter.topic}-{letter.partition} at {letter.offset}"
                raise ValueError(f"the letter in {place} does not say where it came from: say where it goes")
            left = None if left is None else left - 1
        plan.append((letter, target))
    return plan


async def _move(writer: Writer, reader: Reader, plan: Iterable[tuple[ConsumerRecord, str | None]]) -> int:
    """Write them, and remember it when all are written. How many went elsewhere."""
    promises: list[asyncio.Future[RecordMetadata]] = []
    places: dict[TopicPartition, int] = {}
    moved = 0
    for letter, target in plan:
        if target is None:
            promise = await writer.send(
                letter.topic,
                letter.value,
                letter.key,
                headers=letter.headers,
                timestamp_ms=max(letter.timestamp_ms, 0),
            )
        else:
            promise = await writer.send(target, letter.value, letter.key, headers=redriven_headers(letter))
            moved += 1
        promises.append(promise)
        places[letter.topic_partition] = letter.offset + 1
    await asyncio.gather(*promises)
    await reader.commit(places)
    return moved
