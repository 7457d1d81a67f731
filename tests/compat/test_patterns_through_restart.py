"""Patterns on a node that is killed under them, and comes back: nothing is lost, and they go on by themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.compat.conftest import PROPERTIES, on_kafka
from tests.compat.servers import HOST, Odradek, Server, free_port

from odradek.client import ConsumerRecord, Producer
from odradek.client.patterns import (
    Aggregate,
    Cluster,
    Event,
    EventStore,
    Requester,
    Responder,
    RetryPolicy,
    Saga,
    SagaRunner,
    Step,
    StepContext,
    Subscriber,
    WorkQueue,
    redrive,
    running,
)

JOBS = 400
HOPELESS = set(range(0, JOBS, 100))
pytestmark = pytest.mark.skipif(on_kafka(), reason="Apache Kafka speaks no gRPC")


class Node:
    """A node, and the address of its gRPC door."""

    def __init__(self, server: Server, address: str) -> None:
        self.server = server
        self.address = address

    async def kill_and_restart(self) -> None:
        self.server.kill()
        await asyncio.to_thread(self.server.start)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    address = f"{HOST}:{free_port()}"
    with Server(Odradek(), tmp_path, PROPERTIES | {"odradek.grpc.listener": address}) as server:
        server.start()
        yield Node(server, address)


class Worker:
    """Every tenth job fails once; every hundredth always, until it is repaired. Events tell how far it is."""

    def __init__(self) -> None:
        self.done: dict[int, int] = {}
        self.failed: set[int] = set()
        self.is_repaired = False
        self.dead: set[int] = set()
        self.half, self.rest, self.all, self.buried = (asyncio.Event() for _ in range(4))

    async def __call__(self, record: ConsumerRecord) -> None:
        job = int(record.value or b"")
        is_hopeless = job in HOPELESS and not self.is_repaired
        if is_hopeless or (job % 10 == 0 and job not in self.failed):
            self.failed.add(job)
            raise ValueError(f"cannot do {job}")
        self.done[job] = self.done.get(job, 0) + 1
        if len(self.done) >= JOBS // 2:
            self.half.set()
        if len(self.done) >= JOBS - len(HOPELESS):
            self.rest.set()
        if len(self.done) == JOBS:
            self.all.set()

    async def bury(self, letter: ConsumerRecord) -> None:
        self.dead.add(int(letter.value or b""))
        if self.dead == HOPELESS:
            self.buried.set()


async def test_a_work_queue_loses_nothing(node: Node) -> None:
    worker = Worker()
    log = Cluster(node.address, producer={"linger_ms": 1})
    await log.create_topic("jobs", partition_count=3)
    retry = RetryPolicy(max_attempts=3, first_delay_ms=20)
    workers = [WorkQueue(log, "jobs", "workers", worker, retry=retry, concurrency=4) for _ in range(2)]
    async with Producer(node.address) as producer:
        for job in range(JOBS):
            await producer.send("jobs", str(job).encode(), key=str(job).encode())
    async with running(*workers):
        await worker.half.wait()
        await node.kill_and_restart()
        async with running(Subscriber(node.address, worker.bury, topics=["jobs.dlq"], start="earliest")):
            await worker.rest.wait()
            await worker.buried.wait()
        worker.is_repaired = True
        sent_back = await redrive(node.address, "jobs.dlq")
        assert sent_back >= len(HOPELESS)
        await worker.all.wait()
    assert sorted(worker.done) == list(range(JOBS))
    # What was on its way when the node died may be buried once more, and late. Now nobody does that any more.
    sent_back += await redrive(node.address, "jobs.dlq")
    assert await redrive(node.address, "jobs.dlq") == 0
    letters = {
        (tp.partition, offset)
        for tp, one in (await log.bounds("jobs.dlq")).items()
        for offset in range(one.start, one.end)
    }
    assert sent_back == len(letters), "each letter goes back once"


async def test_commands_and_requests_go_on(node: Node) -> None:
    async def shout(request: ConsumerRecord) -> bytes:
        return (request.value or b"").upper()

    counter = Aggregate(0, lambda count, event: count + 1)
    async with (
        EventStore(node.address, "counts", counter) as store,
        running(Responder(node.address, "shouts", "shouters", shout)),
        Requester(node.address, "shouts") as requester,
    ):
        for _ in range(5):
            await store.execute("a", lambda count: [Event("counted")])
        assert await requester.request(b"before") == b"BEFORE"
        await node.kill_and_restart()
        for _ in range(5):
            await store.execute("a", lambda count: [Event("counted")])
        assert await requester.request(b"after") == b"AFTER"
        assert (store.get("a").state, store.lost_count) == (10, 0)
    async with EventStore(node.address, "counts", counter) as store:
        assert store.get("a").version == 10


async def test_a_saga_goes_on(node: Node) -> None:
    is_under_way, may_end = asyncio.Event(), asyncio.Event()
    keys: list[str] = []

    async def act(context: StepContext) -> None:
        keys.append(context.key)
        if context.key.endswith("/two"):
            is_under_way.set()
            await may_end.wait()

    runner = SagaRunner(
        node.address, "sagas", Saga("s", [Step(name, act) for name in ("one", "two", "three")])
    )
    async with running(runner):
        await runner.start("x")
        await is_under_way.wait()
        await node.kill_and_restart()
        may_end.set()
        assert (await runner.outcome("x")).is_completed
    assert list(dict.fromkeys(keys)) == ["x/one", "x/two", "x/three"]
