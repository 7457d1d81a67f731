from __future__ import annotations

import asyncio
from typing import TypeVar

import pytest

from odradek.node.interbroker import directory_reports as module
from odradek.node.interbroker.directory_reports import DirectoryReports
from odradek.proto.kafka.errors import ErrorCode
from odradek.proto.kafka.messages.log_dirs import AssignReplicasToDirsRequest, AssignReplicasToDirsResponse
from odradek.proto.kafka.schema import Message

M = TypeVar("M", bound=Message)
TOPIC, OTHER, A, B = b"t" * 16, b"o" * 16, b"a" * 16, b"b" * 16


class Channel:
    """Answers as the script says; without one, takes everything."""

    def __init__(self, *script: Exception | ErrorCode) -> None:
        self.script = list(script)
        self.seen: list[dict[tuple[bytes, int], bytes]] = []
        self.epochs: list[int] = []

    async def request(self, message: Message, version: int, answer: type[M], timeout_ms: int) -> M:
        assert isinstance(message, AssignReplicasToDirsRequest) and message.broker_id == 3
        self.epochs.append(message.broker_epoch)
        self.seen.append(
            {
                (topic.topic_id, one.partition_index): directory.id
                for directory in message.directories
                for topic in directory.topics
                for one in topic.partitions
            }
        )
        await asyncio.sleep(0)
        outcome = self.script.pop(0) if self.script else ErrorCode.NONE
        if isinstance(outcome, Exception):
            raise outcome
        response = AssignReplicasToDirsResponse(error_code=outcome)
        assert isinstance(response, answer)
        return response


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_MS_MIN", 0)


async def settled(reports: DirectoryReports) -> None:
    assert reports._work is not None
    await reports._work


async def test_what_is_reported_in_one_turn_goes_in_one_request() -> None:
    channel = Channel()
    reports = DirectoryReports(3, lambda: 77, channel)
    reports.report(TOPIC, 0, A)
    reports.report(TOPIC, 1, B)
    reports.report(OTHER, 0, B)
    reports.report(TOPIC, 0, B)
    await settled(reports)
    assert channel.seen == [{(TOPIC, 0): B, (TOPIC, 1): B, (OTHER, 0): B}]
    assert channel.epochs == [77]


@pytest.mark.parametrize(
    "failure",
    [ConnectionResetError("broke"), TimeoutError(), ErrorCode.NOT_CONTROLLER, ErrorCode.STALE_BROKER_EPOCH],
)
async def test_a_report_is_repeated_until_the_controller_has_it(failure: Exception | ErrorCode) -> None:
    channel = Channel(failure, failure)
    epochs = iter([77, 78, 79])
    reports = DirectoryReports(3, lambda: next(epochs), channel)
    reports.report(TOPIC, 0, A)
    await settled(reports)
    assert channel.seen == [{(TOPIC, 0): A}] * 3
    assert channel.epochs == [77, 78, 79], "the broker epoch of the moment"


async def test_a_replica_that_moves_on_meanwhile_is_reported_again() -> None:
    channel = Channel()
    reports = DirectoryReports(3, lambda: 77, channel)
    reports.report(TOPIC, 0, A)
    await asyncio.sleep(0)
    reports.report(TOPIC, 0, B)
    await settled(reports)
    assert channel.seen == [{(TOPIC, 0): A}, {(TOPIC, 0): B}]


async def test_many_replicas_go_in_several_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REPORTS_MAX", 2)
    channel = Channel()
    reports = DirectoryReports(3, lambda: 77, channel)
    for index in range(5):
        reports.report(TOPIC, index, A)
    await settled(reports)
    assert [len(request) for request in channel.seen] == [2, 2, 1]


async def test_a_stop_ends_it() -> None:
    reports = DirectoryReports(3, lambda: 77, Channel(*[ErrorCode.NOT_CONTROLLER] * 1000))
    reports.report(TOPIC, 0, A)
    await asyncio.sleep(0)
    reports.stop()
    with pytest.raises(asyncio.CancelledError):
        await settled(reports)
