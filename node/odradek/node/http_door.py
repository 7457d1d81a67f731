"""What the HTTP door is given of this node. Wiring only.

The door and prometheus-client are imported when the settings ask for a door: they cost 5 MB and a tenth of a second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from importlib import metadata
from typing import TYPE_CHECKING

from odradek.node.config import ConfigError, NodeConfig
from odradek.node.kafka_api.registry import Registry
from odradek.node.net.listener import Listener
from odradek.node.quorum import Quorum
from odradek.node.services import Services
from odradek.storage.log_dirs import LogDirs

if TYPE_CHECKING:
    from odradek.node.http_api.server import HttpServer


async def open_http_door(
    config: NodeConfig,
    services: Services,
    quorum: Quorum,
    log_dirs: LogDirs,
    registry: Registry,
    listeners: Sequence[Listener],
    failure: Callable[[], BaseException | None],
    is_joined: Callable[[], bool],
) -> HttpServer | None:
    """The door, answering already, also while the node joins; None without `odradek.http.listener`.

    `listeners` may still grow. Raises ConfigError where it cannot listen.
    """
    if config.http_listener is None:
        return None
    from odradek.node.http_api.health import NodeHealth
    from odradek.node.http_api.server import open_http_server
    from odradek.node.http_api.sources import Sources
    from odradek.node.runtime.metrics import GcPauses, LoopLag

    outward = services.outward
    sources = Sources(
        config.node_id,
        _version(),
        image=lambda: services.controller.image,
        is_active_controller=lambda: services.controller.is_active,
        min_insync_replicas=lambda topic: services.log_config(topic).min_insync_replicas,
        replicas=services.replicas,
        log_dirs=log_dirs,
        shards=services.coordinators.state_machines,
        raft=quorum,
        raft_groups=lambda: quorum.groups,
        listeners=lambda: listeners,
        request_durations=registry.durations,
        loop_lag=LoopLag(asyncio.get_running_loop()),
        gc_pauses=GcPauses(),
    )
    health = NodeHealth(failure, is_joined, lambda: outward.lifecycle, outward.lease)
    try:
        return await open_http_server(config, sources, health)
    except OSError as error:
        host, port = config.http_listener
        raise ConfigError(f"cannot listen on {host}:{port}: {error.strerror or error}") from None


def _version() -> str:
    try:
        return metadata.version("odradek")
    except metadata.PackageNotFoundError:
        return "unknown"
