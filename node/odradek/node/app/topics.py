"""Creating, growing and deleting topics for a client.

Decides: what is refused before the controller sees it (deletion switched off), and what a request gets when
the controller cannot answer: the same error for every topic in it. The rules for topics are the
controller's.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from odradek.node.controller.controller import ControllerError
from odradek.node.controller.topics import MorePartitions, NewTopic, TopicOutcome
from odradek.proto.kafka.errors import ErrorCode

ZERO_UUID = bytes(16)


class TopicController(Protocol):
    """The controller, as far as it is needed here."""

    async def create_topics(
        self, new: Sequence[NewTopic], *, validate_only: bool = False, timeout_ms: int = ...
    ) -> list[TopicOutcome]: ...

    async def delete_topics(
        self, names: Sequence[str], topic_ids: Sequence[bytes], *, timeout_ms: int = ...
    ) -> list[TopicOutcome]: ...

    async def create_partitions(
        self, more: Sequence[MorePartitions], *, validate_only: bool = False, timeout_ms: int = ...
    ) -> list[TopicOutcome]: ...


class TopicsService:
    """`may_delete` is `delete.topic.enable`."""

    def __init__(self, controller: TopicController, may_delete: Callable[[], bool]) -> None:
        self._controller = controller
        self._may_delete = may_delete

    async def create_topics(
        self, topics: Sequence[NewTopic], *, validate_only: bool, timeout_ms: int
    ) -> list[TopicOutcome]:
        """One outcome per distinct name."""
        work = self._controller.create_topics(topics, validate_only=validate_only, timeout_ms=timeout_ms)
        return await _or_fail_all(work, [(topic.name, ZERO_UUID) for topic in topics])

    async def delete_topics(
        self, topics: Sequence[tuple[str | None, bytes]], *, timeout_ms: int
    ) -> list[TopicOutcome]:
        """`topics`: (name, id) pairs, one given and the other None or zero. One outcome per topic."""
        if not self._may_delete():
            message = "delete.topic.enable is false"
            return [
                TopicOutcome(name, ErrorCode.TOPIC_DELETION_DISABLED, message, topic_id)
                for name, topic_id in topics
            ]
        outcomes: list[TopicOutcome] = []
        names: list[str] = []
        topic_ids: list[bytes] = []
        for name, topic_id in topics:
            if name is not None and topic_id != ZERO_UUID:
                message = "a topic is deleted by its name or by its id, not by both"
                outcomes.append(TopicOutcome(name, ErrorCode.INVALID_REQUEST, message, topic_id))
            elif name is not None:
                names.append(name)
            elif topic_id != ZERO_UUID:
                topic_ids.append(topic_id)
            else:
                message = "neither a name nor an id says which topic to delete"
                outcomes.append(TopicOutcome(None, ErrorCode.INVALID_REQUEST, message))
        work = self._controller.delete_topics(names, topic_ids, timeout_ms=timeout_ms)
        asked = [(name, ZERO_UUID) for name in names] + [(None, topic_id) for topic_id in topic_ids]
        return outcomes + await _or_fail_all(work, asked)

    async def create_partitions(
        self, topics: Sequence[MorePartitions], *, validate_only: bool, timeout_ms: int
    ) -> list[TopicOutcome]:
        """One outcome per distinct name."""
        work = self._controller.create_partitions(topics, validate_only=validate_only, timeout_ms=timeout_ms)
        return await _or_fail_all(work, [(topic.name, ZERO_UUID) for topic in topics])


async def _or_fail_all(
    work: Awaitable[list[TopicOutcome]], asked: Sequence[tuple[str | None, bytes]]
) -> list[TopicOutcome]:
    try:
        return await work
    except ControllerError as error:
        # Not NOT_CONTROLLER for what may be done yet: it would be asked for again, and these must not be done twice.
        told = ErrorCode.REQUEST_TIMED_OUT if error.is_undecided else error.error
        return [TopicOutcome(name, told, str(error), topic_id) for name, topic_id in dict.fromkeys(asked)]
