"""The node: the only place that constructs and wires, and the order in which things live and die.

Start: claim the directories, open the logs and the Raft groups, wait until the metadata here is the cluster's, register
in it, let the parts hear of it, accept connections, and wait until the controller counts on this node: a client that
reads the announcement finds a node that works. Stop: have others lead what is led here, accept nothing, let the
groups and logs become durable, leave the mark of a clean end.

Does not decide anything a test would want to vary; what it refuses is a configuration that this release cannot
serve (nodes with one role, encrypted listeners).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from odradek.node.app.context import RequestContext
from odradek.node.config import ConfigError, Listener, NodeConfig
from odradek.node.config.identity import (
    Identity,
    claim_directories,
    format_uuid,
    join_cluster,
    random_uuid,
)
from odradek.node.controller.image import BrokerImage, Endpoint
from odradek.node.controller.operations import ControllerError
from odradek.node.grpc_door import bind_grpc_door, grpc_endpoints
from odradek.node.http_door import open_http_door
from odradek.node.interbroker.lifecycle import RegistrationRefusedError
from odradek.node.interbroker.registration import registration_request
from odradek.node.kafka_api.forwarding import Forwarder
from odradek.node.kafka_api.registry import Registry, Route, settled
from odradek.node.kafka_api.routes import build_registry
from odradek.node.kafka_api.session import Session
from odradek.node.net.listener import Connection, ConnectionLimits
from odradek.node.net.listener import Listener as NetListener
from odradek.node.partition.maintenance import Maintenance
from odradek.node.ports import NodePorts, system_ports
from odradek.node.quorum import Quorum
from odradek.node.runtime.alarm import Alarm
from odradek.node.services import Services
from odradek.proto.kafka.schema import Message
from odradek.storage.disk import DiskError, DiskLockedError
from odradek.storage.log_dir import LogDir
from odradek.storage.log_dirs import LogDirs

if TYPE_CHECKING:
    from odradek.node.grpc_api.methods import Servicer
    from odradek.node.grpc_api.server import GrpcServer
    from odradek.node.http_api.server import HttpServer

DRAIN_TIMEOUT_S = 5
LEAVE_TIMEOUT_MS = 5_000
FOUNDING_RETRY_S = 0.02

log = logging.getLogger(__name__)


class Between(Protocol):
    """Who stands between the doors of a node and what they call; `odradek.testing` does. Asked once for each."""

    def route(self, route: Route) -> Route:
        """The route to take in the place of this one."""

    def servicer(self, servicer: Servicer) -> Servicer:
        """The servicer to call in the place of this one."""


class Broker:
    """One node in this process. `start`, then `addresses`; `failed` returns when the node cannot go on."""

    def __init__(
        self, config: NodeConfig, ports: NodePorts | None = None, between: Between | None = None
    ) -> None:
        _refuse_what_is_not_served(config)
        self._config = config
        self._loop = asyncio.get_running_loop()
        self._ports = ports or system_ports(self._loop)
        self._failure: asyncio.Future[BaseException] = self._loop.create_future()
        self._listeners: list[NetListener] = []
        self._alarms: list[Alarm] = []
        self._grpc: GrpcServer | None = None
        self._http: HttpServer | None = None
        self._is_joined = False
        self._disk = self._ports.open_disk(config.open_files_max)
        self._identity: Identity | None = None
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
        self._quorum = Quorum(
            config, self._ports, self._disk, self._cluster_id, self._fail, self._on_peer_lost
        )
        self._services = Services(
            config, self._log_dirs, self._ports, self._loop, self._new_alarm, self._dispatch
        )
        self._log_dirs.find = self._services.replicas.find_log
        self._registry: Registry = build_registry(self._services)
        self._between = between
        if between is not None:
            self._registry.routes |= {
                key: between.route(route) for key, route in self._registry.routes.items()
            }
        self._forwarder = Forwarder(
            config.node_id, self._services.controller, self._services.outward.peers, self._quorum.current
        )

    # -- life

    async def start(self) -> None:
        """Return when clients can be served. Raises ConfigError for a configuration that cannot work."""
        try:
            await self._start()
        except BaseException:
            for listener in self._listeners:
                listener.stop_accepting()
            self._services.stop()
            self._maintenance.stop()
            await self._quorum.stop()
            self._log_dirs.release_locks()
            self._close_http_door()
            await self._close_grpc_door()
            raise

    async def _start(self) -> None:
        config = self._config
        self._identity = claim_directories(
            self._disk,
            config.log_dirs,
            node_id=config.node_id,
            cluster_id=config.cluster_id,
            is_founder=self._quorum.is_alone,
            random_bytes=self._ports.random.randbytes,
        )
        self._services.directory_ids = self._identity.directory_ids
        for path, reason in self._identity.failed.items():
            log.error("log directory %s cannot be used: %s", path, reason)
        for listener in config.client_listeners:
            self._listeners.append(await self._bind(listener))
        between = None if self._between is None else self._between.servicer
        self._grpc = bind_grpc_door(config, self._services, self._quorum.current, between)
        try:
            self._log_dirs.start(self._ports.wall_ms())
        except DiskLockedError:
            raise ConfigError(
                f"the data in {', '.join(config.log_dirs)} is in use by another process"
            ) from None
        await self._open_http_door()
        services = self._services
        await self._quorum.start()
        self._quorum.open(services.controller.machine, services.coordinators.state_machines())
        services.attach(self._quorum.metadata, self._quorum.shards, self._quorum.voter_changes)
        await self._quorum.current()
        await self._join(self._identity)
        self._is_joined = True
        self._maintenance.start()

    async def _join(self, identity: Identity) -> None:
        """Become a member of the cluster, and begin to serve."""
        services = self._services
        cluster_id = await self._find_cluster(identity)
        broker = self._registration(identity)
        if self._quorum.is_alone:
            await services.controller.start(cluster_id, broker)
            await self._accept()
            return
        lifecycle = services.outward.begin_life(
            registration_request(cluster_id, broker), lambda: services.controller.image.applied_index
        )
        try:
            await lifecycle.register()
        except RegistrationRefusedError as error:
            raise ConfigError(str(error)) from None
        await self._quorum.current()
        services.controller.open()
        await self._accept()
        lifecycle.begin()
        await lifecycle.serving()

    async def _find_cluster(self, identity: Identity) -> str:
        """The id of the cluster, which the first active controller gives it. Raises ConfigError for another one's."""
        controller = self._services.controller
        if self._quorum.is_alone:
            return identity.cluster_id
        founded = identity.cluster_id or format_uuid(random_uuid(self._ports.random.randbytes))
        while not controller.image.cluster_id:
            if controller.is_active:
                # Leadership may go before the others have agreed: whoever leads then founds it.
                with contextlib.suppress(ControllerError):
                    await controller.found(founded)
            else:
                await asyncio.sleep(FOUNDING_RETRY_S)
            await self._quorum.current()
        cluster_id = controller.image.cluster_id
        if not identity.cluster_id:
            join_cluster(self._disk, identity, self._config.node_id, cluster_id)
            self._identity = identity._replace(cluster_id=cluster_id)
        elif identity.cluster_id != cluster_id:
            raise ConfigError(
                f"the data in {', '.join(identity.directory_ids)} belongs to cluster {identity.cluster_id}, but the"
                f" nodes of controller.quorum.voters to cluster {cluster_id}"
            )
        return cluster_id

    async def _accept(self) -> None:
        for bound in self._listeners:
            await bound.accept()
        if self._grpc is not None:
            await self._grpc.start()

    async def stop(self) -> None:
        """Hand over, accept nothing, answer what waits, make everything durable, close."""
        self._is_joined = False
        lifecycle = self._services.outward.lifecycle
        if (
            lifecycle is not None
            and lifecycle.is_serving
            and self._config.controlled_shutdown_enable
            and not await lifecycle.leave(LEAVE_TIMEOUT_MS)
        ):
            log.warning("not everything that is led here was handed over in %d ms", LEAVE_TIMEOUT_MS)
        if lifecycle is not None:
            await self._quorum.hand_over()
        for listener in self._listeners:
            listener.stop_accepting()
            listener.stop_reading()
        await self._services.consume.stop()
        await self._close_grpc_door()
        self._maintenance.stop()
        try:
            async with asyncio.timeout(DRAIN_TIMEOUT_S):
                await self._services.produce.drain()
        except TimeoutError:
            log.warning("the disk did not confirm everything within %d s", DRAIN_TIMEOUT_S)
        await self._services.log_dirs.stop()
        self._services.stop()
        for listener in self._listeners:
            listener.close_connections()
        try:
            await self._quorum.stop()
        except DiskError as error:
            log.error("the Raft log could not be closed cleanly: %s", error)
        self._log_dirs.close()
        self._close_http_door()
        for alarm in self._alarms:
            alarm.cancel()  # an event loop that lives on would keep the node until the last of them rings

    def abort_connections(self) -> None:
        """After `stop`, for whoever lives on: peers that do not read what they were sent are not waited for."""
        for listener in self._listeners:
            listener.abort_connections()

    async def failed(self) -> BaseException:
        """Return only when the node cannot go on, with the reason."""
        return await asyncio.shield(self._failure)

    @property
    def addresses(self) -> list[str]:
        return [listener.address for listener in self._listeners]

    @property
    def grpc_address(self) -> str | None:
        """host:port of the gRPC door, once started; None without one."""
        return None if self._grpc is None else self._grpc.address

    # -- parts

    async def _open_http_door(self) -> None:
        self._http = await open_http_door(
            self._config,
            self._services,
            self._quorum,
            self._log_dirs,
            self._registry,
            self._listeners,
            lambda: self._failure.result() if self._failure.done() else None,
            lambda: self._is_joined,
        )

    def _close_http_door(self) -> None:
        if self._http is not None:
            self._http.stop()

    async def _close_grpc_door(self) -> None:
        if self._grpc is not None:
            await self._grpc.stop()

    async def _bind(self, listener: Listener) -> NetListener:
        config = self._config
        limits = ConnectionLimits(
            config.max_connections,
            config.max_connections_per_ip,
            config.connections_max_idle_ms,
            config.socket_request_max_bytes,
        )
        bound = NetListener(
            listener.name,
            limits,
            lambda connection: Session(connection, self._registry, make_context, self._forwarder),
        )

        def make_context(connection: Connection, client_id: str | None) -> RequestContext:
            return self._context(bound, connection, client_id)

        try:
            await bound.bind(listener.host, listener.port, config.socket_listen_backlog_size)
        except OSError as error:
            raise ConfigError(f"cannot listen on {listener.address}: {error.strerror or error}") from None
        return bound

    def _registration(self, identity: Identity) -> BrokerImage:
        config = self._config
        endpoints: dict[str, Endpoint] = {}
        for bound in self._listeners:
            advertised = config.advertised_listeners.get(bound.name)
            host = (advertised.host if advertised else "") or bound.host or "localhost"
            port = (advertised.port if advertised else 0) or bound.port
            endpoints[bound.name] = Endpoint(host, port, config.security_map.get(bound.name, "PLAINTEXT"))
        if self._grpc is not None:
            endpoints |= grpc_endpoints(config, self._grpc)
        return BrokerImage(
            config.node_id,
            epoch=-1,
            incarnation_id=random_uuid(self._ports.random.randbytes),
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

    async def _dispatch(self, request: Message, version: int) -> Message:
        """Carry out a request of this node to itself as if another node had sent it."""
        key = request.INFO.key
        assert key is not None, request
        outcome = await settled(self._registry.routes[key].call(self._own_context, request, version))
        assert isinstance(outcome, Message), f"{outcome!r} to {request!r}"
        return outcome

    @property
    def _own_context(self) -> RequestContext:
        name = self._config.inter_broker_listener_name
        return RequestContext("odradek", "User:ANONYMOUS", name, "localhost", 0, "own", "localhost")

    def _cluster_id(self) -> str:
        known = "" if self._identity is None else self._identity.cluster_id
        return known or self._services.controller.image.cluster_id

    def _on_peer_lost(self, node_id: int) -> None:
        self._services.controller.on_broker_lost(node_id)
        if self._services.outward.lifecycle is not None:
            self._services.outward.lifecycle.hurry()

    def _new_alarm(self, on_due: Callable[[int], int | None]) -> Alarm:
        self._alarms.append(Alarm(self._loop, on_due))
        return self._alarms[-1]

    # -- failures

    def _on_log_dir_failure(self, home: LogDir, error: DiskError) -> None:
        self._services.replication.on_log_dir_failure(self._log_dirs.logs_in(home))
        if all(each.error is not None for each in self._log_dirs.dirs):
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        if not self._failure.done():
            self._failure.set_result(error)


def _refuse_what_is_not_served(config: NodeConfig) -> None:
    """Say so at the start, not when a client finds out."""
    if not (config.is_broker and config.is_controller):
        raise ConfigError(
            f"process.roles={','.join(sorted(config.roles))}: a node of this release is both; use broker,controller"
        )
    if not config.client_listeners:
        raise ConfigError("listeners has none for clients: every name in it is in controller.listener.names")
