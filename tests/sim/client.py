"""A Kafka client in the simulation: pipelined connections over the virtual network, metadata, and who leads what.

Decides what a careful client decides: a request that was not answered in time, or whose connection broke, may have
been carried out; its connection is not used again. What to retry is the workload's business.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from random import Random
from struct import Struct
from typing import NamedTuple, TypeVar, cast

from tests.sim.loop import HostLoop

from odradek.proto.kafka.api import response_class
from odradek.proto.kafka.codec import decode
from odradek.proto.kafka.errors import ErrorCode
from odradek.proto.kafka.headers import RequestHeader, decode_response_header, encode_request_frame
from odradek.proto.kafka.messages.coordinator import FindCoordinatorRequest, FindCoordinatorResponse
from odradek.proto.kafka.messages.metadata import MetadataRequest, MetadataResponse
from odradek.proto.kafka.schema import Message

Address = tuple[str, int]
R = TypeVar("R", bound=Message)
_SIZE = Struct(">i")
REQUEST_TIMEOUT_S = 3.0


class Unanswered(ConnectionError):
    """No answer: the request may have been carried out, now or later."""


class Waiting(NamedTuple):
    correlation_id: int
    key: int
    version: int
    answer: asyncio.Future[Message]


class Wire(asyncio.Protocol):
    """One connection. Answers come in the order of the requests."""

    def __init__(self, client_id: str) -> None:
        self._client_id = client_id
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._waiting: deque[Waiting] = deque()
        self._last_id = 0
        self.is_lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost = True
        waiting, self._waiting = self._waiting, deque()
        for each in waiting:
            if not each.answer.done():
                each.answer.set_exception(Unanswered(f"connection lost: {exc}"))
                each.answer.exception()  # nobody may be waiting any more

    def data_received(self, data: bytes) -> None:
        received = self._received
        received += data
        while len(received) >= 4:
            (size,) = _SIZE.unpack_from(received)
            if len(received) < 4 + size:
                return
            frame = bytes(received[4 : 4 + size])
            del received[: 4 + size]
            waiting = self._waiting.popleft()
            found, at = decode_response_header(frame, waiting.key, waiting.version)
            assert found == waiting.correlation_id, f"answer {found} to request {waiting.correlation_id}"
            if not waiting.answer.done():
                waiting.answer.set_result(decode(response_class(waiting.key), waiting.version, frame, at))

    def send(self, message: Message, version: int, *, expects_answer: bool = True) -> asyncio.Future[Message]:
        """Put a request on the way. The future fails with Unanswered."""
        answer: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        if self.is_lost or self._transport is None:
            answer.set_exception(Unanswered("the connection is gone"))
            return answer
        key = message.INFO.key
        assert key is not None
        self._last_id += 1
        header = RequestHeader(key, version, self._last_id, self._client_id)
        if expects_answer:
            self._waiting.append(Waiting(self._last_id, key, version, answer))
        self._transport.writelines(encode_request_frame(header, message))
        return answer

    def close(self) -> None:
        self.is_lost = True
        if self._transport is not None:
            self._transport.close()


class Client:
    """Connections of one client process, by node and purpose, and what it knows of the cluster."""

    def __init__(self, loop: HostLoop, bootstrap: list[Address], random: Random) -> None:
        self.loop = loop
        self.random = random
        self.leaders: dict[tuple[str, int], int] = {}
        self.leader_epochs: dict[tuple[str, int], int] = {}
        self.on_fenced_read: Callable[[tuple[str, int], str, int, int], None] | None = None
        """Hears of every fetch that was served: partition, host, the leader epoch it was asked with, and when."""
        self.topic_ids: dict[str, bytes] = {}
        self._bootstrap = bootstrap
        self._addresses: dict[int, Address] = {}
        self._wires: dict[tuple[Address, str], Wire] = {}

    async def pause(self, low_ms: int = 20, high_ms: int = 200) -> None:
        await asyncio.sleep(self.random.randint(low_ms, high_ms) / 1000)

    async def wire(self, address: Address, purpose: str) -> Wire:
        """An open connection. Raises Unanswered when there is none to be had."""
        known = self._wires.get((address, purpose))
        if known is not None and not known.is_lost:
            return known
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                _, wire = await self.loop.create_connection(lambda: Wire(self.loop.name), *address)
        except (OSError, TimeoutError) as error:
            raise Unanswered(f"{address} cannot be reached: {error}") from error
        self._wires[address, purpose] = wire
        return cast(Wire, wire)

    async def ask(
        self,
        address: Address,
        message: Message,
        version: int,
        answer: type[R],
        *,
        purpose: str = "",
        timeout_s: float = REQUEST_TIMEOUT_S,
    ) -> R:
        """One request and its answer. Raises Unanswered."""
        wire = await self.wire(address, purpose)
        try:
            async with asyncio.timeout(timeout_s):
                found = await wire.send(message, version)
        except TimeoutError:
            wire.close()
            raise Unanswered(f"{address} did not answer {message.INFO.name} in {timeout_s} s") from None
        assert isinstance(found, answer), found
        return found

    def any_address(self) -> Address:
        known = sorted({*self._bootstrap, *self._addresses.values()})
        return self.random.choice(known)

    def address(self, node_id: int) -> Address | None:
        return self._addresses.get(node_id)

    async def refresh(self, topics: list[str] | None) -> MetadataResponse:
        """Ask some node for brokers and leaders. Raises Unanswered."""
        wanted = None
        if topics is not None:
            wanted = [MetadataRequest.MetadataRequestTopic(name=name) for name in topics]
        request = MetadataRequest(topics=wanted, allow_auto_topic_creation=False)
        response = await self.ask(self.any_address(), request, 12, MetadataResponse)
        self._addresses = {broker.node_id: (broker.host, broker.port) for broker in response.brokers}
        for topic in response.topics:
            if topic.name is None or topic.error_code:
                continue
            self.topic_ids[topic.name] = topic.topic_id
            for partition in topic.partitions:
                tp = (topic.name, partition.partition_index)
                self.leaders[tp] = partition.leader_id
                self.leader_epochs[tp] = partition.leader_epoch
        return response

    async def leader(self, topic: str, index: int) -> Address:
        """Where the partition is led, as far as this client knows; asks when it does not. Raises Unanswered."""
        for _ in range(2):
            node_id = self.leaders.get((topic, index), -1)
            address = self._addresses.get(node_id)
            if address is not None:
                return address
            await self.refresh([topic])
        raise Unanswered(f"nobody leads {topic}-{index}")

    def forget_leader(self, topic: str, index: int) -> None:
        self.leaders.pop((topic, index), None)

    async def coordinator(self, group: str) -> Address:
        """Where the group's coordinator is. Raises Unanswered."""
        request = FindCoordinatorRequest(key_type=0, coordinator_keys=[group])
        response = await self.ask(self.any_address(), request, 4, FindCoordinatorResponse)
        found = response.coordinators[0]
        if found.error_code:
            raise Unanswered(f"no coordinator: {ErrorCode(found.error_code).name}")
        return found.host, found.port
