"""From batches to records: positions, credit, control batches, gaps; and records into messages."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from odradek.node.app.consume.reading import Remainder, pieces, size_of, take
from odradek.proto.kafka.record_batch import Record, build_batch, build_end_txn_marker


def records(*offsets: int, size: int = 1) -> list[Record]:
    return [Record(one, 1, None, b"v" * size, ()) for one in offsets]


def log(*batches: list[int] | int) -> bytes:
    """A list is a batch with these offsets, a number a control batch there."""
    out = b""
    for one in batches:
        if isinstance(one, int):
            out += bytes(
                build_end_txn_marker(
                    is_commit=True,
                    producer_id=1,
                    producer_epoch=0,
                    coordinator_epoch=0,
                    timestamp=1,
                    base_offset=one,
                )
            )
        else:
            out += bytes(build_batch(records(*one)))
    return out


def offsets(found: tuple[list[Record], int]) -> tuple[list[int], int]:
    return [one.offset for one in found[0]], found[1]


def test_from_within_a_batch() -> None:
    assert offsets(take(log([0, 1, 2], [3, 4]), 1, 100)) == ([1, 2, 3, 4], 5)
    assert offsets(take(log([0, 1, 2], [3, 4]), 3, 100)) == ([3, 4], 5)
    assert offsets(take(log([0, 1]), 2, 100)) == ([], 2)
    assert take(b"", 7, 100) == ([], 7)


def test_no_more_than_credit() -> None:
    batches = log([0, 1, 2], [3, 4])
    assert offsets(take(batches, 0, 2)) == ([0, 1], 2)
    assert offsets(take(batches, 0, 3)) == ([0, 1, 2], 3)
    assert offsets(take(batches, 1, 3)) == ([1, 2, 3], 4)
    assert offsets(take(batches, 0, 0)) == ([], 0)


def test_control_batches_and_gaps_are_passed() -> None:
    assert offsets(take(log([0, 1], 2, [3]), 0, 100)) == ([0, 1, 3], 4)
    assert offsets(take(log(0, 1), 0, 100)) == ([], 2)
    assert offsets(take(log([0, 5, 9]), 2, 1)) == ([5], 6)
    assert offsets(take(log([0, 5, 9]), 6, 5)) == ([9], 10)


@given(
    st.lists(st.one_of(st.just(0), st.integers(1, 6)), max_size=6),
    st.lists(st.integers(1, 9), min_size=1, max_size=30),
    st.booleans(),
)
def test_any_credits_bring_every_record_once(sizes: list[int], credits: list[int], keeps: bool) -> None:
    end, batches, expected = 0, [], []
    for size in sizes:
        batches.append(list(range(end, end + size)) if size else end)
        expected += list(range(end, end + size))
        end += max(size, 1)
    data = log(*batches)
    got: list[int] = []
    position, turn = 0, 0
    remainder = Remainder() if keeps else None
    while position < end:
        credit = credits[turn % len(credits)]
        found, position = take(data, position, credit, remainder, ("t", 0))
        assert len(found) <= credit
        got += [one.offset for one in found]
        turn += 1
    assert got == expected


def test_a_remainder_is_of_one_batch_of_one_partition() -> None:
    remainder = Remainder()
    one, other = log([0, 1, 2]), bytes(build_batch(records(0, 1, 2, size=2)))
    assert offsets(take(one, 0, 1, remainder, ("t", 0))) == ([0], 1)
    assert not remainder.is_empty
    found, _ = take(other, 0, 1, remainder, ("t", 0))
    assert found[0].value == b"vv"
    found, _ = take(one, 0, 1, remainder, ("u", 0))
    assert found[0].offset == 0
    remainder.drop()
    assert remainder.is_empty


@given(st.lists(st.integers(0, 50), max_size=20), st.integers(30, 120))
def test_pieces_are_below_the_limit_and_as_few_as_can_be(sizes: list[int], limit: int) -> None:
    all_of_them = [record for at, size in enumerate(sizes) for record in records(at, size=size)]
    found = list(pieces(all_of_them, limit))
    assert [one for piece, _ in found for one in piece] == all_of_them
    for piece, size in found:
        assert size == sum(map(size_of, piece)) and (size <= limit or len(piece) == 1)
    for (_, size), (behind, _) in itertools.pairwise(found):
        assert size + size_of(behind[0]) > limit


def test_a_remainder_does_not_hide_what_lies_before_it() -> None:
    remainder, batch = Remainder(), log(list(range(100)))
    assert offsets(take(batch, 0, 10, remainder)) == (list(range(10)), 10)
    assert offsets(take(batch, 0, 5, remainder)) == (list(range(5)), 5), "the reader has gone back"
    assert offsets(take(batch, 5, 3, remainder)) == ([5, 6, 7], 8)
    assert offsets(take(batch, 20, 2, remainder)) == ([20, 21], 22)
