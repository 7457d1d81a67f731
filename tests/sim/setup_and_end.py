"""What happens before the faults and after them: topics are made; in the end everything is read back and compared."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from tests.sim.administering import check_topics
from tests.sim.client import Client, Unanswered
from tests.sim.consuming import committed_offsets
from tests.sim.history import TopicPartition
from tests.sim.producing import fetch

from odradek.proto.kafka.errors import ErrorCode as E
from odradek.proto.kafka.messages.topics import CreateTopicsRequest, CreateTopicsResponse

if TYPE_CHECKING:
    from tests.sim.world import World


async def create_topics(partitions: list[TopicPartition], client: Client) -> None:
    """Until each exists, with as many partitions as named."""
    counts = Counter(topic for topic, _ in partitions)
    for name, count in counts.items():
        topic = CreateTopicsRequest.CreatableTopic(name=name, num_partitions=count, replication_factor=-1)
        request = CreateTopicsRequest(topics=[topic], timeout_ms=2_000)
        while True:
            try:
                response = await client.ask(client.any_address(), request, 7, CreateTopicsResponse)
                error = response.topics[0].error_code
            except Unanswered:
                error = E.REQUEST_TIMED_OUT
            if error in (E.NONE, E.TOPIC_ALREADY_EXISTS):
                break
            await client.pause()


async def check_end(world: World, client: Client) -> None:
    """Wait until every partition has all its replicas in sync; then read everything and compare."""
    await _wait_for_full_isr(world, client)
    history = world.history
    contents: dict[TopicPartition, list[tuple[int, bytes]]] = {}
    for tp in world.partitions:
        contents[tp] = await _read_all(client, tp)
    history.check_final(contents)
    for administrator in world.administrators:
        await check_topics(administrator, client, world.verdict)
    if world.members:
        await _check_commits(world, client)


async def _wait_for_full_isr(world: World, client: Client) -> None:
    size = len(world.cluster.nodes)
    topics = sorted({topic for topic, _ in world.partitions})
    while True:
        try:
            response = await client.refresh(topics)
        except Unanswered:
            await client.pause()
            continue
        found = [partition for topic in response.topics for partition in topic.partitions]
        healthy = all(
            partition.leader_id >= 0 and len(partition.isr_nodes) == len(partition.replica_nodes)
            for partition in found
        )
        if healthy and len(found) == len(world.partitions) and len(response.brokers) == size:
            return
        await client.pause(100, 300)


async def _read_all(client: Client, tp: TopicPartition) -> list[tuple[int, bytes]]:
    """From the beginning to the high watermark."""
    found: list[tuple[int, bytes]] = []
    while True:
        position = found[-1][0] + 1 if found else 0
        try:
            fetched = await fetch(client, tp, position, 100)
        except Unanswered:
            await client.pause()
            continue
        if fetched.error is not E.NONE:
            await client.pause()
            continue
        found += fetched.records
        if not fetched.records and position >= fetched.high_watermark:
            return found


async def _check_commits(world: World, client: Client) -> None:
    """The last acknowledged commits are found, and what lies below them was delivered."""
    from tests.sim.world import GROUP

    while True:
        try:
            address = await client.coordinator(GROUP)
            found = await committed_offsets(client, world.history, address, GROUP, world.partitions)
            break
        except Unanswered:
            await client.pause()
    for tp, offset in found.items():
        world.history.check_delivered(GROUP, tp, max(offset, 0))
