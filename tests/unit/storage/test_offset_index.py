"""The offset index: where to begin looking, its file, and what a damaged file is taken for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from odradek.storage.offset_index import OffsetIndex


def _index() -> OffsetIndex:
    """Batches of 10 offsets and 100 bytes from offset 1000 on; every second one is indexed."""
    index = OffsetIndex(1000)
    for number in range(1, 11, 2):
        index.append(1000 + number * 10 + 9, number * 100)
    return index


def test_lookup_never_passes_the_batch() -> None:
    index = _index()
    for offset in range(1000, 1110):
        position = index.lookup(offset)
        assert position <= (offset - 1000) // 10 * 100
        assert position >= (offset - 1000) // 10 * 100 - 200


def test_an_entry_is_used_for_its_own_last_offset_only() -> None:
    index = _index()
    assert index.lookup(1019) == 100
    assert index.lookup(1018) == 0


def test_limits() -> None:
    index = _index()
    assert index.batch_beyond(1000) == 100
    assert index.batch_beyond(1019) == 100
    assert index.batch_beyond(1020) == 300
    assert index.batch_beyond(1100) is None
    assert index.position_before(99) == 0
    assert index.position_before(350) == 300
    assert index.last_entry == (1099, 900)
    assert OffsetIndex(0).last_entry is None


def test_truncate() -> None:
    index = _index()
    index.written = 5
    index.truncate_positions(300)
    assert index.last_entry == (1019, 100)
    assert (len(index), index.written) == (1, 1)


def test_the_file_is_kafkas() -> None:
    index = OffsetIndex(1000)
    index.append(1019, 100)
    index.append(1039, 300)
    assert index.encode().hex() == "0000001300000064000000270000012c"
    assert index.encode(1).hex() == "000000270000012c"
    decoded = OffsetIndex.decode(1000, index.encode(), 400)
    assert decoded is not None and decoded.encode() == index.encode() and decoded.written == 2


def test_damage_is_noticed() -> None:
    data = _index().encode()
    assert OffsetIndex.decode(1000, data[:-1], 1000) is None, "half an entry"
    assert OffsetIndex.decode(1000, data, 900) is None, "an entry beyond the log"
    assert OffsetIndex.decode(1000, data + bytes(8), 1000) is None, "zeros after the end"
    assert OffsetIndex.decode(1000, data + data[-8:], 1000) is None, "an entry twice"
    empty = OffsetIndex.decode(1000, b"", 1000)
    assert empty is not None and len(empty) == 0


@given(st.binary(max_size=64))
def test_any_bytes_are_an_index_or_nothing(data: bytes) -> None:
    index = OffsetIndex.decode(0, data, 1 << 32)
    if index is not None:
        assert index.encode() == data
