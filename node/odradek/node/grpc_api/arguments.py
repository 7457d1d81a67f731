"""Fields of requests that several services check in the same way. Pure; raises RefusalError (INVALID_ARGUMENT)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sized
from typing import Final

from odradek.node.app.consume.values import Pattern
from odradek.node.grpc_api.refusal import invalid

PATTERN_LENGTH_MAX: Final = 1000
PATTERN_BYTES_MAX: Final = 1 << 20
"""Of memory for a compiled pattern."""


def required(value: str, field: str) -> str:
    if not value:
        raise invalid(f"{field} is empty: it has to name something", field=field)
    return value


def some(values: Sized, field: str) -> None:
    if not values:
        raise invalid(f"{field} is empty: it has to have one element at least", field=field)


def chosen(value: int, names: Mapping[str, int], field: str) -> None:
    """`value` is one of those that `names`, the items of an enum, allow."""
    if value not in names.values():
        raise invalid(f"{field} {value} does not exist: allowed are {', '.join(names)}", field=field)


def pattern_of(text: str, field: str) -> Pattern | None:
    """The regular expression, None for no text. RE2's, whose time is linear: no pattern holds up the event loop."""
    if not text:
        return None
    if len(text) > PATTERN_LENGTH_MAX:
        raise invalid(
            f"{field} has {len(text)} characters: {PATTERN_LENGTH_MAX} are allowed at most", field=field
        )
    import re2  # here, because few requests have a pattern

    options = re2.Options()
    options.log_errors = False
    options.max_mem = PATTERN_BYTES_MAX
    try:
        pattern: Pattern = re2.compile(text, options)
    except re2.error as error:
        raise invalid(
            f"{field} is no regular expression of RE2's syntax: {_reason(error)}", field=field
        ) from None
    return pattern


def _reason(error: Exception) -> str:
    reason = error.args[0] if error.args else error
    return reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)


def distinct(partitions: Iterable[tuple[str, int]], field: str) -> list[tuple[str, int]]:
    """The (topic, partition) pairs, none of which may be there twice."""
    seen: dict[tuple[str, int], None] = {}
    for topic, partition in partitions:
        required(topic, f"topic of {field}")
        if (topic, partition) in seen:
            raise invalid(f"{field} has partition {partition} of topic '{topic}' more than once", field=field)
        seen[topic, partition] = None
    return list(seen)
