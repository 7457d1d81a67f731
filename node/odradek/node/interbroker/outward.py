"""This node's side of the cluster: who it is there, and its ways to the other nodes. Wiring only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from odradek.node.config import NodeConfig
from odradek.node.interbroker.controller_channel import ControllerChannel, ControllerLocation, Dispatch
from odradek.node.interbroker.directory_reports import DirectoryReports
from odradek.node.interbroker.lease import Lease
from odradek.node.interbroker.lifecycle import Lifecycle, LifecycleSettings
from odradek.node.interbroker.remote_controller import RemoteController
from odradek.node.net.peer import Peers
from odradek.proto.kafka.messages.controller import (
    AlterPartitionRequest,
    AlterPartitionResponse,
    BrokerRegistrationRequest,
)

_ALTER_PARTITION_VERSION = 3
_ALTER_PARTITION_TIMEOUT_MS = 2_000


class Controller(ControllerLocation, Protocol):
    def broker_epoch(self, broker_id: int) -> int:
        """Of a broker's newest registration that was applied here, -1 without one."""


class Outward:
    def __init__(
        self,
        config: NodeConfig,
        controller: Controller,
        peers: Peers,
        dispatch: Dispatch,
        monotonic_ms: Callable[[], int],
        *,
        is_alone: bool,
    ) -> None:
        self._node_id = config.node_id
        self._controller = controller
        self._monotonic_ms = monotonic_ms
        self._settings = LifecycleSettings(
            config.broker_heartbeat_interval_ms, config.initial_broker_registration_timeout_ms
        )
        self.peers = peers
        self.channel = ControllerChannel(config.node_id, controller, dispatch, peers)
        self.lease = Lease(config.broker_session_timeout_ms, monotonic_ms, is_alone=is_alone)
        self.remote_controller = RemoteController(config.node_id, self.broker_epoch, self.channel)
        self.directory_reports = DirectoryReports(config.node_id, self.broker_epoch, self.channel)
        self.lifecycle: Lifecycle | None = None

    def begin_life(
        self, registration: BrokerRegistrationRequest, metadata_offset: Callable[[], int]
    ) -> Lifecycle:
        """The lifecycle of this node as a member of a cluster of several."""
        self.lifecycle = Lifecycle(
            self._settings, self.channel, self.lease, registration, metadata_offset, self._monotonic_ms
        )
        return self.lifecycle

    def broker_epoch(self) -> int:
        if self.lifecycle is not None:
            return self.lifecycle.broker_epoch
        return self._controller.broker_epoch(self._node_id)

    async def alter_partition(self, request: AlterPartitionRequest) -> AlterPartitionResponse:
        """The active controller's answer. Raises ConnectionError, TimeoutError."""
        return await self.channel.request(
            request, _ALTER_PARTITION_VERSION, AlterPartitionResponse, _ALTER_PARTITION_TIMEOUT_MS
        )

    def stop(self) -> None:
        if self.lifecycle is not None:
            self.lifecycle.stop()
        self.directory_reports.stop()
        self.peers.close()
