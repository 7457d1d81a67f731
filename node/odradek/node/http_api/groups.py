"""Metrics of consumer groups, with kafka_exporter's names: committed offsets, lag, members.

The lag of a partition comes from the leader of the partition: it knows the high watermark, and its replica of the
coordinator shard knows what is committed. So no node asks another one, and each lag is told once. Members are
told by the leader of the group's shard.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from prometheus_client.core import GaugeMetricFamily, UnknownMetricFamily

from odradek.node.http_api.sources import CommittedOffset, Shard
from odradek.node.http_api.text import Rows, Writer, label

ROWS_PER_STEP: Final = 64


class GroupTables:
    """The rows of one scrape."""

    def __init__(self, *, per_partition: bool) -> None:
        self._per_partition = per_partition
        self._steps = 0
        prefix = "kafka_consumergroup_"
        self._offset = Rows(
            GaugeMetricFamily(prefix + "current_offset", "Committed offset of a group at a partition")
        )
        self._lag = Rows(
            GaugeMetricFamily(prefix + "lag", "Records between the committed offset and the high watermark")
        )
        # Unknown by type, because linters keep the suffix _sum for histograms. Dashboards want the names.
        self._offset_sum = Rows(
            UnknownMetricFamily(
                prefix + "current_offset_sum", "Committed offsets of a group at the partitions led here"
            )
        )
        self._lag_sum = Rows(
            UnknownMetricFamily(prefix + "lag_sum", "Lag of a group at the partitions led here")
        )
        self._members = Rows(GaugeMetricFamily(prefix + "members", "Members of a group"))

    def visit(
        self, shards: Sequence[Shard], high_watermarks: Mapping[tuple[str, int], int]
    ) -> Iterator[None]:
        """Look at every group, a little at a time; `high_watermarks` are those of the partitions led here.

        Groups may change between the steps: each is seen as it is when it is looked at.
        """
        for shard in shards:
            for group_id, stored in list(shard.groups.stored.groups.items()):
                group = label("consumergroup", group_id)
                for topic, offsets in list(stored.offsets.items()):
                    yield from self._visit_topic(group, topic, list(offsets.items()), high_watermarks)
                yield from self._step(1)
            for group_id, live in list(shard.groups.groups.items()):
                self._members.add(label("consumergroup", group_id), len(live.members))
                yield from self._step(1)

    def _visit_topic(
        self,
        group: str,
        topic: str,
        offsets: Sequence[tuple[int, CommittedOffset]],
        high_watermarks: Mapping[tuple[str, int], int],
    ) -> Iterator[None]:
        labels = f"{group},{label('topic', topic)}"
        seen = total = total_lag = 0
        for partition, committed in offsets:
            yield from self._step(1)
            high_watermark = high_watermarks.get((topic, partition))
            if high_watermark is None:
                continue
            # A high watermark that a checkpoint tells may be older than the commit.
            lag = max(0, high_watermark - committed.offset)
            seen += 1
            total += committed.offset
            total_lag += lag
            if self._per_partition:
                row = f'{labels},partition="{partition}"'
                self._offset.add(row, committed.offset)
                self._lag.add(row, lag)
        if seen:
            self._offset_sum.add(labels, total)
            self._lag_sum.add(labels, total_lag)

    def _step(self, count: int) -> Iterator[None]:
        self._steps += count
        if self._steps >= ROWS_PER_STEP:
            self._steps = 0
            yield

    def write(self, writer: Writer) -> Iterator[None]:
        for rows in (self._offset, self._lag, self._offset_sum, self._lag_sum, self._members):
            writer.write_rows(rows)
            yield
