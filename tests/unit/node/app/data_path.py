"""A node's data path without sockets, threads or disk: MemoryDisk, a stepped flusher, alarms that a test rings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tests.unit.node.partition.cluster import Held

from odradek.node.app.context import RequestContext
from odradek.node.app.fetch import FetchCommand, FetchedPartition, FetchResult, FetchService
from odradek.node.app.list_offsets import ListOffsetsService
from odradek.node.app.produce import ProduceCommand, ProducePartition, ProduceService
from odradek.node.partition.fetch_session import FetchPartition, FetchSessions
from odradek.node.partition.replicas import Partition, Replicas
from odradek.node.runtime.deferred import Deferred
from odradek.proto.kafka.record_batch import Record, build_batch
from odradek.storage.append_result import AppendResult
from odradek.storage.flusher import LogFlusher, OnFailure, Post, SteppedFlusher
from odradek.storage.log_config import LogConfig
from odradek.storage.log_dir import LogDir
from odradek.storage.log_dirs import LogDirs
from odradek.storage.memory_disk import MemoryDisk

NOW_MS = 1_700_000_000_000
CONTEXT = RequestContext("test", "User:ANONYMOUS", "PLAINTEXT", "127.0.0.1", 9092, "c", "127.0.0.1")


@dataclass(frozen=True)
class Place:
    leader: int = 1
    leader_epoch: int = 0
    isr: tuple[int, ...] = (1,)
    replicas: tuple[int, ...] = (1,)
    partition_epoch: int = 0
    eligible_leader_replicas: tuple[int, ...] = ()
    directories: tuple[bytes, ...] = ()


@dataclass
class Topic:
    name: str
    topic_id: bytes
    partitions: list[Place] = field(default_factory=lambda: [Place(), Place()])


class Topics:
    def __init__(self) -> None:
        self.known = {"t": Topic("t", b"t" * 16), "u": Topic("u", b"u" * 16), "led": Topic("led", b"l" * 16)}
        self.known["led"].partitions = [Place(leader=2)]
        self.config = LogConfig()

    def topic(self, name: str) -> Topic | None:
        return self.known.get(name)

    def log_config(self, name: str) -> LogConfig:
        return self.config

    def name_of(self, topic_id: bytes) -> str | None:
        return next((topic.name for topic in self.known.values() if topic.topic_id == topic_id), None)


class Bell:
    """An `Alarm` whose time passes when the test says so."""

    def __init__(self, world: World, on_due: Callable[[int], int | None]) -> None:
        self._world = world
        self.on_due = on_due

    def monotonic_ms(self) -> int:
        return self._world.now_ms

    def announce(self, deadline_ms: int | None) -> None:
        """The test rings, whatever was announced."""

    def cancel(self) -> None:
        """Nothing to cancel."""


class World:
    """`disk` is that of an earlier world, or an empty one."""

    def __init__(self, disk: MemoryDisk | None = None, paths: Sequence[str] = ("d",)) -> None:
        self.now_ms = 1000
        self.disk = disk or MemoryDisk()
        self.topics = Topics()
        self.flushers: list[LogFlusher] = []
        self._soon: list[Callable[[], None]] = []
        self._bells: list[Bell] = []
        self.dirs = LogDirs(
            self.disk, paths, self._soon.append, flusher=self._flusher, on_log_dir_failure=self._failed
        )
        self.dirs.start(NOW_MS)
        self.lease = Held()
        self.replicas = Replicas(
            1, self.topics, self.dirs, lambda: NOW_MS, self._soon.append, lease=self.lease
        )
        self.produces = ProduceService(self.replicas, lambda: NOW_MS, self._bell)  # type: ignore[arg-type]  # a Bell
        ids = iter(range(1, 1000))
        sessions = FetchSessions(10, 1000, lambda: next(ids))
        self.fetches = FetchService(self.replicas, sessions, self.topics.name_of, 1 << 20, self._bell)  # type: ignore[arg-type]  # a Bell
        self.list_offsets = ListOffsetsService(self.replicas)

    def _flusher(self, name: str, post: Post, on_failure: OnFailure) -> LogFlusher:
        self.flusher = SteppedFlusher(name, None, on_failure)
        return self.flusher

    def _bell(self, on_due: Callable[[int], int | None]) -> Bell:
        self._bells.append(Bell(self, on_due))
        return self._bells[-1]

    def _failed(self, home: LogDir, error: Exception) -> None:
        self.replicas.on_log_dir_failure(self.dirs.logs_in(home))

    def flush(self) -> None:
        """One round of the group commit, and what the loop does next."""
        self.flusher.step()
        self.turn()

    def turn(self) -> None:
        while self._soon:
            self._soon.pop(0)()

    def pass_time(self, ms: int) -> None:
        self.now_ms += ms
        for bell in self._bells:
            bell.on_due(self.now_ms)

    def partition(self, topic: str = "t", index: int = 0) -> Partition:
        found = self.replicas.find(topic, index)
        assert isinstance(found, Partition)
        return found

    def produce(
        self, *batches: tuple[str, int, bytearray | None], acks: int = -1, timeout_ms: int = 100
    ) -> ProduceOutcome:
        asked = [ProducePartition(topic, index, records) for topic, index, records in batches]
        return ProduceOutcome(self.produces.produce(CONTEXT, ProduceCommand(acks, timeout_ms, 9, asked)))

    def fetch(
        self,
        *asked: FetchPartition,
        min_bytes: int = 1,
        max_wait_ms: int = 500,
        max_bytes: int = 1 << 20,
        isolation: int = 0,
        by_id: bool = False,
        replica_id: int = -1,
        session: tuple[int, int] = (0, -1),
    ) -> FetchOutcome:
        command = FetchCommand(
            replica_id,
            max_wait_ms,
            min_bytes,
            max_bytes,
            isolation,
            *session,
            [((one.topic_id if by_id else one.topic, one.index), one) for one in asked],
            uses_topic_ids=by_id,
        )
        return FetchOutcome(self.fetches.fetch(CONTEXT, command))


class ProduceOutcome:
    def __init__(self, deferred: Deferred[list[AppendResult]]) -> None:
        self.deferred = deferred

    @property
    def done(self) -> bool:
        return self.deferred.done

    @property
    def errors(self) -> list[str]:
        return [result.error.name for result in self.deferred.value]

    @property
    def base_offsets(self) -> list[int]:
        return [result.base_offset for result in self.deferred.value]


class FetchOutcome:
    def __init__(self, deferred: Deferred[FetchResult]) -> None:
        self.deferred = deferred

    @property
    def done(self) -> bool:
        return self.deferred.done

    @property
    def partitions(self) -> list[FetchedPartition]:
        return list(self.deferred.value.partitions)

    @property
    def sizes(self) -> list[int]:
        return [len(answer.records) for answer in self.partitions]

    @property
    def errors(self) -> list[str]:
        return [answer.error.name for answer in self.partitions]


def batch(count: int = 1, value: bytes = b"v", producer_id: int = -1, sequence: int = -1) -> bytearray:
    records = [Record(index, NOW_MS, b"k", value, ()) for index in range(count)]
    epoch = 0 if producer_id >= 0 else -1
    return build_batch(records, producer_id=producer_id, producer_epoch=epoch, base_sequence=sequence)


def at(
    offset: int, index: int = 0, topic: str = "t", max_bytes: int = 1 << 20, epoch: int = -1
) -> FetchPartition:
    return FetchPartition(topic, topic.encode() * 16, index, offset, max_bytes, current_leader_epoch=epoch)
