"""Which brokers belong to the cluster, which of them serve, and what their coming and going does to partitions.

Decides the records that found a cluster, register a broker, fence and unfence it, shut it down in good order, take it
out, and those for lost log directories; with each go the changes of the partitions it is in, in one entry. Does not
decide when a broker counts as gone (`sessions`), nor who leads (`elections`).

A broker registers fenced: it is out of every ISR that has another member, and leads nothing, until it has caught up
with the metadata and is unfenced. Because every acknowledged record is on disk, a broker that comes back after a crash
has all it had acknowledged: unlike Kafka's, it keeps its place where nobody else could take over.

A controller that has just become active may not have heard of the brokers that an ISR consists of; they may all be
restarting. Taking one member after the other out would leave the last one as the only possible leader, though all hold
the same records. So an ISR is only reduced while it has another member that this controller has heard of; what was left
in is taken out once one of them is heard of (`settle_heard`).

Source: KIP-631, KIP-841, KIP-858, KIP-966; Kafka 4.3 ClusterControlManager, for the outcomes.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from odradek.node.controller.elections import (
    Electorate,
    RulesOf,
    Target,
    TopicRules,
    change_partitions,
    next_state,
    unclean_if_allowed,
)
from odradek.node.controller.image import NO_LEADER, BrokerImage, MetadataImage, PartitionImage
from odradek.node.controller.records import (
    BrokerChangeRecord,
    ClusterRecord,
    FeatureLevelRecord,
    Record,
    RegisterBrokerRecord,
    Result,
    UnregisterBrokerRecord,
)
from odradek.node.controller.replica_index import LEADERLESS, index_of, topics_under
from odradek.proto.kafka.errors import ErrorCode

NOBODY: Final[frozenset[int]] = frozenset()


class ClusterMismatchError(Exception):
    """The metadata log belongs to another cluster; the text is a sentence for the operator."""


@dataclass(frozen=True, slots=True)
class Registration:
    """A starting broker asks to be taken in. `broker`'s epoch and state do not matter.

    `features`: the lowest and highest level of each feature that it supports; none given, none checked.
    """

    broker: BrokerImage
    cluster_id: str
    features: Mapping[str, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RegistrationOutcome:
    error: ErrorCode = ErrorCode.NONE
    broker_epoch: int = -1
    message: str | None = None


@dataclass(frozen=True, slots=True)
class BrokerHeartbeat:
    """A sign of life. `metadata_offset` is the last entry of the metadata log that the broker has applied."""

    broker_id: int
    broker_epoch: int
    metadata_offset: int
    want_fence: bool = False
    want_shut_down: bool = False
    offline_directories: Sequence[bytes] = ()


@dataclass(frozen=True, slots=True)
class HeartbeatOutcome:
    error: ErrorCode = ErrorCode.NONE
    is_caught_up: bool = False
    is_fenced: bool = True
    should_shut_down: bool = False


@dataclass(frozen=True, slots=True)
class UnregisterOutcome:
    error: ErrorCode = ErrorCode.NONE
    message: str | None = None


def found_cluster(image: MetadataImage, cluster_id: str, features: Mapping[str, int]) -> Result[str]:
    """Names a new cluster, or checks the name of an existing one. Raises `ClusterMismatchError`."""
    if image.cluster_id:
        if image.cluster_id != cluster_id:
            raise ClusterMismatchError(
                f"the metadata log belongs to cluster {image.cluster_id}, this node to cluster {cluster_id}"
            )
        return Result([], image.cluster_id)
    records: list[Record] = [ClusterRecord(cluster_id=cluster_id)]
    records += [
        FeatureLevelRecord(name=name, feature_level=level) for name, level in sorted(features.items())
    ]
    return Result(records, cluster_id)


def registration_error(image: MetadataImage, registration: Registration) -> RegistrationOutcome | None:
    """Why a broker cannot be taken in whatever else is true, or None."""
    if registration.cluster_id != image.cluster_id:
        message = f"this is cluster {image.cluster_id}, not {registration.cluster_id}"
        return RegistrationOutcome(ErrorCode.INCONSISTENT_CLUSTER_ID, message=message)
    for name, level in image.features.items() if registration.features else ():
        lowest, highest = registration.features.get(name, (0, 0))
        if not lowest <= level <= highest:
            message = f"the broker supports levels {lowest} to {highest} of {name}, the cluster is at {level}"
            return RegistrationOutcome(ErrorCode.UNSUPPORTED_VERSION, message=message)
    return None


def register_broker(
    image: MetadataImage,
    registration: Registration,
    rules_of: RulesOf,
    *,
    heard: Container[int] = NOBODY,
    is_alone: bool = False,
) -> Result[RegistrationOutcome]:
    """Takes a broker in; its epoch becomes the index of the entry, which the response does not know yet.

    The same incarnation again keeps its epoch and its state. `is_alone`: the only node of its cluster serves at once,
    and its partitions stay as they are.
    """
    refused = registration_error(image, registration)
    if refused is not None:
        return Result([], refused)
    broker = registration.broker
    known = image.brokers.get(broker.broker_id)
    if known is not None and known.incarnation_id == broker.incarnation_id:
        again = replace(
            broker,
            epoch=known.epoch,
            fenced=known.fenced,
            in_controlled_shutdown=known.in_controlled_shutdown,
        )
        records: list[Record] = [] if again == known else [RegisterBrokerRecord.of(again)]
        return Result(records, RegistrationOutcome(broker_epoch=known.epoch))
    fresh = replace(broker, epoch=-1, fenced=not is_alone, in_controlled_shutdown=False)
    records = [RegisterBrokerRecord.of(fresh)]
    if not is_alone and known is not None and not known.fenced:
        records += _leave_isrs(image, fresh, rules_of, heard)
    return Result(records, RegistrationOutcome())


def unregister_broker(image: MetadataImage, broker_id: int, rules_of: RulesOf) -> Result[UnregisterOutcome]:
    """Takes a broker out of the cluster; replicas that are placed on it stay there, offline."""
    broker = image.brokers.get(broker_id)
    if broker is None:
        message = f"there is no broker {broker_id}"
        return Result([], UnregisterOutcome(ErrorCode.BROKER_ID_NOT_REGISTERED, message))
    records: list[Record] = []
    if not broker.fenced:
        records += _leave_isrs(image, replace(broker, fenced=True), rules_of, image.brokers)
    return Result([*records, UnregisterBrokerRecord(broker_id=broker_id)], UnregisterOutcome())


def fence_broker(
    image: MetadataImage, broker_id: int, epoch: int, rules_of: RulesOf, heard: Container[int]
) -> Result[bool]:
    """The broker is gone: others lead. The response says whether anything had to be done."""
    broker = image.brokers.get(broker_id)
    if broker is None or broker.epoch != epoch or broker.fenced:
        return Result([], False)
    fenced = replace(broker, fenced=True)
    record = BrokerChangeRecord(broker_id=broker_id, broker_epoch=epoch, fenced=1)
    return Result([record, *_leave_isrs(image, fenced, rules_of, heard)], True)


def on_heartbeat(
    image: MetadataImage,
    heartbeat: BrokerHeartbeat,
    rules_of: RulesOf,
    *,
    heard: Container[int] = NOBODY,
    may_go: bool = True,
    is_alone: bool = False,
) -> Result[HeartbeatOutcome]:
    """What a sign of life comes to: mostly nothing. `may_go`: the others know that this broker leads nothing."""
    broker = image.brokers.get(heartbeat.broker_id)
    if broker is None or broker.epoch != heartbeat.broker_epoch:
        return Result([], HeartbeatOutcome(ErrorCode.STALE_BROKER_EPOCH))
    is_caught_up = heartbeat.metadata_offset >= broker.epoch
    if is_alone:
        outcome = HeartbeatOutcome(
            is_caught_up=is_caught_up, is_fenced=broker.fenced, should_shut_down=heartbeat.want_shut_down
        )
        return Result([], outcome)
    after = _next_broker(broker, heartbeat, is_caught_up)
    records: list[Record] = []
    if after is not broker:
        records = [_broker_change(broker, after), *_follow(image, broker, after, rules_of, heard)]
    leaves = heartbeat.want_shut_down and (after.fenced or after.in_controlled_shutdown)
    should_shut_down = leaves and (after.fenced or (not records and may_go))
    return Result(records, HeartbeatOutcome(ErrorCode.NONE, is_caught_up, after.fenced, should_shut_down))


def settle_heard(image: MetadataImage, broker_id: int, rules_of: RulesOf) -> Result[None]:
    """A broker was heard of for the first time: who was left in its ISRs, or in those without a leader, but is not
    there goes out now."""
    electorate = Electorate.of(image)

    def settle(before: PartitionImage, rules: TopicRules) -> PartitionImage:
        if not electorate.is_active(broker_id):
            return before
        isr = tuple(member for member in before.isr if electorate.is_active(member))
        return next_state(before, electorate, rules, Target(isr=isr))

    changes = change_partitions(topics_under(image, broker_id), rules_of, settle, member=broker_id)
    return Result(changes.records(), None)


def _next_broker(broker: BrokerImage, heartbeat: BrokerHeartbeat, is_caught_up: bool) -> BrokerImage:
    """The broker after its heartbeat; itself if nothing changes."""
    after = broker
    lost = set(heartbeat.offline_directories).intersection(broker.directories)
    if lost:
        left = tuple(directory for directory in broker.directories if directory not in lost)
        after = replace(after, directories=left, fenced=after.fenced or not left)
    if after.fenced:
        wants_to_serve = not heartbeat.want_fence and not heartbeat.want_shut_down
        if wants_to_serve and is_caught_up and (after.directories or not heartbeat.offline_directories):
            after = replace(after, fenced=False, in_controlled_shutdown=False)
    elif heartbeat.want_shut_down:
        if not after.in_controlled_shutdown:
            after = replace(after, in_controlled_shutdown=True)
    elif heartbeat.want_fence:
        after = replace(after, fenced=True)
    return after


def _broker_change(before: BrokerImage, after: BrokerImage) -> Record:
    return BrokerChangeRecord(
        broker_id=before.broker_id,
        broker_epoch=before.epoch,
        fenced=-1 if after.fenced == before.fenced else int(after.fenced),
        in_controlled_shutdown=-1
        if after.in_controlled_shutdown == before.in_controlled_shutdown
        else int(after.in_controlled_shutdown),
        directories=None if after.directories == before.directories else list(after.directories),
    )


def _follow(
    image: MetadataImage, before: BrokerImage, after: BrokerImage, rules_of: RulesOf, heard: Container[int]
) -> list[Record]:
    """The changes of partitions that a broker's new state brings."""
    if before.is_active and not after.is_active:
        return _leave_isrs(image, after, rules_of, heard)
    if after.is_active and not before.is_active:
        return _serve(image, after, rules_of)
    if after.is_active and after.directories != before.directories:
        return _leave_directories(image, before, after, rules_of)
    return []


def _leave_isrs(
    image: MetadataImage, gone: BrokerImage, rules_of: RulesOf, heard: Container[int]
) -> list[Record]:
    """`gone` is not active any more: it leaves ISRs and leadership."""
    electorate = Electorate.of(image, gone)
    broker_id = gone.broker_id

    def leave(before: PartitionImage, rules: TopicRules) -> PartitionImage:
        rest = tuple(member for member in before.isr if member != broker_id)
        others_unknown = rest and not any(member in heard and electorate.is_active(member) for member in rest)
        target = Target() if others_unknown else Target(isr=rest)
        return next_state(before, electorate, rules, target, unclean_if_allowed(rules))

    return change_partitions(topics_under(image, broker_id), rules_of, leave, member=broker_id).records()


def _serve(image: MetadataImage, back: BrokerImage, rules_of: RulesOf) -> list[Record]:
    """`back` is active: it leads what nobody leads, if it may."""
    electorate = Electorate.of(image, back)
    index = index_of(image)
    hosted, leaderless = index.ids(back.broker_id), index.ids(LEADERLESS)
    few, many = (hosted, leaderless) if len(hosted) < len(leaderless) else (leaderless, hosted)
    topics = [image.topics_by_id[topic_id] for topic_id in few if topic_id in many]

    def serve(before: PartitionImage, rules: TopicRules) -> PartitionImage:
        if before.leader != NO_LEADER or back.broker_id not in before.replicas:
            return before
        active = tuple(member for member in before.isr if electorate.is_active(member))
        target = Target(isr=active or None)
        after = next_state(before, electorate, rules, target, unclean_if_allowed(rules))
        return before if after.leader == NO_LEADER else after

    return change_partitions(topics, rules_of, serve).records()


def _leave_directories(
    image: MetadataImage, before: BrokerImage, after: BrokerImage, rules_of: RulesOf
) -> list[Record]:
    """Replicas in directories that `after` has lost leave their ISRs."""
    electorate = Electorate.of(image, after)
    lost = set(before.directories).difference(after.directories)
    broker_id = after.broker_id

    def leave(partition: PartitionImage, rules: TopicRules) -> PartitionImage:
        if not _is_in(partition, broker_id, lost):
            return partition
        rest = tuple(member for member in partition.isr if member != broker_id)
        return next_state(partition, electorate, rules, Target(isr=rest), unclean_if_allowed(rules))

    return change_partitions(topics_under(image, broker_id), rules_of, leave, member=broker_id).records()


def _is_in(partition: PartitionImage, broker_id: int, directories: Container[bytes]) -> bool:
    if not partition.directories:
        return False
    return partition.directories[partition.replicas.index(broker_id)] in directories
