"""Where the metadata places partitions, and what this node does about it: lead, follow, or let go. A thin shell.

A delta costs what changed in it: a partition that stayed the same object is passed over. Partitions that this node
comes to follow are opened a few at a time, so that thousands of them do not stop the loop; those it leads are opened
when somebody uses them.

A partition that the metadata has in another log directory than it is in is not followed before that is put right
(`directories`).

A log of a partition that is placed elsewhere is deleted: after the last image that names this node a replica, and for
what happened while the node was away, at its first image. What is on disk of a topic that nobody knows stays: the
next topic of its name moves it aside.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import compress, count
from operator import is_not
from typing import Final, Protocol

from odradek.node.partition.directories import Directories
from odradek.node.partition.in_sync import InSync
from odradek.node.partition.partition import Partition
from odradek.node.partition.placement import Delta, PartitionPlacement, TopicPlacement
from odradek.node.partition.ports import CallSoon
from odradek.node.partition.replicas import Replicas
from odradek.node.runtime.alarm import Alarm
from odradek.proto.kafka.errors import ErrorCode

log = logging.getLogger(__name__)

TOPIC: Final = 2
BROKER: Final = 4
"""Kinds of resources that configs belong to, with the numbers of the wire."""

_OPENED_PER_TURN: Final = 512
_LOAD_COSTS: Final = 32
"""Of a log that is on disk, in units of one that is not."""
_WAIT_WHILE_OPENING_MS: Final = 5
_RETRY_MS: Final = 1_000


class Following(Protocol):
    """`odradek.node.partition.follower.Fetchers`."""

    def follow(self, partition: Partition) -> None: ...
    def unfollow(self, partition: Partition) -> None: ...
    def hurry(self, wait_ms_max: int | None) -> None: ...


class OnDisk(Protocol):
    def __call__(self) -> Iterable[tuple[str, int]]:
        """Topic and partition of every log on disk."""


class Assignments:
    def __init__(
        self,
        replicas: Replicas,
        in_sync: InSync,
        fetchers: Following,
        on_disk: OnDisk,
        directories: Directories,
        call_soon: CallSoon,
        new_alarm: Callable[[Callable[[int], int | None]], Alarm],
    ) -> None:
        self._replicas = replicas
        self._node_id = replicas.node_id
        self._in_sync = in_sync
        self._fetchers = fetchers
        self._on_disk = on_disk
        self._directories = directories
        self._call_soon = call_soon
        self._alarm = new_alarm(self._on_retry)
        self._to_open: dict[tuple[str, int], None] = {}
        self._failed_to_open: dict[tuple[str, int], None] = {}
        self._misplaced: set[Partition] = set()
        """To be followed once the metadata has it where it is."""
        replicas.on_opened = self._on_opened
        self._is_opening = False
        self._is_first = True
        self.on_expected: Callable[[Collection[int]], None] | None = None
        """Hears of the followers of partitions that this node has come to lead."""

    def on_image(self, delta: Delta, image: object) -> None:
        """Every image, in order; the first is what was there before this life of the node."""
        is_first, self._is_first = self._is_first, False
        known = delta.before.topics_by_id
        deleted = list(delta.deleted_topics.values())
        for topic in deleted:
            self._forget_topic(topic)
        if not is_first:
            created = [one for topic_id, one in delta.changed_topics.items() if topic_id not in known]
            self._replicas.on_topics_created(created)
        reconfigured = self._reconfigured(delta)
        if deleted or reconfigured:
            self._replicas.on_topics_changed(deleted, reconfigured)
        expected: set[int] = set()
        for topic_id, topic in delta.changed_topics.items():
            before = known.get(topic_id)
            self._place_topic(topic, () if before is None else before.partitions, expected)
        if is_first:
            self._sweep(delta)
        if delta.changed_brokers:
            self._in_sync.on_brokers_changed(delta.changed_brokers.keys())
        expected.discard(self._node_id)
        if expected and self.on_expected is not None:
            self.on_expected(expected)

    def _reconfigured(self, delta: Delta) -> list[str]:
        kinds = {kind for kind, _ in delta.changed_configs}
        if BROKER in kinds:  # every default may be another
            return list({topic for topic, _ in self._replicas.opened()})
        return [name for kind, name in delta.changed_configs if kind == TOPIC]

    def _place_topic(
        self, topic: TopicPlacement, before: Sequence[PartitionPlacement], expected: set[int]
    ) -> None:
        places = topic.partitions
        # Why so: a topic may have thousands of partitions of which one has changed.
        for index in compress(count(), map(is_not, before, places)):
            if before[index] != places[index]:
                self._place(topic, index, places[index], before[index], expected)
        for index in range(len(before), len(places)):
            self._place(topic, index, places[index], None, expected)

    def _place(
        self,
        topic: TopicPlacement,
        index: int,
        place: PartitionPlacement,
        old: PartitionPlacement | None,
        expected: set[int],
    ) -> None:
        partition = self._replicas.get(topic.name, index)
        if self._node_id not in place.replicas:
            if partition is not None or (old is not None and self._node_id in old.replicas):
                self._let_go(topic.name, index, partition)
        elif partition is not None:
            is_new = self._replicas.apply(partition, place)
            may_be_followed = self._directories.may_be_followed(topic, index, place)
            if place.leader != self._node_id:
                self._follow(partition, is_new=is_new, may_be_followed=may_be_followed)
            elif is_new:
                self._misplaced.discard(partition)
                self._fetchers.unfollow(partition)
                expected.update(place.replicas)
            else:
                self._in_sync.reconsider(partition)
        elif place.leader == self._node_id:
            self._to_open.pop((topic.name, index), None)
            expected.update(place.replicas)
            self._directories.may_be_followed(topic, index, place)
        elif place.leader >= 0:
            self._open_soon((topic.name, index))
        else:  # perhaps it could lead, if only its directory were known
            self._directories.may_be_followed(topic, index, place)

    def _follow(self, partition: Partition, *, is_new: bool, may_be_followed: bool) -> None:
        """`is_new`: its leader, or the leader's epoch."""
        if may_be_followed:
            if is_new or partition in self._misplaced:
                self._fetchers.follow(partition)
            self._misplaced.discard(partition)
        elif is_new:
            self._fetchers.unfollow(partition)
            self._misplaced.add(partition)

    def _on_opened(self, partition: Partition, topic: TopicPlacement) -> None:
        place = topic.partitions[partition.index]
        if not self._directories.may_be_followed(topic, partition.index, place):
            self._misplaced.add(partition)

    def _let_go(self, topic: str, index: int, partition: Partition | None) -> None:
        log.info("%s-%d is no longer placed on this node", topic, index)
        if partition is not None:
            self._forget(partition)
        self._to_open.pop((topic, index), None)
        self._replicas.remove(topic, index)

    def _forget_topic(self, topic: TopicPlacement) -> None:
        for index in range(len(topic.partitions)):
            self._to_open.pop((topic.name, index), None)
            self._failed_to_open.pop((topic.name, index), None)
            partition = self._replicas.get(topic.name, index)
            if partition is not None:
                self._forget(partition)

    def _forget(self, partition: Partition) -> None:
        self._fetchers.unfollow(partition)
        self._misplaced.discard(partition)

    def _sweep(self, delta: Delta) -> None:
        """Let go of logs that were placed elsewhere while this node was away."""
        topics = {topic.name: topic for topic in delta.changed_topics.values()}
        for name, index in list(self._on_disk()):
            topic = topics.get(name)
            if topic is None or index >= len(topic.partitions):
                continue
            if self._node_id not in topic.partitions[index].replicas:
                self._let_go(name, index, self._replicas.get(name, index))

    # -- opening what is followed

    def _open_soon(self, key: tuple[str, int]) -> None:
        self._to_open[key] = None
        if not self._is_opening:
            self._is_opening = True
            self._fetchers.hurry(_WAIT_WHILE_OPENING_MS)
            self._call_soon(self._open_some)

    def _open_some(self) -> None:
        budget = _OPENED_PER_TURN
        while self._to_open and budget > 0:
            key = next(iter(self._to_open))
            del self._to_open[key]
            partition = self._replicas.get(*key) or self._replicas.open(*key, as_follower=True)
            if isinstance(partition, Partition):
                budget -= 1 if partition.log.is_blank else _LOAD_COSTS
                if not partition.replica.is_leader and partition not in self._misplaced:
                    self._fetchers.follow(partition)
            elif partition is ErrorCode.KAFKA_STORAGE_ERROR:
                budget -= _LOAD_COSTS
                found = self._replicas.find_log(*key)
                if found is not None and not found.is_offline:  # what is in a failed directory stays closed
                    self._failed_to_open[key] = None
                    self._alarm.announce(self._alarm.monotonic_ms() + _RETRY_MS)
        if self._to_open:
            self._call_soon(self._open_some)
        else:
            self._is_opening = False
            self._fetchers.hurry(None)

    def _on_retry(self, now_ms: int) -> int | None:
        """A log that could not be loaded may be, by now (a full disk)."""
        failed, self._failed_to_open = self._failed_to_open, {}
        for key in failed:
            self._open_soon(key)
        return None
