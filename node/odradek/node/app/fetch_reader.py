"""Reading one partition for one fetch: who may read what, and up to where.

A consumer reads below the high watermark (or the last stable offset), from the leader or, if it knows what that
means, from a follower. A follower reads up to the log end of its leader, and by asking tells what it has. Reads are
synchronous page-cache reads on the loop.

Source: KIP-320 (fencing), KIP-392 (reading from followers), KIP-595 (diverging epochs).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, cast

from odradek.node.app.fetch_command import READ_COMMITTED, FetchCommand, FetchedPartition
from odradek.node.partition.fetch_session import FetchPartition
from odradek.node.partition.replicas import Partition, Replicas
from odradek.proto.kafka.errors import ErrorCode


class Followers(Protocol):
    """`odradek.node.partition.in_sync.InSync`."""

    def on_follower_fetch(
        self,
        partition: Partition,
        broker_id: int,
        broker_epoch: int,
        fetch_offset: int,
        log_start_offset: int,
    ) -> None: ...


class PreferredReplica(Protocol):
    def __call__(self, partition: Partition, rack_id: str, offset: int) -> int:
        """The broker that a client in a rack had better read from; -1 for this one."""


class LeaderThrottle(Protocol):
    def may_send(self, partition: Partition, follower_id: int) -> bool:
        """Whether records may go to a follower now."""

    def on_sent(self, partition: Partition, follower_id: int, size: int) -> None: ...


class FetchReader:
    """`resolve_topic` turns a topic id into its name; the other ports may be set once a cluster is there."""

    def __init__(self, replicas: Replicas, resolve_topic: Callable[[bytes], str | None]) -> None:
        self._replicas = replicas
        self._resolve_topic = resolve_topic
        self.followers: Followers | None = None
        self.preferred_replica: PreferredReplica | None = None
        self.throttle: LeaderThrottle | None = None

    def read(
        self, command: FetchCommand, asked: FetchPartition, remaining: int, *, first: bool
    ) -> FetchedPartition:
        """`remaining`: bytes that the answer still has room for; the `first` with records may be larger."""
        partition = self._find(command, asked)
        if isinstance(partition, ErrorCode):
            return FetchedPartition(asked, partition)
        error = self._check(command, asked, partition)
        if error is not ErrorCode.NONE:
            return FetchedPartition(asked, error)
        log = partition.log
        if log.is_offline:
            return FetchedPartition(asked, ErrorCode.KAFKA_STORAGE_ERROR)
        if self.preferred_replica is not None and command.rack_id:
            preferred = self._preferred(command, asked, partition)
            if preferred >= 0:
                elsewhere = self._answered(asked, partition)
                elsewhere.preferred_read_replica = preferred
                return elsewhere
        offset = asked.fetch_offset
        if asked.last_fetched_epoch >= 0:
            epoch, end_offset = partition.end_of_epoch(asked.last_fetched_epoch)
            if end_offset < 0:
                return FetchedPartition(asked, ErrorCode.OFFSET_OUT_OF_RANGE)
            if epoch < asked.last_fetched_epoch or end_offset < offset:
                diverged = self._answered(asked, partition)
                diverged.diverging = (epoch, end_offset)
                return diverged
        if not log.log_start_offset <= offset <= log.log_end_offset:
            if offset > log.log_end_offset and command.replica_id < 0 and not self._replicas.is_lease_held:
                # There may be another leader, and more than ends here; a consumer would begin anew.
                return FetchedPartition(asked, ErrorCode.NOT_LEADER_OR_FOLLOWER)
            out_of_range = FetchedPartition(asked, ErrorCode.OFFSET_OUT_OF_RANGE)
            out_of_range.log_start_offset = log.log_start_offset
            return out_of_range
        if command.replica_id >= 0 and not asked.is_reported:
            assert self.followers is not None, "followers are known where they are served"
            asked.is_reported = True
            self.followers.on_follower_fetch(
                partition, command.replica_id, command.replica_epoch, offset, asked.log_start_offset
            )
        return self._records(command, asked, partition, remaining, first)

    def _find(self, command: FetchCommand, asked: FetchPartition) -> Partition | ErrorCode:
        known = cast(Partition | None, asked.readable)
        if known is not None and not known.is_closed:
            return known
        asked.readable = None
        topic: str | None = asked.topic
        if command.uses_topic_ids:
            topic = self._resolve_topic(asked.topic_id)
            if topic is None:
                return ErrorCode.UNKNOWN_TOPIC_ID
        assert topic is not None
        if command.may_read_followers and command.replica_id < 0:
            found = self._replicas.find_readable(topic, asked.index)
        else:
            found = self._replicas.find(topic, asked.index)
        if isinstance(found, Partition):
            asked.readable = found
        return found

    def _check(self, command: FetchCommand, asked: FetchPartition, partition: Partition) -> ErrorCode:
        replica = partition.replica
        if command.replica_id < 0:
            if command.may_read_followers:
                return replica.check_epoch(asked.current_leader_epoch)
            return replica.check_leader_epoch(asked.current_leader_epoch)
        error = replica.check_leader_epoch(asked.current_leader_epoch)
        if error is not ErrorCode.NONE:
            return error
        # Nobody is served as a follower who is none (CVE-2018-1288).
        return replica.check_follower(command.replica_id, command.replica_epoch, asked.current_leader_epoch)

    def _preferred(self, command: FetchCommand, asked: FetchPartition, partition: Partition) -> int:
        assert self.preferred_replica is not None
        if command.replica_id >= 0 or not command.may_read_followers or not partition.replica.is_leader:
            return -1
        return self.preferred_replica(partition, command.rack_id, asked.fetch_offset)

    def _records(
        self, command: FetchCommand, asked: FetchPartition, partition: Partition, remaining: int, first: bool
    ) -> FetchedPartition:
        answer = self._answered(asked, partition)
        log = partition.log
        is_follower = command.replica_id >= 0
        if is_follower:
            answer.end_offset = log.log_end_offset
            asked.seen_bytes = partition.appended_bytes
        else:
            is_committed = command.isolation_level == READ_COMMITTED
            answer.end_offset = answer.last_stable_offset if is_committed else answer.high_watermark
            asked.seen_bytes = partition.visible_bytes
        offset = asked.fetch_offset
        if offset >= answer.end_offset:
            return answer
        limit = min(asked.max_bytes, remaining)
        throttle = self.throttle if is_follower else None
        if (limit <= 0 and not first) or (
            throttle is not None and not throttle.may_send(partition, command.replica_id)
        ):
            answer.is_held_back = True
            return answer
        read = log.read(offset, max(limit, 0), answer.end_offset, min_one_batch=first)
        if isinstance(read, ErrorCode):
            return FetchedPartition(asked, read)
        answer.records = read
        answer.traffic = partition.traffic
        answer.is_held_back = not len(read)
        if throttle is not None:
            throttle.on_sent(partition, command.replica_id, len(read))
        return answer

    @staticmethod
    def _answered(asked: FetchPartition, partition: Partition) -> FetchedPartition:
        """The answer without records."""
        answer = FetchedPartition(asked, ErrorCode.NONE)
        answer.high_watermark = partition.replica.high_watermark
        answer.last_stable_offset = partition.last_stable_offset
        answer.log_start_offset = partition.log.log_start_offset
        return answer
