"""One replica's part in its partition: leadership, fencing, durable offsets and the high watermark. Pure.

The replica never touches the log: `replicas.py` appends and syncs, then tells it. What counts for the high
watermark is the *durable* end offset, not the log end offset, so that a consumer can never read a record that a
power cut would take back; a topic whose `flush.messages` is relaxed counts a record as soon as it is appended, as
Apache Kafka does.

Invariants: high_watermark <= durable_end_offset <= log_end_offset; the high watermark never goes back while the
replica leads; a leader epoch never goes back.
"""

from __future__ import annotations

from odradek.proto.kafka.errors import ErrorCode


class Replica:
    """State of one partition on this node. Offsets are record offsets; epochs are leader epochs."""

    __slots__ = (
        "durable_end_offset",
        "high_watermark",
        "isr",
        "leader",
        "leader_epoch",
        "log_end_offset",
        "node_id",
    )

    def __init__(self, node_id: int) -> None:
        self.node_id = node_id
        self.leader = -1
        self.leader_epoch = -1
        self.isr: tuple[int, ...] = ()
        self.log_end_offset = 0
        self.durable_end_offset = 0
        self.high_watermark = 0

    @property
    def is_leader(self) -> bool:
        return self.leader == self.node_id

    def become_leader(
        self, leader_epoch: int, isr: tuple[int, ...], log_end_offset: int, durable_end_offset: int
    ) -> None:
        """The image names this node leader; what its log holds durably is what the ISR of one holds."""
        assert leader_epoch >= self.leader_epoch, f"leader epoch {self.leader_epoch} back to {leader_epoch}"
        assert durable_end_offset <= log_end_offset, (
            f"durable {durable_end_offset} beyond end {log_end_offset}"
        )
        self.leader = self.node_id
        self.leader_epoch = leader_epoch
        self.isr = isr
        self.log_end_offset = log_end_offset
        self.durable_end_offset = durable_end_offset
        self._advance()

    def check_leader_epoch(self, current_leader_epoch: int) -> ErrorCode:
        """Fencing of a request by the leader epoch its sender knows (KIP-320); -1 does not ask."""
        if not self.is_leader:
            return ErrorCode.NOT_LEADER_OR_FOLLOWER
        if current_leader_epoch == -1 or current_leader_epoch == self.leader_epoch:
            return ErrorCode.NONE
        if current_leader_epoch < self.leader_epoch:
            return ErrorCode.FENCED_LEADER_EPOCH
        return ErrorCode.UNKNOWN_LEADER_EPOCH

    def on_local_append(self, log_end_offset: int, durable: bool) -> bool:
        """Records were appended; `durable` when the topic does not wait for their sync. True: HW advanced."""
        assert log_end_offset >= self.log_end_offset, f"end {self.log_end_offset} back to {log_end_offset}"
        self.log_end_offset = log_end_offset
        if durable:
            self.durable_end_offset = log_end_offset
        return self._advance()

    def on_flushed(self, flushed_offset: int) -> bool:
        """Everything below `flushed_offset` is on stable storage. True: HW advanced."""
        if flushed_offset > self.durable_end_offset:
            assert flushed_offset <= self.log_end_offset, (
                f"flushed {flushed_offset}, end {self.log_end_offset}"
            )
            self.durable_end_offset = flushed_offset
        return self._advance()

    def _advance(self) -> bool:
        # The in-sync set of a single node is itself; with followers this becomes the minimum over the maximal ISR.
        if self.durable_end_offset > self.high_watermark:
            self.high_watermark = self.durable_end_offset
            return True
        return False
