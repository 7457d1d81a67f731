"""What must hold of partitions: P invariants of the reliability reference, 7.2, seen from the servers.

The simulator keeps the committed records of its own: what a leader's high watermark passed, batch by batch (offset,
leader epoch, checksum), is committed for ever. Against that it holds what the files of the nodes say, as processes see
them and as a power cut would leave them. `LogCursor` reads only what was added since the last look.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.sim.verdict import Verdict

from odradek.proto.kafka.record_batch import HEADER_SIZE, InvalidBatchError, iter_headers

if TYPE_CHECKING:
    from tests.sim.cluster import Cluster, Node
    from tests.sim.history import TopicPartition


class Batch(NamedTuple):
    """What identifies a batch wherever it is."""

    base_offset: int
    last_offset: int
    leader_epoch: int
    crc: int


class LogCursor:
    """The batches in one partition's segments, kept up to date. `segments`: names in order; `view`: their bytes."""

    def __init__(self, segments: Callable[[], list[str]], view: Callable[[str], bytearray | None]) -> None:
        self.batches: list[Batch] = []
        self._segments = segments
        self._view = view
        self._at: dict[str, int] = {}  # segment -> bytes read
        self._last: tuple[str, int, bytes] | None = None

    @property
    def end_offset(self) -> int:
        return self.batches[-1].last_offset + 1 if self.batches else 0

    def refresh(self) -> None:
        names = self._segments()
        if self._is_changed(names):
            self.batches, self._at, self._last = [], {}, None
        for name in names:
            data = self._view(name) or bytearray()
            start = self._at.get(name, 0)
            if len(data) - start < HEADER_SIZE:
                continue
            tail = bytes(data[start:])
            try:
                for position, header in iter_headers(tail):
                    if self.batches and header.base_offset <= self.batches[-1].last_offset:
                        return  # what follows is garbage of a torn tail, or of a truncation that was undone
                    self.batches.append(
                        Batch(
                            header.base_offset, header.last_offset, header.partition_leader_epoch, header.crc
                        )
                    )
                    self._at[name] = start + position + header.size
                    self._last = (name, start + position, tail[position : position + HEADER_SIZE])
            except InvalidBatchError:
                return

    def _is_changed(self, names: list[str]) -> bool:
        """Whether what was read is not there any more."""
        if self._last is None:
            return bool(self.batches)
        name, position, header = self._last
        data = self._view(name) if name in names else None
        return data is None or bytes(data[position : position + HEADER_SIZE]) != header


@dataclass
class _Seen:
    """What the last look at one replica of one process found."""

    replica: Any
    is_leader: bool = False
    leader_epoch: int = -1
    high_watermark: int = 0
    log_end_offset: int = 0
    proposal: Any = None


@dataclass
class _PartitionTruth:
    committed: list[Batch] = field(default_factory=list)
    leaders: dict[int, int] = field(default_factory=dict)  # leader epoch -> node

    @property
    def committed_end(self) -> int:
        return self.committed[-1].last_offset + 1 if self.committed else 0


class ReplicaChecks:
    """Part of `Invariants`."""

    def __init__(self, cluster: Cluster, verdict: Verdict, partitions: Collection[TopicPartition]) -> None:
        self._cluster = cluster
        self._watched = frozenset(partitions)
        """Partitions that are never deleted, so that a name is one partition."""
        self._verdict = verdict
        self._truth: dict[TopicPartition, _PartitionTruth] = {}
        self._seen: dict[int, dict[TopicPartition, _Seen]] = {}
        self._cursors: dict[tuple[int, TopicPartition, bool], LogCursor] = {}
        self._known_epochs: dict[tuple[int, TopicPartition], tuple[int, int]] = {}
        """(node, partition) -> the leader epoch that its process knows, and since when."""
        self._image: Any = None
        self._images: dict[int, Any] = {}
        self.min_insync = 2 if len(cluster.nodes) > 1 else 1

    # -- looks

    def on_turn(self, node: Node) -> None:
        """A node has had a turn."""
        assert node.broker is not None
        services = node.broker._services
        image = services.controller.image
        if image is not self._images.get(node.node_id):
            self._images[node.node_id] = image
            if self._image is None or image.applied_index > self._image.applied_index:
                self._check_image(image, self._image)
                self._image = image
                for topic in _topics(image):
                    for index in range(len(topic.partitions)):
                        self._check_candidates((topic.name, index))
        seen = self._seen.setdefault(node.node_id, {})
        for tp, partition in services.replicas.opened().items():
            if tp not in self._watched:
                continue
            replica = partition.replica
            before = seen.get(tp)
            if (
                before is None or before.replica is not replica
            ):  # opened, perhaps after it had been moved away
                before = seen[tp] = _Seen(replica, log_end_offset=replica.log_end_offset)
            now = (
                replica.is_leader,
                replica.leader_epoch,
                replica.high_watermark,
                replica.log_end_offset,
                replica.proposal,
            )
            if now != (
                before.is_leader,
                before.leader_epoch,
                before.high_watermark,
                before.log_end_offset,
                before.proposal,
            ):
                self._check_replica(node, tp, replica, before)
                seen[tp] = _Seen(replica, *now)

    def on_process_end(self, node: Node) -> None:
        """A process is gone."""
        self._seen.pop(node.node_id, None)
        self._images.pop(node.node_id, None)
        for tp in self._watched:
            self._known_epochs.pop((node.node_id, tp), None)

    def cursor(self, node: Node, tp: TopicPartition, *, durable: bool = False) -> LogCursor:
        """The batches a node has of a partition, up to date."""
        key = (node.node_id, tp, durable)
        cursor = self._cursors.get(key)
        if cursor is None:
            folder = f"data/{tp[0]}-{tp[1]}/"
            disk = node.disk
            cursor = LogCursor(
                lambda: disk.segments(folder, durable=durable),
                disk.durable_view if durable else disk.view,
            )
            self._cursors[key] = cursor
        cursor.refresh()
        return cursor

    def truth(self, tp: TopicPartition) -> _PartitionTruth:
        found = self._truth.get(tp)
        if found is None:
            found = self._truth[tp] = _PartitionTruth()
        return found

    # -- one replica

    def _check_replica(self, node: Node, tp: TopicPartition, replica: Any, before: _Seen) -> None:
        check, truth = self._verdict.check, self.truth(tp)
        end, high_watermark = replica.log_end_offset, replica.high_watermark
        check(
            replica.leader_epoch >= before.leader_epoch, "P3 a leader epoch never goes back", node, tp, before
        )
        if replica.leader_epoch > before.leader_epoch:
            self._known_epochs[node.node_id, tp] = (replica.leader_epoch, self._cluster.scheduler.now_us)
        check(high_watermark <= end, "P6 the high watermark is in the log", node, tp, high_watermark, end)
        if end < before.log_end_offset:
            self._verdict.count("truncations")
            check(
                end >= before.high_watermark,
                "P4 no truncation below the own high watermark",
                node,
                tp,
                (before.log_end_offset, end),
                before.high_watermark,
            )
        else:
            check(
                high_watermark >= before.high_watermark or before.high_watermark > end,
                "P6 the high watermark never goes back",
                node,
                tp,
                before.high_watermark,
                high_watermark,
            )
        if not replica.is_leader:
            return
        if before.is_leader and end > before.log_end_offset:
            self._check_lease(node, tp)
        if not before.is_leader or replica.leader_epoch != before.leader_epoch:
            self._verdict.count("partition leaders")
            leader = truth.leaders.setdefault(replica.leader_epoch, node.node_id)
            check(leader == node.node_id, "P3 one leader per epoch", tp, replica.leader_epoch, leader, node)
            if replica.leader_epoch == max(truth.leaders):
                self._check_leader_is_complete(node, tp, truth)
        if replica.proposal is not None:
            self._check_proposal(node, tp, replica)
        if high_watermark > truth.committed_end:
            self._commit(node, tp, truth, high_watermark)

    def _check_proposal(self, node: Node, tp: TopicPartition, replica: Any) -> None:
        """Whoever is proposed for the ISR has everything below the high watermark, and it waits for him."""
        for broker_id in replica.proposal.isr:
            follower = replica.followers.get(broker_id)
            if follower is not None and broker_id not in replica.isr:
                self._verdict.check(
                    follower.log_end_offset >= replica.high_watermark,
                    "P2 the high watermark is that of the maximal ISR",
                    node,
                    tp,
                    broker_id,
                    follower.log_end_offset,
                    replica.high_watermark,
                )

    def _check_lease(self, node: Node, tp: TopicPartition) -> None:
        """A broker that the metadata has fenced takes no records any more, whether it knows of it or not."""
        broker = None if self._image is None else self._image.brokers.get(node.node_id)
        assert node.broker is not None
        if broker is not None and broker.epoch == node.broker._services.outward.broker_epoch():
            self._verdict.check(
                not broker.fenced, "P9 a broker without a lease takes no records", node, tp, broker
            )

    def _check_leader_is_complete(self, node: Node, tp: TopicPartition, truth: _PartitionTruth) -> None:
        held = self.cursor(node, tp).batches[: len(truth.committed)]
        if held != truth.committed:
            differs = next(
                (pair for pair in zip(truth.committed, held, strict=False) if pair[0] != pair[1]), None
            )
            self._verdict.violate(
                "P1 a leader has every committed record", node, tp, len(truth.committed), len(held), differs
            )

    def _commit(self, node: Node, tp: TopicPartition, truth: _PartitionTruth, high_watermark: int) -> None:
        """The leader shows records up to a new high watermark: from now on they are committed."""
        batches = self.cursor(node, tp).batches
        for batch in batches[len(truth.committed) :]:
            if batch.last_offset < high_watermark:
                truth.committed.append(batch)
        self._verdict.check(
            truth.committed == batches[: len(truth.committed)],
            "P1 what is committed stays in the leader's log",
            node,
            tp,
            high_watermark,
        )
        self._check_candidates(tp)

    def _check_candidates(self, tp: TopicPartition) -> None:
        """Whoever may be elected holds every committed record, durably."""
        truth = self._truth.get(tp)
        topic = None if self._image is None else self._image.topic(tp[0])
        if truth is None or topic is None:
            return
        place = topic.partitions[tp[1]]
        for node in self._cluster.nodes:
            if node.node_id not in (*place.isr, *place.eligible_leader_replicas):
                continue
            end = self.cursor(node, tp, durable=True).end_offset
            self._verdict.check(
                end >= truth.committed_end,
                "P2 candidates for leadership hold all that is committed, durably",
                node,
                tp,
                end,
                truth.committed_end,
                place,
            )

    # -- promises to clients

    def on_acked(self, tp: TopicPartition, offset: int) -> None:
        """A client was told that everything up to `offset` is safe."""
        holders = []
        for node in self._cluster.nodes:
            batches = self.cursor(node, tp, durable=True).batches
            if any(batch.last_offset >= offset for batch in batches[-8:]):
                holders.append(node)
        self._verdict.check(
            len(holders) >= self.min_insync,
            "P8 acknowledged is durable on min.insync.replicas (R8)",
            tp,
            offset,
            holders,
        )

    def on_served(self, tp: TopicPartition, host: str, leader_epoch: int, asked_us: int) -> None:
        """A fetch that named a leader epoch was answered with records, or with none yet."""
        node = next(node for node in self._cluster.nodes if node.machine.address == host)
        known, since_us = self._known_epochs.get((node.node_id, tp), (-1, 0))
        self._verdict.check(
            leader_epoch == -1 or leader_epoch >= known or since_us >= asked_us,
            "P3 who knows an old leader epoch only is told so",
            node,
            tp,
            leader_epoch,
            known,
        )

    # -- metadata

    def _check_image(self, image: Any, before: Any) -> None:
        check = self._verdict.check
        for topic in _topics(image):
            old = None if before is None else before.topic(topic.name)
            for index, place in enumerate(topic.partitions):
                facts = (topic.name, index, place)
                isr, elr = set(place.isr), set(place.eligible_leader_replicas)
                check(isr <= set(place.replicas), "P8 the ISR is of the replicas", *facts)
                check(bool(isr | elr), "P8 somebody may be elected, some time", *facts)
                check(not isr & elr, "P8 ISR and ELR have nobody in common", *facts)
                check(place.leader == -1 or place.leader in isr, "P2 the leader is in the ISR", *facts)
                if old is not None and old.topic_id == topic.topic_id and index < len(old.partitions):
                    was = old.partitions[index]
                    check(place.leader_epoch >= was.leader_epoch, "P3 leader epochs only grow", *facts, was)
                    check(
                        place.partition_epoch >= was.partition_epoch, "P3 partition epochs grow", *facts, was
                    )
                    changed = place.leader != was.leader and place.leader != -1
                    check(
                        not changed or place.leader_epoch > was.leader_epoch,
                        "P3 a new leader has a new epoch",
                        *facts,
                        was,
                    )

    # -- the end

    def check_converged(self) -> None:
        """All replicas hold the same batches, and every committed one."""
        for tp, truth in self._truth.items():
            topic = self._image.topic(tp[0])
            replicas = topic.partitions[tp[1]].replicas
            logs = {
                node.node_id: self.cursor(node, tp).batches
                for node in self._cluster.nodes
                if node.node_id in replicas
            }
            for node_id, batches in logs.items():
                self._verdict.check(
                    batches[: len(truth.committed)] == truth.committed,
                    "P7 replicas are the same below the high watermark",
                    tp,
                    node_id,
                    len(batches),
                    len(truth.committed),
                )


def _topics(image: Any) -> list[Any]:
    return list(image.topics_by_name.values())
