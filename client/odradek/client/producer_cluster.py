"""Who leads what, as far as a producer knows, and when it asks again.

Decides: the leader of a partition, which topics have to be looked up, and when. Does not decide: whom to ask,
or what waits for the answer. Times are in ms of one steady clock.

Invariants: knowledge of a partition never goes back to an older leader epoch while the topic stays the same one.
A look-up is due at once for what is newly missing, and with growing pauses while answers do not help.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Final

from odradek.client.errors import OdradekError, from_proto

if TYPE_CHECKING:
    from odradek.v1.log_service_pb2 import MetadataResponse, TopicMetadata

MAX_AGE_MS: Final = 300_000
"""What is known is looked up again after so long: partitions may have been added."""
_BACKOFF_MS: Final = 25
_BACKOFF_MAX_MS: Final = 400
_FORGET_MS: Final = 2_000
"""Look-ups that did not help so long ago do not make the next one wait."""


@dataclass(slots=True)
class KnownTopic:
    """`leaders` and `epochs` by partition; leader -1: none."""

    topic_id: bytes
    leaders: dict[int, int] = field(default_factory=dict)
    epochs: dict[int, int] = field(default_factory=dict)

    @property
    def partition_count(self) -> int:
        return len(self.leaders)


@dataclass(frozen=True, slots=True)
class Learnt:
    """What an answer has changed: topics there are, topics there are not, and partitions with a new leader."""

    known: dict[str, int]
    """Partition counts by topic."""
    refused: dict[str, OdradekError]
    moved: list[tuple[str, int]]


class ClusterView:
    """Nodes, topics and leaders. See the module."""

    def __init__(self, random: Random, *, max_age_ms: int = MAX_AGE_MS) -> None:
        self._random = random
        self._max_age_ms = max_age_ms
        self._addresses: dict[int, str] = {}
        self._topics: dict[str, KnownTopic] = {}
        self._stale: dict[str, None] = {}
        self._asked: tuple[str, ...] | None = None
        self._fruitless = 0
        self._not_before_ms = 0
        self._refreshed_ms = 0

    @property
    def addresses(self) -> dict[int, str]:
        """Of the nodes that are alive, by node id."""
        return self._addresses

    def address_of(self, node_id: int) -> str:
        return self._addresses[node_id]

    def partition_count(self, topic: str) -> int:
        """0: the topic is not known."""
        known = self._topics.get(topic)
        return 0 if known is None else known.partition_count

    def leader_of(self, topic: str, partition: int) -> int | None:
        """A node whose address is known. None: the topic is looked up again, and that is all there is to do."""
        known = self._topics.get(topic)
        leader = -1 if known is None else known.leaders.get(partition, -1)
        if leader in self._addresses:
            return leader
        self._stale[topic] = None
        return None

    def led_partitions(self, topic: str) -> list[int]:
        """Partitions that somebody leads; all, if none is led."""
        known = self._topics[topic]
        led = [p for p, leader in known.leaders.items() if leader in self._addresses]
        return led or list(known.leaders)

    def mark_stale(self, topic: str) -> None:
        """What is known of the topic turned out wrong, or something is missing."""
        self._stale[topic] = None

    def on_hint(self, topic: str, partition: int, leader_id: int, leader_epoch: int) -> bool:
        """A node that is not the leader named the leader. True: that is news, and its address is known."""
        known = self._topics.get(topic)
        if known is None or leader_id not in self._addresses:
            return False
        if leader_epoch <= known.epochs.get(partition, -1) or partition not in known.leaders:
            return False
        known.leaders[partition] = leader_id
        known.epochs[partition] = leader_epoch
        return True

    def due(self, now_ms: int) -> tuple[str, ...]:
        """The topics to look up now, which from then on are being looked up. Empty: none."""
        if self._asked is not None or now_ms < self._not_before_ms:
            return ()
        if self._topics and now_ms >= self._refreshed_ms + self._max_age_ms:
            self._stale.update(dict.fromkeys(self._topics))
        if not self._stale:
            return ()
        if now_ms > self._not_before_ms + _FORGET_MS:
            self._fruitless = 0
        self._asked = tuple(self._stale)
        self._stale.clear()
        return self._asked

    def next_deadline(self) -> int | None:
        """When `due` has an answer, in ms; None while a look-up is under way or nothing is known to ask for."""
        if self._asked is not None:
            return None
        if self._stale:
            return self._not_before_ms
        return self._refreshed_ms + self._max_age_ms if self._topics else None

    def on_failed(self, now_ms: int) -> None:
        """Nobody answered."""
        assert self._asked is not None, "nothing was asked"
        self._stale.update(dict.fromkeys(self._asked))
        self._asked = None
        self._pause(now_ms)

    def on_metadata(self, response: MetadataResponse, now_ms: int) -> Learnt:
        """The answer to what was `due`."""
        assert self._asked is not None, "nothing was asked"
        self._asked = None
        self._addresses = {node.node_id: f"{node.host}:{node.port}" for node in response.nodes}
        learnt = Learnt({}, {}, [])
        for topic in response.topics:
            self._learn(topic, learnt)
        self._refreshed_ms = now_ms
        if learnt.moved:
            self._fruitless = 0
        self._pause(now_ms)
        return learnt

    def _learn(self, topic: TopicMetadata, learnt: Learnt) -> None:
        if topic.HasField("error"):
            learnt.refused[topic.name] = from_proto(topic.error)
            return
        known = self._topics.get(topic.name)
        if known is None or known.topic_id != topic.topic_id:
            known = self._topics[topic.name] = KnownTopic(topic.topic_id)
        for partition in topic.partitions:
            index, epoch = partition.partition, partition.leader_epoch
            if epoch < known.epochs.get(index, -1):
                continue
            # The same leader in a newer epoch is news too: it may have been elected again.
            if known.leaders.get(index) != partition.leader_id or known.epochs.get(index) != epoch:
                learnt.moved.append((topic.name, index))
            known.leaders[index] = partition.leader_id
            known.epochs[index] = epoch
        learnt.known[topic.name] = known.partition_count

    def _pause(self, now_ms: int) -> None:
        wait = min(_BACKOFF_MAX_MS, _BACKOFF_MS << min(self._fruitless, 6))
        self._fruitless += 1
        self._not_before_ms = now_ms + round(wait * (0.75 + self._random.random() / 2))
