"""Creating, growing and deleting topics: the rules, as pure functions of an image and a request.

Decides: which names, counts, placements and configs are accepted, and which records make the change. Does not
decide who may ask (app), nor when the records count (the shell answers after commit and apply).

Every topic of a request is judged alone: one bad topic does not spoil the others. Within a request a topic
also sees the ones before it, so that two new names cannot collide.

Source: Kafka 4.3 ControllerApis and ReplicationControlManager, observed from outside.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Final

from odradek.node.controller.image import (
    MetadataImage,
    PartitionImage,
    ResourceType,
    TopicImage,
    collision_key,
    may_collide,
)
from odradek.node.controller.placement import PlacementError, place_replicas
from odradek.node.controller.records import (
    ConfigRecord,
    PartitionRun,
    PartitionsRecord,
    Record,
    RemoveTopicRecord,
    Result,
    TopicRecord,
)
from odradek.proto.kafka.errors import ErrorCode

TOPIC_NAME_LENGTH_MAX: Final = 249
PARTITIONS_PER_REQUEST_MAX: Final = 10_000
METADATA_LOG_NAME: Final = "__cluster_metadata"

_LEGAL_NAME: Final = re.compile(r"[a-zA-Z0-9._-]+", re.ASCII)

Assignments = Sequence[tuple[int, Sequence[int]]]
"""(partition index, broker ids) pairs in the order of the request."""


@dataclass(frozen=True, slots=True)
class NewTopic:
    """A topic to create. -1 means the broker's default; `assignments` excludes both counts."""

    name: str
    num_partitions: int = -1
    replication_factor: int = -1
    assignments: Assignments = ()
    configs: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TopicOutcome:
    """What became of one topic of a request. Counts and `configs` (overrides) hold for a created topic."""

    name: str | None
    error: ErrorCode = ErrorCode.NONE
    message: str | None = None
    topic_id: bytes = bytes(16)
    num_partitions: int = -1
    replication_factor: int = -1
    configs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TopicDefaults:
    """What a request leaves to the broker."""

    num_partitions: int
    replication_factor: int


@dataclass(frozen=True, slots=True)
class MorePartitions:
    """Grow `name` to `count` partitions. `assignments` places the new ones; None: the controller does."""

    name: str
    count: int
    assignments: Sequence[Sequence[int]] | None = None


CheckConfigs = Callable[[Mapping[str, str]], str | None]
"""The sentence that says what is wrong with a topic's configs, or None."""


class _Refused(Exception):
    """Ends the judgement of one topic inside this module."""

    def __init__(self, error: ErrorCode, message: str) -> None:
        self.error = error
        self.message = message
        super().__init__(message)


def name_error(name: str) -> str | None:
    """What is wrong with a topic name, as a sentence; None for a legal one."""
    if not name:
        return "a topic name must not be empty"
    if name in (".", ".."):
        return f"a topic cannot be named '{name}'"
    if len(name) > TOPIC_NAME_LENGTH_MAX:
        return f"a topic name has at most {TOPIC_NAME_LENGTH_MAX} characters, this one has {len(name)}"
    if not _LEGAL_NAME.fullmatch(name):
        return f"topic name '{name}' has characters other than ASCII letters, digits, '.', '_' and '-'"
    return None


def create_topics(
    image: MetadataImage,
    topics: Sequence[NewTopic],
    defaults: TopicDefaults,
    check_configs: CheckConfigs,
    random: Random,
) -> Result[list[TopicOutcome]]:
    """Creates what can be created; one outcome per distinct name, in the order of the request."""
    repeated = _repeated(topic.name for topic in topics)
    records: list[Record] = []
    outcomes: list[TopicOutcome] = []
    new_names: dict[str, str] = {}
    too_many = _partitions_asked(topics, defaults) > PARTITIONS_PER_REQUEST_MAX
    judged: set[str] = set()
    for topic in topics:
        if topic.name in judged:
            continue
        judged.add(topic.name)
        try:
            if topic.name in repeated:
                raise _Refused(
                    ErrorCode.INVALID_REQUEST, f"topic '{topic.name}' is in the request more than once"
                )
            _check_new_name(image, topic.name, new_names)
            if too_many:
                raise _too_many_partitions()
            created, outcome = _create(image, topic, defaults, check_configs, random)
        except _Refused as refused:
            outcomes.append(TopicOutcome(topic.name, refused.error, refused.message))
            continue
        if may_collide(topic.name):
            new_names[collision_key(topic.name)] = topic.name
        records.extend(created)
        outcomes.append(outcome)
    return Result(records, outcomes)


def delete_topics(
    image: MetadataImage, names: Sequence[str], topic_ids: Sequence[bytes]
) -> Result[list[TopicOutcome]]:
    """Deletes by name and by id; one outcome per distinct name and id, in the order names, ids.

    A topic that is named twice, by whatever means, is not deleted.
    """
    found: list[tuple[str | None, bytes, TopicImage | None]] = []
    for name in dict.fromkeys(names):
        topic = image.topics_by_name.get(name)
        found.append((name, bytes(16) if topic is None else topic.topic_id, topic))
    for topic_id in dict.fromkeys(topic_ids):
        topic = image.topics_by_id.get(topic_id)
        found.append((None if topic is None else topic.name, topic_id, topic))
    repeated = _repeated(names) | _repeated(topic_ids)
    repeated |= _repeated(topic.topic_id for _, _, topic in found if topic is not None)
    by_name = len(set(names))
    outcomes: list[TopicOutcome] = []
    records: list[Record] = []
    for position, (given, topic_id, topic) in enumerate(found):
        if given in repeated or topic_id in repeated:
            message = "this topic is in the request more than once"
            outcomes.append(TopicOutcome(given, ErrorCode.INVALID_REQUEST, message, topic_id))
        elif topic is not None:
            records.append(RemoveTopicRecord(topic_id=topic_id))
            outcomes.append(TopicOutcome(given, topic_id=topic_id))
        elif position < by_name:
            message = "there is no such topic"
            outcomes.append(TopicOutcome(given, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, message))
        else:
            message = "there is no topic with this id"
            outcomes.append(TopicOutcome(None, ErrorCode.UNKNOWN_TOPIC_ID, message, topic_id))
    return Result(records, outcomes)


def create_partitions(
    image: MetadataImage, topics: Sequence[MorePartitions], random: Random
) -> Result[list[TopicOutcome]]:
    """Grows topics; one outcome per distinct name, in the order of the request."""
    repeated = _repeated(topic.name for topic in topics)
    records: list[Record] = []
    outcomes: list[TopicOutcome] = []
    budget = PARTITIONS_PER_REQUEST_MAX
    for topic in {topic.name: topic for topic in topics}.values():
        try:
            if topic.name in repeated:
                raise _Refused(
                    ErrorCode.INVALID_REQUEST, f"topic '{topic.name}' is in the request more than once"
                )
            record, added = _grow(image, topic, budget, random)
        except _Refused as refused:
            outcomes.append(TopicOutcome(topic.name, refused.error, refused.message))
            continue
        budget -= added
        records.append(record)
        outcomes.append(TopicOutcome(topic.name, topic_id=record.topic_id, num_partitions=topic.count))
    return Result(records, outcomes)


def new_topic_id(random: Random) -> bytes:
    """A random (version 4) id. Its text form never starts with '-', which tools would read as an option."""
    while True:
        raw = bytearray(random.randbytes(16))
        raw[6] = raw[6] & 0x0F | 0x40
        raw[8] = raw[8] & 0x3F | 0x80
        if raw[0] >> 2 != 62:
            return bytes(raw)


def _partitions_asked(topics: Sequence[NewTopic], defaults: TopicDefaults) -> int:
    return sum(
        len(topic.assignments)
        or (defaults.num_partitions if topic.num_partitions == -1 else max(topic.num_partitions, 0))
        for topic in topics
    )


def _too_many_partitions() -> _Refused:
    return _Refused(
        ErrorCode.POLICY_VIOLATION, f"a request creates at most {PARTITIONS_PER_REQUEST_MAX} partitions"
    )


def _check_new_name(image: MetadataImage, name: str, new_names: Mapping[str, str]) -> None:
    if name == METADATA_LOG_NAME:
        raise _Refused(ErrorCode.INVALID_REQUEST, f"topic '{name}' belongs to the cluster itself")
    wrong = name_error(name)
    if wrong is not None:
        raise _Refused(ErrorCode.INVALID_TOPIC_EXCEPTION, wrong)
    if name in image.topics_by_name:
        raise _Refused(ErrorCode.TOPIC_ALREADY_EXISTS, f"topic '{name}' already exists")
    if may_collide(name):
        key = collision_key(name)
        existing = image.collisions.get(key)
        other = existing[0] if existing else new_names.get(key)
        if other is not None:
            raise _Refused(
                ErrorCode.INVALID_TOPIC_EXCEPTION,
                f"topic '{name}' collides with topic '{other}': '.' and '_' are the same in metric names",
            )


def _create(
    image: MetadataImage,
    topic: NewTopic,
    defaults: TopicDefaults,
    check_configs: CheckConfigs,
    random: Random,
) -> tuple[list[Record], TopicOutcome]:
    configs = _configs(topic, check_configs)
    placements = _placements(image, topic, defaults, random)
    topic_id = new_topic_id(random)
    while topic_id in image.topics_by_id:
        topic_id = new_topic_id(random)
    records: list[Record] = [
        TopicRecord(name=topic.name, topic_id=topic_id, partitions=_runs(image, placements))
    ]
    if configs:
        records.append(ConfigRecord.of(ResourceType.TOPIC, topic.name, configs))
    outcome = TopicOutcome(
        topic.name,
        topic_id=topic_id,
        num_partitions=len(placements),
        replication_factor=len(placements[0]),
        configs=configs,
    )
    return records, outcome


def _configs(topic: NewTopic, check_configs: CheckConfigs) -> dict[str, str]:
    configs: dict[str, str] = {}
    for name, value in topic.configs.items():
        if value is None:
            raise _Refused(ErrorCode.INVALID_CONFIG, f"{name} needs a value")
        configs[name] = value
    if configs:
        wrong = check_configs(configs)
        if wrong is not None:
            raise _Refused(ErrorCode.INVALID_CONFIG, wrong)
    return configs


def _placements(
    image: MetadataImage, topic: NewTopic, defaults: TopicDefaults, random: Random
) -> list[tuple[int, ...]]:
    if topic.assignments:
        if topic.num_partitions != -1 or topic.replication_factor != -1:
            raise _Refused(
                ErrorCode.INVALID_REQUEST,
                "with a manual assignment the number of partitions and the replication factor must be -1",
            )
        return _manual(image, topic.assignments)
    if topic.num_partitions == 0 or topic.num_partitions < -1:
        raise _Refused(
            ErrorCode.INVALID_PARTITIONS,
            f"the number of partitions is {topic.num_partitions}: expected 1 or more, or -1",
        )
    if topic.replication_factor == 0 or topic.replication_factor < -1:
        raise _Refused(
            ErrorCode.INVALID_REPLICATION_FACTOR,
            f"the replication factor is {topic.replication_factor}: expected 1 or more, or -1",
        )
    count = defaults.num_partitions if topic.num_partitions == -1 else topic.num_partitions
    factor = defaults.replication_factor if topic.replication_factor == -1 else topic.replication_factor
    try:
        return place_replicas(image.brokers.values(), count, factor, random)
    except PlacementError as error:
        raise _Refused(ErrorCode.INVALID_REPLICATION_FACTOR, str(error)) from None


def _manual(image: MetadataImage, assignments: Assignments) -> list[tuple[int, ...]]:
    by_index: dict[int, tuple[int, ...]] = {}
    for index, brokers in assignments:
        if index in by_index:
            raise _Refused(
                ErrorCode.INVALID_REPLICA_ASSIGNMENT, f"partition {index} is assigned more than once"
            )
        by_index[index] = tuple(brokers)
    if set(by_index) != set(range(len(by_index))):
        raise _Refused(
            ErrorCode.INVALID_REPLICA_ASSIGNMENT,
            f"assigned partitions must be numbered 0 to {len(by_index) - 1} without a gap",
        )
    placements = [by_index[index] for index in range(len(by_index))]
    for index, replicas in enumerate(placements):
        _check_replicas(image, index, replicas, len(placements[0]))
    return placements


def _check_replicas(image: MetadataImage, index: int, replicas: Sequence[int], expected: int) -> None:
    wrong: str | None = None
    unknown = [broker for broker in replicas if broker not in image.brokers]
    if not replicas:
        wrong = "has no replicas"
    elif len(set(replicas)) != len(replicas):
        wrong = f"has a broker twice: {list(replicas)}"
    elif unknown:
        wrong = f"names broker {unknown[0]}, which is not registered"
    elif len(replicas) != expected:
        wrong = f"has {len(replicas)} replicas where the others have {expected}"
    elif not any(image.brokers[broker].is_active for broker in replicas):
        wrong = f"has only fenced brokers: {list(replicas)}"
    if wrong is not None:
        raise _Refused(ErrorCode.INVALID_REPLICA_ASSIGNMENT, f"the assignment of partition {index} {wrong}")


def _grow(
    image: MetadataImage, topic: MorePartitions, budget: int, random: Random
) -> tuple[PartitionsRecord, int]:
    existing = image.topics_by_name.get(topic.name)
    if existing is None:
        raise _Refused(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, "there is no such topic")
    before = len(existing.partitions)
    added = topic.count - before
    if added <= 0:
        raise _Refused(
            ErrorCode.INVALID_PARTITIONS,
            f"topic '{topic.name}' has {before} partitions: it can grow, not become {topic.count}",
        )
    if added > budget:
        raise _too_many_partitions()
    factor = len(existing.partitions[0].replicas)
    if topic.assignments is None:
        try:
            placements = place_replicas(image.brokers.values(), added, factor, random)
        except PlacementError as error:
            raise _Refused(ErrorCode.INVALID_REPLICATION_FACTOR, str(error)) from None
    else:
        if len(topic.assignments) != added:
            raise _Refused(
                ErrorCode.INVALID_REPLICA_ASSIGNMENT,
                f"{len(topic.assignments)} assignments for {added} new partitions",
            )
        placements = [tuple(replicas) for replicas in topic.assignments]
        for index, replicas in enumerate(placements, start=before):
            _check_replicas(image, index, replicas, factor)
    record = PartitionsRecord(
        topic_id=existing.topic_id, first_partition=before, partitions=_runs(image, placements)
    )
    return record, added


def _runs(image: MetadataImage, placements: Sequence[tuple[int, ...]]) -> list[PartitionRun]:
    """Equal neighbours as one run: ten thousand partitions of a single node are one."""
    runs: list[PartitionRun] = []
    previous: tuple[int, ...] | None = None
    for replicas in placements:
        if replicas == previous:
            runs[-1].count += 1
            continue
        previous = replicas
        in_sync = tuple(broker for broker in replicas if image.brokers[broker].is_active)
        directories = tuple(_directory(image, broker) for broker in replicas)
        runs.append(
            PartitionRun.of(1, PartitionImage(replicas, in_sync, in_sync[0], directories=directories))
        )
    return runs


def _directory(image: MetadataImage, broker_id: int) -> bytes:
    """The only directory of a broker; with several the broker chooses, and 0 says so."""
    directories = image.brokers[broker_id].directories
    return directories[0] if len(directories) == 1 else bytes(16)


def _repeated(keys: Iterable[str | bytes]) -> set[str | bytes]:
    seen: set[str | bytes] = set()
    return {key for key in keys if key in seen or seen.add(key)}  # type: ignore[func-returns-value]
