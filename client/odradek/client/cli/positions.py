"""The argument -o/--offset: where to begin in a partition. Pure: the clock is an argument.

start, end       the ends of the partition (also: earliest/beginning, latest)
47               this offset
+10, -10         so many records behind the start, or before the end
@TIME            the first record at or after: ms or s since 1970, 2026-01-31, 2026-01-31T08:00:00Z, or -1h ago
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from odradek.client.cli.quantities import parse_duration_ms

ALLOWED: Final = "start, end, an offset N, +N from the start, -N before the end, or @TIME"

_START: Final = ("start", "earliest", "beginning", "oldest")
_END: Final = ("end", "latest", "newest")
#: Numbers below are seconds since 1970: as milliseconds they would be in January 1970 to April 1971.
_FIRST_MILLISECONDS: Final = 40_000_000_000


class Place(NamedTuple):
    """A place in a partition. `value` is the offset, the time in ms since 1970, or a distance in records."""

    kind: Literal["start", "end", "offset", "timestamp"]
    value: int = 0

    @property
    def needs_edges(self) -> bool:
        """It is a distance from an end of the partition, which has to be looked up first."""
        return self.kind in ("start", "end") and self.value > 0


def parse_place(text: str, now_ms: int) -> Place:
    """Raises ValueError with a sentence that names what is allowed."""
    if text.lower() in _START:
        return Place("start")
    if text.lower() in _END:
        return Place("end")
    if text.startswith("@"):
        return Place("timestamp", parse_time_ms(text[1:], now_ms))
    if text[1:].isdecimal() and text[0] in "+-":
        return Place("start" if text[0] == "+" else "end", int(text[1:]))
    if text.isdecimal():
        return Place("offset", int(text))
    raise ValueError(f"{text!r} is no place to begin: write {ALLOWED}")


def parse_time_ms(text: str, now_ms: int) -> int:
    """Milliseconds since 1970-01-01 UTC. A time without a zone is UTC."""
    if text.isdecimal():
        number = int(text)
        return number if number >= _FIRST_MILLISECONDS else number * 1000
    if text.startswith("-"):
        return now_ms - parse_duration_ms(text[1:])
    from datetime import UTC, datetime

    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f"{text!r} is no time: write ms or s since 1970, 2026-01-31, 2026-01-31T08:00:00Z, or -1h for an hour ago"
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)


def offset_between(place: Place, earliest: int, latest: int) -> int:
    """The offset of a distance, within what the partition holds."""
    assert place.kind in ("start", "end"), place
    if place.kind == "start":
        return min(earliest + place.value, latest)
    return max(latest - place.value, earliest)
