"""The answer to a Kafka request that is refused: its error wherever a client looks for one. Pure.

Decides, for each API that clients may call, how the request is mirrored: which of its arrays has an answer for each
element, what names an element in both, and whether the answer has an error of its own. What the active controller
answers is taken from `kafka_api.refusals`. Source: `getErrorResponse` of Kafka's requests.

A request may also be refused in part, for one topic: `without_topic` and `only_topic` divide it, `add` joins the
answers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeVar

from odradek.node.kafka_api.refusals import REFUSALS, refusal
from odradek.proto.kafka.api import APIS, response_class
from odradek.proto.kafka.errors import ErrorCode
from odradek.proto.kafka.messages.log_dirs import AlterReplicaLogDirsRequest, AlterReplicaLogDirsResponse
from odradek.proto.kafka.schema import ZERO_UUID, Message, Struct

M = TypeVar("M", bound=Message)
TopicName = Callable[[bytes], str | None]
"""The name of a topic id."""
_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})
_KEYS: Final = {api.name: key for key, api in APIS.items()}

# Errors of a Fetch that are about its session, or all of it, and have their place beside the partitions.
_OF_THE_WHOLE_FETCH: Final = frozenset(
    (
        ErrorCode.FETCH_SESSION_ID_NOT_FOUND,
        ErrorCode.INVALID_FETCH_SESSION_EPOCH,
        ErrorCode.FETCH_SESSION_TOPIC_ID_ERROR,
        ErrorCode.INCONSISTENT_TOPIC_ID,
    )
)


class Slots(NamedTuple):
    """One array of a request and the one that answers it, element by element.

    `same`: fields of the answer and of the request ("" for elements that are no structures). `rest`: what an answer
    with an error says besides.
    """

    asked: str
    answered: str
    same: Mapping[str, str]
    inner: Slots | None = None
    rest: Mapping[str, Any] = _NOTHING


class Answer(NamedTuple):
    """How one API answers an error. `is_whole`: with a field beside all slots."""

    slots: tuple[Slots, ...] = ()
    is_whole: bool = False
    rest: Mapping[str, Any] = _NOTHING
    make: Callable[[Any, ErrorCode, str], Message] | None = None


class TopicArray(NamedTuple):
    """Where requests name topics. `name` and `id`: fields of an element; `name` "" where the elements are names."""

    array: str
    name: str = "name"
    id: str = ""


_INDEX: Final = {"partition_index": "partition_index"}
_NAME: Final = {"name": "name"}
_NAME_AND_ID: Final = {"name": "name", "topic_id": "topic_id"}


def _by_partition(topic: Mapping[str, str], same: Mapping[str, str] = _INDEX, **rest: Any) -> Answer:
    return Answer((Slots("topics", "topics", topic, Slots("partitions", "partitions", same, rest=rest)),))


def _alter_replica_log_dirs(request: AlterReplicaLogDirsRequest, error: ErrorCode, _: str) -> Message:
    result = AlterReplicaLogDirsResponse.AlterReplicaLogDirTopicResult
    partition = AlterReplicaLogDirsResponse.AlterReplicaLogDirPartitionResult
    return AlterReplicaLogDirsResponse(
        results=[
            result(
                topic_name=topic.name,
                partitions=[partition(partition_index=index, error_code=error) for index in topic.partitions],
            )
            for directory in request.dirs
            for topic in directory.topics
        ]
    )


_WHOLE: Final = Answer(is_whole=True)
_METADATA: Final = Answer()
"""It is answered as ever, and the error put in the place of its topics: clients need the rest (`kafka_faults`)."""

ANSWERS: Final[Mapping[str, Answer]] = {
    "Produce": Answer(
        (
            Slots(
                "topic_data",
                "responses",
                _NAME_AND_ID,
                Slots("partition_data", "partition_responses", {"index": "index"}, rest={"base_offset": -1}),
            ),
        )
    ),
    "Fetch": Answer(
        (
            Slots(
                "topics",
                "responses",
                {"topic": "topic", "topic_id": "topic_id"},
                Slots(
                    "partitions",
                    "partitions",
                    {"partition_index": "partition"},
                    rest={"high_watermark": -1, "records": b""},
                ),
            ),
        )
    ),
    "ListOffsets": _by_partition(_NAME, timestamp=-1, offset=-1, leader_epoch=-1),
    "Metadata": _METADATA,
    "OffsetCommit": _by_partition(_NAME_AND_ID),
    "OffsetFetch": Answer(
        (
            Slots(
                "topics",
                "topics",
                _NAME,
                Slots(
                    "partition_indexes", "partitions", {"partition_index": ""}, rest={"committed_offset": -1}
                ),
            ),
            Slots("groups", "groups", {"group_id": "group_id"}),
        ),
        is_whole=True,
    ),
    "FindCoordinator": Answer(
        (Slots("coordinator_keys", "coordinators", {"key": ""}, rest={"node_id": -1, "port": -1}),),
        is_whole=True,
        rest={"node_id": -1, "port": -1},
    ),
    "JoinGroup": Answer(is_whole=True, rest={"generation_id": -1}),
    "Heartbeat": _WHOLE,
    "LeaveGroup": _WHOLE,
    "SyncGroup": _WHOLE,
    "DescribeGroups": Answer((Slots("groups", "groups", {"group_id": ""}),)),
    "ListGroups": _WHOLE,
    "ApiVersions": _WHOLE,
    "CreateTopics": Answer(make=refusal),
    "DeleteTopics": Answer(make=refusal),
    "DeleteRecords": _by_partition(_NAME, low_watermark=-1),
    "InitProducerId": Answer(is_whole=True, rest={"producer_id": -1, "producer_epoch": -1}),
    "OffsetForLeaderEpoch": _by_partition(
        {"topic": "topic"}, {"partition": "partition"}, leader_epoch=-1, end_offset=-1
    ),
    "DescribeConfigs": Answer(
        (
            Slots(
                "resources",
                "results",
                {"resource_type": "resource_type", "resource_name": "resource_name"},
            ),
        )
    ),
    "AlterConfigs": Answer(make=refusal),
    "AlterReplicaLogDirs": Answer(make=_alter_replica_log_dirs),
    "DescribeLogDirs": _WHOLE,
    "CreatePartitions": Answer(make=refusal),
    "DeleteGroups": Answer((Slots("groups_names", "results", {"group_id": ""}),)),
    "ElectLeaders": Answer(make=refusal),
    "IncrementalAlterConfigs": Answer(make=refusal),
    "AlterPartitionReassignments": Answer(make=refusal),
    "ListPartitionReassignments": Answer(make=refusal),
    "OffsetDelete": _by_partition(_NAME)._replace(is_whole=True),
    "DescribeCluster": _WHOLE,
    "DescribeProducers": Answer(
        (
            Slots(
                "topics",
                "topics",
                _NAME,
                Slots("partition_indexes", "partitions", {"partition_index": ""}),
            ),
        )
    ),
    "DescribeQuorum": Answer(make=refusal),
    "UpdateFeatures": Answer(make=refusal),
    "UnregisterBroker": Answer(make=refusal),
    "ListConfigResources": _WHOLE,
    "DescribeTopicPartitions": Answer((Slots("topics", "topics", _NAME),)),
    "AddRaftVoter": Answer(make=refusal),
    "RemoveRaftVoter": Answer(make=refusal),
}
"""Every API that clients may call, by Kafka's name."""

TOPICS: Final[Mapping[str, tuple[TopicArray, ...]]] = {
    "Produce": (TopicArray("topic_data", id="topic_id"),),
    "Fetch": (TopicArray("topics", "topic", "topic_id"),),
    "ListOffsets": (TopicArray("topics"),),
    "Metadata": (TopicArray("topics", id="topic_id"),),
    "OffsetCommit": (TopicArray("topics", id="topic_id"),),
    "CreateTopics": (TopicArray("topics"),),
    "DeleteTopics": (TopicArray("topics", id="topic_id"), TopicArray("topic_names", "")),
    "DeleteRecords": (TopicArray("topics"),),
    "OffsetForLeaderEpoch": (TopicArray("topics", "topic"),),
    "CreatePartitions": (TopicArray("topics"),),
    "ElectLeaders": (TopicArray("topic_partitions", "topic"),),
    "AlterPartitionReassignments": (TopicArray("topics"),),
    "OffsetDelete": (TopicArray("topics"),),
    "DescribeProducers": (TopicArray("topics"),),
    "DescribeTopicPartitions": (TopicArray("topics"),),
}
"""The APIs whose requests are about topics that each have an answer of their own."""


def answer(api: str, request: Message, error: ErrorCode, message: str, *, in_part: bool = False) -> Message:
    """The response to `request` with `error`. `in_part`: only in its slots, because others are answered well."""
    how = ANSWERS[api]
    if how.make is not None:
        return how.make(request, error, message)
    cls = response_class(_KEYS[api])
    values = dict(how.rest)
    fields = {field.name for field in cls.FIELDS}
    is_whole = how.is_whole and not in_part
    if api == "Fetch" and error in _OF_THE_WHOLE_FETCH:
        return cls(**values, error_code=error)
    if is_whole:
        values["error_code"] = error
        if "error_message" in fields:
            values["error_message"] = message
    for slots in how.slots:
        values[slots.answered] = _answers(cls, cls, slots, request, error, message)
    return cls(**values)


def _answers(
    message_class: type[Message],
    owner: type[Struct],
    slots: Slots,
    asked: Any,
    error: ErrorCode,
    message: str,
) -> list[Struct]:
    element = next(field.element for field in owner.FIELDS if field.name == slots.answered)
    cls: type[Struct] = getattr(message_class, str(element))  # structures are nested in their message
    fields = {field.name for field in cls.FIELDS}
    errors: dict[str, Any] = {"error_code": error} if "error_code" in fields else {}
    if "error_message" in fields:
        errors["error_message"] = message
    answers = []
    for one in getattr(asked, slots.asked) or ():
        values = {to: one if of == "" else getattr(one, of) for to, of in slots.same.items()}
        if slots.inner is not None:
            inner = _answers(message_class, cls, slots.inner, one, error, message)
            values[slots.inner.answered] = inner
        answers.append(cls(**values, **slots.rest, **errors))
    return answers


# -- topics of a request


def topics_of(api: str, request: Message, topic_name: TopicName) -> list[str]:
    """The topics that a request names, also by their ids."""
    return [
        name
        for array in TOPICS.get(api, ())
        for one in getattr(request, array.array) or ()
        if (name := _name_of(array, one, topic_name)) is not None
    ]


def only_topic(api: str, request: M, topic: str, topic_name: TopicName) -> M:
    """The request as if it were for this topic alone."""
    return _filtered(api, request, lambda array, one: _name_of(array, one, topic_name) == topic)


def without_topic(api: str, request: M, topic: str, topic_name: TopicName) -> M:
    """The request as if it had not named the topic. A Fetch does not wait, for its answer is there already."""
    rest = _filtered(api, request, lambda array, one: _name_of(array, one, topic_name) != topic)
    if api == "Fetch":
        rest.max_wait_ms = 0  # type: ignore[attr-defined]
    return rest


def add(response: Message, more: Message) -> None:
    """Append the slots of `more`, an answer of the same class, to those of `response`."""
    for field in type(response).FIELDS:
        found = getattr(more, field.name)
        if field.kind == "array" and found:
            setattr(response, field.name, [*(getattr(response, field.name) or ()), *found])


def _filtered(api: str, request: M, keep: Callable[[TopicArray, Any], bool]) -> M:
    values = {field.name: getattr(request, field.name) for field in type(request).FIELDS}
    for array in TOPICS[api]:
        if values[array.array]:
            values[array.array] = [one for one in values[array.array] if keep(array, one)]
    return type(request)(**values)


def _name_of(array: TopicArray, element: Any, topic_name: TopicName) -> str | None:
    if array.name == "":
        return str(element)
    name: str | None = getattr(element, array.name)
    if name or not array.id:
        return name or None
    topic_id = getattr(element, array.id)
    return None if topic_id == ZERO_UUID else topic_name(topic_id)


def refused_by_controller() -> Sequence[str]:
    """APIs that are answered as the node answers them where nobody is the active controller."""
    return [cls.INFO.name.removesuffix("Request") for cls in REFUSALS]
