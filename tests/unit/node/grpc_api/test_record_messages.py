"""Records to messages and back: nothing is lost, absent is not empty, and numbers that cannot be are refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odradek.node.grpc_api.record_messages import NOW_MS, add_consumed, printable, records_of
from odradek.node.grpc_api.refusal import RefusalError
from odradek.proto.kafka.records import Record
from odradek.v1 import record_service_pb2 as pb
from odradek.v1.record_pb2 import ConsumedRecord, Header
from odradek.v1.record_pb2 import Record as Message

contents = st.one_of(st.none(), st.binary(max_size=9))
headers = st.lists(st.tuples(st.text(max_size=5), contents), max_size=3)


def message(
    key: bytes | None, value: bytes | None, given_headers: list[tuple[str, bytes | None]], **more: int
) -> Message:
    return Message(
        key=key, value=value, headers=[Header(key=name, value=one) for name, one in given_headers], **more
    )


@given(contents, contents, headers, st.integers(0, 2**63 - 1), st.integers(0, 2**62))
def test_there_and_back(
    key: bytes | None,
    value: bytes | None,
    given_headers: list[tuple[str, bytes | None]],
    time: int,
    offset: int,
) -> None:
    ((record,), partitions) = records_of([message(key, value, given_headers, timestamp_ms=time)])
    assert record == Record(0, time, key, value, given_headers or ()) and partitions is None
    read = pb.PartitionRecords()
    add_consumed(read.records, [record._replace(offset=offset)])
    assert read.records[0] == ConsumedRecord(
        offset=offset,
        timestamp_ms=time,
        key=key,
        value=value,
        headers=message(None, None, given_headers).headers,
    )


def test_partitions_run_beside_the_records() -> None:
    asked = [
        message(b"k", None, []),
        message(b"k", None, [], partition=0),
        message(b"k", None, [], partition=7),
    ]
    assert records_of(asked)[1] == [-1, 0, 7]
    assert records_of([*asked[1:], asked[0]])[1] == [0, 7, -1]
    assert records_of(asked[:1])[1] is None and records_of([]) == ([], None)


def test_a_timestamp_that_is_absent_is_of_now() -> None:
    assert records_of([Message(value=b"v")])[0][0].timestamp == NOW_MS
    assert records_of([Message(value=b"v", timestamp_ms=0)])[0][0].timestamp == 0


@pytest.mark.parametrize(
    ("bad", "reason"),
    [(Message(timestamp_ms=-1), "INVALID_TIMESTAMP"), (Message(partition=-1), "INVALID_REQUEST")],
)
def test_numbers_that_mean_something_else_are_refused(bad: Message, reason: str) -> None:
    with pytest.raises(RefusalError) as raised:
        records_of([Message(), bad])
    assert raised.value.reason == reason and "record 1" in raised.value.message


def test_keys_of_headers_that_are_no_text() -> None:
    assert printable("ascii") == "ascii" and printable("ü€") == "ü€"
    broken = b"a\xff\xfeb".decode("utf-8", "surrogateescape")
    assert printable(broken) == "a\ufffd\ufffdb"
    read = pb.PartitionRecords()
    add_consumed(read.records, [Record(0, 1, None, None, [(broken, b"v")])])
    assert (
        pb.PartitionRecords.FromString(read.SerializeToString()).records[0].headers[0].key == "a\ufffd\ufffdb"
    )
