"""What an `Admin` answers with: small values that never change, named as in the API.

Decides: how a message of the API becomes a value. Enumerations become texts without their prefix, in small
letters ("stable", "preparing_rebalance", "default"); absent numbers become None. This module imports no
generated code: it reads the messages that it is given. The values are named tuples, because a dataclass takes
a millisecond and more to be made, and all of them are made when a command starts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

from odradek.client.errors import OdradekError, from_proto

ValueT = TypeVar("ValueT")


class Topic(NamedTuple):
    name: str
    topic_id: bytes
    partition_count: int
    #: Of its first partition.
    replication_factor: int
    #: Those that were set for this topic; empty in `list_topics`.
    configs: Mapping[str, str]


class Partition(NamedTuple):
    topic: str
    partition: int
    #: -1: nobody leads it.
    leader_id: int
    leader_epoch: int
    #: The preferred leader first.
    replicas: tuple[int, ...]
    in_sync_replicas: tuple[int, ...]
    offline_replicas: tuple[int, ...]
    eligible_leader_replicas: tuple[int, ...]
    adding_replicas: tuple[int, ...]
    removing_replicas: tuple[int, ...]


class ConfigResource(NamedTuple):
    """Whose settings: made with the three functions."""

    type: str
    name: str

    @classmethod
    def topic(cls, name: str) -> ConfigResource:
        return cls("topic", name)

    @classmethod
    def node(cls, node_id: int) -> ConfigResource:
        return cls("node", str(node_id))

    @classmethod
    def cluster(cls) -> ConfigResource:
        """The default of all nodes."""
        return cls("node", "")


class Config(NamedTuple):
    name: str
    #: None: it has none, or it is not shown.
    value: str | None
    #: "topic", "node", "cluster", "static" or "default".
    source: str
    read_only: bool
    sensitive: bool
    documentation: str


class ConfigChange(NamedTuple):
    """`operation` is "set", "delete", "append" or "subtract"."""

    name: str
    value: str = ""
    operation: str = "set"


class GroupMember(NamedTuple):
    member_id: str
    instance_id: str
    client_id: str
    client_host: str
    partitions: tuple[tuple[str, int], ...]


class Group(NamedTuple):
    group_id: str
    #: "empty", "preparing_rebalance", "completing_rebalance", "stable" or "dead".
    state: str
    protocol_type: str
    assignor: str
    coordinator_id: int
    #: How often it was divided; 0 in `list_groups`.
    generation: int
    #: Empty in `list_groups`.
    members: tuple[GroupMember, ...] = ()


class GroupOffset(NamedTuple):
    topic: str
    partition: int
    #: The next record that the group reads.
    offset: int
    leader_epoch: int
    metadata: str
    #: -1: its leader could not be asked.
    high_watermark: int

    @property
    def lag(self) -> int | None:
        """How many records are left to read, if that is known."""
        return None if self.high_watermark < 0 else max(0, self.high_watermark - self.offset)


class Listener(NamedTuple):
    #: "GRPC", or the name of a Kafka listener.
    name: str
    host: str
    port: int


class ClusterNode(NamedTuple):
    node_id: int
    alive: bool
    rack: str
    leader_count: int
    replica_count: int
    listeners: tuple[Listener, ...] = ()


class Cluster(NamedTuple):
    cluster_id: str
    #: -1: there is none now.
    controller_id: int
    topic_count: int
    partition_count: int
    leaderless_partition_count: int
    under_replicated_partition_count: int
    under_min_in_sync_partition_count: int
    answered_by: int
    version: str
    #: The clock of the node that answered; 0 if it does not say.
    time_ms: int
    nodes: tuple[ClusterNode, ...] = ()


class QuorumVoter(NamedTuple):
    node_id: int
    log_end_index: int
    #: 0 for the leader, -1: never.
    last_heard_ms: int
    current: bool


class Quorum(NamedTuple):
    leader_id: int
    term: int
    commit_index: int
    voters: tuple[QuorumVoter, ...] = ()


class Reassignment(NamedTuple):
    topic: str
    partition: int
    replicas: tuple[int, ...]
    adding_replicas: tuple[int, ...]
    removing_replicas: tuple[int, ...]


class PartitionOutcome(NamedTuple):
    """What became of one partition; `error` is None where it was done."""

    topic: str
    partition: int
    error: OdradekError | None = None


class LogDirPartition(NamedTuple):
    topic: str
    partition: int
    size_bytes: int
    #: How many records it is behind its leader.
    offset_lag: int


class LogDir(NamedTuple):
    path: str
    total_bytes: int
    usable_bytes: int
    partitions: tuple[LogDirPartition, ...] = ()
    error: OdradekError | None = None


def value_of(cls: Callable[..., ValueT], message: Any, **given: Any) -> ValueT:
    """`cls` with the fields of the same names in `message`, save those given. Lists become tuples."""
    values = {}
    names: tuple[str, ...] = cls._fields  # type: ignore[attr-defined]
    for name in names:
        value = given[name] if name in given else getattr(message, name)
        is_plain = isinstance(value, str | bytes | int | float | tuple | dict | OdradekError)
        values[name] = value if value is None or is_plain else tuple(value)
    return cls(**values)


def enum_text(message: Any, name: str) -> str:
    """The value of an enumeration as a text: GROUP_STATE_STABLE of GroupState is "stable"."""
    enum = message.DESCRIPTOR.fields_by_name[name].enum_type
    prefix = enum.values_by_number[0].name.removesuffix("UNSPECIFIED")
    found = enum.values_by_number.get(getattr(message, name))
    return "unknown" if found is None else str(found.name).removeprefix(prefix).lower()


def topic_of(message: Any) -> Topic:
    return value_of(Topic, message, configs=dict(message.configs))


def config_of(message: Any) -> Config:
    value = message.value if message.HasField("value") else None
    return value_of(Config, message, value=value, source=enum_text(message, "source"))


def group_of(message: Any) -> Group:
    members = tuple(
        value_of(GroupMember, one, partitions=tuple((tp.topic, tp.partition) for tp in one.partitions))
        for one in message.members
    )
    return value_of(Group, message, members=members, state=enum_text(message, "state"))


def cluster_of(message: Any) -> Cluster:
    nodes = tuple(
        value_of(ClusterNode, node, listeners=tuple(value_of(Listener, one) for one in node.listeners))
        for node in message.nodes
    )
    return value_of(Cluster, message, nodes=nodes)


def quorum_of(message: Any) -> Quorum:
    return value_of(Quorum, message, voters=tuple(value_of(QuorumVoter, one) for one in message.voters))


def outcome_of(message: Any) -> PartitionOutcome:
    return value_of(PartitionOutcome, message, error=_error_of(message))


def log_dir_of(message: Any) -> LogDir:
    partitions = tuple(value_of(LogDirPartition, one) for one in message.partitions)
    return value_of(LogDir, message, partitions=partitions, error=_error_of(message))


def _error_of(message: Any) -> OdradekError | None:
    return from_proto(message.error) if message.HasField("error") else None
