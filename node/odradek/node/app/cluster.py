"""Who is in the cluster and where a client reaches them.

Decides: the address of each broker for the client that asks. A broker other than this node is where it
registered for the listener the client came in on; this node is where its `advertised.listeners` say, and
without them where this client dialled, which works through port forwards and wildcard listeners alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from odradek.node.app.context import RequestContext
from odradek.node.controller.image import BrokerImage, MetadataImage, PartitionImage

GRPC_LISTENER: Final = "GRPC"
"""Under this name a broker tells clients where it speaks gRPC."""
GRPC_NODES_LISTENER: Final = "GRPC_NODES"
"""And under this one the other nodes, which may live in another network than clients do."""

#: The operations that a client may do without an authorizer, as bits by the number of the operation.
TOPIC_OPERATIONS: Final = sum(1 << operation for operation in (3, 4, 5, 6, 7, 8, 10, 11))
CLUSTER_OPERATIONS: Final = sum(1 << operation for operation in (5, 7, 8, 9, 10, 11, 12))


class AdvertisedAddress(Protocol):
    """An element of `NodeConfig.advertised_listeners`; an empty host means the one the client dialled."""

    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    broker_id: int
    host: str
    port: int
    rack: str | None
    fenced: bool = False


class ClusterService:
    def __init__(
        self, node_id: int, advertised: Mapping[str, AdvertisedAddress], image: Callable[[], MetadataImage]
    ) -> None:
        self._node_id = node_id
        self._advertised = advertised
        self._image = image

    @property
    def cluster_id(self) -> str:
        return self._image().cluster_id

    @property
    def controller_id(self) -> int:
        """A live broker, which passes on what only the controller may do. -1 while there is none."""
        image = self._image()
        own = image.brokers.get(self._node_id)
        if own is not None and not own.fenced:
            return self._node_id
        live = image.live_brokers
        return live[0].broker_id if live else -1

    def brokers(self, context: RequestContext, *, include_fenced: bool = False) -> list[BrokerAddress]:
        """The brokers that this client can reach, by id."""
        addresses: list[BrokerAddress] = []
        for _, broker in sorted(self._image().brokers.items()):
            address = self._address(context, broker)
            if address is not None and (include_fenced or not broker.fenced):
                addresses.append(
                    BrokerAddress(broker.broker_id, address[0], address[1], broker.rack, broker.fenced)
                )
        return addresses

    def broker(self, context: RequestContext, broker_id: int) -> BrokerAddress | None:
        """One broker, None where this client cannot reach it."""
        broker = self._image().brokers.get(broker_id)
        address = None if broker is None else self._address(context, broker)
        if broker is None or address is None:
            return None
        return BrokerAddress(broker_id, address[0], address[1], broker.rack, broker.fenced)

    def partition(self, topic: str, index: int) -> PartitionImage | None:
        return self._image().partition(topic, index)

    def address(self, context: RequestContext, broker_id: int) -> tuple[str, int] | None:
        """Where this client reaches a broker, None if it cannot."""
        broker = self._image().brokers.get(broker_id)
        return None if broker is None else self._address(context, broker)

    def _address(self, context: RequestContext, broker: BrokerImage) -> tuple[str, int] | None:
        if broker.broker_id != self._node_id:
            endpoint = broker.endpoints.get(context.listener)
            return None if endpoint is None else (endpoint.host, endpoint.port)
        advertised = self._advertised.get(context.listener)
        if advertised is None:
            return context.local_host, context.local_port
        return advertised.host or context.local_host, advertised.port or context.local_port
