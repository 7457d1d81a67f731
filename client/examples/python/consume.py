"""Reads a topic as a member of a group, and goes on at the next node when one fails. Ends after COUNT different values,
or when it is told to (SIGTERM, Ctrl-C)."""

import itertools
import math
import queue
import signal
import sys
import time
import uuid

import grpc

from odradek.v1.record_pb2 import TopicPartitionOffset
from odradek.v1.record_service_pb2 import Acknowledge, ConsumeRequest, Records, Subscribe
from odradek.v1.record_service_pb2_grpc import RecordServiceStub

CREDIT = 1000  # how many records the node may send ahead
OPTIONS = [("grpc.keepalive_time_ms", 10_000)]  # notice a node that vanished
TRY_AGAIN = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.CANCELLED,
)


class Reader:
    def __init__(self, topic: str, group: str, count: float) -> None:
        # The instance is this program's place in the group: it gets that back when it connects again.
        self.subscribe = Subscribe(topics=[topic], group_id=group, instance_id=str(uuid.uuid4()))
        self.count = count
        self.seen: set[bytes] = set()
        self.is_leaving = self.is_dealing = False
        self.requests: queue.SimpleQueue[ConsumeRequest | None] = queue.SimpleQueue()

    def consume(self, address: str) -> None:
        """Read at one node for as long as that goes well; returns when it ended because this program wanted so."""
        requests = self.requests = queue.SimpleQueue()
        requests.put(ConsumeRequest(subscribe=self.subscribe, credit=CREDIT))
        try:
            with grpc.insecure_channel(address, OPTIONS) as channel:
                for response in RecordServiceStub(channel).Consume(iter(requests.get, None)):
                    self.is_dealing = True  # what is done now is acknowledged, whatever signal comes
                    if response.HasField("records") and not self.is_leaving:
                        requests.put(self.process(response.records))
                    self.is_dealing = False
                    if self.is_leaving or len(self.seen) >= self.count:
                        self.leave()  # what is not acknowledged, another member of the group gets
        finally:
            requests.put(None)  # nobody reads this queue any more

    def process(self, records: Records) -> ConsumeRequest:
        """Deal with the records; returns what to tell the node: up to where, and that it may send as many more."""
        done, credit = [], 0
        for part in records.partitions:
            for record in part.records:
                print(part.partition, record.offset, record.value.decode(), flush=True)
                self.seen.add(record.value)
            last = part.records[-1].offset
            done.append(TopicPartitionOffset(topic=part.topic, partition=part.partition, offset=last))
            credit += len(part.records)
        return ConsumeRequest(acknowledge=Acknowledge(records=done), credit=credit)

    def leave(self) -> None:
        """Half-close the stream, when no records are in hand: the node commits what was acknowledged, and ends it."""
        self.is_leaving = True
        if not self.is_dealing:
            self.requests.put(None)


def main(addresses: list[str], topic: str, group: str, count: float) -> None:
    reader = Reader(topic, group, count)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: reader.leave())
    for address in itertools.cycle(addresses):
        try:
            if not reader.is_leaving:
                reader.consume(address)
            return
        except grpc.RpcError as error:
            if error.code() not in TRY_AGAIN:
                raise
            print(f"{address}: {error.details()}", file=sys.stderr, flush=True)
        time.sleep(0.1)


if __name__ == "__main__":
    if len(sys.argv) not in (4, 5):
        sys.exit("usage: consume.py ADDRESS[,ADDRESS...] TOPIC GROUP [COUNT]")
    main(sys.argv[1].split(","), *sys.argv[2:4], int(sys.argv[4]) if len(sys.argv) == 5 else math.inf)
