"""Load on a gRPC door, from a process of its own: what `make bench-grpc` measures with.

    python tests/bench/grpc_load.py MODE ADDRESS TOPIC COUNT

Modes: produce (LogService, encoded batches), fetch, publish (RecordService, structured records), consume, idle (COUNT
streams that wait). Prints one JSON object. Requests are serialised once and sent again and again, so that what is
measured is the node and not this program; what comes back is parsed whole.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

import grpc
import grpc.aio
import uvloop

from odradek.proto.kafka.record_batch import Record, build_batch, iter_headers
from odradek.v1 import log_service_pb2, record_pb2, record_service_pb2

RECORD_BYTES: Final = 100
BATCH_RECORDS: Final = 4_000
"""Of a record batch at the direct level: about 430 KB."""
MESSAGE_RECORDS: Final = 1_000
"""Of a Publish request."""
IN_FLIGHT: Final = 4
CREDIT: Final = 20_000
OPTIONS: Final = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.http2.max_frame_size", 4 << 20),
]


def _unary(channel: grpc.aio.Channel, method: str, response: Any) -> Callable[[bytes], Awaitable[Any]]:
    call: Any = channel.unary_unary(f"/odradek.v1.{method}", response_deserializer=response.FromString)
    return call  # type: ignore[no-any-return]


async def _repeat(call: Callable[[bytes], Awaitable[Any]], request: bytes, times: int) -> list[Any]:
    """`times` calls, `IN_FLIGHT` at a time."""
    left = times
    answers: list[Any] = []

    async def lane() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            answers.append(await call(request))

    await asyncio.gather(*(lane() for _ in range(IN_FLIGHT)))
    return answers


async def produce(channel: grpc.aio.Channel, topic: str, count: int) -> dict[str, float]:
    records = [Record(at, 1_700_000_000_000, None, bytes(RECORD_BYTES)) for at in range(BATCH_RECORDS)]
    batch = bytes(build_batch(records))
    request = log_service_pb2.ProduceRequest(
        partitions=[log_service_pb2.ProducePartition(topic=topic, partition=0, record_batch=batch)]
    ).SerializeToString()
    call = _unary(channel, "LogService/Produce", log_service_pb2.ProduceResponse)
    started = time.perf_counter()
    answers = await _repeat(call, request, count // BATCH_RECORDS)
    elapsed = time.perf_counter() - started
    assert not any(answer.partitions[0].HasField("error") for answer in answers), answers[0]
    done = len(answers)
    return {"records_per_s": done * BATCH_RECORDS / elapsed, "mb_per_s": done * len(batch) / elapsed / 1e6}


async def fetch(channel: grpc.aio.Channel, topic: str, count: int) -> dict[str, float]:
    call = _unary(channel, "LogService/Fetch", log_service_pb2.FetchResponse)
    offset = size = 0
    started = time.perf_counter()
    while offset < count:
        asked = log_service_pb2.FetchPartition(topic=topic, partition=0, offset=offset, max_bytes=3 << 20)
        request = log_service_pb2.FetchRequest(partitions=[asked], max_wait_ms=1000)
        answer = (await call(request.SerializeToString())).partitions[0]
        assert not answer.HasField("error"), answer.error
        for _, header in iter_headers(answer.record_batches):
            offset = header.last_offset + 1
        size += len(answer.record_batches)
    elapsed = time.perf_counter() - started
    return {"records_per_s": offset / elapsed, "mb_per_s": size / elapsed / 1e6}


async def publish(channel: grpc.aio.Channel, topic: str, count: int) -> dict[str, float]:
    records = [record_pb2.Record(value=bytes(RECORD_BYTES)) for _ in range(MESSAGE_RECORDS)]
    request = record_service_pb2.PublishRequest(topic=topic, records=records).SerializeToString()
    call = _unary(channel, "RecordService/Publish", record_service_pb2.PublishResponse)
    started = time.perf_counter()
    answers = await _repeat(call, request, count // MESSAGE_RECORDS)
    elapsed = time.perf_counter() - started
    return {"records_per_s": sum(len(answer.offsets) for answer in answers) / elapsed}


def _consume(channel: grpc.aio.Channel) -> Any:
    return channel.stream_stream(
        "/odradek.v1.RecordService/Consume",
        request_serializer=record_service_pb2.ConsumeRequest.SerializeToString,
        response_deserializer=record_service_pb2.ConsumeResponse.FromString,
    )()


async def consume(channel: grpc.aio.Channel, topic: str, count: int) -> dict[str, float]:
    call = _consume(channel)
    subscribe = record_service_pb2.Subscribe(topics=[topic], group_id=f"bench-{time.time_ns()}")
    await call.write(record_service_pb2.ConsumeRequest(subscribe=subscribe, credit=CREDIT))
    done = 0
    started = time.perf_counter()
    while done < count:
        response = await call.read()
        if response.WhichOneof("event") == "assigned":
            started = time.perf_counter()  # without the time of the rebalance, as ConsumerPerformance does
            continue
        got = 0
        done_with = record_service_pb2.Acknowledge()
        for partition in response.records.partitions:
            got += len(partition.records)
            done_with.records.add(
                topic=topic, partition=partition.partition, offset=partition.records[-1].offset
            )
        done += got
        await call.write(record_service_pb2.ConsumeRequest(acknowledge=done_with, credit=got))
    elapsed = time.perf_counter() - started
    await call.done_writing()
    while await call.read() is not grpc.aio.EOF:
        pass
    return {"records_per_s": done / elapsed}


async def idle(channel: grpc.aio.Channel, topic: str, count: int) -> dict[str, float]:
    """Opens streams that wait for records, says so, and holds them until its input ends."""
    held = []
    for first in range(0, count, 200):
        calls = [_consume(channel) for _ in range(first, min(first + 200, count))]
        for call in calls:
            subscribe = record_service_pb2.Subscribe(
                topics=[topic], offset_reset=record_service_pb2.OFFSET_RESET_LATEST
            )
            await call.write(record_service_pb2.ConsumeRequest(subscribe=subscribe, credit=CREDIT))
        for call in calls:
            assert (await call.read()).WhichOneof("event") == "assigned"
        held += calls
    sys.stdout.write("open\n")
    sys.stdout.flush()
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    for call in held:
        call.cancel()
    return {"streams": float(len(held))}


MODES: Final = {"produce": produce, "fetch": fetch, "publish": publish, "consume": consume, "idle": idle}


async def main(mode: str, address: str, topic: str, count: int) -> None:
    async with grpc.aio.insecure_channel(address, options=OPTIONS) as channel:
        result = await MODES[mode](channel, topic, count)
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])))
