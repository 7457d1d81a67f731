"""The small files beside the logs: Kafka's text, and what is made of a damaged one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odradek.storage.checkpoints import (
    decode_offsets,
    decode_partition_metadata,
    encode_offsets,
    encode_partition_metadata,
    read_offsets,
    write_offsets,
)
from odradek.storage.memory_disk import MemoryDisk


def test_offsets_are_kafkas_text() -> None:
    data = encode_offsets({"a-b-0": 7, "t-12": 3})
    assert data == b"0\n2\na-b 0 7\nt 12 3\n"
    assert decode_offsets(data) == {"a-b-0": 7, "t-12": 3}
    assert encode_offsets({}) == b"0\n0\n"


@pytest.mark.parametrize(
    "data",
    [b"", b"0\n", b"1\n0\n", b"0\n2\nt 0 1\n", b"0\n1\nt 0\n", b"0\n1\nt 0 x\n", b"\0\0\0\0", b"0\nx\n"],
)
def test_a_damaged_checkpoint_is_none(data: bytes) -> None:
    assert decode_offsets(data) is None


@given(st.binary(max_size=80))
def test_any_bytes_are_offsets_or_none(data: bytes) -> None:
    decode_offsets(data)
    decode_partition_metadata(data)


def test_files_survive_a_power_cut() -> None:
    disk = MemoryDisk()
    disk.makedirs("d")
    disk.sync_dir("")
    assert read_offsets(disk, "d/f") == {}
    write_offsets(disk, "d/f", {"t-0": 1})
    write_offsets(disk, "d/f", {"t-0": 2})
    disk.crash()
    assert read_offsets(disk, "d/f") == {"t-0": 2}
    disk.open("d/f").truncate(1)
    assert read_offsets(disk, "d/f") == {}


def test_partition_metadata() -> None:
    topic_id = bytes.fromhex("f04d20197e634c3bba91f02344b8c175")
    data = encode_partition_metadata(topic_id)
    assert data == b"version: 0\ntopic_id: 8E0gGX5jTDu6kfAjRLjBdQ\n"
    assert decode_partition_metadata(data) == topic_id
    for damaged in (b"", b"version: 0\n", b"version: 1\ntopic_id: 8E0gGX5jTDu6kfAjRLjBdQ\n", data[:-9]):
        assert decode_partition_metadata(damaged) is None
