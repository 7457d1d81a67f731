"""Metadata and DescribeTopicPartitions: what topics there are, and creating those that are merely mentioned.

Decides: which topics an answer has, in which order and with which error; when a topic is created because
somebody asked for it; where a page of DescribeTopicPartitions ends. Does not decide how a version writes it
down.

A topic that is being created is answered with UNKNOWN_TOPIC_OR_PARTITION, as Kafka 4 does; the client asks
again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from odradek.node.controller.image import MetadataImage, TopicImage
from odradek.node.controller.topics import NewTopic, TopicOutcome, name_error
from odradek.proto.kafka.errors import ErrorCode

_log = logging.getLogger(__name__)

AUTO_CREATIONS_MAX: Final = 1000
"""Topics that are being created because somebody mentioned them; more are not begun."""

INTERNAL_TOPICS: Final = frozenset(("__consumer_offsets", "__transaction_state", "__share_group_state"))
ZERO_UUID: Final = bytes(16)


class TopicCreator(Protocol):
    """The controller, as far as it is needed here."""

    async def create_topics(self, new: Sequence[NewTopic]) -> list[TopicOutcome]: ...


@dataclass(frozen=True, slots=True)
class AskedTopic:
    """A topic by name, or by id where the id is not zero."""

    name: str | None
    topic_id: bytes = ZERO_UUID


@dataclass(frozen=True, slots=True)
class FoundTopic:
    """What is known of an asked topic: `topic` where the error is NONE, else the name and id asked for."""

    error: ErrorCode
    name: str | None
    topic_id: bytes
    topic: TopicImage | None = None


@dataclass(frozen=True, slots=True)
class PartitionsPage:
    """Topics with the range of partitions that this page has of each; `next` begins the page after it."""

    topics: list[tuple[FoundTopic, range]]
    next: tuple[str, int] | None


class MetadataService:
    """`auto_create` says whether mentioning a topic creates it, `partitions_per_page_max` limits a page."""

    def __init__(
        self,
        image: Callable[[], MetadataImage],
        creator: TopicCreator,
        auto_create: Callable[[], bool],
        partitions_per_page_max: Callable[[], int],
    ) -> None:
        self._image = image
        self._creator = creator
        self._auto_create = auto_create
        self._partitions_per_page_max = partitions_per_page_max
        self._creating: dict[str, asyncio.Task[None]] = {}

    @property
    def image(self) -> MetadataImage:
        return self._image()

    def all_topics(self) -> list[FoundTopic]:
        """Every topic, by name."""
        by_name = self._image().topics_by_name
        return [
            FoundTopic(ErrorCode.NONE, topic.name, topic.topic_id, topic)
            for topic in sorted(by_name.values(), key=lambda topic: topic.name)
        ]

    def find_topics(self, asked: Iterable[AskedTopic], *, allow_auto_creation: bool) -> list[FoundTopic]:
        """One answer per asked topic, in the order asked; a topic asked for twice is answered once."""
        image = self._image()
        answers: list[FoundTopic] = []
        missing: list[str] = []
        for one in dict.fromkeys(asked):
            found = _find(image, one)
            if found.error is ErrorCode.UNKNOWN_TOPIC_OR_PARTITION and one.name is not None:
                missing.append(one.name)
            answers.append(found)
        if missing and allow_auto_creation and self._auto_create():
            self._create(missing)
        return answers

    def is_creating(self, name: str) -> bool:
        """Whether a topic is being created because somebody mentioned it."""
        return name in self._creating

    def partitions_page(
        self, names: Sequence[str], cursor: tuple[str, int] | None, partition_limit: int
    ) -> PartitionsPage | ErrorCode:
        """A page of topics by name (no names: all topics), from the cursor's topic and partition on.

        INVALID_REQUEST for a cursor before the first partition.
        """
        if cursor is not None and cursor[1] < 0:
            return ErrorCode.INVALID_REQUEST
        image = self._image()
        budget = max(min(partition_limit, self._partitions_per_page_max()), 1)
        topics: list[tuple[FoundTopic, range]] = []
        for name in sorted(set(names) if names else image.topics_by_name):
            if cursor is not None and name < cursor[0]:
                continue
            found = _find(image, AskedTopic(name))
            first = cursor[1] if cursor is not None and name == cursor[0] else 0
            count = 0 if found.topic is None else len(found.topic.partitions)
            if budget == 0 and count > first:
                return PartitionsPage(topics, (name, first))
            last = min(count, first + budget)
            if last > first or found.topic is None:
                topics.append((found, range(first, last)))
                budget -= max(last - first, 0)
            if last < count:
                return PartitionsPage(topics, (name, last))
        return PartitionsPage(topics, None)

    def _create(self, names: Iterable[str]) -> None:
        # Why not the internal ones: their state is in the coordinator shards here, not in topics.
        fresh = [name for name in names if name not in self._creating and name not in INTERNAL_TOPICS]
        fresh = fresh[: AUTO_CREATIONS_MAX - len(self._creating)]
        if not fresh:
            return
        task = asyncio.get_running_loop().create_task(self._create_now(fresh))
        self._creating.update(dict.fromkeys(fresh, task))

    async def _create_now(self, names: list[str]) -> None:
        try:
            for outcome in await self._creator.create_topics([NewTopic(name) for name in names]):
                if outcome.error not in (ErrorCode.NONE, ErrorCode.TOPIC_ALREADY_EXISTS):
                    _log.warning("topic %s cannot be created: %s", outcome.name, outcome.message)
        except Exception:  # the boundary of this task: the client asks again
            _log.exception("topics %s cannot be created", names)
        finally:
            for name in names:
                del self._creating[name]


def _find(image: MetadataImage, asked: AskedTopic) -> FoundTopic:
    if asked.topic_id != ZERO_UUID:
        topic = image.topics_by_id.get(asked.topic_id)
        if topic is None:
            return FoundTopic(ErrorCode.UNKNOWN_TOPIC_ID, None, asked.topic_id)
    elif asked.name is None:
        return FoundTopic(ErrorCode.INVALID_REQUEST, None, ZERO_UUID)
    else:
        topic = image.topics_by_name.get(asked.name)
        if topic is None:
            invalid = name_error(asked.name) is not None
            error = ErrorCode.INVALID_TOPIC_EXCEPTION if invalid else ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
            return FoundTopic(error, asked.name, ZERO_UUID)
    return FoundTopic(ErrorCode.NONE, topic.name, topic.topic_id, topic)
