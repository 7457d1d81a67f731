"""Who asks, and where they came in: the one value that both doors hand to every use case."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RequestContext:
    """One client connection as the application layer sees it.

    `local_host` and `local_port` are the address that this client dialled: a node without
    `advertised.listeners` answers Metadata and FindCoordinator with it. `received_by` is the node whose connection
    it is, where another node passed the request on; None where it is this node's.
    """

    client_id: str | None
    principal: str
    listener: str
    local_host: str
    local_port: int
    connection_id: str
    client_host: str
    received_by: int | None = None
