"""The node: the only place that constructs and wires, and the order in which things live and die.

Start: claim the directories, open the logs and the Raft groups, register in the metadata, then accept connections;
a client that connects finds a node that works. Stop: accept nothing, let the groups and logs become durable, leave
the mark of a clean end.

Does not decide anything a test would want to vary; what it refuses is a configuration that this release cannot
serve (several nodes, encrypted listeners).
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable

from odradek.node.app.context import RequestContext
from odradek.node.config import ConfigError, Listener, NodeConfig
from odradek.node.config.identity import Identity, claim_directories, random_uuid
from odradek.node.controller.image import BrokerImage, Endpoint
from odradek.node.kafka_api.routes import build_registry
from odradek.node.kafka_api.session import Session
from odradek.node.net.listener import Connection, ConnectionLimits
from odradek.node.net.listener import Listener as NetListener
from odradek.node.partition.maintenance import Maintenance
from odradek.node.ports import NodePorts, system_ports
from odradek.node.runtime.alarm import Alarm
from odradek.node.services import Services
from odradek.raft.host import HostSettings, RaftHost
from odradek.storage.disk import DiskError, DiskLockedError
from odradek.storage.log_dir import LogDir
from odradek.storage.log_dirs import LogDirs

METADATA_GROUP = 0
RAFT_DIRECTORY = "raft"
DRAIN_TIMEOUT_S = 5

log = logging.getLogger(__name__)


class Broker:
    """One node in this process. `start`, then `addresses`; `failed` returns when the node cannot go on."""

    def __init__(self, config: NodeConfig, ports: NodePorts | None = None) -> None:
        _refuse_what_is_not_served(config)
        self._config = config
        self._loop = asyncio.get_running_loop()
        self._ports = ports or system_ports(self._loop)
        self._random = self._ports.random
        self._failure: asyncio.Future[BaseException] = self._loop.create_future()
        self._listeners: list[NetListener] = []
        self._disk = self._ports.open_disk(config.open_files_max)
        self._log_dirs = LogDirs(
            self._disk,
            config.log_dirs,
            self._loop.call_soon_threadsafe,
            flusher=self._ports.flusher,
            on_log_dir_failure=self._on_log_dir_failure,
            retention_check_interval_ms=config.log_retention_check_interval_ms,
            producer_expiration_ms=config.producer_id_expiration_ms,
        )
        self._maintenance = Maintenance(self._log_dirs, self._ports.wall_ms, self._new_alarm)
        self._log_dirs.on_deadline = self._maintenance.announce
        self._raft = RaftHost(
            config.node_id,
            self._disk,
            os.path.join(config.metadata_log_dir, RAFT_DIRECTORY),
            settings=HostSettings(threaded=self._ports.is_threaded),
            random=self._random,
            on_failure=self._fail,
        )
        self._services = Services(config, self._log_dirs, self._ports, self._loop, self._new_alarm)
        self._log_dirs.find = self._services.replicas.find_log
        self._registry = build_registry(self._services)

    # -- life

    async def start(self) -> None:
        """Return when clients can be served. Raises ConfigError for a configuration that cannot work."""
        try:
            await self._start()
        except BaseException:
            for listener in self._listeners:
                listener.stop_accepting()
            self._maintenance.stop()
            await self._raft.stop()
            self._log_dirs.release_locks()
            raise

    async def _start(self) -> None:
        config = self._config
        identity = claim_directories(
            self._disk,
            config.log_dirs,
            node_id=config.node_id,
            cluster_id=config.cluster_id,
            random_bytes=self._random.randbytes,
        )
        for path, reason in identity.failed.items():
            log.error("log directory %s cannot be used: %s", path, reason)
        for listener in config.client_listeners:
            self._listeners.append(await self._bind(listener))
        try:
            self._log_dirs.start(self._ports.wall_ms())
        except DiskLockedError:
            raise ConfigError(
                f"the data in {', '.join(config.log_dirs)} is in use by another process"
            ) from None
        await self._raft.start()
        await self._join_groups()
        await self._services.controller.start(identity.cluster_id, self._registration(identity))
        self._maintenance.start()
        for bound in self._listeners:
            await bound.accept()

    async def stop(self) -> None:
        """Accept nothing, answer what waits, make everything durable, close."""
        for listener in self._listeners:
            listener.stop_accepting()
            listener.stop_reading()
        self._maintenance.stop()
        try:
            async with asyncio.timeout(DRAIN_TIMEOUT_S):
                await self._services.produce.drain()
        except TimeoutError:
            log.warning("the disk did not confirm everything within %d s", DRAIN_TIMEOUT_S)
        self._services.coordinators.stop()
        for listener in self._listeners:
            listener.close_connections()
        try:
            await self._raft.stop()
        except DiskError as error:
            log.error("the Raft log could not be closed cleanly: %s", error)
        self._log_dirs.close()

    async def failed(self) -> BaseException:
        """Return only when the node cannot go on, with the reason."""
        return await asyncio.shield(self._failure)

    @property
    def addresses(self) -> list[str]:
        return [listener.address for listener in self._listeners]

    # -- parts

    async def _bind(self, listener: Listener) -> NetListener:
        config = self._config
        limits = ConnectionLimits(
            config.max_connections,
            config.max_connections_per_ip,
            config.connections_max_idle_ms,
            config.socket_request_max_bytes,
        )
        bound = NetListener(
            listener.name, limits, lambda connection: Session(connection, self._registry, make_context)
        )

        def make_context(connection: Connection, client_id: str | None) -> RequestContext:
            return self._context(bound, connection, client_id)

        try:
            await bound.bind(listener.host, listener.port, config.socket_listen_backlog_size)
        except OSError as error:
            raise ConfigError(f"cannot listen on {listener.address}: {error.strerror or error}") from None
        return bound

    async def _join_groups(self) -> None:
        """Open the metadata group and the coordinator shards; all of them are led here when this returns."""
        voters = [self._config.node_id]
        services = self._services
        metadata = self._raft.open_group(METADATA_GROUP, voters, services.controller.machine)
        services.controller.attach(metadata)
        shards = [
            self._raft.open_group(METADATA_GROUP + 1 + index, voters, machine)
            for index, machine in enumerate(services.coordinators.state_machines())
        ]
        for index, shard in enumerate(shards):
            services.coordinators.attach(index, shard)
        for group in (metadata, *shards):
            if group.damaged:
                raise ConfigError(
                    f"the Raft log in {self._config.metadata_log_dir} has lost acknowledged entries (group"
                    f" {group.group_id}): restore the directory from a copy, or start with an empty one"
                )
            await group.wait_until_leader()

    def _registration(self, identity: Identity) -> BrokerImage:
        config = self._config
        endpoints: dict[str, Endpoint] = {}
        for bound in self._listeners:
            advertised = config.advertised_listeners.get(bound.name)
            host = (advertised.host if advertised else "") or bound.host or "localhost"
            port = (advertised.port if advertised else 0) or bound.port
            endpoints[bound.name] = Endpoint(host, port, config.security_map.get(bound.name, "PLAINTEXT"))
        return BrokerImage(
            config.node_id,
            epoch=0,
            incarnation_id=random_uuid(self._random.randbytes),
            endpoints=endpoints,
            rack=config.rack,
            directories=tuple(identity.directory_ids.values()),
        )

    def _context(self, bound: NetListener, connection: Connection, client_id: str | None) -> RequestContext:
        dialled = connection.local_address
        return RequestContext(
            client_id=client_id,
            principal="User:ANONYMOUS",
            listener=bound.name,
            local_host=dialled[0],
            local_port=dialled[1],
            connection_id=f"{dialled[0]}:{dialled[1]}-{connection.peer_host}:{connection.peer_port}",
            client_host=connection.peer_host,
        )

    def _new_alarm(self, on_due: Callable[[int], int | None]) -> Alarm:
        return Alarm(self._loop, on_due)

    # -- failures

    def _on_log_dir_failure(self, home: LogDir, error: DiskError) -> None:
        self._services.replicas.on_log_dir_failure(self._log_dirs.logs_in(home))
        if all(each.error is not None for each in self._log_dirs.dirs):
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        if not self._failure.done():
            self._failure.set_result(error)


def _refuse_what_is_not_served(config: NodeConfig) -> None:
    """This release is one node: say so at the start, not when a client finds out."""
    if not (config.is_broker and config.is_controller):
        raise ConfigError(
            f"process.roles={','.join(sorted(config.roles))}: a node of this release is both; use broker,controller"
        )
    others = [voter for voter in config.quorum_voters if voter.node_id != config.node_id]
    if others:
        named = ", ".join(f"{voter.node_id}@{voter.host}:{voter.port}" for voter in others)
        raise ConfigError(f"controller.quorum.voters names {named}: this release runs clusters of one node")
    if not config.client_listeners:
        raise ConfigError("listeners has none for clients: every name in it is in controller.listener.names")
