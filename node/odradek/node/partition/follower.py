"""Following: one long-polling fetch per source broker for all partitions that it leads for this node. A thin shell.

The loop of a source asks, hands what comes to the logs, waits until that is durable, and asks again: an offset that is
asked for says that everything before it is on this node's disk. An image that names another leader moves a partition
to another source at once; what the old one still answers is not for it. A source that cannot be reached is tried again
soon, for as long as it leads anything, and whoever wants to know hears of it.

Source: Kafka's ReplicaFetcherThread and AbstractFetcherThread, for the rules; ARCHITECTURE 6 for the shape.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Protocol

from odradek.node.partition.catch_up import CatchUp, Step
from odradek.node.partition.fetch_schedule import Ask, FetchSchedule, Followed
from odradek.node.partition.partition import Partition
from odradek.node.partition.replica_fetch import (
    EARLIEST,
    FETCH_VERSION,
    LATEST,
    LIST_OFFSETS_VERSION,
    FetchResponse,
    ListOffsetsResponse,
    fetch_request,
    list_offsets_request,
    listed_offset,
)
from odradek.node.partition.replication_config import ReplicationConfig
from odradek.node.partition.truncation import Rounds
from odradek.proto.kafka.errors import ErrorCode
from odradek.proto.kafka.schema import Message
from odradek.storage.leader_epoch_cache import EpochEndOffset

log = logging.getLogger(__name__)

_RETRY_MS_MIN: Final = 20
_BROKEN_MS: Final = 1_000
_SESSION_ERRORS: Final = frozenset(
    (
        ErrorCode.FETCH_SESSION_ID_NOT_FOUND,
        ErrorCode.INVALID_FETCH_SESSION_EPOCH,
        ErrorCode.FETCH_SESSION_TOPIC_ID_ERROR,
    )
)


class Peers(Protocol):
    """`odradek.node.net.peer.Peers`."""

    async def request(self, node_id: int, message: Message, version: int, timeout_ms: int) -> Message:
        """Raises ConnectionError, TimeoutError."""


class FollowerThrottle(Protocol):
    def on_received(self, partition: Partition, size: int) -> int:
        """Until when not to ask for more of it, in monotonic ms; 0 for now."""


@dataclass(frozen=True, slots=True)
class FollowerPorts:
    """What the loops of all sources share. `on_source_lost` hears of a source that could not be reached."""

    node_id: int
    broker_epoch: Callable[[], int]
    peers: Peers
    config: ReplicationConfig
    catch_up: CatchUp
    throttle: FollowerThrottle
    monotonic: Callable[[], int]
    on_source_lost: Callable[[int], None]


class SourceFetcher:
    """The loop of one source. `follow` and `unfollow` may come at any time."""

    def __init__(self, source_id: int, ports: FollowerPorts) -> None:
        self.source_id = source_id
        self._ports = ports
        config = ports.config
        self.schedule = FetchSchedule(config.fetch_wait_ms_max, config.backoff_ms_max)
        self._partitions: dict[Followed, Partition] = {}
        self._of: dict[Partition, Followed] = {}
        self._unsynced: dict[Partition, None] = {}
        self._held_until_ms: dict[Followed, int] = {}
        self._rounds: dict[Followed, Rounds] = {}
        """Of those that had to be cut."""
        self._news = asyncio.Event()
        self._synced = asyncio.Event()
        self._sent_broker_epoch = -1
        self._task: asyncio.Task[None] | None = None
        self.wait_ms_max: int | None = None
        """A smaller bound on how long the source may wait, while more partitions are about to follow it."""

    def __len__(self) -> int:
        return len(self._of)

    def follow(self, partition: Partition) -> None:
        """From the end of its log on, once that is durable; again when the leader epoch is another."""
        self.unfollow(partition)
        followed = Followed(partition.topic_id, partition.index)
        self._of[partition] = followed
        self._partitions[followed] = partition
        self.schedule.add(followed)
        partition.on_durable = self._on_durable
        self._ports.catch_up.mend(partition)
        self._tell_when_durable(partition, followed)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    def unfollow(self, partition: Partition) -> None:
        followed = self._of.pop(partition, None)
        if followed is not None:
            del self._partitions[followed]
            self._held_until_ms.pop(followed, None)
            self._rounds.pop(followed, None)
            self.schedule.remove(followed)
            partition.on_durable = None
            self._no_longer_unsynced(partition)

    def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            self._task = None
        for partition in list(self._of):
            self.unfollow(partition)

    # -- durability

    def _on_durable(self, partition: Partition) -> None:
        """More of a log is durable: all of it, perhaps, and then its source may hear where it ends."""
        if partition in self._unsynced and partition.durable_end_offset >= partition.log.log_end_offset:
            self._tell(partition, self._of[partition])
            self._no_longer_unsynced(partition)

    def _tell_when_durable(self, partition: Partition, followed: Followed) -> None:
        if partition.durable_end_offset >= partition.log.log_end_offset:
            self._tell(partition, followed)
        else:
            self.schedule.hold(followed)
            self._unsynced[partition] = None

    def _tell(self, partition: Partition, followed: Followed) -> None:
        store = partition.log
        self.schedule.moved(
            followed,
            partition.replica.leader_epoch,
            store.log_end_offset,
            store.latest_epoch,
            store.log_start_offset,
        )
        until_ms = self._held_until_ms.pop(followed, 0)
        if until_ms > self._ports.monotonic():
            self.schedule.delay(followed, until_ms)
        self._news.set()

    def _no_longer_unsynced(self, partition: Partition) -> None:
        self._unsynced.pop(partition, None)
        if not self._unsynced:
            self._synced.set()

    # -- the loop

    async def _run(self) -> None:
        pause_ms = _RETRY_MS_MIN
        while True:
            try:
                await self._wait_for_syncs()
                broker_epoch = self._ports.broker_epoch()
                if (
                    broker_epoch != self._sent_broker_epoch
                ):  # the source has to hear of it for every partition
                    self.schedule.start_over()
                    self._sent_broker_epoch = broker_epoch
                ask = self.schedule.next_ask(self._ports.monotonic(), self.wait_ms_max)
                if ask is None:
                    await self._wait_for_news()
                    continue
                if await self._ask(ask, broker_epoch):
                    pause_ms = _RETRY_MS_MIN
                    continue
            except (ConnectionError, TimeoutError) as error:
                log.debug("replication from node %d: %s", self.source_id, error)
                self.schedule.start_over()
                self._ports.on_source_lost(self.source_id)
            except Exception:  # the boundary of this task: a bug must not end replication for good
                log.exception("replication from node %d failed", self.source_id)
                self.schedule.start_over()
            await asyncio.sleep(pause_ms / 1000)
            pause_ms = min(2 * pause_ms, max(self._ports.config.backoff_ms_max, _RETRY_MS_MIN))

    async def _wait_for_syncs(self) -> None:
        while self._unsynced:
            self._synced.clear()
            await self._synced.wait()

    async def _wait_for_news(self) -> None:
        self._news.clear()
        due_ms = self.schedule.next_deadline_ms()
        if due_ms is None:
            await self._news.wait()
            return
        try:
            async with asyncio.timeout(max(0, due_ms - self._ports.monotonic()) / 1000):
                await self._news.wait()
        except TimeoutError:
            return

    async def _ask(self, ask: Ask, broker_epoch: int) -> bool:
        """One request and what comes of it. False when the source does not want to answer it."""
        ports = self._ports
        request = fetch_request(ask, ports.node_id, broker_epoch, ports.config)
        timeout_ms = ports.config.request_timeout_ms
        response = await ports.peers.request(self.source_id, request, FETCH_VERSION, timeout_ms)
        assert isinstance(response, FetchResponse), f"{response!r} to a fetch"
        error = ErrorCode(response.error_code)
        self.schedule.on_answer(response.session_id, is_session_lost=error in _SESSION_ERRORS)
        if error is not ErrorCode.NONE and error not in _SESSION_ERRORS:
            log.warning("node %d refuses a fetch of replicas: %s", self.source_id, error.name)
            return False
        out_of_range = []
        for topic in response.responses:
            for answer in topic.partitions:
                followed = self.schedule.get((topic.topic_id, answer.partition_index))
                if followed is None or not followed.is_told:
                    continue  # asked for when it followed otherwise
                if answer.error_code == ErrorCode.OFFSET_OUT_OF_RANGE:
                    out_of_range.append(followed)
                else:
                    self._take(followed, answer)
        for followed in out_of_range:
            await self._find_range(followed)
        return True

    def _take(self, followed: Followed, answer: FetchResponse.PartitionData) -> None:
        partition = self._partitions[followed]
        catch_up = self._ports.catch_up
        if answer.error_code != ErrorCode.NONE:
            log.debug("%s: node %d: %s", partition, self.source_id, ErrorCode(answer.error_code).name)
            self._settle(partition, followed, Step.RETRY)
            return
        if answer.diverging_epoch.epoch >= 0:
            diverging = EpochEndOffset(answer.diverging_epoch.epoch, answer.diverging_epoch.end_offset)
            before = partition.log.log_end_offset
            self._settle_cut(partition, followed, catch_up.truncate(partition, diverging), before)
            return
        size = 0 if answer.records is None else len(answer.records)
        if size:
            until_ms = self._ports.throttle.on_received(partition, size)
            if until_ms:
                self._held_until_ms[followed] = until_ms
        step = catch_up.take(partition, answer.records, answer.high_watermark, answer.log_start_offset)
        self._settle(partition, followed, step)

    def _settle(self, partition: Partition, followed: Followed, step: Step) -> None:
        if step is Step.MOVED:
            self._tell_when_durable(partition, followed)
        elif step is Step.RETRY:
            self.schedule.back_off(followed, self._ports.monotonic())
        elif step is Step.FAILED:
            self.unfollow(partition)

    def _settle_cut(self, partition: Partition, followed: Followed, step: Step, before: int) -> None:
        """`before` is where the log ended before it was cut."""
        if step is Step.MOVED:
            rounds = self._rounds.get(followed)
            if rounds is None:
                rounds = self._rounds[followed] = Rounds(self._ports.config.backoff_ms_max)
            pause_ms = rounds.on_cut(before, partition.log.log_end_offset)
            if pause_ms:
                self._held_until_ms[followed] = self._ports.monotonic() + pause_ms
        self._settle(partition, followed, step)

    async def _find_range(self, followed: Followed) -> None:
        """The log ends after the leader's, or before it begins: ask for both ends, and begin where it can go on."""
        partition = self._partitions.get(followed)
        if partition is None:
            return
        end = await self._listed(partition, LATEST)
        start = await self._listed(partition, EARLIEST)
        if self._of.get(partition) is not followed:
            return  # it has another leader by now
        own_end = partition.log.log_end_offset
        if isinstance(end, ErrorCode) or isinstance(start, ErrorCode):
            step = Step.RETRY
        elif end < own_end:
            log.warning("%s: the log of its leader ends at %d, its own at %d", partition, end, own_end)
            step = self._ports.catch_up.truncate_to(partition, end)
            self._settle_cut(partition, followed, step, own_end)
            return
        elif start > own_end:
            step = self._ports.catch_up.start_at(partition, start)
        else:
            step = Step.RETRY
        self._settle(partition, followed, step)

    async def _listed(self, partition: Partition, position: int) -> int | ErrorCode:
        ports = self._ports
        request = list_offsets_request(partition, ports.node_id, position)
        timeout_ms = ports.config.request_timeout_ms
        response = await ports.peers.request(self.source_id, request, LIST_OFFSETS_VERSION, timeout_ms)
        assert isinstance(response, ListOffsetsResponse), f"{response!r} to a ListOffsets"
        return listed_offset(response)


class Fetchers:
    """The loops of all sources; they come with the first partition of a source and go with the last."""

    def __init__(self, ports: FollowerPorts) -> None:
        self._ports = ports
        self._sources: dict[int, SourceFetcher] = {}
        self._source_of: dict[Partition, SourceFetcher] = {}
        self._wait_ms_max: int | None = None
        self._is_stopped = False

    def __len__(self) -> int:
        return len(self._sources)

    def follow(self, partition: Partition) -> None:
        """The partition's leader is another, or has another epoch: follow it from now on. -1: nobody."""
        leader = partition.replica.leader
        earlier = self._source_of.get(partition)
        if earlier is not None and earlier.source_id != leader:
            self.unfollow(partition)
        if leader < 0 or self._is_stopped or partition.log.is_offline:
            return
        source = self._sources.get(leader)
        if source is None:
            source = self._sources[leader] = SourceFetcher(leader, self._ports)
            source.wait_ms_max = self._wait_ms_max
        self._source_of[partition] = source
        source.follow(partition)

    def unfollow(self, partition: Partition) -> None:
        source = self._source_of.pop(partition, None)
        if source is None:
            return
        source.unfollow(partition)
        if not len(source):
            source.stop()
            del self._sources[source.source_id]

    def hurry(self, wait_ms_max: int | None) -> None:
        """Bound how long sources may wait, while many partitions are about to follow; None for no bound."""
        self._wait_ms_max = wait_ms_max
        for source in self._sources.values():
            source.wait_ms_max = wait_ms_max

    def on_log_dir_failure(self, partitions: Iterable[Partition]) -> None:
        """Their disk has failed: the others go on."""
        for partition in partitions:
            self.unfollow(partition)

    def stop(self) -> None:
        self._is_stopped = True
        for source in self._sources.values():
            source.stop()
        self._sources.clear()
        self._source_of.clear()
