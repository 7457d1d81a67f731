"""A node as the HTTP door sees it: real values where they are plain, small stand-ins where a part would be heavy."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from odradek.node.controller.image import BrokerImage, Endpoint, MetadataImage, PartitionImage, TopicImage
from odradek.node.controller.persistent_map import PersistentMap
from odradek.node.http_api.sources import Partition, Sources
from odradek.node.runtime.metrics import GcPauses, LoopLag, Traffic
from odradek.proto.kafka.api import ApiKey
from odradek.storage.durations import Durations, new_durations

NODE = 1


@dataclass
class FakeReplica:
    high_watermark: int


@dataclass
class FakeLog:
    log_start_offset: int = 0
    log_end_offset: int = 0
    size_bytes: int = 0
    is_loaded: bool = True


@dataclass
class FakePartition:
    replica: FakeReplica
    log: FakeLog


@dataclass
class FakeReplicas:
    partitions: dict[tuple[str, int], Partition] = field(default_factory=dict)
    traffic: Traffic = field(default_factory=Traffic)
    isr_expands: int = 0
    isr_shrinks: int = 0

    def opened(self) -> Mapping[tuple[str, int], Partition]:
        return self.partitions

    def open(self, topic: str, index: int, start: int, high_watermark: int, size_bytes: int = 0) -> FakeLog:
        log = FakeLog(start, high_watermark, size_bytes)
        self.partitions[topic, index] = FakePartition(FakeReplica(high_watermark), log)
        return log


@dataclass
class FakeFlusher:
    durations: Durations = field(default_factory=new_durations)
    synced_targets: int = 0


@dataclass
class FakeLogDir:
    path: str
    error: Exception | None = None
    log_count: int = 0
    flusher: FakeFlusher = field(default_factory=FakeFlusher)


@dataclass
class FakeLogDirs:
    dirs: list[FakeLogDir] = field(default_factory=list)
    checkpointed: dict[tuple[str, int], int] = field(default_factory=dict)

    def last_high_watermark(self, topic: str, partition: int) -> int:
        return self.checkpointed.get((topic, partition), -1)


@dataclass
class FakeCommitted:
    offset: int


@dataclass
class FakeStoredGroup:
    offsets: dict[str, dict[int, FakeCommitted]]


@dataclass
class FakeLiveGroup:
    members: dict[str, object]


@dataclass
class FakeStoredGroups:
    groups: dict[str, FakeStoredGroup] = field(default_factory=dict)


@dataclass
class FakeGroupShard:
    stored: FakeStoredGroups = field(default_factory=FakeStoredGroups)
    groups: dict[str, FakeLiveGroup] = field(default_factory=dict)


@dataclass
class FakeShard:
    groups: FakeGroupShard = field(default_factory=FakeGroupShard)

    def commit(self, group_id: str, topic: str, offsets: dict[int, int]) -> None:
        group = self.groups.stored.groups.setdefault(group_id, FakeStoredGroup({}))
        group.offsets[topic] = {index: FakeCommitted(offset) for index, offset in offsets.items()}

    def live(self, group_id: str, *members: str) -> None:
        self.groups.groups[group_id] = FakeLiveGroup(dict.fromkeys(members))


@dataclass
class FakeMember:
    node_id: int
    match_index: int


@dataclass
class FakeStatus:
    term: int = 0
    leader_id: int | None = None
    commit_index: int = 0
    applied_index: int = 0
    last_index: int = 0
    members: list[FakeMember] = field(default_factory=list)


@dataclass
class FakeRaftGroup:
    group_id: int
    is_leader: bool = False
    now: FakeStatus = field(default_factory=FakeStatus)

    def status(self) -> FakeStatus:
        return self.now


@dataclass
class FakeRaft:
    sync_durations: dict[str, Durations] = field(default_factory=lambda: {"raft-wal": new_durations()})


@dataclass
class FakeListener:
    name: str
    connection_count: int = 0
    accepted: int = 0
    refused: int = 0
    bytes_in: int = 0
    bytes_out: int = 0


@dataclass
class FakeHealth:
    live_problems: list[str] = field(default_factory=list)
    ready_problems: list[str] = field(default_factory=list)

    def live(self) -> list[str]:
        return self.live_problems

    def ready(self) -> list[str]:
        return self.ready_problems


class FakeNode:
    """The parts, to be changed by a test before it looks at `sources`."""

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self.topics: dict[str, TopicImage] = {}
        self.brokers: dict[int, BrokerImage] = {}
        self.is_controller = True
        self.min_isr = 1
        self.replicas = FakeReplicas()
        self.traffic = self.replicas.traffic
        self.log_dirs = FakeLogDirs([FakeLogDir("/data")])
        self.shards = [FakeShard(), FakeShard()]
        self.raft = FakeRaft()
        members = [FakeMember(1, 19), FakeMember(2, 18), FakeMember(3, 0)]
        self.raft_groups = [
            FakeRaftGroup(0, True, FakeStatus(3, NODE, 18, 17, 19, members)),
            FakeRaftGroup(1),
        ]
        self.listeners = [FakeListener("PLAINTEXT")]
        self.request_durations = {int(key): new_durations() for key in (ApiKey.PRODUCE, ApiKey.FETCH)}
        self.loop = loop or asyncio.new_event_loop()
        self.sources = Sources(
            NODE,
            "1.2.3",
            lambda: self.image,
            lambda: self.is_controller,
            lambda _: self.min_isr,
            self.replicas,
            self.log_dirs,
            lambda: self.shards,
            self.raft,
            lambda: self.raft_groups,
            lambda: self.listeners,
            self.request_durations,
            LoopLag(self.loop),
            GcPauses(),
        )

    @property
    def image(self) -> MetadataImage:
        return MetadataImage(
            applied_index=17,
            brokers=self.brokers,
            topics_by_name=PersistentMap(self.topics),
            partition_count=sum(len(topic.partitions) for topic in self.topics.values()),
        )

    def add_topic(self, name: str, *partitions: PartitionImage) -> None:
        self.topics[name] = TopicImage(name, name.encode().ljust(16, b"\0")[:16], partitions)

    def add_broker(self, node_id: int, *, fenced: bool = False) -> None:
        endpoints = {"PLAINTEXT": Endpoint(f"host{node_id}", 9092, "PLAINTEXT")}
        self.brokers[node_id] = BrokerImage(node_id, 1, b"", endpoints, fenced=fenced)


@contextmanager
def fake_node() -> Iterator[FakeNode]:
    """One outside of any running loop."""
    node = FakeNode()
    try:
        yield node
    finally:
        node.loop.close()


Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


def parsed(text: str, *, openmetrics: bool = False) -> list[Metric]:
    """The families, by prometheus-client's own strict reading."""
    if openmetrics:
        return list(parse_openmetrics(text))  # type: ignore[no-untyped-call]
    return list(parse_text(text))


def series(text: str, *, openmetrics: bool = False) -> Series:
    """Every sample by its name and labels; no two of them are the same series."""
    found: Series = {}
    for family in parsed(text, openmetrics=openmetrics):
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in found, f"{key} is there twice"
            found[key] = sample.value
    return found


def value(found: Series, name: str, **labels: str) -> float:
    return found[name, frozenset(labels.items())]


def names(found: Series) -> set[str]:
    return {name for name, _ in found}
