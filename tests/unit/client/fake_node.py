"""A node without a cluster behind it: a gRPC server whose methods a test writes, and a log that counts sequences."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import grpc
import grpc.aio
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from tests.compat.servers import quiet_ports

from odradek.proto.kafka.errors import ErrorCode
from odradek.proto.kafka.record_batch import Record, iter_records, parse_header
from odradek.v1 import log_service_pb2 as pb
from odradek.v1 import record_service_pb2 as record_pb

Unary = Callable[[Any, Any], Awaitable[Any]]
Streaming = Callable[[Any], Awaitable[None]]

_REQUESTS: dict[str, Any] = {
    "LogService/Produce": pb.ProduceRequest,
    "LogService/Metadata": pb.MetadataRequest,
    "LogService/InitProducerId": pb.InitProducerIdRequest,
    "RecordService/Consume": record_pb.ConsumeRequest,
}


class FakeNode:
    """`unary` by method name ("LogService/Metadata"): coroutine functions of request and context. `stream`: what
    RecordService/Consume does with its context. An async context manager; `stop` and `start` keep the port."""

    def __init__(self) -> None:
        self.unary: dict[str, Unary] = {}
        self.stream: Streaming | None = None
        self.client_ids: list[str] = []
        self.port = 0
        self._server: grpc.aio.Server | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def __aenter__(self) -> FakeNode:
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()

    async def start(self) -> None:
        server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        services: dict[str, dict[str, Any]] = {}
        for name, request in _REQUESTS.items():
            service, method = name.split("/")
            services.setdefault(service, {})[method] = self._handler(name, request)
        for service, handlers in services.items():
            server.add_generic_rpc_handlers(
                (grpc.method_handlers_generic_handler(f"odradek.v1.{service}", handlers),)
            )
        if not self.port:
            (self.port,) = quiet_ports(1)  # nobody takes it while the node is stopped
        server.add_insecure_port(self.address)
        await server.start()
        self._server = server

    async def stop(self) -> None:
        """As if it was killed: calls under way break."""
        server, self._server = self._server, None
        if server is not None:
            await server.stop(None)

    def _handler(self, name: str, request: Any) -> Any:
        async def serve(asked: Any, context: Any) -> Any:
            self.client_ids += [value for key, value in context.invocation_metadata() if key == "client-id"]
            behaviour = self.unary.get(name)
            if behaviour is None:
                await context.abort(grpc.StatusCode.UNIMPLEMENTED, name)
                return None
            return await behaviour(asked, context)

        async def serve_stream(_: Any, context: Any) -> None:
            if self.stream is None:
                await context.abort(grpc.StatusCode.UNAVAILABLE, "nothing to read here")
                return
            await self.stream(context)

        def to_bytes(message: Any) -> bytes:
            return bytes(message.SerializeToString())

        if name == "RecordService/Consume":
            return grpc.stream_stream_rpc_method_handler(serve_stream, request.FromString, to_bytes)
        return grpc.unary_unary_rpc_method_handler(serve, request.FromString, to_bytes)


async def refuse(
    context: Any,
    status: grpc.StatusCode,
    reason: str = "",
    *,
    retry_after_ms: int | None = None,
    **metadata: str,
) -> None:
    """End a call as a node does: a status with its details."""
    details = Status(code=status.value[0], message="refused")
    for message in (
        ErrorInfo(reason=reason, domain="odradek.dev", metadata=metadata) if reason else None,
        None if retry_after_ms is None else RetryInfo(),
    ):
        if message is None:
            continue
        if isinstance(message, RetryInfo):
            message.retry_delay.FromMilliseconds(retry_after_ms or 0)
        packed = AnyMessage()
        packed.Pack(message)
        details.details.append(packed)
    await context.abort(status, "refused", (("grpc-status-details-bin", details.SerializeToString()),))


@dataclass
class FakeLog:
    """A topic on several nodes, whose partitions take a batch of a producer once and in order.

    `nodes` by id, of which those that are alive are told. `before` is called with each request before anything is
    written, `after` when it is: what they raise breaks the call.
    """

    topic: str = "t"
    leaders: list[int] = field(default_factory=lambda: [1])
    nodes: dict[int, FakeNode] = field(default_factory=dict)
    is_created: bool = True
    refusals: list[str] = field(default_factory=list)
    """Reasons with which the next batches are refused."""
    before: Callable[[pb.ProduceRequest, Any], Awaitable[None]] | None = None
    after: Callable[[pb.ProduceRequest, Any], Awaitable[None]] | None = None
    written: dict[int, list[Record]] = field(default_factory=dict)
    requests: list[pb.ProduceRequest] = field(default_factory=list)
    producer_ids: int = 0
    leader_epoch: int = 1
    _next: dict[tuple[int, int], int] = field(default_factory=dict)
    _known: dict[tuple[int, int, int], int] = field(default_factory=dict)

    def serve(self, node_id: int, node: FakeNode) -> None:
        """Answer for this node."""
        self.nodes[node_id] = node

        async def produce(request: pb.ProduceRequest, context: Any) -> pb.ProduceResponse:
            self.requests.append(request)
            if self.before is not None:
                await self.before(request, context)
            response = pb.ProduceResponse(
                partitions=[self._write(node_id, one) for one in request.partitions]
            )
            if self.after is not None:
                await self.after(request, context)
            return response

        node.unary["LogService/Produce"] = produce
        node.unary["LogService/Metadata"] = self.metadata
        node.unary["LogService/InitProducerId"] = self.init_producer_id

    async def metadata(self, request: pb.MetadataRequest, context: Any) -> pb.MetadataResponse:
        response = pb.MetadataResponse()
        for node_id, node in self.nodes.items():
            response.nodes.add(node_id=node_id, host="127.0.0.1", port=node.port)
        for name in request.topics:
            topic = response.topics.add(name=name)
            if name != self.topic or not self.is_created:
                topic.error.reason = "UNKNOWN_TOPIC_OR_PARTITION"
                self.is_created = self.is_created or request.create_topics
                continue
            topic.topic_id = b"1" * 16
            for partition, leader in enumerate(self.leaders):
                topic.partitions.add(partition=partition, leader_id=leader, leader_epoch=self.leader_epoch)
        return response

    async def init_producer_id(
        self, request: pb.InitProducerIdRequest, context: Any
    ) -> pb.InitProducerIdResponse:
        self.producer_ids += 1
        return pb.InitProducerIdResponse(producer_id=self.producer_ids)

    def _write(self, node_id: int, asked: pb.ProducePartition) -> pb.ProducedPartition:
        partition = asked.partition
        outcome = pb.ProducedPartition(topic=asked.topic, partition=partition, log_append_time_ms=-1)
        if self.leaders[partition] != node_id:
            outcome.error.reason = "NOT_LEADER_OR_FOLLOWER"
            outcome.error.code = ErrorCode.NOT_LEADER_OR_FOLLOWER
            outcome.leader.node_id = self.leaders[partition]
            outcome.leader.leader_epoch = self.leader_epoch
            return outcome
        if self.refusals and (reason := self.refusals.pop(0)):
            outcome.error.reason = reason
            return outcome
        header = parse_header(asked.record_batch)
        log = self.written.setdefault(partition, [])
        who = (partition, header.producer_id)
        known = self._known.get((*who, header.base_sequence))
        if known is not None and header.producer_id >= 0:
            outcome.base_offset = known
            return outcome
        if header.producer_id >= 0:
            if header.base_sequence != self._next.get(who, 0):
                outcome.error.reason = "OUT_OF_ORDER_SEQUENCE_NUMBER"
                return outcome
            self._next[who] = header.base_sequence + header.record_count
            self._known[(*who, header.base_sequence)] = len(log)
        outcome.base_offset = len(log)
        log.extend(iter_records(asked.record_batch))
        return outcome

    def values(self) -> list[bytes | None]:
        """Of all partitions, one after another."""
        return [record.value for partition in sorted(self.written) for record in self.written[partition]]
