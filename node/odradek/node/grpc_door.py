"""What the gRPC door is given of this node. Wiring only.

The door and gRPC are imported when the settings ask for a door: they cost a tenth of a second and 15 MB.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

from odradek.node.config import ConfigError, NodeConfig
from odradek.node.controller.image import Endpoint
from odradek.node.services import Services

if TYPE_CHECKING:
    from odradek.node.grpc_api.server import GrpcServer

LISTENER_NAME: Final = "GRPC"
"""Under this name a node tells the cluster where it speaks gRPC."""

log = logging.getLogger(__name__)


def bind_grpc_door(
    config: NodeConfig, services: Services, catch_up: Callable[[], Awaitable[None]]
) -> GrpcServer | None:
    """The door on its port, answering nobody yet; None without `odradek.grpc.listener`.

    Raises ConfigError where it cannot listen.
    """
    if config.grpc_listener is None:
        return None
    if any(listener.name == LISTENER_NAME for listener in config.listeners):
        raise ConfigError(f"listeners: {LISTENER_NAME} is the name of odradek.grpc.listener; choose another")
    from odradek.node.grpc_api.forwarding import UnaryForwarder
    from odradek.node.grpc_api.server import GrpcServer
    from odradek.node.grpc_api.services import servicers

    def address_of(node_id: int) -> tuple[str, int] | None:
        broker = services.controller.image.brokers.get(node_id)
        endpoint = None if broker is None else broker.endpoints.get(LISTENER_NAME)
        return None if endpoint is None else (endpoint.host, endpoint.port)

    forwarder = UnaryForwarder(config.node_id, address_of, catch_up)
    server = GrpcServer(
        servicers(services, forwarder),
        lambda: _advertised(config, server),
        LISTENER_NAME,
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


def grpc_endpoint(config: NodeConfig, server: GrpcServer) -> Endpoint:
    """As the node registers it."""
    return Endpoint(*_advertised(config, server), "PLAINTEXT")


def _advertised(config: NodeConfig, server: GrpcServer) -> tuple[str, int]:
    if config.grpc_advertised is not None:
        host, port = config.grpc_advertised
        return host, port or server.port
    everywhere = server.host in ("", "0.0.0.0", "::")
    return "localhost" if everywhere else server.host, server.port
