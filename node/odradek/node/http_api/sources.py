"""What the HTTP door asks of the rest of the node: ports only, each as narrow as the door's own use of it.

All of them are read on the loop, at any time of the node's life: before it has joined, and while it goes. Nothing
here may wait.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from odradek.node.runtime.metrics import GcPauses, LoopLag, Traffic
from odradek.storage.durations import Durations


class Endpoint(Protocol):
    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...


class Broker(Protocol):
    @property
    def endpoints(self) -> Mapping[str, Endpoint]: ...
    @property
    def fenced(self) -> bool: ...


class PartitionPlacement(Protocol):
    @property
    def replicas(self) -> tuple[int, ...]: ...
    @property
    def isr(self) -> tuple[int, ...]: ...
    @property
    def leader(self) -> int: ...
    @property
    def adding_replicas(self) -> tuple[int, ...]: ...


class Topic(Protocol):
    @property
    def partitions(self) -> Sequence[PartitionPlacement]: ...


class Image(Protocol):
    """The cluster's metadata as this node has applied it; immutable."""

    @property
    def applied_index(self) -> int: ...
    @property
    def brokers(self) -> Mapping[int, Broker]: ...
    @property
    def topics_by_name(self) -> Mapping[str, Topic]: ...
    @property
    def partition_count(self) -> int: ...


class Replica(Protocol):
    @property
    def high_watermark(self) -> int: ...


class Log(Protocol):
    @property
    def is_loaded(self) -> bool: ...
    @property
    def log_start_offset(self) -> int: ...
    @property
    def log_end_offset(self) -> int: ...
    @property
    def size_bytes(self) -> int: ...


class Partition(Protocol):
    @property
    def replica(self) -> Replica: ...
    @property
    def log(self) -> Log: ...


class Replicas(Protocol):
    def opened(self) -> Mapping[tuple[str, int], Partition]:
        """The partitions in use here, by topic and index."""

    @property
    def traffic(self) -> Traffic: ...
    @property
    def isr_expands(self) -> int:
        """Replicas that joined the in-sync replicas of a partition led here, since the start."""

    @property
    def isr_shrinks(self) -> int:
        """Those that left them."""


class Flusher(Protocol):
    @property
    def durations(self) -> Durations: ...
    @property
    def synced_targets(self) -> int: ...


class LogDir(Protocol):
    @property
    def path(self) -> str: ...
    @property
    def error(self) -> Exception | None: ...
    @property
    def log_count(self) -> int: ...
    @property
    def flusher(self) -> Flusher: ...


class LogDirs(Protocol):
    @property
    def dirs(self) -> Sequence[LogDir]: ...
    def last_high_watermark(self, topic: str, partition: int) -> int:
        """What the last checkpoint knows of a log that was not used yet; -1 for nothing."""


class CommittedOffset(Protocol):
    @property
    def offset(self) -> int: ...


class StoredGroup(Protocol):
    @property
    def offsets(self) -> Mapping[str, Mapping[int, CommittedOffset]]: ...


class StoredGroups(Protocol):
    @property
    def groups(self) -> Mapping[str, StoredGroup]: ...


class LiveGroup(Protocol):
    @property
    def members(self) -> Mapping[str, object]: ...


class GroupShard(Protocol):
    @property
    def stored(self) -> StoredGroups:
        """What is committed, on every node that has a replica of the shard."""

    @property
    def groups(self) -> Mapping[str, LiveGroup]:
        """Groups with members and without, on the leader of the shard; empty elsewhere."""


class Shard(Protocol):
    @property
    def groups(self) -> GroupShard: ...


class RaftMember(Protocol):
    @property
    def node_id(self) -> int: ...
    @property
    def match_index(self) -> int: ...


class RaftStatus(Protocol):
    @property
    def term(self) -> int: ...
    @property
    def leader_id(self) -> int | None: ...
    @property
    def commit_index(self) -> int: ...
    @property
    def applied_index(self) -> int: ...
    @property
    def last_index(self) -> int: ...
    @property
    def members(self) -> Sequence[RaftMember]:
        """Voters and learners, on the leader; empty elsewhere."""


class RaftGroup(Protocol):
    @property
    def group_id(self) -> int: ...
    @property
    def is_leader(self) -> bool: ...
    def status(self) -> RaftStatus: ...


class Raft(Protocol):
    """All groups of this node."""

    @property
    def sync_durations(self) -> Mapping[str, Durations]:
        """How long syncs took, by what was synced."""


class Listener(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def connection_count(self) -> int: ...
    @property
    def accepted(self) -> int: ...
    @property
    def refused(self) -> int: ...
    @property
    def bytes_in(self) -> int: ...
    @property
    def bytes_out(self) -> int: ...


class Health(Protocol):
    """Why the node is not well, each reason in a few words; empty is well."""

    def live(self) -> Sequence[str]:
        """What only a restart cures."""

    def ready(self) -> Sequence[str]:
        """What keeps the node from serving: not joined, not caught up, fenced."""


@dataclass(frozen=True, slots=True)
class Sources:
    """The parts of one node. `min_insync_replicas` is the setting of a topic by its name; `request_durations` are by
    API key."""

    node_id: int
    version: str
    image: Callable[[], Image]
    is_active_controller: Callable[[], bool]
    min_insync_replicas: Callable[[str], int]
    replicas: Replicas
    log_dirs: LogDirs
    shards: Callable[[], Sequence[Shard]]
    raft: Raft
    raft_groups: Callable[[], Iterable[RaftGroup]]
    listeners: Callable[[], Iterable[Listener]]
    request_durations: Mapping[int, Durations]
    loop_lag: LoopLag
    gc_pauses: GcPauses
