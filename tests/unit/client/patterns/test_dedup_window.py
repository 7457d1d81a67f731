from __future__ import annotations

import pytest

from odradek.client.patterns.dedup_window import DedupWindow


def test_what_was_seen_is_known_for_a_while() -> None:
    window = DedupWindow(max_age_ms=100)
    window.add(b"a", 1_000)
    assert window.contains(b"a", 1_099)
    assert not window.contains(b"a", 1_100)
    assert not window.contains(b"b", 1_000)


def test_the_oldest_leave_when_there_are_too_many() -> None:
    window = DedupWindow(max_count=2)
    for number, key in enumerate((b"a", b"b", b"c")):
        window.add(key, number)
    assert [window.contains(key, 3) for key in (b"a", b"b", b"c")] == [False, True, True]
    assert len(window) == 2


def test_what_is_too_old_takes_no_room() -> None:
    window = DedupWindow(max_age_ms=100)
    window.add(b"a", 0)
    window.add(b"b", 50)
    window.add(b"c", 120)
    assert len(window) == 2


def test_what_is_seen_again_is_young_again() -> None:
    window = DedupWindow(max_count=2)
    for key in (b"a", b"b", b"a", b"c"):
        window.add(key, 0)
    assert [window.contains(key, 0) for key in (b"a", b"b", b"c")] == [True, False, True]


def test_keys_from_a_log_have_their_own_time() -> None:
    window = DedupWindow(max_age_ms=100)
    window.add(b"old", 1_000, now_ms=2_000)
    assert len(window) == 0
    window.add(b"young", 1_950, now_ms=2_000)
    assert window.contains(b"young", 2_000)


@pytest.mark.parametrize("bounds", [(0, 1), (1, 0)])
def test_a_window_without_room_is_refused(bounds: tuple[int, int]) -> None:
    with pytest.raises(ValueError):
        DedupWindow(*bounds)
