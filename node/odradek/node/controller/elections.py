"""Who leads a partition and who is in sync: the rules, for one partition and for many.

Decides the next state of a partition from what is wanted (`next_state`), and with it what clients ask for by
ElectLeaders. Does not decide when a broker counts as gone (`brokers`), nor when the preferred leader takes over by
itself (`balance`).

The order of an election: the leader stays if it may; else the first replica, in the order of the replicas, that is in
the ISR and may lead; else the first eligible leader replica (ELR) that may; else, with nobody in either, the last known
leader; else, only if the topic allows it or somebody asked for an unclean election, any replica that may. A broker may
lead if it is neither fenced nor shutting down and the directory of its replica is usable.

Members that leave an ISR which is then below `min.insync.replicas` become eligible leader replicas: they hold every
committed record, because the high watermark does not move below that size. Without that feature (KIP-966) the last
member of an ISR stays in it instead.

Invariants: the leader is in the ISR, or there is none; ISR and ELR have no member in common, and the ELR is empty when
the ISR has `min.insync.replicas` members; the leader epoch grows exactly when the leader changes or a replica is
let go, the partition epoch with every change.

Source: KIP-966, KIP-841, KIP-460; Kafka 4.3 PartitionChangeBuilder and ReplicationControlManager, for the outcomes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple

from odradek.node.controller.image import (
    NO_LEADER,
    BrokerImage,
    MetadataImage,
    PartitionImage,
    TopicImage,
)
from odradek.node.controller.partition_changes import PartitionChanges
from odradek.node.controller.records import Result
from odradek.node.controller.replica_index import LEADERLESS, UNBALANCED, topics_under
from odradek.proto.kafka.errors import ErrorCode

ELR_FEATURE: Final = "eligible.leader.replicas.version"

UNASSIGNED_DIRECTORY: Final = bytes(16)
LOST_DIRECTORY: Final = bytes(15) + b"\x01"
_RESERVED_DIRECTORIES: Final = 100
"""Ids below this number name no directory."""

Ids = tuple[int, ...]


class Election(Enum):
    """Which leader is wanted: any clean one, the preferred one if possible, or any at all."""

    CLEAN = "clean"
    PREFERRED = "preferred"
    UNCLEAN = "unclean"


class TopicRules(NamedTuple):
    """The configs of a topic that elections obey."""

    min_insync_replicas: int = 1
    unclean: bool = False


RulesOf = Callable[[str], TopicRules]
"""The rules of a topic by its name."""


class Target(NamedTuple):
    """What a partition should come to; None is as before. `directories` are ids by broker."""

    isr: Ids | None = None
    replicas: Ids | None = None
    adding: Ids | None = None
    removing: Ids | None = None
    directories: Mapping[int, bytes] | None = None


_NO_TARGET: Final = Target()


class Electorate:
    """Who may lead, and by which features, as `brokers` and `features` will stand."""

    def __init__(self, brokers: Mapping[int, BrokerImage], features: Mapping[str, int]) -> None:
        self._brokers = brokers
        self._active = frozenset(broker_id for broker_id, broker in brokers.items() if broker.is_active)
        self.uses_elr = features.get(ELR_FEATURE, 0) > 0

    @classmethod
    def of(cls, image: MetadataImage, *changed: BrokerImage) -> Electorate:
        """`changed`: brokers that are about to become this."""
        brokers = image.brokers
        if changed:
            brokers = {**brokers, **{broker.broker_id: broker for broker in changed}}
        return cls(brokers, image.features)

    def is_active(self, broker_id: int) -> bool:
        return broker_id in self._active

    def may_lead(self, broker_id: int, directory: bytes) -> bool:
        return broker_id in self._active and has_directory(self._brokers[broker_id], directory)

    def directory(self, broker_id: int) -> bytes:
        """Where a new replica goes: the broker's only directory, or 'the broker decides'."""
        broker = self._brokers.get(broker_id)
        known = () if broker is None else broker.directories
        return known[0] if len(known) == 1 else UNASSIGNED_DIRECTORY


def has_directory(broker: BrokerImage, directory: bytes) -> bool:
    """Whether a replica in this directory can be used."""
    if directory in broker.directories or directory == UNASSIGNED_DIRECTORY:
        return True
    if directory == LOST_DIRECTORY:
        return False
    # A broker that registered without directories has not said which are lost.
    return not broker.directories or int.from_bytes(directory, "big") < _RESERVED_DIRECTORIES


def next_state(
    before: PartitionImage,
    electorate: Electorate,
    rules: TopicRules,
    target: Target = _NO_TARGET,
    election: Election = Election.CLEAN,
) -> PartitionImage:
    """The partition after a change; `before` itself if nothing changes."""
    replicas = before.replicas if target.replicas is None else target.replicas
    isr = before.isr if target.isr is None else target.isr
    adding = before.adding_replicas if target.adding is None else target.adding
    removing = before.removing_replicas if target.removing is None else target.removing
    if adding or removing:
        wanted = tuple(broker for broker in replicas if broker not in removing)
        # Nobody is let go while none of those that stay could lead.
        if set(wanted) <= set(isr) and any(electorate.is_active(broker) for broker in wanted):
            replicas, adding, removing = wanted, (), ()
            isr = tuple(broker for broker in isr if broker in wanted)
    if not isr and not electorate.uses_elr:
        last = before.isr or before.eligible_leader_replicas  # the latter while the feature is switched off
        isr = tuple(broker for broker in last if broker in replicas)
    directories = before.directories
    if replicas != before.replicas or target.directories:
        directories = _directories(before, electorate, replicas, target.directories)
    least = min(rules.min_insync_replicas, len(replicas))
    elr: Ids = ()
    last_known: Ids = ()
    if electorate.uses_elr and len(isr) < least:
        elr = _eligible(before, replicas, isr)
        last_known = before.last_known_elr
    candidates = Candidates(
        replicas, directories or (UNASSIGNED_DIRECTORY,) * len(replicas), isr, elr, last_known
    )
    leader = _elect(before.leader, candidates, electorate, election)
    if leader != NO_LEADER and leader not in isr:
        others = tuple(one for one in (*isr, *elr) if one != leader) if leader in elr else ()
        isr, elr = (leader,), others
        if not others or least <= 1:
            elr = last_known = ()
    elif leader == NO_LEADER and not isr:
        if elr and before.leader != NO_LEADER:
            last_known = (before.leader,)
        elif not electorate.uses_elr:
            isr = replicas  # an unclean change without anybody to lead: whoever comes back first
    # Whoever is let go deletes its log, and may be back before its last fetches arrive: the epoch tells them apart.
    is_new_epoch = leader != before.leader or not set(before.replicas) <= set(replicas)
    after = PartitionImage(
        replicas,
        isr,
        leader,
        before.leader_epoch + is_new_epoch,
        before.partition_epoch,
        directories,
        adding,
        removing,
        elr,
        last_known,
    )
    return before if after == before else after._replace(partition_epoch=after.partition_epoch + 1)


class Candidates(NamedTuple):
    """Who may be elected, where each replica is (`directories` run beside `replicas`), and in what standing."""

    replicas: Ids
    directories: tuple[bytes, ...]
    isr: Ids
    elr: Ids
    last_known: Ids


def unclean_if_allowed(rules: TopicRules) -> Election:
    return Election.UNCLEAN if rules.unclean else Election.CLEAN


def change_partitions(
    topics: Iterable[TopicImage],
    rules_of: RulesOf,
    change: Callable[[PartitionImage, TopicRules], PartitionImage],
    *,
    member: int | None = None,
) -> PartitionChanges:
    """Applies `change` to all partitions of `topics`, or to those that have `member` in the ISR.

    It must depend on its arguments alone: equal partitions, which mostly are one object, are asked about once.
    """
    collected = PartitionChanges()
    answers: dict[TopicRules, dict[int, PartitionImage]] = {}
    for topic in topics:
        rules = rules_of(topic.name)
        known = answers.setdefault(rules, {})
        for number, before in enumerate(topic.partitions):
            if member is not None and member not in before.isr:
                continue
            after = known.get(id(before))
            if after is None:
                after = known[id(before)] = change(before, rules)
            if after is not before:
                collected.add(topic.topic_id, number, before, after)
    return collected


@dataclass(frozen=True, slots=True)
class ElectionOutcome:
    """What became of one partition of an ElectLeaders request."""

    topic: str
    partition: int
    error: ErrorCode = ErrorCode.NONE
    message: str | None = None


def elect_leaders(
    image: MetadataImage,
    partitions: Sequence[tuple[str, int]] | None,
    rules_of: RulesOf,
    *,
    unclean: bool = False,
) -> Result[list[ElectionOutcome]]:
    """Elects the preferred leaders; if `unclean`, leaders at any price for partitions without one.

    `partitions`: (topic, number), each judged once; None for all, of which those that need no election are not in the
    outcome. Outcomes are by topic as asked, and by number.
    """
    election = Election.UNCLEAN if unclean else Election.PREFERRED
    electorate = Electorate.of(image)
    changes = PartitionChanges()
    outcomes: list[ElectionOutcome] = []
    asked = _all_that_need(image, election) if partitions is None else _by_topic(partitions)
    for name, numbers in asked:
        topic = image.topic(name)
        rules = rules_of(name)
        for number in numbers:
            if topic is None or not 0 <= number < len(topic.partitions):
                message = "there is no such topic" if topic is None else "there is no such partition"
                outcomes.append(ElectionOutcome(name, number, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, message))
                continue
            before = topic.partitions[number]
            error, after = _elect_one(before, election, electorate, rules)
            changes.add(topic.topic_id, number, before, after)
            outcomes.append(ElectionOutcome(name, number, error, _SENTENCES.get(error)))
    return Result(changes.records(), outcomes)


_SENTENCES: Final = {
    ErrorCode.ELECTION_NOT_NEEDED: "the leader is what was asked for already",
    ErrorCode.PREFERRED_LEADER_NOT_AVAILABLE: "the preferred leader is not in sync, or not available",
    ErrorCode.ELIGIBLE_LEADERS_NOT_AVAILABLE: "no replica is available",
}


def _elect_one(
    before: PartitionImage, election: Election, electorate: Electorate, rules: TopicRules
) -> tuple[ErrorCode, PartitionImage]:
    if election is Election.PREFERRED:
        if before.leader == before.replicas[0]:
            return ErrorCode.ELECTION_NOT_NEEDED, before
        after = next_state(before, electorate, rules, election=election)
        # Another than the preferred one, where nobody led, is progress too; Kafka counts it as success.
        done = after.leader != before.leader
        return (ErrorCode.NONE, after) if done else (ErrorCode.PREFERRED_LEADER_NOT_AVAILABLE, before)
    if before.leader != NO_LEADER:
        return ErrorCode.ELECTION_NOT_NEEDED, before
    after = next_state(before, electorate, rules, election=election)
    if after.leader == NO_LEADER:
        return ErrorCode.ELIGIBLE_LEADERS_NOT_AVAILABLE, before
    return ErrorCode.NONE, after


def _all_that_need(image: MetadataImage, election: Election) -> list[tuple[str, list[int]]]:
    found: list[tuple[str, list[int]]] = []
    key = UNBALANCED if election is Election.PREFERRED else LEADERLESS
    for topic in sorted(topics_under(image, key), key=lambda topic: topic.name):
        numbers = [
            number
            for number, partition in enumerate(topic.partitions)
            if (
                partition.leader != partition.replicas[0]
                if election is Election.PREFERRED
                else partition.leader == NO_LEADER
            )
        ]
        found.append((topic.name, numbers))
    return found


def _by_topic(partitions: Sequence[tuple[str, int]]) -> list[tuple[str, list[int]]]:
    """Every partition once, those of a topic in ascending order."""
    merged: dict[str, set[int]] = {}
    for name, number in partitions:
        merged.setdefault(name, set()).add(number)
    return [(name, sorted(numbers)) for name, numbers in merged.items()]


def _elect(current: int, among: Candidates, electorate: Electorate, election: Election) -> int:
    """The leader, or NO_LEADER. One that is neither in the ISR nor eligible may lack committed records."""
    replicas, directories, isr, elr, last_known = among

    def first(candidates: Iterable[int]) -> int:
        for broker in candidates:
            if electorate.may_lead(broker, directories[replicas.index(broker)]):
                return broker
        return NO_LEADER

    if election is Election.PREFERRED and replicas[0] in isr and first(replicas[:1]) != NO_LEADER:
        return replicas[0]
    if current in isr and first((current,)) != NO_LEADER:
        return current
    leader = first(broker for broker in replicas if broker in isr)
    if leader == NO_LEADER and elr:
        leader = first(broker for broker in replicas if broker in elr)
    if leader == NO_LEADER and electorate.uses_elr and not isr and not elr and len(last_known) == 1:
        leader = first(broker for broker in last_known if broker in replicas)
    if leader == NO_LEADER and election is Election.UNCLEAN:
        leader = first(replicas)
    return leader


def _eligible(before: PartitionImage, replicas: Ids, isr: Ids) -> Ids:
    """Who holds every committed record though it is not in the ISR."""
    candidates = dict.fromkeys((*before.eligible_leader_replicas, *before.isr))
    return tuple(broker for broker in candidates if broker not in isr and broker in replicas)


def _directories(
    before: PartitionImage, electorate: Electorate, replicas: Ids, given: Mapping[int, bytes] | None
) -> tuple[bytes, ...]:
    known = dict(zip(before.replicas, before.directories))
    if not known:
        known = dict.fromkeys(before.replicas, UNASSIGNED_DIRECTORY)
    known.update(given or {})
    return tuple(known[one] if one in known else electorate.directory(one) for one in replicas)
