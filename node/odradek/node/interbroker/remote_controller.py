"""What a broker itself needs of the controller (topics made by being asked for, producer ids), from any node.

Decides nothing: translates a use case's command to Kafka's request and back. Where this node is the active controller,
the channel carries it out here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from odradek.node.controller.controller import TIMEOUT_MS, ControllerError
from odradek.node.controller.producer_ids import PRODUCER_IDS_PER_BLOCK
from odradek.node.controller.topics import NewTopic, TopicOutcome
from odradek.proto.kafka.errors import ErrorCode
from odradek.proto.kafka.messages.controller import AllocateProducerIdsRequest, AllocateProducerIdsResponse
from odradek.proto.kafka.messages.topics import CreateTopicsRequest, CreateTopicsResponse
from odradek.proto.kafka.schema import Message

M = TypeVar("M", bound=Message)

_CREATE_TOPICS_VERSION = 7
_ALLOCATE_VERSION = 0


class Channel(Protocol):
    """`ControllerChannel`."""

    async def request(self, message: Message, version: int, answer: type[M], timeout_ms: int) -> M: ...


class RemoteController:
    def __init__(self, broker_id: int, broker_epoch: Callable[[], int], channel: Channel) -> None:
        self._broker_id = broker_id
        self._broker_epoch = broker_epoch
        self._channel = channel

    async def create_topics(
        self, new: Sequence[NewTopic], *, validate_only: bool = False, timeout_ms: int = TIMEOUT_MS
    ) -> list[TopicOutcome]:
        """As `Controller.create_topics`, for topics without assignments. Raises ControllerError."""
        asked = [
            CreateTopicsRequest.CreatableTopic(
                name=topic.name,
                num_partitions=topic.num_partitions,
                replication_factor=topic.replication_factor,
                configs=[
                    CreateTopicsRequest.CreatableTopicConfig(name=name, value=value)
                    for name, value in topic.configs.items()
                ],
            )
            for topic in new
        ]
        request = CreateTopicsRequest(topics=asked, timeout_ms=timeout_ms, validate_only=validate_only)
        answer = await self._ask(request, _CREATE_TOPICS_VERSION, CreateTopicsResponse, timeout_ms)
        return [
            TopicOutcome(
                topic.name,
                ErrorCode(topic.error_code),
                topic.error_message,
                topic.topic_id,
                topic.num_partitions,
                topic.replication_factor,
            )
            for topic in answer.topics
        ]

    async def allocate_producer_ids(self, count: int = PRODUCER_IDS_PER_BLOCK) -> int:
        """The first of `count` ids that nobody else will ever get. Raises ControllerError."""
        assert count == PRODUCER_IDS_PER_BLOCK, f"a block has {PRODUCER_IDS_PER_BLOCK} ids, not {count}"
        request = AllocateProducerIdsRequest(broker_id=self._broker_id, broker_epoch=self._broker_epoch())
        answer = await self._ask(request, _ALLOCATE_VERSION, AllocateProducerIdsResponse, TIMEOUT_MS)
        error = ErrorCode(answer.error_code)
        if error is not ErrorCode.NONE:
            raise ControllerError(error, "the controller gave no producer ids")
        assert answer.producer_id_len >= count, (
            f"{answer.producer_id_len} producer ids where {count} are expected"
        )
        return answer.producer_id_start

    async def _ask(self, request: Message, version: int, answer: type[M], timeout_ms: int) -> M:
        try:
            return await self._channel.request(request, version, answer, timeout_ms)
        except TimeoutError:
            raise ControllerError(
                ErrorCode.REQUEST_TIMED_OUT, "the controller did not answer in time"
            ) from None
        except ConnectionError as error:
            raise ControllerError(ErrorCode.NOT_CONTROLLER, str(error)) from None
