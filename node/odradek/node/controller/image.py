"""The cluster's metadata at one point of the metadata log: an immutable value.

Decides nothing. Every part of the node reads it without locks or copies; whoever needs to know what changed
gets the delta beside it. Unchanged parts are shared between images, and so are equal partitions: ten
thousand partitions with one leader and one replica are one object.

Invariants: `topics_by_name` and `topics_by_id` hold the same objects; the partitions of a topic are
numbered 0..n-1 by position; `replicas[0]` is the preferred leader; `isr` is a subset of `replicas`;
`leader` is in `isr` or -1 (nobody can lead); `eligible_leader_replicas` and `isr` have no member in common.

Source: KIP-500 and Kafka's MetadataImage, for the idea.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from odradek.node.controller.persistent_map import PersistentMap

if TYPE_CHECKING:
    from odradek.node.controller.replica_index import ReplicaIndex

NO_LEADER: Final = -1


class ResourceType(IntEnum):
    """What a configuration belongs to, with the numbers of the wire."""

    TOPIC = 2
    BROKER = 4
    BROKER_LOGGER = 8
    CLIENT_METRICS = 16
    GROUP = 32


ConfigResource = tuple[int, str]
"""(resource type, name). The name "" of type BROKER is the default of all brokers."""

Configs = Mapping[str, str]
"""Configuration values by name, as text. Never changed once in an image."""

NO_CONFIGS: Final[Configs] = {}


class Endpoint(NamedTuple):
    """Where clients of one listener reach a broker, and the security protocol's name there."""

    host: str
    port: int
    security_protocol: str


@dataclass(frozen=True, slots=True)
class BrokerImage:
    """One registered broker. `epoch` is the log index of its registration; `endpoints` by listener name;
    `directories` are the ids of the log directories that it can use."""

    broker_id: int
    epoch: int
    incarnation_id: bytes
    endpoints: Mapping[str, Endpoint]
    rack: str | None = None
    fenced: bool = False
    in_controlled_shutdown: bool = False
    directories: tuple[bytes, ...] = ()

    @property
    def is_active(self) -> bool:
        """It may lead and be in sync."""
        return not self.fenced and not self.in_controlled_shutdown


class PartitionImage(NamedTuple):
    """One partition's place: who has it, who is in sync, who leads. `directories` run beside `replicas`.

    A tuple, because a failover makes and compares thousands.
    """

    replicas: tuple[int, ...]
    isr: tuple[int, ...]
    leader: int
    leader_epoch: int = 0
    partition_epoch: int = 0
    directories: tuple[bytes, ...] = ()
    adding_replicas: tuple[int, ...] = ()
    removing_replicas: tuple[int, ...] = ()
    eligible_leader_replicas: tuple[int, ...] = ()
    last_known_elr: tuple[int, ...] = ()


class TopicSummary(NamedTuple):
    """What an index keeps of a topic; see `replica_index`. Numbers are numbers of partitions.

    `brokers` have a replica of any partition; `preferred` counts by preferred leader. `unbalanced` are led by another
    replica than the preferred one, or by none.
    """

    brokers: frozenset[int]
    preferred: Mapping[int, int]
    leaderless: int
    unbalanced: int
    with_elr: int
    reassigning: int


class TopicImage:
    """One topic. Hashed by its id, so that a large one is a cheap key; never changed. `summary` is what
    `replica_index.summary_of` has computed, None until then."""

    __slots__ = ("name", "partitions", "summary", "topic_id")

    def __init__(self, name: str, topic_id: bytes, partitions: tuple[PartitionImage, ...]) -> None:
        self.name = name
        self.topic_id = topic_id
        self.partitions = partitions
        self.summary: TopicSummary | None = None

    def __eq__(self, other: object) -> bool:
        return self is other or (
            isinstance(other, TopicImage)
            and self.topic_id == other.topic_id
            and self.name == other.name
            and self.partitions == other.partitions
        )

    def __hash__(self) -> int:
        return hash(self.topic_id)

    def __repr__(self) -> str:
        return f"TopicImage({self.name!r}, {self.topic_id.hex()}, {len(self.partitions)} partitions)"


@dataclass(frozen=True, slots=True)
class MetadataImage:
    """Everything the cluster has agreed on, as of the entry `applied_index` of the metadata log.

    `next_producer_id` is the first id no broker has been given. `partition_count` is the number of partitions of all
    topics. `replica_index` is derived from the topics when somebody first asks (`replica_index.index_of`).
    """

    applied_index: int = 0
    cluster_id: str = ""
    brokers: Mapping[int, BrokerImage] = field(default_factory=dict)
    topics_by_name: PersistentMap[str, TopicImage] = field(default_factory=PersistentMap)
    topics_by_id: PersistentMap[bytes, TopicImage] = field(default_factory=PersistentMap)
    configs: PersistentMap[ConfigResource, Configs] = field(default_factory=PersistentMap)
    collisions: PersistentMap[str, tuple[str, ...]] = field(default_factory=PersistentMap)
    next_producer_id: int = 0
    features: Mapping[str, int] = field(default_factory=dict)
    partition_count: int = 0
    replica_index: ReplicaIndex | None = field(default=None, compare=False, repr=False)

    def topic(self, name: str) -> TopicImage | None:
        return self.topics_by_name.get(name)

    def partition(self, topic: str, partition: int) -> PartitionImage | None:
        """The partition, or None where the topic or the partition does not exist."""
        image = self.topics_by_name.get(topic)
        if image is None or not 0 <= partition < len(image.partitions):
            return None
        return image.partitions[partition]

    def config(self, resource_type: int, name: str) -> Configs:
        """The dynamic configuration of one resource; empty where there is none."""
        return self.configs.get((resource_type, name), NO_CONFIGS)

    @property
    def live_brokers(self) -> list[BrokerImage]:
        """The brokers that serve clients, by id."""
        return [broker for _, broker in sorted(self.brokers.items()) if not broker.fenced]


EMPTY_IMAGE: Final = MetadataImage()


def collision_key(topic: str) -> str:
    """What may exist once only: metric names cannot tell '.' from '_'."""
    return topic.replace(".", "_")


def may_collide(topic: str) -> bool:
    return "." in topic or "_" in topic
