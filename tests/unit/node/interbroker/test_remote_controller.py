"""Commands of a broker's own use cases as Kafka's requests, and answers back."""

from __future__ import annotations

from typing import TypeVar

import pytest

from odradek.node.controller.controller import ControllerError
from odradek.node.controller.topics import NewTopic
from odradek.node.interbroker.remote_controller import RemoteController
from odradek.proto.kafka.errors import ErrorCode
from odradek.proto.kafka.messages.controller import AllocateProducerIdsRequest, AllocateProducerIdsResponse
from odradek.proto.kafka.messages.topics import CreateTopicsRequest, CreateTopicsResponse
from odradek.proto.kafka.schema import Message

M = TypeVar("M", bound=Message)


class Channel:
    def __init__(self, answer: Message | Exception) -> None:
        self._answer = answer
        self.asked: Message | None = None

    async def request(self, message: Message, version: int, answer: type[M], timeout_ms: int) -> M:
        self.asked = message
        if isinstance(self._answer, Exception):
            raise self._answer
        assert isinstance(self._answer, answer)
        return self._answer


async def test_topics() -> None:
    result = CreateTopicsResponse.CreatableTopicResult(
        name="t", topic_id=b"i" * 16, num_partitions=3, replication_factor=2
    )
    channel = Channel(CreateTopicsResponse(topics=[result]))
    (outcome,) = await RemoteController(1, lambda: 9, channel).create_topics(
        [NewTopic("t", configs={"a": "b"})]
    )
    assert (outcome.name, outcome.error, outcome.topic_id) == ("t", ErrorCode.NONE, b"i" * 16)
    assert (outcome.num_partitions, outcome.replication_factor) == (3, 2)
    assert isinstance(channel.asked, CreateTopicsRequest)
    (asked,) = channel.asked.topics
    assert (asked.name, asked.num_partitions, asked.replication_factor) == ("t", -1, -1)
    assert [(config.name, config.value) for config in asked.configs] == [("a", "b")]


async def test_producer_ids() -> None:
    channel = Channel(AllocateProducerIdsResponse(producer_id_start=7_000, producer_id_len=1_000))
    assert await RemoteController(1, lambda: 9, channel).allocate_producer_ids() == 7_000
    assert isinstance(channel.asked, AllocateProducerIdsRequest)
    assert (channel.asked.broker_id, channel.asked.broker_epoch) == (1, 9)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (TimeoutError(), ErrorCode.REQUEST_TIMED_OUT),
        (ConnectionError("gone"), ErrorCode.NOT_CONTROLLER),
        (
            AllocateProducerIdsResponse(error_code=int(ErrorCode.STALE_BROKER_EPOCH)),
            ErrorCode.STALE_BROKER_EPOCH,
        ),
    ],
)
async def test_what_can_go_wrong(answer: Message | Exception, code: ErrorCode) -> None:
    with pytest.raises(ControllerError) as caught:
        await RemoteController(1, lambda: 9, Channel(answer)).allocate_producer_ids()
    assert caught.value.error is code
