"""What is read of requests, and which of them may be lost, late or doubled."""

from __future__ import annotations

import pytest
from tests.unit.jepsen.proxy.requests_made import answer, produce, request

from odradek.jepsen.proxy.requests import (
    Request,
    is_answered,
    may_come_late,
    may_come_twice,
    read_answer,
    read_request,
)
from odradek.proto.kafka.api import ApiKey


def _read(frame: bytes) -> Request:
    found = read_request(frame)
    assert found is not None
    return found


def test_the_beginning_of_a_request() -> None:
    assert _read(produce(7)) == Request(0, 9, 7)
    assert _read(request(ApiKey.END_TXN, 8)) == Request(26, 1, 8)
    assert read_request((3).to_bytes(4) + b"abc") is None


def test_the_beginning_of_an_answer() -> None:
    assert read_answer(answer(77)) == 77
    assert read_answer((3).to_bytes(4) + b"abc") is None


@pytest.mark.parametrize("version", [3, 8, 9, 12])
def test_a_producer_that_wants_no_answer_gets_none(version: int) -> None:
    for name in (None, "", "an-id" * 50):
        for acks, answered in ((0, False), (1, True), (-1, True)):
            frame = produce(1, acks=acks, version=version, transactional_id=name)
            assert is_answered(frame, _read(frame)) is answered
    fetch = request(ApiKey.FETCH, 1)
    assert is_answered(fetch, _read(fetch))


@pytest.mark.parametrize("version", [3, 8, 9, 12])
def test_only_what_a_broker_can_recognise_may_come_twice(version: int) -> None:
    named = produce(1, producer_id=5, version=version)
    nameless = produce(1, version=version)
    unanswered = produce(1, producer_id=5, acks=0, version=version)
    assert may_come_twice(named, _read(named))
    assert not may_come_twice(nameless, _read(nameless))
    assert not may_come_twice(unanswered, _read(unanswered))
    fetch = request(ApiKey.FETCH, 1)
    assert not may_come_twice(fetch, _read(fetch))


def test_a_produce_that_nobody_can_read_is_left_alone() -> None:
    frame = request(0, 1, b"\xff\xff nonsense")
    assert not may_come_twice(frame, _read(frame))
    assert not is_answered(frame, _read(frame))


def test_a_late_offset_commit_would_take_offsets_back() -> None:
    for api, may in ((ApiKey.END_TXN, True), (ApiKey.ALTER_PARTITION, True), (ApiKey.OFFSET_COMMIT, False)):
        frame = request(api, 1)
        assert may_come_late(frame, _read(frame)) is may
    nameless, named = produce(1), produce(1, producer_id=5)
    assert not may_come_late(nameless, _read(nameless))
    assert may_come_late(named, _read(named))
