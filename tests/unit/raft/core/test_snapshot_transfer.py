"""A snapshot that comes in pieces."""

from dataclasses import replace

import pytest

from odradek.raft.core.messages import SnapshotChunk
from odradek.raft.core.quorum import Configuration
from odradek.raft.core.snapshot_transfer import IncomingSnapshot

THREE = Configuration(frozenset({1, 2, 3}))
FIRST = SnapshotChunk(2, 1, 5, 9, 4, THREE, 6, 0, b"abc")
SECOND = replace(FIRST, offset=3, data=b"def")


def test_pieces_in_order_make_a_snapshot() -> None:
    incoming = IncomingSnapshot()
    assert not incoming.add(FIRST) and incoming.next_offset == 3
    assert incoming.add(SECOND)
    assert incoming.take() == b"abcdef" and incoming.next_offset == 0


def test_pieces_out_of_order_or_repeated_change_nothing() -> None:
    incoming = IncomingSnapshot()
    assert not incoming.add(SECOND) and incoming.next_offset == 0
    for _ in range(2):
        assert not incoming.add(FIRST) and incoming.next_offset == 3
    assert incoming.add(SECOND)


@pytest.mark.parametrize(
    "other",
    [
        replace(SECOND, sender=3),
        replace(SECOND, term=6),
        replace(SECOND, index=10),
        replace(SECOND, index_term=5),
        replace(SECOND, total=7),
    ],
)
def test_a_piece_of_another_snapshot_starts_over(other: SnapshotChunk) -> None:
    incoming = IncomingSnapshot()
    incoming.add(FIRST)
    assert not incoming.add(other) and incoming.next_offset == 0


def test_more_than_was_announced_is_not_kept() -> None:
    incoming = IncomingSnapshot()
    incoming.add(FIRST)
    assert not incoming.add(replace(SECOND, data=b"defg")) and incoming.next_offset == 3


def test_an_empty_snapshot_is_complete_with_its_first_piece() -> None:
    incoming = IncomingSnapshot()
    assert incoming.add(replace(FIRST, total=0, data=b"")) and incoming.take() == b""
