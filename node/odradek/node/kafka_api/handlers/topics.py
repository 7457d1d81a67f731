"""CreateTopics, DeleteTopics, CreatePartitions.

Keys: 19, 20, 37. Versions: 2-7, 1-6, 0-3. Behaviour: each topic succeeds or fails alone; answers come after
the change is agreed on and durable. Version notes: CreateTopics 4 takes -1 for the broker's defaults (so do
2 and 3 here, as in Kafka 4), 5 answers counts and configs, 7 the topic id. DeleteTopics 3 knows
TOPIC_DELETION_DISABLED, 5 has messages, 6 deletes by id too. Not implemented: nothing.
"""

from __future__ import annotations

from odradek.node.app.configs import ConfigsService
from odradek.node.app.context import RequestContext
from odradek.node.app.topics import TopicsService
from odradek.node.controller.image import Configs
from odradek.node.controller.topics import MorePartitions, NewTopic, TopicOutcome
from odradek.node.kafka_api.registry import Route
from odradek.proto.kafka.api import ApiKey
from odradek.proto.kafka.errors import ErrorCode
from odradek.proto.kafka.messages.topics import (
    CreatePartitionsRequest,
    CreatePartitionsResponse,
    CreateTopicsRequest,
    CreateTopicsResponse,
    DeleteTopicsRequest,
    DeleteTopicsResponse,
)

_Config = CreateTopicsResponse.CreatableTopicConfigs


class TopicsHandlers:
    def __init__(self, service: TopicsService, configs: ConfigsService) -> None:
        self._service = service
        self._configs = configs

    def routes(self) -> list[Route]:
        return [
            Route(ApiKey.CREATE_TOPICS, 2, 7, self.create_topics, to_controller=True),
            Route(ApiKey.DELETE_TOPICS, 1, 6, self.delete_topics, to_controller=True),
            Route(ApiKey.CREATE_PARTITIONS, 0, 3, self.create_partitions, to_controller=True),
        ]

    async def create_topics(
        self, context: RequestContext, request: CreateTopicsRequest, version: int
    ) -> CreateTopicsResponse:
        topics = [
            NewTopic(
                topic.name,
                topic.num_partitions,
                topic.replication_factor,
                [(one.partition_index, one.broker_ids) for one in topic.assignments],
                {config.name: config.value for config in topic.configs},
            )
            for topic in request.topics
        ]
        outcomes = await self._service.create_topics(
            topics, validate_only=request.validate_only, timeout_ms=request.timeout_ms
        )
        # Topics without configs of their own, and so most of ten thousand, share one list.
        defaults = self._config_entries({}) if version >= 5 else []
        return CreateTopicsResponse(
            topics=[self._created(outcome, defaults, version) for outcome in outcomes]
        )

    async def delete_topics(
        self, context: RequestContext, request: DeleteTopicsRequest, version: int
    ) -> DeleteTopicsResponse:
        asked: list[tuple[str | None, bytes]]
        if version >= 6:
            asked = [(topic.name, topic.topic_id) for topic in request.topics]
        else:
            asked = [(name, bytes(16)) for name in request.topic_names]
        outcomes = await self._service.delete_topics(asked, timeout_ms=request.timeout_ms)
        return DeleteTopicsResponse(
            responses=[
                DeleteTopicsResponse.DeletableTopicResult(
                    name=outcome.name,
                    topic_id=outcome.topic_id,
                    error_code=_deletion_error(outcome.error, version),
                    error_message=outcome.message,
                )
                for outcome in outcomes
            ]
        )

    async def create_partitions(
        self, context: RequestContext, request: CreatePartitionsRequest, version: int
    ) -> CreatePartitionsResponse:
        topics = [
            MorePartitions(
                topic.name,
                topic.count,
                None if topic.assignments is None else [one.broker_ids for one in topic.assignments],
            )
            for topic in request.topics
        ]
        outcomes = await self._service.create_partitions(
            topics, validate_only=request.validate_only, timeout_ms=request.timeout_ms
        )
        return CreatePartitionsResponse(
            results=[
                CreatePartitionsResponse.CreatePartitionsTopicResult(
                    name=outcome.name or "", error_code=outcome.error, error_message=outcome.message
                )
                for outcome in outcomes
            ]
        )

    def _created(
        self, outcome: TopicOutcome, defaults: list[_Config], version: int
    ) -> CreateTopicsResponse.CreatableTopicResult:
        result = CreateTopicsResponse.CreatableTopicResult(
            name=outcome.name or "",
            topic_id=outcome.topic_id,
            error_code=outcome.error,
            error_message=outcome.message,
            num_partitions=outcome.num_partitions,
            replication_factor=outcome.replication_factor,
        )
        if outcome.error is ErrorCode.NONE and version >= 5:
            result.configs = self._config_entries(outcome.configs) if outcome.configs else defaults
        return result

    def _config_entries(self, overrides: Configs) -> list[_Config]:
        return [
            _Config(
                name=config.name,
                value=config.value,
                read_only=config.is_read_only,
                config_source=config.source,
                is_sensitive=config.is_sensitive,
            )
            for config in self._configs.topic_configs(overrides)
        ]


def _deletion_error(error: ErrorCode, version: int) -> ErrorCode:
    if error is ErrorCode.TOPIC_DELETION_DISABLED and version < 3:
        return ErrorCode.INVALID_REQUEST
    return error
