"""However the stream is split, the same frames come out."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odradek.jepsen.proxy.frames import FRAME_BYTES_MAX, Cutter, FrameError


def _frame(body: bytes) -> bytes:
    return len(body).to_bytes(4) + body


@given(st.lists(st.binary(max_size=40), max_size=8), st.lists(st.integers(0, 400), max_size=12))
def test_frames_do_not_depend_on_how_they_arrive(bodies: list[bytes], places: list[int]) -> None:
    frames = [_frame(body) for body in bodies]
    stream = b"".join(frames)
    cuts = sorted({0, len(stream), *(place for place in places if place < len(stream))})
    cutter = Cutter()
    found: list[bytes] = []
    for start, end in pairwise(cuts):
        found += cutter.feed(stream[start:end])
    assert found == frames
    assert cutter.rest == 0


def test_what_is_left_of_a_frame_can_be_taken() -> None:
    cutter = Cutter()
    assert cutter.feed(_frame(b"one") + b"\0\0\0\x09tw") == [_frame(b"one")]
    assert cutter.rest == 6
    assert cutter.take_rest() == b"\0\0\0\x09tw"
    assert cutter.feed(_frame(b"new")) == [_frame(b"new")]


@pytest.mark.parametrize("size", [-1, FRAME_BYTES_MAX + 1])
def test_a_length_that_is_none_loses_no_byte(size: int) -> None:
    cutter = Cutter()
    stream = _frame(b"one") + size.to_bytes(4, signed=True) + b"more"
    with pytest.raises(FrameError, match=str(size)):
        cutter.feed(stream)
    assert cutter.take_rest() == stream


def test_http2_is_not_taken_for_frames() -> None:
    with pytest.raises(FrameError):
        Cutter().feed(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
