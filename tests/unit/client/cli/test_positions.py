from __future__ import annotations

import pytest

from odradek.client.cli.positions import Place, offset_between, parse_place

NOW = 1_790_000_000_000


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("start", Place("start")),
        ("earliest", Place("start")),
        ("END", Place("end")),
        ("0", Place("offset", 0)),
        ("47", Place("offset", 47)),
        ("+2", Place("start", 2)),
        ("-10", Place("end", 10)),
        ("@1790000000123", Place("timestamp", 1_790_000_000_123)),
        ("@1790000000", Place("timestamp", 1_790_000_000_000)),
        ("@2026-01-31T08:00:00Z", Place("timestamp", 1_769_846_400_000)),
        ("@2026-01-31T09:00:00+01:00", Place("timestamp", 1_769_846_400_000)),
        ("@2026-01-31", Place("timestamp", 1_769_817_600_000)),
        ("@-1h30m", Place("timestamp", NOW - 5_400_000)),
    ],
)
def test_places(text: str, place: Place) -> None:
    assert parse_place(text, NOW) == place


@pytest.mark.parametrize("text", ["middle", "", "+", "-", "1.5", "--3"])
def test_no_places(text: str) -> None:
    with pytest.raises(ValueError, match="start, end, an offset N"):
        parse_place(text, NOW)


@pytest.mark.parametrize("text", ["@", "@noon", "@2026-13-01", "@-5x"])
def test_no_times(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no (time|duration)"):
        parse_place(text, NOW)


def test_distances_stay_inside() -> None:
    assert offset_between(Place("start", 2), 10, 20) == 12
    assert offset_between(Place("start", 99), 10, 20) == 20
    assert offset_between(Place("end", 3), 10, 20) == 17
    assert offset_between(Place("end", 99), 10, 20) == 10
    assert Place("end", 3).needs_edges and not Place("end").needs_edges
