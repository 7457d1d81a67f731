"""Durations and sizes as people write them: `90s`, `1h30m`, `64KiB`, `10MB`. Pure; wrong ones raise ValueError with a
sentence that names what is allowed."""

from __future__ import annotations

import re
from typing import Final

_DURATION_MS: Final = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_DURATION_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)")
_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*)", re.IGNORECASE)
_SIZE_UNITS: Final = {
    "": 1,
    "b": 1,
    **{f"{letter}ib": 1024 ** (power + 1) for power, letter in enumerate("kmgt")},
    **{letter: 1024 ** (power + 1) for power, letter in enumerate("kmgt")},
    **{f"{letter}b": 1000 ** (power + 1) for power, letter in enumerate("kmgt")},
}


def parse_duration_ms(text: str) -> int:
    """Milliseconds of `250ms`, `90s`, `1h30m`, `7d`; a bare number is milliseconds."""
    if text.isdecimal():
        return int(text)
    parts = _DURATION_PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(
            f"{text!r} is no duration: write a number with ms, s, m, h, d or w, such as 90s or 1h30m"
        )
    total: float = sum(float(number) * _DURATION_MS[unit] for number, unit in parts)
    return round(total)


def parse_size_bytes(text: str) -> int:
    """Bytes of `512`, `64KiB`, `64k` (the same) or `10MB` (decimal)."""
    found = _SIZE.fullmatch(text.strip())
    if found is None or found[2].lower() not in _SIZE_UNITS:
        raise ValueError(f"{text!r} is no size: write a number with B, KiB, MiB, GiB, TiB or kB, MB, GB, TB")
    size: float = float(found[1]) * _SIZE_UNITS[found[2].lower()]
    return round(size)


def format_size(size_bytes: float) -> str:
    """`1.5 MiB`: three digits or so."""
    if size_bytes < 1024:
        return f"{size_bytes:.0f} B"
    for unit in ("KiB", "MiB", "GiB"):
        size_bytes /= 1024
        if size_bytes < 1024:
            return f"{size_bytes:.1f} {unit}"
    return f"{size_bytes / 1024:.1f} TiB"


def format_duration_ms(duration_ms: float) -> str:
    """`850 ms`, `3.2 s`, `4 min`, `2 h`."""
    if duration_ms < 1000:
        return f"{duration_ms:.0f} ms"
    if duration_ms < 120_000:
        return f"{duration_ms / 1000:.1f} s"
    if duration_ms < 7_200_000:
        return f"{duration_ms / 60_000:.0f} min"
    return f"{duration_ms / 3_600_000:.0f} h"
