"""Several nodes' partitions in one process: real logs, replicas, followers and fetches; a controller of a few lines.

Messages are encoded and decoded on their way, links can be cut, nodes crash as in a power cut, images come late where
a test wants that. No sockets, threads or waiting: everything happens in turns of the loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import count
from random import Random
from typing import Any

from odradek.node.app.context import RequestContext
from odradek.node.app.fetch import FetchService
from odradek.node.app.list_offsets import ListOffsetsService
from odradek.node.app.produce import ProduceCommand, ProducePartition, ProduceService
from odradek.node.app.records import RecordsService
from odradek.node.kafka_api.handlers.fetch import FetchHandlers
from odradek.node.kafka_api.handlers.list_offsets import ListOffsetsHandlers
from odradek.node.partition.fetch_session import FetchSessions
from odradek.node.partition.partition import Partition
from odradek.node.partition.replication import Replication, ReplicationPorts
from odradek.node.partition.replication_config import ReplicationConfig
from odradek.node.runtime.deferred import Deferred
from odradek.proto.kafka.codec import decode, encode
from odradek.proto.kafka.errors import ErrorCode
from odradek.proto.kafka.messages.controller import AlterPartitionRequest, AlterPartitionResponse
from odradek.proto.kafka.messages.fetch import FetchRequest, FetchResponse
from odradek.proto.kafka.messages.list_offsets import ListOffsetsRequest, ListOffsetsResponse
from odradek.proto.kafka.record_batch import Record, build_batch, iter_headers
from odradek.proto.kafka.schema import Message
from odradek.storage.append_result import AppendResult
from odradek.storage.flusher import SteppedFlusher
from odradek.storage.log_config import LogConfig
from odradek.storage.log_dir import LogDir
from odradek.storage.log_dirs import LogDirs
from odradek.storage.memory_disk import MemoryDisk

NOW_MS = 1_700_000_000_000
TURNS_MAX = 20_000


@dataclass(frozen=True)
class Place:
    replicas: tuple[int, ...]
    isr: tuple[int, ...]
    leader: int
    leader_epoch: int = 0
    partition_epoch: int = 0
    eligible_leader_replicas: tuple[int, ...] = ()
    directories: tuple[bytes, ...] = ()


@dataclass(frozen=True, eq=False)
class Topic:
    name: str
    topic_id: bytes
    partitions: tuple[Place, ...]


@dataclass(frozen=True)
class Broker:
    epoch: int
    rack: str | None = None
    fenced: bool = False
    in_controlled_shutdown: bool = False


@dataclass(frozen=True)
class Image:
    topics_by_id: dict[bytes, Topic] = field(default_factory=dict)
    brokers: dict[int, Broker] = field(default_factory=dict)
    configs: dict[str, LogConfig] = field(default_factory=dict)


@dataclass(frozen=True)
class Delta:
    before: Image
    changed_topics: dict[bytes, Topic]
    deleted_topics: dict[bytes, Topic]
    changed_configs: dict[tuple[int, str], object]
    changed_brokers: dict[int, object]


def delta_between(before: Image, after: Image) -> Delta:
    old, new = before.topics_by_id, after.topics_by_id
    return Delta(
        before,
        {topic_id: topic for topic_id, topic in new.items() if old.get(topic_id) is not topic},
        {topic_id: topic for topic_id, topic in old.items() if topic_id not in new},
        {(2, name): None for name, config in after.configs.items() if before.configs.get(name) != config},
        {one: broker for one, broker in after.brokers.items() if before.brokers.get(one) != broker},
    )


class Bell:
    """An `Alarm` whose time passes when the test says so."""

    def __init__(self, cluster: ClusterWorld, on_due: Callable[[int], int | None]) -> None:
        self._cluster = cluster
        self.on_due = on_due

    def monotonic_ms(self) -> int:
        return self._cluster.now_ms

    def announce(self, deadline_ms: int | None) -> None:
        """The test rings, whatever was announced."""

    def cancel(self) -> None:
        """Nothing to cancel."""


class Held:
    """A lease that a test takes away."""

    def __init__(self) -> None:
        self.held = True

    def is_held(self) -> bool:
        return self.held


class Node:
    """One node of the world, from a start to its end."""

    def __init__(self, cluster: ClusterWorld, node_id: int, disk: MemoryDisk) -> None:
        self.cluster = cluster
        self.node_id = node_id
        self.disk = disk
        self.image = Image()
        self.lease = Held()
        self.bells: list[Bell] = []
        self.lost_sources: list[int] = []
        loop = asyncio.get_running_loop()
        self.dirs = LogDirs(
            disk, cluster.log_dirs, loop.call_soon, flusher=SteppedFlusher, on_log_dir_failure=self._failed
        )
        self.dirs.start(NOW_MS)
        ports = ReplicationPorts(
            lambda: NOW_MS,
            lambda: cluster.now_ms,
            loop.call_soon,
            self._bell,  # type: ignore[arg-type]  # a Bell
            self.lease,
            lambda: self.image.brokers[node_id].epoch,
            Link(cluster, node_id),
            Controller(cluster, node_id),
            self.lost_sources.append,
        )
        self.replication = Replication(node_id, self, self.dirs, cluster.config, ports)
        self.replication.directories.ids = lambda: cluster.directory_ids.get(node_id, {})
        self.replication.directories.report = lambda *told: cluster.told.append((node_id, *told))
        self.replicas = self.replication.replicas
        ids = count(1000 * node_id)
        self.produces = ProduceService(self.replicas, lambda: NOW_MS, self._bell)  # type: ignore[arg-type]
        self.fetches = FetchService(
            self.replicas,
            FetchSessions(100, 120_000, lambda: next(ids)),
            self.topic_name,
            1 << 24,
            self._bell,  # type: ignore[arg-type]
        )
        self.fetches.serve(self.replication)
        self.list_offsets = ListOffsetsService(self.replicas)
        self.records = RecordsService(self.replicas)

    def _bell(self, on_due: Callable[[int], int | None]) -> Bell:
        self.bells.append(Bell(self.cluster, on_due))
        return self.bells[-1]

    def _failed(self, home: LogDir, error: Exception) -> None:
        self.replication.on_log_dir_failure(self.dirs.logs_in(home))

    # -- metadata

    def topic(self, name: str) -> Topic | None:
        return next((topic for topic in self.image.topics_by_id.values() if topic.name == name), None)

    def topic_name(self, topic_id: bytes) -> str | None:
        topic = self.image.topics_by_id.get(topic_id)
        return None if topic is None else topic.name

    def log_config(self, name: str) -> LogConfig:
        return self.image.configs.get(name, self.cluster.log_config)

    def broker(self, broker_id: int) -> Broker | None:
        return self.image.brokers.get(broker_id)

    def hear(self, image: Image) -> None:
        before, self.image = self.image, image
        self.replication.on_image(delta_between(before, image), image)

    # -- use

    def partition(self, topic: str = "t", index: int = 0) -> Partition:
        partition = self.replicas.get(topic, index)
        assert partition is not None, f"{topic}-{index} is not opened on node {self.node_id}"
        return partition

    def produce(
        self, records: bytearray, topic: str = "t", index: int = 0, acks: int = -1, timeout_ms: int = 60_000
    ) -> Deferred[list[AppendResult]]:
        asked = [ProducePartition(topic, index, records)]
        return self.produces.produce(CONTEXT, ProduceCommand(acks, timeout_ms, 9, asked))

    def content(self, topic: str = "t", index: int = 0) -> list[tuple[int, bytes]]:
        """(base offset, bytes) of every batch that the log holds."""
        log = self.partition(topic, index).log
        found: list[tuple[int, bytes]] = []
        offset = log.log_start_offset
        while offset < log.log_end_offset:
            data = log.read(offset, 1 << 20, log.log_end_offset)
            assert not isinstance(data, ErrorCode), data
            whole = bytes(data)
            for at, header in iter_headers(whole):
                found.append((header.base_offset, whole[at : at + header.size]))
                offset = header.last_offset + 1
        return found

    async def handle(self, request: Message, version: int) -> Message:
        """As a request of another node: encoded, decoded, handled, encoded, decoded."""
        data = bytearray(b"".join(encode(request, version)))
        decoded = decode(type(request), version, data)
        answer: Any
        response_class: type[Message]
        if isinstance(decoded, FetchRequest):
            answer = FetchHandlers(self.fetches).fetch(CONTEXT, decoded, version)
            response_class = FetchResponse
        else:
            assert isinstance(decoded, ListOffsetsRequest), decoded
            answer = ListOffsetsHandlers(self.list_offsets).list_offsets(CONTEXT, decoded, version)
            response_class = ListOffsetsResponse
        if isinstance(answer, Deferred):
            deferred = answer
            try:
                answer = await deferred.wait()
            except asyncio.CancelledError:
                deferred.abandon()  # as a session does whose connection broke
                raise
        return decode(response_class, version, bytearray(b"".join(encode(answer, version))))


CONTEXT = RequestContext("test", "User:ANONYMOUS", "PLAINTEXT", "127.0.0.1", 9092, "c", "127.0.0.1")


class Link:
    """The `Peers` of one node."""

    def __init__(self, cluster: ClusterWorld, node_id: int) -> None:
        self._cluster = cluster
        self._node_id = node_id

    async def request(self, node_id: int, message: Message, version: int, timeout_ms: int) -> Message:
        cluster = self._cluster
        pair = (self._node_id, node_id)
        if not cluster.is_linked(*pair):
            raise ConnectionError(f"node {node_id} cannot be reached")
        cluster.requests.append((self._node_id, node_id, message))
        task = asyncio.get_running_loop().create_task(cluster.nodes[node_id].handle(message, version))
        cluster.under_way.setdefault(task, pair)
        try:
            return await task
        except asyncio.CancelledError:
            asking = asyncio.current_task()
            if task.cancelled() and asking is not None and not asking.cancelling():
                raise ConnectionError(f"the connection to node {node_id} broke") from None
            task.cancel()
            raise
        finally:
            cluster.under_way.pop(task, None)


class Controller:
    """The `IsrChannel` of one node."""

    def __init__(self, cluster: ClusterWorld, node_id: int) -> None:
        self._cluster = cluster
        self._node_id = node_id

    async def alter_partition(self, request: AlterPartitionRequest) -> AlterPartitionResponse:
        cluster = self._cluster
        if self._node_id not in cluster.nodes or self._node_id in cluster.cut_from_controller:
            raise ConnectionError("the controller cannot be reached")
        request = decode(AlterPartitionRequest, 3, bytearray(b"".join(encode(request, 3))))
        response = cluster.alter_partition(request)
        return decode(AlterPartitionResponse, 3, bytearray(b"".join(encode(response, 3))))


class ClusterWorld:
    """Nodes 1 to `count`, and what they have agreed on."""

    def __init__(
        self,
        count: int = 3,
        config: ReplicationConfig | None = None,
        log_config: LogConfig | None = None,
        log_dirs: tuple[str, ...] = ("d",),
    ) -> None:
        self.config = config or ReplicationConfig()
        self.log_config = log_config or LogConfig(min_insync_replicas=2)
        self.log_dirs = log_dirs
        self.now_ms = 1_000
        self.image = Image(brokers={node_id: Broker(10 * node_id) for node_id in range(1, count + 1)})
        self.disks = {node_id: MemoryDisk() for node_id in self.image.brokers}
        self.nodes: dict[int, Node] = {}
        self.cut: set[frozenset[int]] = set()
        self.cut_from_controller: set[int] = set()
        self.deaf: set[int] = set()
        """Nodes to which images do not come."""
        self.directory_ids: dict[int, dict[str, bytes]] = {}
        """Of the log directories of a node, by path; of a node that is not here they do not matter."""
        self.told: list[tuple[int, bytes, int, bytes]] = []
        """(node, topic id, partition, directory id) of every report."""
        self.requests: list[tuple[int, int, Message]] = []
        self.under_way: dict[asyncio.Task[Message], tuple[int, int]] = {}
        self._retry_refusal: ErrorCode | None = None
        for node_id in self.disks:
            self.start(node_id)

    # -- life

    def start(self, node_id: int) -> Node:
        node = self.nodes[node_id] = Node(self, node_id, self.disks[node_id])
        node.hear(self.image)
        return node

    def crash(self, node_id: int, rng: Random | None = None) -> None:
        """A power cut: what was not synced is gone."""
        node = self.nodes.pop(node_id)
        node.replication.stop()
        self._break_links()
        for home in node.dirs.dirs:
            home.release_lock()
        self.disks[node_id].crash(rng)

    def restart(self, node_id: int) -> Node:
        """It registers anew: another broker epoch."""
        broker = self.image.brokers[node_id]
        self.agree(
            brokers={**self.image.brokers, node_id: replace(broker, epoch=broker.epoch + 1, fenced=False)}
        )
        return self.start(node_id)

    def stop(self) -> None:
        for node in self.nodes.values():
            node.replication.stop()
        for task in self.under_way:
            task.cancel()

    def is_linked(self, a: int, b: int) -> bool:
        return a in self.nodes and b in self.nodes and frozenset((a, b)) not in self.cut

    def part(self, a: int, b: int) -> None:
        self.cut.add(frozenset((a, b)))
        self._break_links()

    def heal(self) -> None:
        self.cut.clear()

    def _break_links(self) -> None:
        for task, pair in list(self.under_way.items()):
            if not self.is_linked(*pair):
                task.cancel()

    # -- agreement

    def agree(self, **changes: Any) -> None:
        self.image = replace(self.image, **changes)
        for node in list(self.nodes.values()):
            if node.node_id not in self.deaf:
                node.hear(self.image)

    def listen(self, node_id: int) -> None:
        self.deaf.discard(node_id)
        self.nodes[node_id].hear(self.image)

    def create(self, name: str = "t", partitions: int = 1, replicas: tuple[int, ...] = (1, 2, 3)) -> None:
        places = []
        for index in range(partitions):
            turned = replicas[index % len(replicas) :] + replicas[: index % len(replicas)]
            places.append(Place(turned, turned, turned[0]))
        topic = Topic(name, name.encode().ljust(16, b"."), tuple(places))
        self.agree(topics_by_id={**self.image.topics_by_id, topic.topic_id: topic})

    def delete(self, name: str = "t") -> None:
        kept = {topic_id: topic for topic_id, topic in self.image.topics_by_id.items() if topic.name != name}
        self.agree(topics_by_id=kept)

    def place(self, name: str = "t", index: int = 0) -> Place:
        return self._topic(name).partitions[index]

    def _topic(self, name: str) -> Topic:
        return next(topic for topic in self.image.topics_by_id.values() if topic.name == name)

    def change(self, name: str = "t", index: int = 0, **changes: Any) -> None:
        """Another partition state; the leader epoch follows a change of leader."""
        topic = self._topic(name)
        old = topic.partitions[index]
        new = replace(old, partition_epoch=old.partition_epoch + 1, **changes)
        if new.leader != old.leader and "leader_epoch" not in changes:
            new = replace(new, leader_epoch=old.leader_epoch + 1)
        places = (*topic.partitions[:index], new, *topic.partitions[index + 1 :])
        self.agree(
            topics_by_id={**self.image.topics_by_id, topic.topic_id: Topic(name, topic.topic_id, places)}
        )

    def elect(self, leader: int, isr: tuple[int, ...], name: str = "t", index: int = 0) -> None:
        """As after the loss of a leader: another leader, of another epoch."""
        epoch = self.place(name, index).leader_epoch + 1
        self.change(name, index, leader=leader, isr=isr, leader_epoch=epoch)

    def configure(self, name: str, config: LogConfig) -> None:
        self.agree(configs={**self.image.configs, name: config})

    def fence(self, node_id: int, *, fenced: bool = True) -> None:
        broker = replace(self.image.brokers[node_id], fenced=fenced)
        self.agree(brokers={**self.image.brokers, node_id: broker})

    def alter_partition(self, request: AlterPartitionRequest) -> AlterPartitionResponse:
        topics = []
        changed = dict(self.image.topics_by_id)
        for topic in request.topics:
            known = changed[topic.topic_id]
            places = list(known.partitions)
            answers = [self._alter(places, asked) for asked in topic.partitions]
            if any(new is not old for new, old in zip(places, known.partitions, strict=True)):
                changed[topic.topic_id] = Topic(known.name, known.topic_id, tuple(places))
            topics.append(AlterPartitionResponse.TopicData(topic_id=topic.topic_id, partitions=answers))
        if changed != self.image.topics_by_id:
            self.agree(topics_by_id=changed)
        return AlterPartitionResponse(topics=topics)

    def _alter(
        self, places: list[Place], asked: AlterPartitionRequest.PartitionData
    ) -> AlterPartitionResponse.PartitionData:
        place = places[asked.partition_index]
        answer = AlterPartitionResponse.PartitionData(partition_index=asked.partition_index)
        brokers = self.image.brokers
        if asked.leader_epoch < place.leader_epoch:
            answer.error_code = ErrorCode.FENCED_LEADER_EPOCH
        elif asked.partition_epoch < place.partition_epoch:
            answer.error_code = ErrorCode.INVALID_UPDATE_VERSION
        elif any(
            brokers[member.broker_id].fenced
            or member.broker_epoch not in (-1, brokers[member.broker_id].epoch)
            for member in asked.new_isr_with_epochs
        ):
            answer.error_code = ErrorCode.INELIGIBLE_REPLICA
        else:
            isr = tuple(member.broker_id for member in asked.new_isr_with_epochs)
            place = replace(place, isr=isr, partition_epoch=place.partition_epoch + 1)
            places[asked.partition_index] = place
            answer.isr = list(place.isr)
            answer.leader_id = place.leader
            answer.leader_epoch = place.leader_epoch
            answer.partition_epoch = place.partition_epoch
        return answer

    # -- time

    def pass_time(self, ms: int) -> None:
        self.now_ms += ms
        for node in list(self.nodes.values()):
            for bell in node.bells:
                bell.on_due(self.now_ms)

    async def settle(self, turns: int = 50) -> None:
        """Let what was begun go on for a while."""
        for _ in range(turns):
            await asyncio.sleep(0)

    async def until(self, condition: Callable[[], bool], ms_per_turn: int = 0) -> None:
        for _ in range(TURNS_MAX):
            if condition():
                return
            if ms_per_turn:
                self.pass_time(ms_per_turn)
            await asyncio.sleep(0)
        raise AssertionError("it did not come to that")

    async def result(self, deferred: Deferred[list[AppendResult]]) -> AppendResult:
        await self.until(lambda: deferred.done)
        return deferred.value[0]


def batch(count: int = 1, value: bytes = b"v", producer_id: int = -1, sequence: int = -1) -> bytearray:
    records = [Record(index, NOW_MS, b"k", value, ()) for index in range(count)]
    epoch = 0 if producer_id >= 0 else -1
    return build_batch(records, producer_id=producer_id, producer_epoch=epoch, base_sequence=sequence)
