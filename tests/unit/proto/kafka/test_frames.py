"""However a byte stream is cut on its way, the frames that come out are the frames that went in."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odradek.proto.kafka.frames import FrameError, FrameReader

FRAMES = st.lists(
    st.one_of(st.binary(max_size=200), st.integers(60_000, 300_000).map(lambda size: b"\xab" * size)),
    max_size=8,
)


def wire(frames: list[bytes]) -> bytes:
    return b"".join(struct.pack(">i", len(frame)) + frame for frame in frames)


def feed(reader: FrameReader, data: bytes) -> list[bytes]:
    """What the event loop does: fill as much of the buffer as there is, take the frames, settle."""
    taken: list[bytes] = []
    while data:
        buffer = reader.get_buffer()
        assert len(buffer) > 0
        count = min(len(buffer), len(data))
        buffer[:count] = data[:count]
        data = data[count:]
        reader.buffer_updated(count)
        while (frame := reader.next_frame()) is not None:
            taken.append(bytes(frame))
        reader.settle()
    return taken


@given(first=FRAMES, second=FRAMES, cuts=st.lists(st.integers(1, 100_000), max_size=20))
def test_two_streams_share_a_buffer_and_are_cut_anywhere(
    first: list[bytes], second: list[bytes], cuts: list[int]
) -> None:
    shared = memoryview(bytearray(128 * 1024))
    readers = [FrameReader(shared, 1 << 20), FrameReader(shared, 1 << 20)]
    streams = [wire(first), wire(second)]
    taken: list[list[bytes]] = [[], []]
    for turn, cut in enumerate(cuts):
        which = turn % 2
        taken[which] += feed(readers[which], streams[which][:cut])
        streams[which] = streams[which][cut:]
    for which in (0, 1):
        taken[which] += feed(readers[which], streams[which])
    assert taken == [first, second]


@pytest.mark.parametrize("size", [-1, -(2**31), 1001, 2**31 - 1])
def test_a_length_out_of_bounds_is_refused(size: int) -> None:
    reader = FrameReader(memoryview(bytearray(128 * 1024)), 1000)
    with pytest.raises(FrameError, match="allowed are 0 to 1000"):
        feed(reader, struct.pack(">i", size))


def test_cve_2022_34917_a_claimed_length_allocates_nothing() -> None:
    reader = FrameReader(memoryview(bytearray(128 * 1024)), 1 << 30)
    assert feed(reader, struct.pack(">i", 1 << 30) + b"x" * 10) == []
    assert len(reader.get_buffer()) <= 4 << 10


def test_frames_can_be_stamped_in_place() -> None:
    reader = FrameReader(memoryview(bytearray(128 * 1024)), 1000)
    buffer = reader.get_buffer()
    data = wire([b"abc"])
    buffer[: len(data)] = data
    reader.buffer_updated(len(data))
    frame = reader.next_frame()
    assert frame is not None
    frame[0] = ord("z")
    assert bytes(frame) == b"zbc"


def test_what_is_not_taken_in_one_turn_is_there_in_the_next() -> None:
    shared = memoryview(bytearray(128 * 1024))
    reader, other = FrameReader(shared, 1000), FrameReader(shared, 1000)
    data = wire([b"one", b"two"])
    reader.get_buffer()[: len(data)] = data
    reader.buffer_updated(len(data))
    assert bytes(reader.next_frame() or b"") == b"one"
    reader.settle()
    feed(other, wire([b"overwritten"]))
    assert bytes(reader.next_frame() or b"") == b"two"


def test_a_buffer_that_was_asked_for_and_not_filled_belongs_to_whoever_is_filled_next() -> None:
    shared = memoryview(bytearray(128 * 1024))
    reader, other = FrameReader(shared, 1000), FrameReader(shared, 1000)
    data = wire([b"A" * 10])
    feed(reader, data[:9])
    reader.get_buffer()  # and then the socket had nothing
    assert feed(other, wire([b"B" * 20])) == [b"B" * 20]
    assert feed(reader, data[9:]) == [b"A" * 10]
