from __future__ import annotations

import pytest

from odradek.client.cli.quantities import format_duration_ms, format_size, parse_duration_ms, parse_size_bytes


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("250", 250),
        ("250ms", 250),
        ("90s", 90_000),
        ("1.5s", 1500),
        ("1h30m", 5_400_000),
        ("7d", 604_800_000),
    ],
)
def test_durations(text: str, ms: int) -> None:
    assert parse_duration_ms(text) == ms


@pytest.mark.parametrize("text", ["", "s", "5 s", "-5s", "1h30", "5y", "1h-3m"])
def test_no_durations(text: str) -> None:
    with pytest.raises(ValueError, match="write a number with ms"):
        parse_duration_ms(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("512", 512),
        ("512B", 512),
        ("64KiB", 65_536),
        ("64k", 65_536),
        ("10MB", 10_000_000),
        ("1.5 GiB", 3 << 29),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size_bytes(text) == size


@pytest.mark.parametrize("text", ["", "KiB", "1XB", "-1", "1,5k"])
def test_no_sizes(text: str) -> None:
    with pytest.raises(ValueError, match="is no size"):
        parse_size_bytes(text)


def test_what_people_read() -> None:
    assert [format_size(n) for n in (0, 1023, 1536, 5 << 20, 3 << 40)] == [
        "0 B",
        "1023 B",
        "1.5 KiB",
        "5.0 MiB",
        "3.0 TiB",
    ]
    assert [format_duration_ms(n) for n in (5, 1500, 240_000, 7_200_000)] == ["5 ms", "1.5 s", "4 min", "2 h"]
