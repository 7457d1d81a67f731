"""The HTTP door of a node: `/metrics`, and `/healthz/live` and `/healthz/ready` for whoever starts and stops nodes.

Decides which path answers what. A node that is not ready says why, one reason a line; it listens from before it
joins, so that joining can be watched. Nothing here changes anything, and nothing here is secret, but there is neither
encryption nor a password: bind it where only operators reach it.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Sequence
from http import HTTPStatus
from typing import Final, Protocol

from odradek.node.http_api.connection import HttpConnection, Request, Response, plain
from odradek.node.http_api.scrape import Scraper
from odradek.node.http_api.sources import Health, Sources

CONNECTIONS_MAX: Final = 64

log = logging.getLogger(__name__)


class HttpSettings(Protocol):
    """The settings of this door (`NodeConfig`). `http_listener` is (host, port), None for no door."""

    @property
    def http_listener(self) -> tuple[str, int] | None: ...
    @property
    def http_metrics_partitions(self) -> bool: ...


class HttpServer:
    """`start`, `stop`. `per_partition`: whether metrics have series for single partitions."""

    def __init__(self, sources: Sources, health: Health, *, per_partition: bool = True) -> None:
        self._sources = sources
        self._health = health
        self._scraper = Scraper(sources, health, per_partition=per_partition)
        self._connections: set[HttpConnection] = set()
        self._server: asyncio.Server | None = None
        self.host = ""
        self.port = 0

    async def start(self, host: str, port: int) -> None:
        """Answer at `host:port` from now on; an empty host is every address. Raises OSError."""
        self._server = await asyncio.get_running_loop().create_server(
            lambda: HttpConnection(self._respond, self._admit, self._connections.discard),
            host or None,
            port,
            reuse_address=True,
        )
        bound = [one for one in self._server.sockets if one.family in (socket.AF_INET, socket.AF_INET6)]
        self.host, self.port = host, bound[0].getsockname()[1]
        self._sources.loop_lag.start()
        self._sources.gc_pauses.start()

    def stop(self) -> None:
        """Take no connection any more, and cut off those that are open."""
        self._sources.loop_lag.stop()
        self._sources.gc_pauses.stop()
        if self._server is not None:
            self._server.close()
            self._server = None
        for connection in list(self._connections):
            connection.abort()

    @property
    def address(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def _admit(self, connection: HttpConnection) -> bool:
        if len(self._connections) >= CONNECTIONS_MAX:
            log.warning("HTTP connection refused: %d are open", CONNECTIONS_MAX)
            return False
        self._connections.add(connection)
        return True

    async def _respond(self, request: Request) -> Response:
        match request.path:
            case "/metrics":
                scraped = await self._scraper.scrape(request.accept)
                return Response(HTTPStatus.OK, scraped.content_type, scraped.chunks)
            case "/healthz/live":
                return _health(self._health.live())
            case "/healthz/ready":
                return _health(self._health.ready())
            case _:
                return plain(HTTPStatus.NOT_FOUND, "here are /metrics, /healthz/live and /healthz/ready\n")


def _health(problems: Sequence[str]) -> Response:
    if problems:
        return plain(HTTPStatus.SERVICE_UNAVAILABLE, "".join(f"{problem}\n" for problem in problems))
    return plain(HTTPStatus.OK, "ok\n")


async def open_http_server(settings: HttpSettings, sources: Sources, health: Health) -> HttpServer | None:
    """The door as the settings want it, answering already; None where they want none. Raises OSError."""
    if settings.http_listener is None:
        return None
    server = HttpServer(sources, health, per_partition=settings.http_metrics_partitions)
    await server.start(*settings.http_listener)
    return server
