"""An administrator in the simulation: topics come and go, leaders are elected, replicas are moved.

What was confirmed must be so in the end (`expected`); what was not answered may be either way. Moving replicas and
electing leaders must not disturb anybody: the clients of the partitions notice if it does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from tests.sim.client import Client, Unanswered
from tests.sim.history import TopicPartition
from tests.sim.verdict import Verdict

from odradek.node.kafka_api.forwarding import PAUSE_MS_MIN
from odradek.proto.kafka.errors import ErrorCode as E
from odradek.proto.kafka.messages.reassignment import (
    AlterPartitionReassignmentsRequest,
    AlterPartitionReassignmentsResponse,
    ElectLeadersRequest,
    ElectLeadersResponse,
)
from odradek.proto.kafka.messages.topics import (
    CreateTopicsRequest,
    CreateTopicsResponse,
    DeleteTopicsRequest,
    DeleteTopicsResponse,
)

_NAMES = ("extra0", "extra1", "extra2")
_TIMEOUT_MS = 2_000


class Administrator:
    """Does one thing after the other until the run ends. `nodes`: the ids of all brokers."""

    def __init__(
        self, client: Client, verdict: Verdict, partitions: list[TopicPartition], nodes: list[int]
    ) -> None:
        self.client = client
        self.expected: dict[str, bool | None] = dict.fromkeys(_NAMES, False)
        """Topic -> whether it exists; None where an unanswered request leaves it open."""
        self.is_stopping = False
        self._verdict = verdict
        self._partitions = partitions
        self._nodes = nodes

    async def run(self) -> None:
        actions: list[Callable[[], Awaitable[None]]] = [self._create, self._create, self._delete, self._elect]
        if len(self._nodes) > 1:
            actions += [self._move, self._move]
        while not self.is_stopping:
            await self.client.pause(100, 1_500)
            action = self.client.random.choice(actions)
            try:
                await action()
            except Unanswered:
                continue

    async def _create(self) -> None:
        name = self.client.random.choice(_NAMES)
        count = self.client.random.choice([1, 3])
        topic = CreateTopicsRequest.CreatableTopic(name=name, num_partitions=count, replication_factor=-1)
        request = CreateTopicsRequest(topics=[topic], timeout_ms=_TIMEOUT_MS)
        before, self.expected[name] = self.expected[name], None
        began_s = asyncio.get_running_loop().time()
        response = await self.client.ask(self.client.any_address(), request, 7, CreateTopicsResponse)
        error = E(response.topics[0].error_code)
        self._verdict.count(f"create topic {error.name}")
        if error is E.TOPIC_ALREADY_EXISTS and _was_carried_out_once(began_s):
            self._verdict.check(before is not False, "R12 a topic that was deleted is gone", name)
        if error in (E.NONE, E.TOPIC_ALREADY_EXISTS):
            self.expected[name] = True

    async def _delete(self) -> None:
        name = self.client.random.choice(_NAMES)
        topic = DeleteTopicsRequest.DeleteTopicState(name=name)
        request = DeleteTopicsRequest(topics=[topic], timeout_ms=_TIMEOUT_MS)
        before, self.expected[name] = self.expected[name], None
        began_s = asyncio.get_running_loop().time()
        response = await self.client.ask(self.client.any_address(), request, 6, DeleteTopicsResponse)
        error = E(response.responses[0].error_code)
        self._verdict.count(f"delete topic {error.name}")
        if error is E.UNKNOWN_TOPIC_OR_PARTITION and _was_carried_out_once(began_s):
            self._verdict.check(before is not True, "R12 a topic that was created is there", name)
        if error in (E.NONE, E.UNKNOWN_TOPIC_OR_PARTITION):
            self.expected[name] = False

    async def _elect(self) -> None:
        topic, index = self.client.random.choice(self._partitions)
        wanted = ElectLeadersRequest.TopicPartitions(topic=topic, partitions=[index])
        request = ElectLeadersRequest(election_type=0, topic_partitions=[wanted], timeout_ms=_TIMEOUT_MS)
        response = await self.client.ask(self.client.any_address(), request, 2, ElectLeadersResponse)
        self._verdict.count(f"elect leader {E(response.error_code).name}")

    async def _move(self) -> None:
        """Another order of the replicas, or fewer of them, but never fewer than two."""
        random = self.client.random
        topic, index = random.choice(self._partitions)
        replicas = random.sample(self._nodes, random.choice([2, 3, 3]) if len(self._nodes) > 2 else 2)
        part = AlterPartitionReassignmentsRequest.ReassignablePartition(
            partition_index=index, replicas=replicas
        )
        moved = AlterPartitionReassignmentsRequest.ReassignableTopic(name=topic, partitions=[part])
        request = AlterPartitionReassignmentsRequest(timeout_ms=_TIMEOUT_MS, topics=[moved])
        response = await self.client.ask(
            self.client.any_address(), request, 1, AlterPartitionReassignmentsResponse
        )
        error = response.error_code
        if not error:
            error = response.responses[0].partitions[0].error_code
        self._verdict.count(f"move replicas {E(error).name}")


def _was_carried_out_once(began_s: float) -> bool:
    """Whether the answer that is here now came too soon for a second attempt: a node that passes a request on repeats
    it after a broken connection, and then what was done already answers for itself."""
    return asyncio.get_running_loop().time() - began_s < PAUSE_MS_MIN / 1000


async def check_topics(administrator: Administrator, client: Client, verdict: Verdict) -> None:
    """What was confirmed is so, seen from some node, as soon as that has heard of everything."""
    while True:
        try:
            response = await client.refresh(None)
        except Unanswered:
            await client.pause()
            continue
        names = {topic.name for topic in response.topics if not topic.error_code}
        wrong = {
            name: expected
            for name, expected in administrator.expected.items()
            if expected is not None and (name in names) != expected
        }
        if not wrong:
            return
        verdict.count("metadata was behind")
        await client.pause()
