"""Proposed in-sync sets on their way to the active controller, and the answers back. A thin shell.

What is proposed in one turn of the loop is one AlterPartition request; while it is under way, what comes meanwhile
waits for the next. A request that could not be delivered, or that a controller would not take, is sent again after a
growing pause, with what was added meanwhile. That is harmless: a controller that has carried it out before answers
that the partition epoch is old, and the image tells the rest.

Does not decide what an answer means for a partition (`in_sync`).

Source: KIP-497; protocol of AlterPartition 3 (KIP-903).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from odradek.node.partition.isr import IsrAnswer, IsrProposal
from odradek.node.partition.partition import Partition
from odradek.proto.kafka.errors import ErrorCode
from odradek.proto.kafka.messages.controller import AlterPartitionRequest, AlterPartitionResponse

log = logging.getLogger(__name__)

RETRY_MS_MIN: Final = 20
RETRY_MS_MAX: Final = 1_000

Key = tuple[bytes, int]
"""Topic id and partition."""


class IsrChannel(Protocol):
    def alter_partition(self, request: AlterPartitionRequest) -> Awaitable[AlterPartitionResponse]:
        """The active controller's answer (version 3). Raises ConnectionError, TimeoutError."""


class OnAnswer(Protocol):
    def __call__(self, partition: Partition, proposal: IsrProposal, answer: IsrAnswer) -> bool:
        """True when the proposal is to be sent again."""


def build_request(
    broker_id: int, broker_epoch: int, waiting: dict[Key, tuple[Partition, IsrProposal]]
) -> AlterPartitionRequest:
    topics: dict[bytes, AlterPartitionRequest.TopicData] = {}
    for (topic_id, index), (_, proposal) in waiting.items():
        topic = topics.get(topic_id)
        if topic is None:
            topic = topics[topic_id] = AlterPartitionRequest.TopicData(topic_id=topic_id, partitions=[])
        members = [
            AlterPartitionRequest.BrokerState(broker_id=one, broker_epoch=epoch)
            for one, epoch in proposal.members
        ]
        topic.partitions.append(
            AlterPartitionRequest.PartitionData(
                partition_index=index,
                leader_epoch=proposal.leader_epoch,
                new_isr_with_epochs=members,
                partition_epoch=proposal.partition_epoch,
            )
        )
    return AlterPartitionRequest(broker_id=broker_id, broker_epoch=broker_epoch, topics=list(topics.values()))


class IsrPublisher:
    """`broker_epoch` is this node's own. `on_answer` is set by whoever proposes."""

    def __init__(self, node_id: int, broker_epoch: Callable[[], int], channel: IsrChannel) -> None:
        self._node_id = node_id
        self._broker_epoch = broker_epoch
        self._channel = channel
        self._waiting: dict[Key, tuple[Partition, IsrProposal]] = {}
        self._task: asyncio.Task[None] | None = None
        self._is_stopped = False
        self.on_answer: OnAnswer | None = None

    def propose(self, partition: Partition, proposal: IsrProposal) -> None:
        """Replaces an earlier proposal of the partition that was not sent yet."""
        self._waiting[partition.topic_id, partition.index] = (partition, proposal)
        if self._task is None and not self._is_stopped:
            self._task = asyncio.get_running_loop().create_task(self._run())

    def stop(self) -> None:
        self._is_stopped = True
        self._waiting.clear()
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def _run(self) -> None:
        """Until nothing is left to be said."""
        pause_ms = RETRY_MS_MIN
        try:
            while self._waiting:
                if await self._send():
                    pause_ms = RETRY_MS_MIN
                else:
                    await asyncio.sleep(pause_ms / 1000)
                    pause_ms = min(2 * pause_ms, RETRY_MS_MAX)
        except Exception:  # the boundary of this task: a bug costs these proposals, not the node
            log.exception("in-sync sets could not be proposed")
        finally:
            self._task = None

    async def _send(self) -> bool:
        """One request. False when something of it has to be sent again."""
        waiting, self._waiting = self._waiting, {}
        sent = {key: one for key, one in waiting.items() if one[0].replica.proposal is one[1]}
        if not sent:
            return True
        request = build_request(self._node_id, self._broker_epoch(), sent)
        try:
            response = await self._channel.alter_partition(request)
        except (ConnectionError, TimeoutError) as error:
            log.debug("AlterPartition: %s", error)
            return not self._keep(sent)
        if response.error_code != ErrorCode.NONE:
            log.debug("AlterPartition: %s", ErrorCode(response.error_code).name)
            return not self._keep(sent)
        for topic in response.topics:
            for answered in topic.partitions:
                key = (topic.topic_id, answered.partition_index)
                known = sent.get(key)
                if known is not None and not self._answer(*known, answered):
                    del sent[key]
        return not self._keep(sent)

    def _answer(
        self, partition: Partition, proposal: IsrProposal, answered: AlterPartitionResponse.PartitionData
    ) -> bool:
        assert self.on_answer is not None, "proposals come from someone who hears the answers"
        answer = IsrAnswer(
            ErrorCode(answered.error_code),
            tuple(answered.isr),
            answered.leader_epoch,
            answered.partition_epoch,
        )
        return self.on_answer(partition, proposal, answer)

    def _keep(self, unanswered: dict[Key, tuple[Partition, IsrProposal]]) -> bool:
        """Send these again, but for those that a newer state has overtaken. True when there are any."""
        kept = False
        for key, (partition, proposal) in unanswered.items():
            if key not in self._waiting and partition.replica.proposal is proposal and not self._is_stopped:
                self._waiting[key] = (partition, proposal)
                kept = True
        return kept
