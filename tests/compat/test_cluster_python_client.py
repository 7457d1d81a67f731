"""The Python client on three nodes, of which one after another is killed under load: nothing acknowledged is lost,
nothing is doubled, and a group reads every record once."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import pytest
from tests.compat.clusters import Cluster
from tests.compat.conftest import OF_THREE, cluster_flavour, on_kafka
from tests.compat.servers import HOST, quiet_ports

from odradek.client import Consumer, ConsumerRecord, Producer, RecordMetadata

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.skipif(on_kafka(), reason="Apache Kafka has no gRPC door"),
]
NODES = (1, 2, 3)
PARTITIONS = 6
KEYS = 40


class Doors(NamedTuple):
    cluster: Cluster
    bootstrap: str


@pytest.fixture(scope="module")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doors]:
    ports = dict(zip(NODES, quiet_ports(len(NODES)), strict=True))
    own = {node: {"odradek.grpc.listener": f"{HOST}:{port}"} for node, port in ports.items()}
    folder = tmp_path_factory.mktemp("cluster")
    with Cluster(cluster_flavour(), folder, properties=OF_THREE, own=own) as cluster:
        cluster.start()
        yield Doors(cluster, ",".join(f"{HOST}:{port}" for port in ports.values()))


class Load:
    """Writes numbers, with a key each, until told to stop; `acknowledged` by number."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self.acknowledged: dict[int, RecordMetadata] = {}
        self.failed: list[BaseException] = []
        self._bootstrap = bootstrap
        self._topic = topic
        self._stop = asyncio.Event()
        self._task = asyncio.create_task(self._write())

    async def reaches(self, count: int) -> None:
        """Until so many more records are acknowledged."""
        goal = len(self.acknowledged) + count
        while len(self.acknowledged) < goal:
            assert not self._task.done()
            await asyncio.sleep(0.01)

    async def stop(self) -> int:
        """The number of records written."""
        self._stop.set()
        return await self._task

    async def _write(self) -> int:
        number = 0
        async with Producer(self._bootstrap, linger_ms=2) as producer:
            while not self._stop.is_set():
                for _ in range(20):
                    promise = await producer.send(self._topic, b"%d" % number, b"%d" % (number % KEYS))
                    promise.add_done_callback(partial(self._on_done, number))
                    number += 1
                await asyncio.sleep(0.02)
        return number

    def _on_done(self, number: int, done: asyncio.Future[RecordMetadata]) -> None:
        error = done.exception()
        if error is None:
            self.acknowledged[number] = done.result()
        else:
            self.failed.append(error)


class Listener:
    """A member of a group, which keeps what it heard."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self.heard: list[ConsumerRecord] = []
        self._more = asyncio.Event()
        self._task = asyncio.create_task(self._listen(bootstrap, topic))

    async def _listen(self, bootstrap: str, topic: str) -> None:
        async with Consumer(bootstrap, topics=[topic], group_id="listeners") as consumer:
            async for record in consumer:
                self.heard.append(record)
                self._more.set()

    async def stop_after(self, count: int) -> None:
        while len(self.heard) < count:
            self._more.clear()
            more = asyncio.create_task(self._more.wait())
            await asyncio.wait([more, self._task], return_when=asyncio.FIRST_COMPLETED)
            assert not self._task.done(), self._task
        self._task.cancel()
        await asyncio.wait([self._task])


async def read(bootstrap: str, topic: str, count: int, group_id: str | None = None) -> list[ConsumerRecord]:
    """Until so many records came, and nothing more for a while."""
    found: list[ConsumerRecord] = []
    async with Consumer(bootstrap, topics=[topic], group_id=group_id) as consumer:
        while more := await consumer.poll(timeout_ms=1_000 if len(found) >= count else 60_000):
            found += more
    return found


async def test_every_node_is_killed_once(doors: Doors) -> None:
    cluster, bootstrap = doors
    cluster.create_topic("numbers", PARTITIONS, 3)
    cluster.await_in_sync({"numbers": PARTITIONS}, 3)
    load = Load(bootstrap, "numbers")
    listener = Listener(bootstrap, "numbers")
    for node in NODES:
        await load.reaches(500)
        cluster.kill(node)
        await load.reaches(500)
        await asyncio.to_thread(cluster.start, [node])
        await asyncio.to_thread(cluster.await_in_sync, {"numbers": PARTITIONS}, 3)
    count = await load.stop()
    assert load.failed == []

    truth = await read(bootstrap, "numbers", count)
    values = Counter(record.value for record in truth)
    assert [value for value, times in values.items() if times > 1] == [], "doubled"
    where = {(record.partition, record.offset): record.value for record in truth}
    for number, metadata in load.acknowledged.items():
        assert where[metadata.partition, metadata.offset] == b"%d" % number
    by_key = defaultdict(list)
    for record in truth:
        by_key[record.key].append(int(record.value or b""))
    assert all(numbers == sorted(numbers) for numbers in by_key.values()), "out of order"

    await listener.stop_after(count)
    assert Counter(record.value for record in listener.heard) == values, "a group reads every record once"


async def test_a_member_that_is_gone_leaves_its_partitions(doors: Doors) -> None:
    cluster, bootstrap = doors
    cluster.create_topic("shared", PARTITIONS, 3)
    settings = {"topics": ["shared"], "group_id": "sharers"}
    async with Consumer(bootstrap, **settings) as first:  # type: ignore[arg-type]
        while len(first.assignment) < PARTITIONS:
            await first.poll(timeout_ms=50)
        async with Consumer(bootstrap, **settings) as second:  # type: ignore[arg-type]
            while len(first.assignment) != PARTITIONS // 2 or len(second.assignment) != PARTITIONS // 2:
                await first.poll(timeout_ms=50)
                await second.poll(timeout_ms=50)
            assert not first.assignment & second.assignment
        while len(first.assignment) < PARTITIONS:
            await first.poll(timeout_ms=50)
