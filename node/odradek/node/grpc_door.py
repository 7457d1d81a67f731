"""What the gRPC door is given of this node. Wiring only.

The door and gRPC are imported when the settings ask for a door: they cost a tenth of a second and 15 MB.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from odradek.node.app.cluster import GRPC_LISTENER, GRPC_NODES_LISTENER
from odradek.node.config import ConfigError, Listener, NodeConfig
from odradek.node.controller.image import Endpoint
from odradek.node.services import Services

if TYPE_CHECKING:
    from odradek.node.grpc_api.methods import Servicer
    from odradek.node.grpc_api.server import GrpcServer

log = logging.getLogger(__name__)


def bind_grpc_door(
    config: NodeConfig,
    services: Services,
    catch_up: Callable[[], Awaitable[None]],
    between: Callable[[Servicer], Servicer] | None = None,
) -> GrpcServer | None:
    """The door on its port, answering nobody yet; None without `odradek.grpc.listener`.

    `between` gives the servicer to call in the place of one.

    Raises ConfigError where it cannot listen.
    """
    if config.grpc_listener is None:
        return None
    for name in (GRPC_LISTENER, GRPC_NODES_LISTENER):
        if any(listener.name == name for listener in config.listeners):
            raise ConfigError(f"listeners: {name} is a name of odradek.grpc.listener; choose another")
    from odradek.node.grpc_api.forwarding import UnaryForwarder
    from odradek.node.grpc_api.server import GrpcServer
    from odradek.node.grpc_api.services import servicers

    def address_of(node_id: int) -> tuple[str, int] | None:
        broker = services.controller.image.brokers.get(node_id)
        endpoint = None if broker is None else broker.endpoints.get(GRPC_NODES_LISTENER)
        return None if endpoint is None else (endpoint.host, endpoint.port)

    forwarder = UnaryForwarder(config.node_id, address_of, catch_up)
    served = servicers(services, forwarder)
    server = GrpcServer(
        served if between is None else [between(servicer) for servicer in served],
        lambda: _advertised(config, server),
        GRPC_LISTENER,
        config.socket_request_max_bytes,
        forwarder,
    )
    host, port = config.grpc_listener
    try:
        server.bind(host, port)
    except OSError as error:
        reason = f"cannot listen for gRPC on {host}:{port}: {error.strerror or error}"
        if config.grpc_required:
            raise ConfigError(
                f"{reason}; set odradek.grpc.listener (--grpc) to another address, or to nothing"
            ) from None
        log.warning("%s; this node speaks no gRPC (--grpc HOST:PORT chooses another address)", reason)
        return None
    return server


def grpc_endpoints(config: NodeConfig, server: GrpcServer) -> dict[str, Endpoint]:
    """As the node registers them, by listener name."""
    between = config.advertised_listeners.get(config.inter_broker_listener_name)
    nodes = _reachable(server, between), server.port
    return {
        GRPC_LISTENER: Endpoint(*_advertised(config, server), "PLAINTEXT"),
        GRPC_NODES_LISTENER: Endpoint(*nodes, "PLAINTEXT"),
    }


def _advertised(config: NodeConfig, server: GrpcServer) -> tuple[str, int]:
    if config.grpc_advertised is not None:
        host, port = config.grpc_advertised
        return host, port or server.port
    clients = [config.advertised_listeners.get(listener.name) for listener in config.client_listeners]
    return _reachable(server, clients[0] if clients else None), server.port


def _reachable(server: GrpcServer, advertised: Listener | None) -> str:
    """Where a node that listens everywhere is found: at the host that Kafka's clients are told."""
    if server.host not in ("", "0.0.0.0", "::"):
        return server.host
    return (advertised.host if advertised is not None else "") or "localhost"
