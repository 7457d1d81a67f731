"""In which log directory each replica is (AssignReplicasToDirs).

Decides which assignments of a broker hold, and what they do to who may lead. A replica that was put into a directory
which is lost meanwhile leaves the ISR, as if it had been lost after it.

A broker that says of a replica that it is LOST has nothing of it any more (a disk was replaced): the replica is neither
in sync nor eligible until it has caught up again. Only then may it say where the new one is. Without eligible leader
replicas an ISR cannot be empty: the last member stays in it, LOST and unable to lead, until somebody else leads. The
only replica of a partition goes on, empty: nobody else will ever have more.

Source: KIP-858.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from odradek.node.controller.elections import (
    LOST_DIRECTORY,
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
        start = before
        if LOST_DIRECTORY in (directory, _known_directory(before, broker_id)):
            start = _without(before, broker_id, electorate)
            if broker_id in start.isr and len(start.replicas) > 1 and directory != LOST_DIRECTORY:
                outcomes.append(DirectoryOutcome(directory, topic_id, number, ErrorCode.INELIGIBLE_REPLICA))
                continue
        target = Target(_isr_with(image, start, broker_id, directory), directories={broker_id: directory})
        rules = rules_of(topic.name)
        after = next_state(start, electorate, rules, target, unclean_if_allowed(rules))
        if after is start and start != before:
            after = start._replace(partition_epoch=before.partition_epoch + 1)
        changes.add(topic_id, number, before, after)
        outcomes.append(DirectoryOutcome(directory, topic_id, number))
    return Result(changes.records(), AssignReplicasOutcome(outcomes=outcomes))


def _isr_with(
    image: MetadataImage, partition: PartitionImage, broker_id: int, directory: bytes
) -> tuple[int, ...]:
    if has_directory(image.brokers[broker_id], directory):
        return partition.isr
    return tuple(member for member in partition.isr if member != broker_id)


def _known_directory(partition: PartitionImage, broker_id: int) -> bytes | None:
    return partition.directories[partition.replicas.index(broker_id)] if partition.directories else None


def _without(partition: PartitionImage, broker_id: int, electorate: Electorate) -> PartitionImage:
    """The partition if that replica had never been in sync, as far as an ISR allows it."""
    if len(partition.replicas) == 1:
        return partition
    isr, elr, last_known = (
        tuple(member for member in members if member != broker_id)
        for members in (partition.isr, partition.eligible_leader_replicas, partition.last_known_elr)
    )
    if not isr and not electorate.uses_elr:
        isr = partition.isr
    return partition._replace(isr=isr, eligible_leader_replicas=elr, last_known_elr=last_known)
