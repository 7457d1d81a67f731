"""The headers of a record that failed: where it came from, and why it is here. Pure.

Names and values follow those of Kafka Connect (`__connect.errors.topic`): decimal digits or UTF-8 text.

    __odradek.errors.topic, .partition, .offset, .timestamp   the record that failed, as it was first read
    __odradek.errors.group                                    whose work it was
    __odradek.errors.exception.class.name, .exception.message
    __odradek.errors.attempts                                 how often it was tried
    __odradek.errors.due                                      in a retry topic: not to be tried before, ms since 1970
    __odradek.errors.redrives                                 how often it was sent back from the dead letters
"""

from __future__ import annotations

from typing import Final

from odradek.client.patterns.header_fields import field, number_of, text_of, without
from odradek.client.records import ConsumerRecord, Header

_PREFIX: Final = "__odradek.errors."
TOPIC: Final = _PREFIX + "topic"
PARTITION: Final = _PREFIX + "partition"
OFFSET: Final = _PREFIX + "offset"
TIMESTAMP: Final = _PREFIX + "timestamp"
GROUP: Final = _PREFIX + "group"
EXCEPTION_CLASS: Final = _PREFIX + "exception.class.name"
EXCEPTION_MESSAGE: Final = _PREFIX + "exception.message"
ATTEMPTS: Final = _PREFIX + "attempts"
DUE: Final = _PREFIX + "due"
REDRIVES: Final = _PREFIX + "redrives"

_OF_FAILURE: Final = (
    *(TOPIC, PARTITION, OFFSET, TIMESTAMP, GROUP),
    *(EXCEPTION_CLASS, EXCEPTION_MESSAGE, ATTEMPTS, DUE),
)
_MESSAGE_CHARACTERS_MAX: Final = 2_000


def dead_letter_topic(topic: str) -> str:
    return f"{topic}.dlq"


def retry_topic(topic: str, group_id: str) -> str:
    """Of one group: others that read the same topic have no part in its failures."""
    return f"{topic}.{group_id}.retry"


def attempts_of(record: ConsumerRecord) -> int:
    """How often a record was tried before; 0 for one that never failed."""
    return number_of(record.headers, ATTEMPTS) or 0


def failed_headers(
    record: ConsumerRecord, group_id: str, attempts: int, error: BaseException, due_ms: int | None = None
) -> tuple[Header, ...]:
    """The headers of `record`, as it was first read, and what is to be known of its failure."""
    kind = type(error)
    headers = [
        *without(record.headers, _OF_FAILURE),
        field(TOPIC, record.topic),
        field(PARTITION, record.partition),
        field(OFFSET, record.offset),
        field(TIMESTAMP, record.timestamp_ms),
        field(GROUP, group_id),
        field(EXCEPTION_CLASS, kind.__qualname__ if kind.__module__ == "builtins" else _full_name(kind)),
        field(EXCEPTION_MESSAGE, str(error)[:_MESSAGE_CHARACTERS_MAX]),
        field(ATTEMPTS, attempts),
    ]
    if due_ms is not None:
        headers.append(field(DUE, due_ms))
    return tuple(headers)


def as_first_read(record: ConsumerRecord) -> ConsumerRecord:
    """A record out of a retry topic, with the place and time that it had at first, and its attempts.

    A record without the headers, which somebody else wrote there, stays as it is.
    """
    headers = record.headers
    topic, partition = text_of(headers, TOPIC), number_of(headers, PARTITION)
    offset, timestamp_ms = number_of(headers, OFFSET), number_of(headers, TIMESTAMP)
    if topic is None or partition is None or offset is None or timestamp_ms is None:
        return record
    kept = (*without(headers, _OF_FAILURE), field(ATTEMPTS, attempts_of(record)))
    return ConsumerRecord(topic, partition, offset, timestamp_ms, record.key, record.value, kept)


def redriven_headers(record: ConsumerRecord) -> tuple[Header, ...]:
    """Of a dead letter that is sent back: as if it were new, except for the number of its redrives."""
    redrives = (number_of(record.headers, REDRIVES) or 0) + 1
    return (*without(record.headers, (*_OF_FAILURE, REDRIVES)), field(REDRIVES, redrives))


def _full_name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"
