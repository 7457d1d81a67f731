from __future__ import annotations

import asyncio
from random import Random
from typing import Any

import grpc
import pytest
from tests.unit.client.fake_node import FakeLog, FakeNode

from odradek.client.connection import Connection
from odradek.client.errors import OdradekError
from odradek.client.producer_accumulator import Accumulator, Limits
from odradek.client.producer_cluster import ClusterView
from odradek.client.producer_sender import Sender, steady_ms
from odradek.client.records import RecordMetadata
from odradek.proto.kafka.partitioner import partition_for
from odradek.proto.kafka.record_batch import parse_header
from odradek.v1 import log_service_pb2 as pb
from odradek.v1 import record_pb2


class Sending:
    """A sender at work on a node."""

    def __init__(self, connection: Connection, *, codec: int = 0) -> None:
        self.progress = 0
        cluster = ClusterView(Random(1))
        limits = Limits(100_000, 0, 20_000, codec=codec)
        self.core = Accumulator(limits, cluster, partition_for, Random(1))
        self.sender = Sender(
            connection,
            self.core,
            cluster,
            acks=record_pb2.ACKS_ALL,
            codec=codec,
            on_progress=self._on_progress,
        )

    def _on_progress(self) -> None:
        self.progress += 1

    def send(self, value: bytes, partition: int = 0) -> asyncio.Future[RecordMetadata]:
        promise: asyncio.Future[RecordMetadata] = asyncio.get_running_loop().create_future()
        if self.core.append("t", partition, (0, None, value, ()), len(value) + 24, promise, steady_ms()):
            self.sender.wake()
        return promise


async def test_what_is_due_is_sent_and_told() -> None:
    async with FakeNode() as node, Connection(node.address) as connection:
        log = FakeLog()
        log.serve(1, node)
        sending = Sending(connection)
        assert await sending.send(b"v") == RecordMetadata("t", 0, 0, 0)
        assert log.requests[0].acks == record_pb2.ACKS_ALL
        assert sending.progress > 0
        await sending.sender.close()


async def test_nothing_is_sent_after_the_end() -> None:
    async with FakeNode() as node, Connection(node.address) as connection:
        log = FakeLog()
        log.serve(1, node)
        sending = Sending(connection)
        await sending.send(b"v")
        await sending.sender.close()
        promise = sending.send(b"w")
        await asyncio.sleep(0)
        assert not promise.done()
        assert len(log.requests) == 1


async def test_large_batches_are_compressed_in_a_thread_and_written_the_same() -> None:
    async with FakeNode() as node, Connection(node.address) as connection:
        log = FakeLog()
        log.serve(1, node)
        sending = Sending(connection, codec=1)
        await sending.send(b"x" * 90_000)
        batch = log.requests[0].partitions[0].record_batch
        assert parse_header(batch).codec == 1
        assert len(batch) < 1_000
        assert log.values() == [b"x" * 90_000]
        await sending.sender.close()


async def test_an_answer_that_leaves_a_batch_out_is_none() -> None:
    async with FakeNode() as node, Connection(node.address) as connection:
        log = FakeLog()
        log.serve(1, node)
        whole = node.unary["LogService/Produce"]
        answers = [pb.ProduceResponse()]

        async def produce(request: pb.ProduceRequest, context: object) -> pb.ProduceResponse:
            answer = await whole(request, context)
            assert isinstance(answer, pb.ProduceResponse)
            return answers.pop() if answers else answer

        node.unary["LogService/Produce"] = produce
        sending = Sending(connection)
        assert (await sending.send(b"v")).offset == 0
        assert log.values() == [b"v"], "it was written by the first call, and sent again"
        assert len(log.requests) == 2
        await sending.sender.close()


async def test_a_look_up_that_failed_is_repeated() -> None:
    async with FakeNode() as node, Connection(node.address) as connection:
        log = FakeLog()
        log.serve(1, node)
        failures = [True]

        async def metadata(request: pb.MetadataRequest, context: Any) -> pb.MetadataResponse:
            if failures:
                failures.pop()
                await context.abort(grpc.StatusCode.INTERNAL, "not now")
            return await log.metadata(request, context)

        node.unary["LogService/Metadata"] = metadata
        sending = Sending(connection)
        assert (await sending.send(b"v")).offset == 0
        await sending.sender.close()


async def test_where_nothing_new_is_heard_another_node_is_asked() -> None:
    async with FakeNode() as deaf, FakeNode() as node:
        log, nothing = FakeLog(), FakeLog(topic="another")
        log.serve(1, node)
        deaf.unary["LogService/Metadata"] = nothing.metadata
        deaf.unary["LogService/InitProducerId"] = nothing.init_producer_id
        async with Connection(f"{deaf.address},{node.address}") as connection:
            if connection.preferred == node.address:
                connection.avoid(node.address)
            sending = Sending(connection)
            assert (await sending.send(b"v")).offset == 0
            await sending.sender.close()


def append_text(core: Accumulator) -> asyncio.Future[RecordMetadata]:
    """A record that cannot be encoded, which no caller of a producer can hand in."""
    promise: asyncio.Future[RecordMetadata] = asyncio.get_running_loop().create_future()
    core.append("t", 0, (0, None, "text", ()), 30, promise, steady_ms())  # type: ignore[arg-type]
    return promise


async def test_a_batch_that_cannot_be_encoded_fails_alone() -> None:
    async with FakeNode() as node, Connection(node.address) as connection:
        FakeLog(leaders=[1, 1]).serve(1, node)
        sending = Sending(connection)
        assert (await sending.send(b"0")).offset == 0
        promise = append_text(sending.core)
        with pytest.raises(OdradekError, match="CLIENT_ERROR"):
            sending.sender.wake()
            await promise
        assert (await sending.send(b"1")).offset == 1
        await sending.sender.close()


async def test_a_bug_of_ours_leaves_nobody_waiting(caplog: pytest.LogCaptureFixture) -> None:
    async with FakeNode() as node, Connection(node.address) as connection:

        async def metadata(request: pb.MetadataRequest, context: object) -> pb.MetadataResponse:
            return pb.MetadataResponse()

        node.unary["LogService/Metadata"] = metadata
        sending = Sending(connection)
        promise = sending.send(b"v")
        sending.core._cluster.on_metadata = None  # type: ignore[method-assign, assignment]
        with pytest.raises(OdradekError, match="CLIENT_ERROR"):
            await promise
        assert sending.sender.failure is not None
        await sending.sender.close()
    assert "the producer failed" in caplog.text
