from __future__ import annotations

import subprocess
import sys

import pytest
from tests.unit.client.patterns.memory_log import MemoryLog, MemoryReader

from odradek.client.consumer import Consumer
from odradek.client.patterns import log_access
from odradek.client.patterns.log_access import Cluster, Log, Reader, Writer, log_of, read_to
from odradek.client.producer import Producer
from odradek.client.records import ConsumerRecord, TopicPartition


async def test_producer_and_consumer_fit_the_ports() -> None:
    cluster: Log = Cluster("127.0.0.1:1", producer={"linger_ms": 0}, consumer={"credit": 5})
    writer: Writer = Producer("127.0.0.1:1")
    reader: Reader = Consumer("127.0.0.1:1", topics=["t"])
    assert isinstance(cluster.writer(), Producer) and isinstance(writer, Producer)
    assert isinstance(cluster.reader(topics=["t"]), Consumer) and isinstance(reader, Consumer)


def test_an_address_is_a_cluster_and_a_log_is_itself() -> None:
    log = MemoryLog()
    assert log_of(log) is log
    assert isinstance(log_of("localhost:50051"), Cluster)


async def test_a_topic_is_read_to_where_it_ended() -> None:
    log = MemoryLog(partition_count=2)
    for number in range(5):
        log.write("t", str(number).encode(), partition=number % 2)
    ends = {tp: bounds.end for tp, bounds in (await log.bounds("t")).items()}
    found: list[ConsumerRecord] = []
    async with log.reader(partitions=dict.fromkeys(ends)) as reader:
        async for records in read_to(reader, ends):
            found += records
    assert sorted(record.value or b"" for record in found) == [b"0", b"1", b"2", b"3", b"4"]


class _Silent(MemoryReader):
    """Nothing ever comes."""

    @property
    def assignment(self) -> frozenset[TopicPartition]:
        return frozenset([TopicPartition("t", 0)])

    def position(self, tp: TopicPartition) -> int:
        return 0

    async def poll(self, max_records: int = 500, timeout_ms: int = 1000) -> list[ConsumerRecord]:
        return []


async def test_records_that_never_come_are_an_error() -> None:
    reader = _Silent(MemoryLog(), {"topics": ["t"]})
    with pytest.raises(TimeoutError, match="no more records come"):
        async for _ in read_to(reader, {TopicPartition("t", 0): 1}):
            raise AssertionError("there are no records")


def test_the_client_does_not_import_the_patterns() -> None:
    code = (
        "import sys, odradek.client, odradek.client.patterns as p; "
        "assert not [m for m in sys.modules if m.startswith('odradek.client.patterns.')]; "
        "assert 'grpc' not in sys.modules; "
        "assert all(callable(getattr(p, name)) for name in p.__all__), 'a module took the place of a name'; "
        "assert 'grpc' not in sys.modules, 'grpc'"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert log_access.__doc__
