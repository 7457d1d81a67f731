"""Metrics of topics and partitions: kafka_exporter's names, and the JMX exporter's counts of replicas.

Every series of the cluster comes from exactly one node, so that sums over all scraped nodes are right: that of a
partition from its leader, that of a partition without leader, of topics and of brokers from the active controller.

One look at the image makes all of them. It visits every partition of the cluster once per scrape, in steps that the
caller spreads over the turns of the loop; the image is immutable, so it cannot change in between.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily

from odradek.node.http_api.sources import Image, Partition, PartitionPlacement, Sources
from odradek.node.http_api.text import Rows, Writer, label

PARTITIONS_PER_STEP: Final = 64


def _gauge(name: str, documentation: str) -> Rows:
    return Rows(GaugeMetricFamily(name, documentation))


class PartitionTables:
    """The rows of one scrape, and what was counted on the way."""

    def __init__(self, sources: Sources, *, per_partition: bool) -> None:
        self._sources = sources
        self._per_partition = per_partition
        self.high_watermarks: dict[tuple[str, int], int] = {}
        """Of the partitions led here, as far as they are known."""
        self.partition_count = self.leader_count = self.under_replicated = 0
        self.under_min_isr = self.at_min_isr = 0
        self.offline = self.not_preferred = 0
        self._topic_partitions = _gauge("kafka_topic_partitions", "Number of partitions of a topic")
        self._current_offset = _gauge("kafka_topic_partition_current_offset", "High watermark of a partition")
        self._oldest_offset = _gauge("kafka_topic_partition_oldest_offset", "Log start offset of a partition")
        self._leader = _gauge(
            "kafka_topic_partition_leader", "Node id of the leader of a partition, -1 for none"
        )
        self._replicas = _gauge("kafka_topic_partition_replicas", "Number of replicas of a partition")
        self._in_sync = _gauge("kafka_topic_partition_in_sync_replica", "Number of in-sync replicas")
        self._preferred = _gauge(
            "kafka_topic_partition_leader_is_preferred",
            "1 if the leader of a partition is its preferred leader",
        )
        self._under_replicated = _gauge(
            "kafka_topic_partition_under_replicated_partition",
            "1 if a replica of a partition is not in sync",
        )
        self._log_size = _gauge("kafka_log_size", "Bytes of a replica's log on this node")

    def visit(self, image: Image) -> Iterator[None]:
        """Look at everything, a little at a time."""
        sources = self._sources
        is_controller = sources.is_active_controller()
        opened = sources.replicas.opened()
        for name, topic in image.topics_by_name.items():
            placements = topic.partitions
            labelled = label("topic", name)
            if is_controller:
                self._topic_partitions.add(labelled, len(placements))
            min_isr = sources.min_insync_replicas(name)
            for index, place in enumerate(placements):
                if not index % PARTITIONS_PER_STEP:
                    yield
                if sources.node_id in place.replicas:
                    self.partition_count += 1
                if place.leader == sources.node_id:
                    self._count_led(place, min_isr)
                    self._note_offsets(name, index, labelled, opened)
                elif place.leader < 0 and is_controller:
                    self.offline += 1
                elif not is_controller:
                    continue
                if is_controller and place.leader != place.replicas[0]:
                    self.not_preferred += 1
                if place.leader in (sources.node_id, -1) and self._per_partition:
                    self._add_placement(f'partition="{index}",{labelled}', place)
        yield from self._visit_logs(opened)

    def _count_led(self, place: PartitionPlacement, min_isr: int) -> None:
        self.leader_count += 1
        in_sync = len(place.isr)
        if in_sync < len(place.replicas) and is_under_replicated(place):
            self.under_replicated += 1
        if in_sync <= min_isr:
            if in_sync < min_isr:
                self.under_min_isr += 1
            else:
                self.at_min_isr += 1

    def _note_offsets(
        self, topic: str, index: int, labelled: str, opened: Mapping[tuple[str, int], Partition]
    ) -> None:
        partition = opened.get((topic, index))
        if partition is not None and partition.log.is_loaded:
            high_watermark = partition.replica.high_watermark
            if self._per_partition:
                self._oldest_offset.add(f'partition="{index}",{labelled}', partition.log.log_start_offset)
        else:
            # Why not opened for this: a scrape would load what nobody uses. What the checkpoint says is exact after a
            # clean stop, and too low after any other until the partition is used.
            high_watermark = self._sources.log_dirs.last_high_watermark(topic, index)
            if high_watermark < 0:
                return
        self.high_watermarks[topic, index] = high_watermark
        if self._per_partition:
            self._current_offset.add(f'partition="{index}",{labelled}', high_watermark)

    def _add_placement(self, labels: str, place: PartitionPlacement) -> None:
        self._leader.add(labels, place.leader)
        self._replicas.add(labels, len(place.replicas))
        self._in_sync.add(labels, len(place.isr))
        self._preferred.add(labels, int(place.leader == place.replicas[0]))
        self._under_replicated.add(labels, int(is_under_replicated(place)))

    def _visit_logs(self, opened: Mapping[tuple[str, int], Partition]) -> Iterator[None]:
        if not self._per_partition:
            return
        for at, ((topic, index), partition) in enumerate(list(opened.items())):
            if not at % PARTITIONS_PER_STEP:
                yield
            log = partition.log
            if log.is_loaded:
                self._log_size.add(f'partition="{index}",{label("topic", topic)}', log.size_bytes)

    def write(self, writer: Writer) -> Iterator[None]:
        for rows in (
            self._topic_partitions,
            self._current_offset,
            self._oldest_offset,
            self._leader,
            self._replicas,
            self._in_sync,
            self._preferred,
            self._under_replicated,
            self._log_size,
        ):
            writer.write_rows(rows)
            yield

    def families(self, image: Image) -> Iterator[Metric]:
        """What was counted, after `visit`."""
        prefix = "kafka_server_replicamanager_"
        yield _one(prefix + "partitioncount", "Replicas on this node", self.partition_count)
        yield _one(prefix + "leadercount", "Partitions that this node leads", self.leader_count)
        yield _one(
            prefix + "underreplicatedpartitions",
            "Partitions led here with a replica that is not in sync",
            self.under_replicated,
        )
        yield _one(
            prefix + "underminisrpartitioncount",
            "Partitions led here with fewer in-sync replicas than min.insync.replicas",
            self.under_min_isr,
        )
        yield _one(
            prefix + "atminisrpartitioncount",
            "Partitions led here with just min.insync.replicas in-sync replicas",
            self.at_min_isr,
        )
        offline = [home for home in self._sources.log_dirs.dirs if home.error is not None]
        yield _one(
            prefix + "offlinereplicacount",
            "Replicas on this node in log directories that failed",
            sum(home.log_count for home in offline),
        )
        yield _one(
            "kafka_log_logmanager_offlinelogdirectorycount", "Log directories that failed", len(offline)
        )
        is_active = self._sources.is_active_controller()
        prefix = "kafka_controller_kafkacontroller_"
        yield _one(prefix + "activecontrollercount", "1 on the node that is the active controller", is_active)
        if is_active:
            yield from self._of_controller(image, prefix)

    def _of_controller(self, image: Image, prefix: str) -> Iterator[Metric]:
        fenced = sum(broker.fenced for broker in image.brokers.values())
        active = len(image.brokers) - fenced
        # kafka_exporter counts what it can reach.
        yield _one("kafka_brokers", "Brokers that serve clients", active)
        info = InfoMetricFamily("kafka_broker", "A broker's node id and address")
        for node_id, broker in sorted(image.brokers.items()):
            endpoint = next(iter(broker.endpoints.values()), None)
            address = "" if endpoint is None else f"{endpoint.host}:{endpoint.port}"
            info.add_metric([], {"id": str(node_id), "address": address})
        yield info
        yield _one(prefix + "activebrokercount", "Brokers that serve clients", active)
        yield _one(prefix + "fencedbrokercount", "Brokers that are registered and fenced", fenced)
        yield _one(prefix + "globaltopiccount", "Topics of the cluster", len(image.topics_by_name))
        yield _one(
            prefix + "globalpartitioncount", "Partitions of all topics of the cluster", image.partition_count
        )
        yield _one(prefix + "offlinepartitionscount", "Partitions without a leader", self.offline)
        yield _one(
            prefix + "preferredreplicaimbalancecount",
            "Partitions whose leader is not their preferred leader",
            self.not_preferred,
        )


def is_under_replicated(place: PartitionPlacement) -> bool:
    """As Kafka counts it: replicas that a reassignment only adds may lag."""
    return any(replica not in place.isr for replica in place.replicas if replica not in place.adding_replicas)


def _one(name: str, documentation: str, value: int) -> Metric:
    return GaugeMetricFamily(name, documentation, value=value)
