"""Writes the numbers 0 to COUNT-1, each exactly once, whatever happens to the nodes meanwhile."""

import sys
import time
import uuid

import grpc

from odradek.v1.record_pb2 import Record
from odradek.v1.record_service_pb2 import PublishRequest
from odradek.v1.record_service_pb2_grpc import RecordServiceStub

RECORDS_PER_REQUEST = 100
KEYS = 100
DEADLINE_S = 10
TRY_AGAIN = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.CANCELLED,
)


class Sender:
    """Has a connection to one node, and goes on to the next when that one fails."""

    def __init__(self, addresses: list[str]) -> None:
        self.addresses = addresses
        self.channel = grpc.insecure_channel(addresses[0])

    def send(self, request: PublishRequest) -> None:
        """Repeat a request until it is acknowledged: its name and sequence tell the nodes that it is the same one."""
        while True:
            try:
                RecordServiceStub(self.channel).Publish(request, timeout=DEADLINE_S)
                return
            except grpc.RpcError as error:
                if error.code() not in TRY_AGAIN:
                    raise
                print(f"{self.addresses[0]}: {error.details()}", file=sys.stderr, flush=True)
            self.channel.close()
            self.addresses = self.addresses[1:] + self.addresses[:1]
            self.channel = grpc.insecure_channel(self.addresses[0])
            time.sleep(0.1)


def main(addresses: str, topic: str, count: int, name: str) -> None:
    sender = Sender(addresses.split(","))
    for first in range(0, count, RECORDS_PER_REQUEST):
        numbers = range(first, min(first + RECORDS_PER_REQUEST, count))
        records = [Record(key=b"%d" % (number % KEYS), value=b"%d" % number) for number in numbers]
        sender.send(PublishRequest(topic=topic, records=records, producer_name=name, sequence=first))
        print("acknowledged", numbers[0], numbers[-1], flush=True)


if __name__ == "__main__":
    if len(sys.argv) not in (4, 5):
        sys.exit("usage: produce.py ADDRESS[,ADDRESS...] TOPIC COUNT [NAME]")
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4] if len(sys.argv) == 5 else str(uuid.uuid4()))
