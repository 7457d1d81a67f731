"""Frames: what is written is read, and what was damaged is noticed."""

import pytest

from odradek.raft.core.types import NOOP, NORMAL, Entry, HardState
from odradek.raft.wal_format import (
    ALIGNMENT,
    ENTRIES,
    HARD_STATE,
    WalFormatError,
    check_segment,
    decode_entries,
    decode_frame,
    decode_hard_state,
    encode_batch,
    entries_parts,
    find_frame,
    hard_state_part,
    segment_part,
)

LOG = [Entry(1, NOOP, b""), Entry(1, NORMAL, b"a"), Entry(1, NORMAL, b"bc"), Entry(2, NORMAL, b"d" * 100)]


def test_entries_are_cut_into_runs_of_one_term_and_kind() -> None:
    parts = entries_parts(7, 10, 1, LOG, 12)
    records = [decode_entries(part.payload) for part in parts]
    assert [(record.first_index, record.prev_term, record.term) for record in records] == [
        (10, 1, 1),
        (11, 1, 1),
        (13, 1, 2),
    ]
    assert [part.last_index for part in parts] == [10, 12, 13]
    # A crash between two frames must not leave a commit index beyond the entries.
    assert [record.commit for record in records] == [10, 12, 12]
    assert [entry for record in records for entry in record.entries] == LOG


@pytest.mark.parametrize("state", [HardState(5, 0, 9, True), HardState(1 << 60, -1, 0, False)])
def test_hard_state(state: HardState) -> None:
    record = decode_hard_state(hard_state_part(3, state, 17).payload)
    assert (record.state, record.last_index) == (state, 17)


def test_a_batch_says_how_much_of_it_follows() -> None:
    parts = [hard_state_part(-3, HardState(1), 0), *entries_parts(4, 1, 0, LOG, 0)]
    data = b"".join(encode_batch(parts, 8, 6))
    position, frames = 0, []
    while position < len(data):
        frame = decode_frame(data, position)
        assert frame is not None and frame.end % ALIGNMENT == 0
        assert frame.remaining == len(data) - frame.end
        frames.append(frame)
        position = frame.end
    assert [(f.batch, f.durable, f.group_id, f.kind) for f in frames] == [
        (8, 6, -3, HARD_STATE),
        *[(8, 6, 4, ENTRIES)] * 3,
    ]


def test_every_flipped_bit_of_a_frame_is_noticed() -> None:
    payload_size = len(entries_parts(4, 1, 0, LOG[1:3], 0)[0].payload)
    data = b"".join(encode_batch(entries_parts(4, 1, 0, LOG[1:3], 0), 8, 6))
    padding = -payload_size % ALIGNMENT
    for position in range(len(data) - padding):
        for bit in range(8):
            damaged = bytearray(data)
            damaged[position] ^= 1 << bit
            frame = decode_frame(bytes(damaged), position=0)
            assert frame is None or frame.payload is None, (position, bit)


def test_the_next_frame_is_found_after_garbage() -> None:
    frame = b"".join(encode_batch(entries_parts(4, 1, 0, LOG[1:3], 0), 8, 6))
    data = b"DOWL" * 10 + frame
    assert find_frame(data, 0) == 40
    assert find_frame(frame, 0) is None


def test_zeros_are_no_frame() -> None:
    assert decode_frame(bytes(4096), 0) is None


@pytest.mark.parametrize(("node_id", "number"), [(2, 5), (1, 6)])
def test_the_file_of_another_node_or_place_is_refused(node_id: int, number: int) -> None:
    payload = segment_part(1, 5).payload
    check_segment(payload, 1, 5)
    with pytest.raises(WalFormatError):
        check_segment(payload, node_id, number)
