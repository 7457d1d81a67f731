"""Moving partitions to other brokers (AlterPartitionReassignments, ListPartitionReassignments).

Decides how a reassignment begins, what cancels it and what it leaves behind. While it runs, the replicas are the wanted
ones followed by those to be removed. It ends by itself, in the entry that first finds all wanted replicas in sync
(`elections.next_state`): mostly a leader's proposal of an ISR, or this very request where nothing has to be copied.

A second reassignment of the same partition starts from what was there before the first: replicas that the first had
added and the second does not want go at once, so that a cancel always leads back to the original ones.

Source: KIP-455, KIP-860 (replication factor), Kafka 4.3 ReplicationControlManager for the codes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from odradek.node.controller.elections import (
    Electorate,
    RulesOf,
    Target,
    TopicRules,
    next_state,
    unclean_if_allowed,
)
from odradek.node.controller.image import MetadataImage, PartitionImage
from odradek.node.controller.partition_changes import PartitionChanges
from odradek.node.controller.records import Result
from odradek.node.controller.replica_index import REASSIGNING, is_reassigning, topics_under
from odradek.proto.kafka.errors import ErrorCode

Ids = tuple[int, ...]


class Move(Protocol):
    """Where a partition should be. `replicas`: the wanted ones, the preferred leader first; None cancels."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def replicas(self) -> Sequence[int] | None: ...


@dataclass(frozen=True, slots=True)
class ReassignmentOutcome:
    topic: str
    partition: int
    error: ErrorCode = ErrorCode.NONE
    message: str | None = None


@dataclass(frozen=True, slots=True)
class Reassignment:
    """One that is under way. `replicas` are all at present, those to be removed among them."""

    topic: str
    partition: int
    replicas: Ids
    adding: Ids
    removing: Ids


class _Refused(Exception):
    def __init__(self, error: ErrorCode, message: str) -> None:
        self.error = error
        self.message = message
        super().__init__(message)


class _Plan(NamedTuple):
    replicas: Ids
    adding: Ids
    removing: Ids
    isr: Ids


def alter_reassignments(
    image: MetadataImage,
    moves: Sequence[Move],
    rules_of: RulesOf,
    *,
    allow_replication_factor_change: bool = True,
) -> Result[list[ReassignmentOutcome]]:
    """Judges every partition alone; one outcome per distinct partition, ordered by topic as asked and number.

    A partition that is named twice is refused.
    """
    electorate = Electorate.of(image)
    changes = PartitionChanges()
    outcomes: list[ReassignmentOutcome] = []
    grouped: dict[str, dict[int, list[Move]]] = {}
    for move in moves:
        grouped.setdefault(move.topic, {}).setdefault(move.partition, []).append(move)
    for name, by_number in grouped.items():
        topic = image.topic(name)
        rules = rules_of(name)
        for number, asked in sorted(by_number.items()):
            try:
                if topic is None or not 0 <= number < len(topic.partitions):
                    message = f"there is no partition {number} of topic '{name}'"
                    raise _Refused(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, message)
                if len(asked) > 1:
                    raise _Refused(
                        ErrorCode.INVALID_REQUEST, "the partition is in the request more than once"
                    )
                before = topic.partitions[number]
                wanted = asked[0].replicas
                if wanted is None:
                    after = _cancel(before, electorate, rules)
                else:
                    _check_wanted(image, before, wanted, allow_replication_factor_change)
                    after = _begin(before, tuple(wanted), electorate, rules)
            except _Refused as refused:
                outcomes.append(ReassignmentOutcome(name, number, refused.error, refused.message))
                continue
            changes.add(topic.topic_id, number, before, after)
            outcomes.append(ReassignmentOutcome(name, number))
    return Result(changes.records(), outcomes)


def list_reassignments(
    image: MetadataImage, topics: Sequence[tuple[str, Sequence[int]]] | None
) -> list[Reassignment]:
    """What is under way: of the (topic, partition numbers) asked for, or, for None, everywhere."""
    found: list[Reassignment] = []
    if topics is None:
        everywhere = sorted(topics_under(image, REASSIGNING), key=lambda topic: topic.name)
        asked = [(topic.name, range(len(topic.partitions))) for topic in everywhere]
    else:
        asked = [(name, numbers) for name, numbers in topics]  # type: ignore[misc]
    for name, numbers in asked:
        for number in numbers:
            partition = image.partition(name, number)
            if partition is not None and is_reassigning(partition):
                found.append(
                    Reassignment(
                        name,
                        number,
                        partition.replicas,
                        partition.adding_replicas,
                        partition.removing_replicas,
                    )
                )
    return found


def _check_wanted(
    image: MetadataImage, partition: PartitionImage, wanted: Sequence[int], allow_factor_change: bool
) -> None:
    unknown = [broker for broker in wanted if broker not in image.brokers]
    wrong: str | None = None
    if not wanted:
        wrong = "the list of replicas is empty"
    elif len(set(wanted)) != len(wanted):
        wrong = f"the list of replicas has a broker twice: {list(wanted)}"
    elif unknown:
        wrong = f"the list of replicas names broker {unknown[0]}, which is not registered"
    if wrong is not None:
        raise _Refused(ErrorCode.INVALID_REPLICA_ASSIGNMENT, wrong)
    factor = len(_original(partition))
    if not allow_factor_change and len(wanted) != factor:
        raise _Refused(
            ErrorCode.INVALID_REPLICATION_FACTOR,
            f"the replication factor would change from {factor} to {len(wanted)}",
        )


def _original(partition: PartitionImage) -> Ids:
    """The replicas before the reassignment that is under way, if any."""
    return tuple(broker for broker in partition.replicas if broker not in partition.adding_replicas)


def _begin(before: PartitionImage, wanted: Ids, electorate: Electorate, rules: TopicRules) -> PartitionImage:
    original = _original(before)
    removing = tuple(broker for broker in original if broker not in wanted)
    staying = {*original, *wanted}
    # Added by an earlier reassignment and not wanted now: gone at once, unless nobody else has all records.
    complete = (*before.isr, *before.eligible_leader_replicas)
    if complete and staying.isdisjoint(complete):
        removing += complete
        staying.update(complete)
    target = Target(
        isr=tuple(broker for broker in before.isr if broker in staying),
        replicas=wanted + removing,
        adding=tuple(broker for broker in wanted if broker not in original),
        removing=removing,
    )
    return next_state(before, electorate, rules, target, unclean_if_allowed(rules))


def _cancel(before: PartitionImage, electorate: Electorate, rules: TopicRules) -> PartitionImage:
    if not is_reassigning(before):
        raise _Refused(
            ErrorCode.NO_REASSIGNMENT_IN_PROGRESS, "no reassignment of this partition is under way"
        )
    original = _original(before)
    isr = tuple(broker for broker in before.isr if broker in original)
    complete = {*before.isr, *before.eligible_leader_replicas}
    if complete and complete.isdisjoint(original):
        if not rules.unclean:
            raise _Refused(
                ErrorCode.INVALID_REPLICA_ASSIGNMENT,
                "none of the original replicas is in sync: going back would need an unclean election",
            )
        # One of them leads now, alone in sync; if none can, the first that comes back.
        isr = () if any(electorate.is_active(broker) for broker in original) else original
    target = Target(isr=isr, replicas=original, adding=(), removing=())
    return next_state(before, electorate, rules, target, unclean_if_allowed(rules))
