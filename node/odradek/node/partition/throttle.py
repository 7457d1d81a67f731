"""Replication throttles: how fast replicas that are not in sync may be brought up to date.

A topic names the replicas that are throttled (`leader.replication.throttled.replicas` on the sending side,
`follower.replication.throttled.replicas` on the receiving side, as partition:broker, or *), a broker how many bytes a
second they get in all (`leader.replication.throttled.rate`, `follower.replication.throttled.rate`). Replicas in sync
are never held back, because writes wait for them.

Source: KIP-73. Kafka measures over windows; here it is a token bucket that may be overdrawn by one answer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from odradek.node.partition.partition import Partition

UNLIMITED: Final = 2**63 - 1
_BURST_MS: Final = 1_000


class TokenBucket:
    """Bytes per second, with the bytes of one second in reserve. Pure; monotonic ms."""

    __slots__ = ("_at_ms", "_available", "rate")

    def __init__(self, rate: int, now_ms: int) -> None:
        self.rate = rate
        self._available = float(rate * _BURST_MS // 1000)
        self._at_ms = now_ms

    def _fill(self, now_ms: int) -> None:
        added = self.rate * (now_ms - self._at_ms) / 1000
        self._available = min(self._available + added, float(self.rate * _BURST_MS // 1000))
        self._at_ms = now_ms

    def take(self, size: int, now_ms: int) -> None:
        self._fill(now_ms)
        self._available -= size

    def free_at_ms(self, now_ms: int) -> int:
        """When there is something again: `now_ms` if there is; a rate of 0 never gives anything."""
        self._fill(now_ms)
        if self._available > 0:
            return now_ms
        if self.rate == 0:
            return UNLIMITED
        return now_ms + int(-self._available * 1000 / self.rate) + 1


class ReplicationThrottle:
    """Both sides of one node."""

    def __init__(self, node_id: int, monotonic: Callable[[], int]) -> None:
        self._node_id = node_id
        self._monotonic = monotonic
        self._leader: TokenBucket | None = None
        self._follower: TokenBucket | None = None

    def set_rates(self, leader_bytes_per_second: int, follower_bytes_per_second: int) -> None:
        """The broker's settings, which may change while it runs."""
        self._leader = self._bucket(self._leader, leader_bytes_per_second)
        self._follower = self._bucket(self._follower, follower_bytes_per_second)

    def _bucket(self, bucket: TokenBucket | None, rate: int) -> TokenBucket | None:
        if rate >= UNLIMITED:
            return None
        if bucket is None or bucket.rate != rate:
            return TokenBucket(rate, self._monotonic())
        return bucket

    def may_send(self, partition: Partition, follower_id: int) -> bool:
        """Whether records may go to a follower now."""
        bucket = self._leader
        if bucket is None or not self._is_leader_throttled(partition, follower_id):
            return True
        now_ms = self._monotonic()
        return bucket.free_at_ms(now_ms) <= now_ms

    def on_sent(self, partition: Partition, follower_id: int, size: int) -> None:
        if self._leader is not None and self._is_leader_throttled(partition, follower_id):
            self._leader.take(size, self._monotonic())

    def on_received(self, partition: Partition, size: int) -> int:
        """Until when not to ask for more of it, in monotonic ms; 0 for now."""
        bucket = self._follower
        names = partition.log.config.follower_replication_throttled_replicas
        if bucket is None or self._node_id in partition.replica.isr or not self._is_named(partition, names):
            return 0
        now_ms = self._monotonic()
        bucket.take(size, now_ms)
        free_ms = bucket.free_at_ms(now_ms)
        return free_ms if free_ms > now_ms else 0

    def _is_leader_throttled(self, partition: Partition, follower_id: int) -> bool:
        names = partition.log.config.leader_replication_throttled_replicas
        return follower_id not in partition.replica.isr and self._is_named(partition, names)

    def _is_named(self, partition: Partition, names: tuple[str, ...]) -> bool:
        return bool(names) and ("*" in names or f"{partition.index}:{self._node_id}" in names)
