"""Headers as fields with text in them: numbers are decimal digits, text is UTF-8, as Kafka Connect writes them."""

from __future__ import annotations

from collections.abc import Iterable

from odradek.client.records import Header, Headers


def text_of(headers: Headers, name: str) -> str | None:
    """The text of the last header of that name. None: there is none, or one without a value."""
    for found, value in reversed(headers):
        if found == name:
            return None if value is None else value.decode(errors="replace")
    return None


def number_of(headers: Headers, name: str) -> int | None:
    """The number in a header; None also for what is no number."""
    text = text_of(headers, name)
    try:
        return None if text is None else int(text)
    except ValueError:
        return None


def field(name: str, value: str | int) -> Header:
    return (name, str(value).encode())


def without(headers: Headers, names: Iterable[str]) -> tuple[Header, ...]:
    """The headers that have none of these names."""
    dropped = frozenset(names)
    return tuple(header for header in headers if header[0] not in dropped)
