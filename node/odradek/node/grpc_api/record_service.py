"""RecordService: publish and consume, at any node. Translates only.

Source: proto/odradek/v1/record_service.proto.
"""

from __future__ import annotations

from typing import Final

from odradek.node.app.consume.service import ConsumeService
from odradek.node.app.publish import PublishCommand, Published, PublishService
from odradek.node.app.senders import NUMBER_MAX
from odradek.node.grpc_api import consume_stream
from odradek.node.grpc_api.log_service import acks_of
from odradek.node.grpc_api.methods import Call, Method, Shape, Stream
from odradek.node.grpc_api.record_messages import records_of
from odradek.node.grpc_api.refusal import RefusalError, invalid, refused
from odradek.proto.kafka.errors import ErrorCode
from odradek.v1 import record_service_pb2 as pb

PUBLISH_TIMEOUT_MS: Final = 30_000
PRODUCER_NAME_BYTES_MAX: Final = 255
RECORDS_MAX: Final = 10_000
"""In a request: what is done for each of them holds up the event loop."""
MESSAGE_BYTES_MAX: Final = 16 * 1024 * 1024
"""Of a request, for the same reason: it is parsed in one go."""


class RecordServicer:
    service: Final = "odradek.v1.RecordService"

    def __init__(self, publish: PublishService, consume: ConsumeService) -> None:
        self._publish = publish
        self._consume = consume

    def methods(self) -> list[Method]:
        return [
            Method("Publish", pb.PublishRequest, self.publish, bytes_max=MESSAGE_BYTES_MAX),
            Method(
                "PublishStream",
                pb.PublishStreamRequest,
                self.publish_stream,
                Shape.CLIENT_STREAM,
                bytes_max=MESSAGE_BYTES_MAX,
            ),
            Method(
                "Consume",
                pb.ConsumeRequest,
                self.consume,
                Shape.BIDIRECTIONAL,
                bytes_max=MESSAGE_BYTES_MAX,
            ),
        ]

    async def publish(self, call: Call, request: pb.PublishRequest) -> pb.PublishResponse:
        published = await self._publish.publish(
            call.context, command_of(request), call.timeout_ms(PUBLISH_TIMEOUT_MS)
        )
        _check(published, request.topic)
        return pb.PublishResponse(partitions=published.partitions, offsets=published.offsets)

    async def publish_stream(self, call: Call, stream: Stream) -> pb.PublishStreamResponse:
        """One request after another, in their order: what was read ahead stays with the transport."""
        first: pb.PublishStreamRequest | None = None
        done = 0
        ranges: dict[int, pb.PublishedRange] = {}
        while (request := await stream.read()) is not None:
            if first is None:
                first = request
            elif not request.topic:
                request.topic = first.topic
            request.producer_name, request.acks = first.producer_name, first.acks
            request.sequence = first.sequence + done
            try:
                if request.topic != first.topic:
                    raise invalid(
                        f"topic {request.topic}: a stream is for one topic, and this began with {first.topic}"
                    )
                published = await self._publish.publish(
                    call.context, command_of(request), call.timeout_ms(PUBLISH_TIMEOUT_MS)
                )
                _check(published, request.topic)
            except RefusalError as refusal:
                refusal.metadata["records"] = str(done)
                raise
            done += len(published.offsets)
            _extend(ranges, published)
        if first is None:
            raise invalid("the stream ended before its first request")
        return pb.PublishStreamResponse(record_count=done, ranges=[ranges[at] for at in sorted(ranges)])

    async def consume(self, call: Call, stream: Stream) -> None:
        await consume_stream.serve(self._consume, call, stream)


def command_of(request: pb.PublishRequest | pb.PublishStreamRequest) -> PublishCommand:
    """Raises RefusalError for what cannot be right."""
    if not request.topic:
        raise invalid("topic is empty: say where the records shall go")
    if not request.records:
        raise invalid("records is empty: there is nothing to write")
    if len(request.producer_name.encode()) > PRODUCER_NAME_BYTES_MAX:
        raise invalid(f"producer_name is longer than {PRODUCER_NAME_BYTES_MAX} bytes")
    if len(request.records) > RECORDS_MAX:
        raise invalid(f"{len(request.records)} records: at most {RECORDS_MAX} in a request")
    if not 0 <= request.sequence <= NUMBER_MAX - len(request.records):
        raise invalid(f"sequence {request.sequence}: records are numbered from 0 to {NUMBER_MAX}")
    records, partitions = records_of(request.records)
    return PublishCommand(
        request.topic,
        records,
        partitions,
        request.producer_name,
        request.sequence,
        acks_of(request.acks),
    )


def _check(published: Published, topic: str) -> None:
    if published.error is ErrorCode.NONE:
        return
    message = published.message
    if published.error is ErrorCode.UNKNOWN_TOPIC_OR_PARTITION and message is not None:
        raise invalid(message, topic=topic)
    raise refused(published.error, message, topic=topic)


def _extend(ranges: dict[int, pb.PublishedRange], published: Published) -> None:
    for partition, offset in zip(published.partitions, published.offsets, strict=True):
        known = ranges.get(partition)
        if known is None:
            ranges[partition] = pb.PublishedRange(
                partition=partition, first_offset=offset, last_offset=offset, record_count=1
            )
        else:
            known.first_offset = min(known.first_offset, offset)
            known.last_offset = max(known.last_offset, offset)
            known.record_count += 1
