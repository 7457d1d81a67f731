"""In which log directory each replica is (AssignReplicasToDirs).

Decides which assignments of a broker hold. A replica that was put into a directory which is lost meanwhile leaves the
ISR, as if it had been lost after it.

Source: KIP-858.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from odradek.node.controller.elections import (
    Electorate,
    RulesOf,
    Target,
    has_directory,
    next_state,
    unclean_if_allowed,
)
from odradek.node.controller.image import MetadataImage, PartitionImage
from odradek.node.controller.isr import broker_epoch_error
from odradek.node.controller.partition_changes import PartitionChanges
from odradek.node.controller.records import Result
from odradek.proto.kafka.errors import ErrorCode


@dataclass(frozen=True, slots=True)
class DirectoryAssignment:
    """One replica of the asking broker is in `directory` (an id)."""

    directory: bytes
    topic_id: bytes
    partition: int


@dataclass(frozen=True, slots=True)
class AssignReplicas:
    broker_id: int
    broker_epoch: int
    assignments: Sequence[DirectoryAssignment]


@dataclass(frozen=True, slots=True)
class DirectoryOutcome:
    directory: bytes
    topic_id: bytes
    partition: int
    error: ErrorCode = ErrorCode.NONE


@dataclass(frozen=True, slots=True)
class AssignReplicasOutcome:
    """`error` is for the request as a whole; then there are no `outcomes`."""

    error: ErrorCode = ErrorCode.NONE
    outcomes: Sequence[DirectoryOutcome] = ()


def assign_replicas(
    image: MetadataImage, request: AssignReplicas, rules_of: RulesOf
) -> Result[AssignReplicasOutcome]:
    """One outcome per assignment, by topic id and partition; the last of several for one replica counts."""
    if broker_epoch_error(image, request.broker_id, request.broker_epoch) is not None:
        return Result([], AssignReplicasOutcome(ErrorCode.STALE_BROKER_EPOCH))
    electorate = Electorate.of(image)
    broker_id = request.broker_id
    changes = PartitionChanges()
    outcomes: list[DirectoryOutcome] = []
    wanted: dict[tuple[bytes, int], bytes] = {}
    for one in request.assignments:
        wanted[one.topic_id, one.partition] = one.directory
    for (topic_id, number), directory in sorted(wanted.items()):
        topic = image.topics_by_id.get(topic_id)
        if topic is None:
            outcomes.append(DirectoryOutcome(directory, topic_id, number, ErrorCode.UNKNOWN_TOPIC_ID))
            continue
        if not 0 <= number < len(topic.partitions):
            error = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
            outcomes.append(DirectoryOutcome(directory, topic_id, number, error))
            continue
        before = topic.partitions[number]
        if broker_id not in before.replicas:
            error = ErrorCode.NOT_LEADER_OR_FOLLOWER
            outcomes.append(DirectoryOutcome(directory, topic_id, number, error))
            continue
        target = Target(_isr_with(image, before, broker_id, directory), directories={broker_id: directory})
        rules = rules_of(topic.name)
        after = next_state(before, electorate, rules, target, unclean_if_allowed(rules))
        changes.add(topic_id, number, before, after)
        outcomes.append(DirectoryOutcome(directory, topic_id, number))
    return Result(changes.records(), AssignReplicasOutcome(outcomes=outcomes))


def _isr_with(
    image: MetadataImage, partition: PartitionImage, broker_id: int, directory: bytes
) -> tuple[int, ...]:
    if has_directory(image.brokers[broker_id], directory):
        return partition.isr
    return tuple(member for member in partition.isr if member != broker_id)
