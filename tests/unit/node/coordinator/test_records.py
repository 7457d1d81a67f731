import pytest

from odradek.node.coordinator.records import (
    TYPES,
    CorruptEntryError,
    GroupMetadataRecord,
    GroupTombstone,
    OffsetCommitRecord,
    OffsetTombstone,
    Record,
    decode_entry,
    encode_entry,
)

RECORDS: list[Record] = [
    GroupMetadataRecord(
        group_id="g",
        protocol_type="consumer",
        generation=7,
        protocol_name="range",
        leader_id="a-1",
        state_timestamp_ms=123,
        members=[
            GroupMetadataRecord.Member(
                member_id="a-1",
                instance_id="i",
                client_id="a",
                client_host="/h",
                rebalance_timeout_ms=1,
                session_timeout_ms=2,
                protocols=[GroupMetadataRecord.Protocol(name="range", metadata=b"m")],
                assignment=b"x",
            )
        ],
    ),
    OffsetCommitRecord(
        group_id="g",
        commit_timestamp_ms=5,
        topics=[
            OffsetCommitRecord.Topic(
                topic="t",
                topic_id=b"1" * 16,
                partitions=[OffsetCommitRecord.Partition(partition=3, offset=1 << 40, metadata="é")],
            )
        ],
    ),
    OffsetTombstone(group_id="g", topics=[OffsetTombstone.Topic(topic="t", partitions=[1, 2])]),
    GroupTombstone(group_id="g"),
]


def test_records_of_an_entry_come_back_in_order() -> None:
    assert {type(record) for record in RECORDS} == set(TYPES.values())
    assert list(decode_entry(encode_entry(RECORDS))) == RECORDS


def test_an_entry_may_be_empty() -> None:
    assert list(decode_entry(encode_entry([]))) == []


def test_record_types_keep_their_numbers() -> None:
    """They are on disks: a number is never used again for something else."""
    assert {number: cls.__name__ for number, cls in TYPES.items()} == {
        1: "GroupMetadataRecord",
        2: "GroupTombstone",
        3: "OffsetCommitRecord",
        4: "OffsetTombstone",
    }
    assert encode_entry([GroupTombstone(group_id="g")]).hex() == "000002000000000003026700"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x01",
        b"\x00\x00",
        bytes.fromhex("000063000000000000"),
        bytes.fromhex("000002000900000000"),
        bytes.fromhex("0000020000000000090267"),
        bytes.fromhex("0000020000ffffffff"),
    ],
    ids=["empty", "layout", "half header", "unknown type", "unknown version", "too short", "negative size"],
)
def test_foreign_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(CorruptEntryError):
        list(decode_entry(data))
