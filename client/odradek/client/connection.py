"""Calls to the nodes of a cluster: channels by address, and which address is asked next.

Decides: which node answers a call that any node may answer, and when the next one is tried. Does not decide:
what a call means. Whoever calls names the method (`Method`), since no stubs are generated.

A channel is opened at the first call to its address and kept. All calls carry the metadata `client-id`.
Every failure leaves as an `OdradekError`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import grpc
import grpc.aio

from odradek.client.errors import ClosedError, NodeUnavailableError, OdradekError, from_rpc

if TYPE_CHECKING:
    from google.protobuf.message import Message

    Stream = grpc.aio.StreamStreamCall[Any, Any]

DEFAULT_CLIENT_ID: Final = "odradek-python"
DEFAULT_TIMEOUT_MS: Final = 30_000
CONNECT_TIMEOUT_MS: Final = 5_000
"""One attempt of a call that any node may answer waits no longer, as long as another node is left to ask."""

_RETRY_BACKOFF_MS: Final = 50
_RETRY_BACKOFF_MAX_MS: Final = 1_000

CHANNEL_OPTIONS: Final = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # A node that comes back is found soon; gRPC's own default waits up to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    # A node whose machine is gone, or that is paused, says nothing: only pings tell. Measured with these four: after
    # 12 s; without the last two a stream to a stopped process had not ended after a minute.
    ("grpc.keepalive_time_ms", 8_000),
    ("grpc.keepalive_timeout_ms", 4_000),
    ("grpc.http2.ping_timeout_ms", 4_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.enable_retries", 0),
    # Clients of one process do not share connections: large answers of one would hold up those of another.
    ("grpc.use_local_subchannel_pool", 1),
)

RequestT = TypeVar("RequestT", bound="Message")
ResponseT = TypeVar("ResponseT", bound="Message")


@dataclass(frozen=True, slots=True)
class Method(Generic[RequestT, ResponseT]):
    """A method of the API: `Method("LogService/Metadata", MetadataRequest, MetadataResponse)`."""

    name: str
    request: type[RequestT]
    response: type[ResponseT]

    @property
    def path(self) -> str:
        return f"/odradek.v1.{self.name}"


def parse_addresses(bootstrap: str) -> tuple[str, ...]:
    """`host:port[,host:port...]` as addresses, each once. ValueError for anything else."""
    addresses: dict[str, None] = {}
    for part in bootstrap.split(","):
        address = part.strip()
        if not address:
            continue
        host, colon, port = address.rpartition(":")
        if not colon or not host or not port.isdigit() or not 0 < int(port) < 65536:
            raise ValueError(f"{address!r} is no address of the form host:port")
        addresses[address] = None
    if not addresses:
        raise ValueError("no address to connect to")
    return tuple(addresses)


class Connection:
    """Channels to the nodes of one cluster. Belongs to the event loop in which it is first used.

    `bootstrap` is `host:port[,host:port...]`; further addresses are learnt (`learn`). An async context
    manager; `close` ends all calls under way.
    """

    def __init__(
        self, bootstrap: str, *, client_id: str = DEFAULT_CLIENT_ID, random: Random | None = None
    ) -> None:
        self._bootstrap = parse_addresses(bootstrap)
        self._learnt: tuple[str, ...] = ()
        self._metadata = (("client-id", client_id),)
        self._random = random or Random()
        self._channels: dict[str, grpc.aio.Channel] = {}
        self._callables: dict[tuple[str, str], Any] = {}
        self._preferred = self._random.choice(self._bootstrap)
        self._closed = False

    async def __aenter__(self) -> Connection:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all channels. Calls under way fail."""
        self._closed = True
        channels, self._channels = list(self._channels.values()), {}
        self._callables.clear()
        for channel in channels:
            await channel.close()

    @property
    def addresses(self) -> tuple[str, ...]:
        """Every address that may be asked, those that were configured first."""
        return tuple(dict.fromkeys(self._bootstrap + self._learnt))

    def learn(self, addresses: Iterable[str]) -> None:
        """Addresses of the nodes that are alive, in place of those learnt before."""
        self._learnt = tuple(addresses)

    @property
    def preferred(self) -> str:
        """The address that is asked first: one that answered, if any did."""
        return self._preferred

    def avoid(self, address: str) -> None:
        """`address` did not answer: another one is preferred, if there is one."""
        if address != self._preferred:
            return
        addresses = self.addresses
        at = addresses.index(address) if address in addresses else -1
        self._preferred = addresses[(at + 1) % len(addresses)]

    async def call(
        self,
        method: Method[RequestT, ResponseT],
        request: RequestT,
        *,
        timeout_ms: int = DEFAULT_TIMEOUT_MS,
        is_repeatable: bool = True,
    ) -> ResponseT:
        """Ask any node, and where one cannot answer (UNAVAILABLE) another, until `timeout_ms` are over.

        `is_repeatable=False`: a call whose connection broke when it may have been carried out already is not
        made again; only one that a node refused with UNAVAILABLE and a reason is. OdradekError: the last failure;
        of a repeatable call whose last attempt the deadline cut off, what an earlier one met.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_ms / 1000
        attempt = 0
        met: OdradekError | None = None
        while True:
            address = self._preferred
            left_ms = max(1, round((deadline - loop.time()) * 1000))
            has_others = len(self.addresses) > 1 and is_repeatable
            try:
                return await self.call_at(
                    address,
                    method,
                    request,
                    timeout_ms=min(left_ms, CONNECT_TIMEOUT_MS) if has_others else left_ms,
                )
            except OdradekError as error:
                is_refused = error.status == "UNAVAILABLE" and error.reason != "UNAVAILABLE"
                is_broken = error.status in ("UNAVAILABLE", "DEADLINE_EXCEEDED")
                if not (is_refused or (is_broken and is_repeatable)):
                    raise
                if error.status != "DEADLINE_EXCEEDED":
                    met = error
                self.avoid(address)
                attempt += 1
                # The first round asks every node at once; later rounds leave them time to recover.
                pause = 0.0
                if attempt >= len(self.addresses):
                    pause = self.backoff_ms(attempt - len(self.addresses), error.retry_after_ms) / 1000
                if loop.time() + pause >= deadline:
                    raise (met or error) from None
            await asyncio.sleep(pause)

    def backoff_ms(self, attempt: int, asked_for_ms: int | None = None) -> float:
        """The wait before attempt 0, 1, 2, ... is repeated: doubling from 50 ms to 1 s, less up to a half."""
        wait = min(_RETRY_BACKOFF_MAX_MS, _RETRY_BACKOFF_MS * 2 ** min(attempt, 10))
        if asked_for_ms is not None:
            wait = max(wait, min(asked_for_ms, _RETRY_BACKOFF_MAX_MS))
        return float(wait * (0.5 + self._random.random() / 2))

    async def call_at(
        self,
        address: str,
        method: Method[RequestT, ResponseT],
        request: RequestT,
        *,
        timeout_ms: float = DEFAULT_TIMEOUT_MS,
    ) -> ResponseT:
        """Ask the node at `address`, once. OdradekError."""
        key = (address, method.name)
        callable_ = self._callables.get(key)
        if callable_ is None:
            callable_ = self._channel(address).unary_unary(
                method.path,
                request_serializer=method.request.SerializeToString,
                response_deserializer=method.response.FromString,
            )
            self._callables[key] = callable_
        try:
            response: ResponseT = await callable_(request, timeout=timeout_ms / 1000, metadata=self._metadata)
        except grpc.aio.AioRpcError as failed:
            raise from_rpc(failed) from None
        except grpc.aio.UsageError as failed:
            raise self._closed_error() from failed
        except asyncio.CancelledError:
            # A channel that closes cancels its calls, which is not this task being cancelled.
            if self._closed and not _is_cancelling():
                raise self._closed_error() from None
            raise
        return response

    def open_stream(self, address: str, method: Method[Any, Any]) -> Stream:
        """A bidirectional stream to the node at `address`. Failures leave as `grpc.aio.AioRpcError`."""
        stream = self._channel(address).stream_stream(
            method.path,
            request_serializer=method.request.SerializeToString,
            response_deserializer=method.response.FromString,
        )
        call: Stream = stream(metadata=self._metadata)
        return call

    def _channel(self, address: str) -> grpc.aio.Channel:
        if self._closed:
            raise self._closed_error()
        channel = self._channels.get(address)
        if channel is None:
            channel = grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS)
            self._channels[address] = channel
        return channel

    def _closed_error(self) -> OdradekError:
        return ClosedError("the connection is closed")


def _is_cancelling() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def unavailable(message: str) -> NodeUnavailableError:
    """The error for a node that could not be asked at all."""
    return NodeUnavailableError("UNAVAILABLE", message, is_retriable=True, status="UNAVAILABLE")
