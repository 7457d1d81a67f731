"""A leader proposes another ISR (AlterPartition): the checks, and what an accepted proposal comes to.

Decides which proposals hold. A proposal that rests on epochs newer than the controller's own means that the controller
is behind; one on older epochs, that the leader is. A replica may only be in sync while it is registered with the epoch
that the leader heard from it, not fenced and not shutting down, so that a broker cannot be counted on after it is gone
(KIP-841, KIP-903); and it joins only once the directory of its replica is known to be usable, for it could not lead
otherwise (KIP-858). An ISR that now has all wanted replicas ends a reassignment in the same entry.

Source: protocol notes 4.3; Kafka 4.3 ReplicationControlManager.alterPartition, for the order of the checks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from odradek.node.controller.elections import (
    Electorate,
    RulesOf,
    Target,
    has_directory,
    next_state,
)
from odradek.node.controller.image import MetadataImage, PartitionImage
from odradek.node.controller.partition_changes import PartitionChanges
from odradek.node.controller.records import Result
from odradek.proto.kafka.errors import ErrorCode

RECOVERED: Final = 0
RECOVERING: Final = 1


@dataclass(frozen=True, slots=True)
class IsrMember:
    """`broker_epoch` is what the leader heard from the replica, -1 if it did not say."""

    broker_id: int
    broker_epoch: int = -1


@dataclass(frozen=True, slots=True)
class IsrProposal:
    """The ISR that the leader of one partition wants, and the epochs that it knows."""

    topic_id: bytes
    partition: int
    leader_epoch: int
    partition_epoch: int
    new_isr: Sequence[IsrMember]
    leader_recovery_state: int = RECOVERED


@dataclass(frozen=True, slots=True)
class AlterPartitions:
    """The proposals of one broker."""

    broker_id: int
    broker_epoch: int
    proposals: Sequence[IsrProposal]


@dataclass(frozen=True, slots=True)
class IsrOutcome:
    """`state` is the partition after the request, where `error` is NONE."""

    topic_id: bytes
    partition: int
    error: ErrorCode = ErrorCode.NONE
    state: PartitionImage | None = None


@dataclass(frozen=True, slots=True)
class AlterPartitionsOutcome:
    """`error` is for the request as a whole; then there are no `outcomes`."""

    error: ErrorCode = ErrorCode.NONE
    outcomes: Sequence[IsrOutcome] = ()


def alter_partitions(
    image: MetadataImage, request: AlterPartitions, rules_of: RulesOf
) -> Result[AlterPartitionsOutcome]:
    """Judges every proposal alone; one outcome per proposal, by topic id and partition. A second proposal for one
    partition is refused."""
    if broker_epoch_error(image, request.broker_id, request.broker_epoch) is not None:
        return Result([], AlterPartitionsOutcome(ErrorCode.STALE_BROKER_EPOCH))
    electorate = Electorate.of(image)
    changes = PartitionChanges()
    judged: set[tuple[bytes, int]] = set()
    outcomes: list[IsrOutcome] = []
    for proposal in sorted(request.proposals, key=lambda one: (one.topic_id, one.partition)):
        place = (proposal.topic_id, proposal.partition)
        topic = image.topics_by_id.get(proposal.topic_id)
        if topic is None:
            outcomes.append(IsrOutcome(*place, ErrorCode.UNKNOWN_TOPIC_ID))
            continue
        if not 0 <= proposal.partition < len(topic.partitions):
            outcomes.append(IsrOutcome(*place, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION))
            continue
        before = topic.partitions[proposal.partition]
        error = ErrorCode.INVALID_REQUEST
        if place not in judged:
            error = _error(image, before, request.broker_id, proposal)
        judged.add(place)
        if error is not ErrorCode.NONE:
            outcomes.append(IsrOutcome(*place, error))
            continue
        isr = tuple(member.broker_id for member in proposal.new_isr)
        target = Target(isr=before.isr if set(isr) == set(before.isr) else isr)
        after = next_state(before, electorate, rules_of(topic.name), target)
        changes.add(*place, before, after)
        # A reassignment that this proposal ended let replicas go: there is a new epoch, perhaps a new leader.
        if after.leader_epoch != before.leader_epoch:
            outcomes.append(IsrOutcome(*place, ErrorCode.NEW_LEADER_ELECTED))
        else:
            outcomes.append(IsrOutcome(*place, state=after))
    return Result(changes.records(), AlterPartitionsOutcome(outcomes=outcomes))


def broker_epoch_error(image: MetadataImage, broker_id: int, epoch: int) -> str | None:
    """Why a request of a broker is not of its present registration, or None."""
    broker = image.brokers.get(broker_id)
    if broker is None:
        return f"broker {broker_id} is not registered"
    if broker.epoch != epoch:
        return f"broker {broker_id} is registered with epoch {broker.epoch}, not {epoch}"
    return None


def _error(
    image: MetadataImage, partition: PartitionImage, broker_id: int, proposal: IsrProposal
) -> ErrorCode:
    if proposal.leader_epoch > partition.leader_epoch:
        return ErrorCode.NOT_CONTROLLER
    if proposal.partition_epoch > partition.partition_epoch:
        return ErrorCode.NOT_CONTROLLER
    if proposal.leader_epoch < partition.leader_epoch:
        return ErrorCode.FENCED_LEADER_EPOCH
    if broker_id != partition.leader:
        return ErrorCode.INVALID_REQUEST
    if proposal.partition_epoch < partition.partition_epoch:
        return ErrorCode.INVALID_UPDATE_VERSION
    members = [member.broker_id for member in proposal.new_isr]
    if len(set(members)) != len(members) or not set(members) <= set(partition.replicas):
        return ErrorCode.INVALID_REQUEST
    if partition.leader not in members:
        return ErrorCode.INVALID_REQUEST
    if proposal.leader_recovery_state == RECOVERING:  # no partition here is ever recovering
        return ErrorCode.INVALID_REQUEST
    if not all(_is_eligible(image, partition, member) for member in proposal.new_isr):
        return ErrorCode.INELIGIBLE_REPLICA
    return ErrorCode.NONE


def _is_eligible(image: MetadataImage, partition: PartitionImage, member: IsrMember) -> bool:
    broker_id = member.broker_id
    broker = image.brokers.get(broker_id)
    if broker is None or not broker.is_active or member.broker_epoch not in (-1, broker.epoch):
        return False
    if broker_id in partition.isr or not partition.directories:
        return True
    return has_directory(broker, partition.directories[partition.replicas.index(broker_id)])
