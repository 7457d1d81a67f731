"""Bytes keep their order and their number, whatever their pace; what does nothing costs nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odradek.jepsen.proxy.behaviour import Pace
from odradek.jepsen.proxy.pace import RETRANSMISSION_TIMEOUT_MS, Delivery, Pacer

_PACES = st.builds(
    Pace,
    delay_ms=st.floats(0, 100),
    jitter_ms=st.floats(0, 100),
    stall=st.floats(0, 1),
    stall_ms=st.floats(0, 500),
    loss=st.floats(0, 0.9),
    bytes_per_s=st.sampled_from([0, 10, 1000, 1_000_000]),
    dribble_bytes=st.integers(0, 50),
    dribble_ms=st.floats(0, 10),
)


def _pacer(pace: Pace, seed: int = 1) -> tuple[Pacer, Counter[str]]:
    counts: Counter[str] = Counter()
    return Pacer(pace, Random(seed), counts), counts


def _bytes(deliveries: Sequence[Delivery]) -> bytes:
    return b"".join(one.data for one in deliveries if one.kind == "deliver")


@given(
    _PACES, st.lists(st.tuples(st.binary(max_size=200), st.floats(0, 50)), max_size=10), st.integers(0, 99)
)
def test_nothing_is_lost_or_overtaken(pace: Pace, offers: list[tuple[bytes, float]], seed: int) -> None:
    pacer, _ = _pacer(pace, seed)
    now, deliveries = 1000.0, list[Delivery]()
    for data, later in offers:
        now += later
        new = pacer.offer(data, now)
        assert all(one.at_ms >= now for one in new)
        deliveries += new
    assert _bytes(deliveries) == b"".join(data for data, _ in offers)
    times = [one.at_ms for one in deliveries]
    assert times == sorted(times)


def test_the_same_seed_decides_the_same() -> None:
    pace = Pace(delay_ms=20, jitter_ms=20, loss=0.2, stall=0.3, stall_ms=100)
    runs = []
    for _ in range(2):
        pacer, _ = _pacer(pace, 7)
        runs.append([pacer.offer(b"x" * 3000, now) for now in range(0, 1000, 10)])
    assert runs[0] == runs[1]


def test_what_does_nothing_passes_at_once_but_behind_what_is_under_way() -> None:
    pacer, _ = _pacer(Pace(delay_ms=50))
    assert pacer.offer(b"a", 0.0)[0].at_ms == 50.0
    pacer.change(Pace())
    assert pacer.is_idle
    assert pacer.offer(b"b", 10.0)[0].at_ms == 50.0
    assert pacer.offer(b"c", 60.0)[0].at_ms == 60.0


def test_delay_and_jitter() -> None:
    pacer, _ = _pacer(Pace(delay_ms=50, jitter_ms=10))
    late = [pacer.offer(b"a", now)[0].at_ms - now for now in range(0, 100_000, 1000)]
    assert min(late) < 45 < 55 < max(late)
    assert all(40 <= one <= 60 for one in late)


def test_the_rate_of_a_link() -> None:
    pacer, _ = _pacer(Pace(bytes_per_s=1000))
    assert pacer.offer(b"x" * 500, 0.0)[-1].at_ms == pytest.approx(500.0)
    assert pacer.offer(b"x" * 500, 100.0)[-1].at_ms == pytest.approx(1000.0)  # the link was busy
    assert pacer.offer(b"x" * 500, 5000.0)[-1].at_ms == pytest.approx(5500.0)
    assert len(pacer.offer(b"x" * 500, 9000.0)) > 1  # and not all at the end


def test_bytes_that_dribble() -> None:
    pacer, _ = _pacer(Pace(dribble_bytes=2, dribble_ms=5))
    assert pacer.offer(b"abcde", 0.0) == [
        Delivery(0.0, "deliver", b"ab"),
        Delivery(5.0, "deliver", b"cd"),
        Delivery(10.0, "deliver", b"e"),
    ]


def test_a_lost_segment_costs_a_timeout_and_the_next_twice_as_much() -> None:
    pacer, counts = _pacer(Pace(loss=0.3))
    late = sorted({round(pacer.offer(b"x", now)[0].at_ms - now) for now in range(0, 10**7, 10**5)})
    unit = round(RETRANSMISSION_TIMEOUT_MS)
    assert late[:3] == [0, unit, 3 * unit]
    assert counts["lost_segments"] > 20


def test_a_segment_with_others_behind_it_is_repeated_sooner() -> None:
    pacer, _ = _pacer(Pace(loss=0.01, delay_ms=4.0))
    big = b"x" * 1448 * 20
    late = sorted({round(pacer.offer(big, now)[-1].at_ms - now) for now in range(0, 10**8, 10**6)})
    assert late[:2] == [4, 12]  # a delay; a delay and a round trip


def test_a_stall() -> None:
    pacer, counts = _pacer(Pace(stall=0.5, stall_ms=1000))
    late = [pacer.offer(b"x", now)[0].at_ms - now for now in range(0, 10**6, 10**4)]
    assert counts["stalls"] == sum(1 for one in late if one > 0)
    assert 30 < counts["stalls"] < 70
    assert max(late) <= 1000


def test_a_reset_comes_in_the_middle_and_is_the_end() -> None:
    pacer, counts = _pacer(Pace(reset=1.0, delay_ms=5.0))
    first, last = pacer.offer(b"abcdefgh", 0.0)
    assert first.kind == "deliver" and b"abcdefgh".startswith(first.data) and len(first.data) < 8
    assert (last.kind, last.at_ms) == ("reset", first.at_ms)
    assert pacer.is_dead and not pacer.is_idle
    assert pacer.offer(b"more", 10.0) == []
    assert counts["resets"] == 1


def test_silence() -> None:
    pacer, counts = _pacer(Pace(swallow=True, delay_ms=5))
    assert pacer.offer(b"abc", 0.0) == []
    assert counts["swallowed_bytes"] == 3


def test_not_before() -> None:
    pacer, _ = _pacer(Pace(delay_ms=5))
    assert pacer.offer(b"a", 0.0, not_before_ms=500.0, late=True) == [Delivery(505.0, "deliver", b"a", True)]
    assert pacer.offer(b"b", 1.0) == [Delivery(505.0, "deliver", b"b")]
