"""A cluster as an image and the pure operations on it: every change goes through its bytes, as in the log."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from odradek.node.controller import brokers, isr
from odradek.node.controller.brokers import BrokerHeartbeat, Registration
from odradek.node.controller.delta import MetadataDelta
from odradek.node.controller.elections import ELR_FEATURE, RulesOf, TopicRules
from odradek.node.controller.image import BrokerImage, Endpoint, MetadataImage, PartitionImage, TopicImage
from odradek.node.controller.partition_changes import PartitionChanges
from odradek.node.controller.records import PartitionRun, Record, Result, TopicRecord, encode_records
from odradek.node.controller.state import MetadataState

R = TypeVar("R")


def directory(broker_id: int, number: int = 1) -> bytes:
    return bytes([broker_id, number]) * 8


def broker(broker_id: int, *, directories: int = 1, incarnation: int = 0) -> BrokerImage:
    return BrokerImage(
        broker_id,
        epoch=-1,
        incarnation_id=bytes([broker_id, incarnation]) * 8,
        endpoints={"PLAINTEXT": Endpoint(f"host{broker_id}", 9092, "PLAINTEXT")},
        directories=tuple(directory(broker_id, number + 1) for number in range(directories)),
    )


class ImageWorld:
    """Brokers 1, 2, ... registered and unfenced. `min_isr` and `unclean` hold for all topics."""

    def __init__(
        self,
        brokers_: Sequence[int] = (1, 2, 3),
        *,
        elr: bool = True,
        min_isr: int = 2,
        unclean: bool = False,
        directories: int = 1,
    ) -> None:
        self.rules = TopicRules(min_isr, unclean)
        self.published: list[MetadataDelta] = []
        self.state = MetadataState(lambda delta, image: self.published.append(delta))
        self.heard = frozenset(brokers_)
        self.entries: list[list[Record]] = []
        self.run(lambda image: brokers.found_cluster(image, "c", {ELR_FEATURE: int(elr)}))
        for broker_id in brokers_:
            self.register(broker(broker_id, directories=directories))
            self.unfence(broker_id)

    @property
    def image(self) -> MetadataImage:
        return self.state.image

    def rules_of(self, topic: str) -> TopicRules:
        return self.rules

    @property
    def every_rule(self) -> RulesOf:
        return self.rules_of

    def commit(self, records: Sequence[Record]) -> None:
        if records:
            self.entries.append(list(records))
            self.state.apply(self.image.applied_index + 1, encode_records(records))

    def run(self, operation: Callable[[MetadataImage], Result[R]]) -> R:
        result = operation(self.image)
        self.commit(result.records)
        return result.response

    # -- brokers

    def register(self, wanted: BrokerImage, *, is_alone: bool = False) -> brokers.RegistrationOutcome:
        return self.run(
            lambda image: brokers.register_broker(
                image, Registration(wanted, "c"), self.rules_of, heard=self.heard, is_alone=is_alone
            )
        )

    def heartbeat(self, broker_id: int, *, may_go: bool = True, **wants: object) -> brokers.HeartbeatOutcome:
        """A heartbeat of a broker that has applied everything."""
        beat = BrokerHeartbeat(broker_id, self.image.brokers[broker_id].epoch, self.image.applied_index)
        beat = replace(beat, **wants)  # type: ignore[arg-type]
        return self.run(
            lambda image: brokers.on_heartbeat(image, beat, self.rules_of, heard=self.heard, may_go=may_go)
        )

    def unfence(self, broker_id: int) -> None:
        self.heartbeat(broker_id)
        assert not self.image.brokers[broker_id].fenced

    def fence(self, broker_id: int) -> bool:
        epoch = self.image.brokers[broker_id].epoch
        return self.run(
            lambda image: brokers.fence_broker(
                image, broker_id, epoch, self.rules_of, self.heard - {broker_id}
            )
        )

    # -- partitions

    def create(self, name: str, *replicas: Sequence[int]) -> TopicImage:
        """A topic all of whose replicas are in sync, the first leading."""
        runs = []
        for one in replicas:
            directories = tuple(
                known[0] if len(known := self.image.brokers[broker_id].directories) == 1 else bytes(16)
                for broker_id in one
            )
            placed = tuple(one)
            runs.append(
                PartitionRun.of(1, PartitionImage(placed, placed, placed[0], directories=directories))
            )
        topic_id = name.encode().ljust(16, b"-")
        self.commit([TopicRecord(name=name, topic_id=topic_id, partitions=runs)])
        return self.image.topics_by_name[name]

    def at(self, name: str, number: int = 0) -> PartitionImage:
        partition = self.image.partition(name, number)
        assert partition is not None, (name, number)
        return partition

    def put(self, name: str, number: int, **fields: Any) -> None:
        """Brings a partition into a state, by the record that would have."""
        before = self.at(name, number)
        after = before._replace(**fields)
        if after.leader != before.leader:
            after = after._replace(leader_epoch=before.leader_epoch + 1)
        if "replicas" in fields:
            after = after._replace(directories=tuple(directory(one) for one in after.replicas))
        changes = PartitionChanges()
        changes.add(self.image.topics_by_name[name].topic_id, number, before, after)
        self.commit(changes.records())

    def show(self, name: str, number: int = 0) -> str:
        return shown(self.at(name, number))

    def propose(self, name: str, members: Sequence[int], number: int = 0) -> isr.IsrOutcome:
        """The leader proposes an ISR, with the epochs as they are."""
        partition = self.at(name, number)
        proposal = isr.IsrProposal(
            self.image.topics_by_name[name].topic_id,
            number,
            partition.leader_epoch,
            partition.partition_epoch,
            [isr.IsrMember(member, self.image.brokers[member].epoch) for member in members],
        )
        leader = partition.leader
        request = isr.AlterPartitions(leader, self.image.brokers[leader].epoch, [proposal])
        (outcome,) = self.run(lambda image: isr.alter_partitions(image, request, self.rules_of)).outcomes
        return outcome


def shown(partition: PartitionImage) -> str:
    """One partition in a line: `3 leads 1 2 3, isr 3, elr 1 (epoch 2)`."""
    leader = "nobody" if partition.leader < 0 else str(partition.leader)
    words = [f"{leader} leads {_ids(partition.replicas)}, isr {_ids(partition.isr)}"]
    for name, members in (
        ("elr", partition.eligible_leader_replicas),
        ("last known", partition.last_known_elr),
        ("adding", partition.adding_replicas),
        ("removing", partition.removing_replicas),
    ):
        if members:
            words.append(f"{name} {_ids(members)}")
    return ", ".join(words) + f" (epoch {partition.leader_epoch})"


def _ids(members: Sequence[int]) -> str:
    return " ".join(map(str, members)) or "-"
