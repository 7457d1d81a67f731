"""A broker in the caller's process and event loop.

Decides: what a broker of a test is (one node, a cluster of its own, on free ports of 127.0.0.1, data in memory), which
settings suit tests, and that nothing of it is left when it ends. Does not decide anything that a node decides: it is
the node of production, with the ports and the doors that are given to it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, Final, Unpack

from odradek.client.errors import from_reason
from odradek.client.records import ConsumerRecord
from odradek.node.app.context import RequestContext
from odradek.node.broker import Broker as Node
from odradek.node.config import ConfigError, NodeConfig
from odradek.node.config.names import notes_on_names
from odradek.node.kafka_api.registry import Route, settled
from odradek.node.ports import NodePorts
from odradek.proto.kafka.api import ApiKey, request_class
from odradek.proto.kafka.errors import ErrorCode
from odradek.proto.kafka.schema import Message
from odradek.testing.faults import Faults
from odradek.testing.kafka_faults import KafkaFaults
from odradek.testing.memory import ROOT, VolatileDisk, directory_ports, memory_ports
from odradek.testing.pauses import Pauses
from odradek.testing.stored import stored_records

if TYPE_CHECKING:
    from odradek.client import Admin, Consumer, Producer
    from odradek.client.consumer import ConsumerSettings
    from odradek.client.producer import ProducerSettings
    from odradek.node.grpc_api.methods import Servicer

HOST: Final = "127.0.0.1"
Setting = str | int | float | bool
Settings = Mapping[str, Setting]
_NO_SETTINGS: Final[Settings] = MappingProxyType({})

DEFAULTS: Final[Mapping[str, str]] = {
    "auto.create.topics.enable": "true",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "100",
    # A topic in a test may hold records of years ago.
    "log.retention.ms": "-1",
    "odradek.coordinator.shards": "1",
    # Without sessions every Fetch says what it is about, so that faults can be for a topic.
    "max.incremental.fetch.session.cache.slots": "0",
}
"""What differs from a node in production, unless `settings` say otherwise."""

_TURNS_TO_CLOSE: Final = 3
_CREATE_TIMEOUT_MS: Final = 30_000


class Broker:
    """A broker for tests: an async context manager, for one event loop.

        async with Broker() as broker:
            await broker.create_topic("orders", partitions=3)
            async with broker.producer() as producer:
                await producer.publish("orders", b"one")

    `settings` are a broker's settings by their names ("num.partitions"). `data` is a directory to keep the data in;
    without one it is in memory, and stays there over `restart`. `grpc=False` leaves the gRPC door away, which
    `odradek.client` needs and clients of Kafka do not. `port` and `grpc_port`: 0 is any free one.

    Raises ValueError for a setting that there is not, or a value that it cannot have.
    """

    def __init__(
        self,
        *,
        settings: Settings = _NO_SETTINGS,
        data: str | os.PathLike[str] | None = None,
        grpc: bool = True,
        port: int = 0,
        grpc_port: int = 0,
    ) -> None:
        self._given = settings_as_text(settings)
        self._data = None if data is None else os.path.abspath(os.fspath(data))
        self._disk = VolatileDisk()
        self._has_grpc = grpc
        self._port = port
        self._grpc_port = grpc_port
        self._node: Node | None = None
        self._seam: _Seam | None = None
        self.faults: Final = Faults(has_grpc=grpc)
        """Errors, delays and broken connections to order."""
        self._config()  # what is wrong with the settings is said here
        if grpc:
            _import_grpc_door()

    # -- life

    async def __aenter__(self) -> Broker:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Return when clients can be served. Raises ValueError where the ports or the data are in use."""
        if self._node is not None:
            raise RuntimeError("the broker runs already")
        ports = self._ports()
        seam = _Seam(self.faults)
        node = Node(self._config(), ports, seam)
        try:
            await node.start()
        except ConfigError as error:
            raise ValueError(str(error)) from error
        self._node, self._seam = node, seam
        self._port = int(node.addresses[0].rpartition(":")[2])
        if node.grpc_address is not None:
            self._grpc_port = int(node.grpc_address.rpartition(":")[2])

    async def stop(self) -> None:
        """End in good order: everything that was acknowledged is in the data, every connection is closed."""
        node, seam = self._node, self._seam
        self._node = self._seam = None
        if node is None or seam is None:
            return
        seam.pauses.end()
        await node.stop()
        for turn in range(_TURNS_TO_CLOSE * 2):
            await asyncio.sleep(0)  # sockets are closed, and tasks end, in turns of the loop after this one
            if turn == _TURNS_TO_CLOSE:
                node.abort_connections()

    async def restart(self) -> None:
        """Stop and start, with the same data, ports and faults. Clients lose their connections."""
        await self.stop()
        await self.start()

    # -- where it is

    @property
    def bootstrap_servers(self) -> str:
        """host:port for clients of Kafka. Stays the same over a restart."""
        return f"{HOST}:{self._found_port(self._port)}"

    @property
    def grpc_servers(self) -> str:
        """host:port for `odradek.client`. Raises RuntimeError with `grpc=False`."""
        if not self._has_grpc:
            raise RuntimeError("this broker does not speak gRPC: make it with grpc=True")
        return f"{HOST}:{self._found_port(self._grpc_port)}"

    # -- what it does

    async def create_topic(
        self, name: str, partitions: int = 1, configs: Mapping[str, Setting] = _NO_SETTINGS
    ) -> str:
        """Create a topic, which can be used when this returns; its name. No fault comes in its way.

        Raises TopicExistsError, InvalidRequestError (see `odradek.client`).
        """
        create: Any = request_class(ApiKey.CREATE_TOPICS)
        topic = create.CreatableTopic(
            name=name,
            num_partitions=partitions,
            replication_factor=-1,
            configs=[
                create.CreatableTopicConfig(name=key, value=value)
                for key, value in settings_as_text(configs).items()
            ],
        )
        request = create(topics=[topic], timeout_ms=_CREATE_TIMEOUT_MS)
        response: Any = await self._running_seam().ask(ApiKey.CREATE_TOPICS, request, 7)
        outcome = response.topics[0]
        error = ErrorCode(outcome.error_code)
        if error is not ErrorCode.NONE:
            raise from_reason(error.name, outcome.error_message or "")
        return name

    async def records(self, topic: str) -> list[ConsumerRecord]:
        """All that a topic holds, partition after partition. No fault comes in its way. Raises UnknownTopicError."""
        return await stored_records(self._running_seam().ask, topic)

    def producer(self, **settings: Unpack[ProducerSettings]) -> Producer:
        """A producer of `odradek.client` for this broker: `async with broker.producer() as producer`."""
        from odradek.client import Producer

        return Producer(self.grpc_servers, **settings)

    def consumer(self, *names: str, **settings: Unpack[ConsumerSettings]) -> Consumer:
        """A consumer of `odradek.client` for this broker, of the topics that are named.

        `async with broker.consumer("orders", group_id="readers") as consumer`.
        """
        from odradek.client import Consumer

        if names:
            settings["topics"] = names
        return Consumer(self.grpc_servers, **settings)

    def admin(self) -> Admin:
        """An admin client of `odradek.client` for this broker: `async with broker.admin() as admin`."""
        from odradek.client import Admin

        return Admin(self.grpc_servers)

    # -- inside

    def _config(self) -> NodeConfig:
        settings = {
            **DEFAULTS,
            "listeners": f"PLAINTEXT://{HOST}:{self._port}",
            "log.dirs": ROOT if self._data is None else self._data,
            **self._given,
        }
        if self._has_grpc:
            settings["odradek.grpc.listener"] = f"{HOST}:{self._grpc_port}"
        for name in ("listeners", "log.dirs", "odradek.grpc.listener"):
            if name in self._given:
                raise ValueError(f"{name} is the broker's own: see port, grpc_port, data and grpc")
        for note in notes_on_names(self._given):
            if "not a known setting" in note.text or "topic's setting" in note.text:
                raise ValueError(note.text.replace("and is ignored", "of a broker", 1))
        try:
            return NodeConfig(settings)
        except ConfigError as error:
            raise ValueError(str(error)) from error

    def _ports(self) -> NodePorts:
        return memory_ports(self._disk) if self._data is None else directory_ports()

    def _found_port(self, port: int) -> int:
        if port == 0:
            raise RuntimeError("the broker has not been started yet, and has no port")
        return port

    def _running_seam(self) -> _Seam:
        if self._seam is None:
            raise RuntimeError("the broker does not run: use it as `async with Broker() as broker`")
        return self._seam


class _Seam:
    """`odradek.node.broker.Between`: faults at both doors, and a way in beside them. For one life of a node."""

    def __init__(self, faults: Faults) -> None:
        self.pauses = Pauses()
        self._faults = faults
        self._routes: dict[ApiKey, Route] = {}
        self._kafka = KafkaFaults(faults, self.pauses, self._topic_name)

    def route(self, route: Route) -> Route:
        self._routes[route.key] = route
        return self._kafka.route(route)

    def servicer(self, servicer: Servicer) -> Servicer:
        from odradek.testing.grpc_faults import GrpcFaults

        return GrpcFaults(self._faults, self.pauses).servicer(servicer)

    async def ask(self, key: ApiKey, request: Message, version: int) -> Message:
        """What the node answers to a request of the test, which meets no fault."""
        outcome = await settled(self._routes[key].call(_CONTEXT, request, version))
        assert isinstance(outcome, Message), outcome
        return outcome

    def _topic_name(self, topic_id: bytes) -> str | None:
        metadata: Any = request_class(ApiKey.METADATA)
        request = metadata(topics=[metadata.MetadataRequestTopic(topic_id=topic_id, name=None)])
        response = self._routes[ApiKey.METADATA].call(_CONTEXT, request, 12)
        name: str | None = response.topics[0].name if response.topics else None
        return name


_CONTEXT: Final = RequestContext(
    "odradek.testing", "User:ANONYMOUS", "PLAINTEXT", HOST, 0, "odradek.testing", HOST
)


def settings_as_text(settings: Settings) -> dict[str, str]:
    """Settings as a file would have them: True is "true"."""
    return {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in settings.items()
    }


def _import_grpc_door() -> None:
    """What the node would import when it starts: it costs a tenth of a second, once for the process."""
    import email.parser  # noqa: F401  (for the version in GetCluster)

    import odradek.node.grpc_api.server
    import odradek.node.grpc_api.services
    import odradek.testing.grpc_faults  # noqa: F401
