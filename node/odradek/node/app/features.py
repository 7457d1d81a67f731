"""UpdateFeatures and UnregisterBroker: what the cluster may do, and who no longer belongs to it.

Decides: that a feature is named once, and what a request gets when the controller cannot answer. Which levels there
are, and who may be taken out, is the controller's.
Source: KIP-584, KIP-1022; Kafka 4.3 FeatureControlManager, compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from odradek.node.controller.brokers import UnregisterOutcome
from odradek.node.controller.controller import ControllerError
from odradek.node.controller.features import FeaturesOutcome
from odradek.proto.kafka.errors import ErrorCode


class FeatureUpdate(NamedTuple):
    """`level` 0 switches the feature off; `upgrade_type` is a number of `controller.features.UpgradeType`."""

    name: str
    level: int
    upgrade_type: int


class ClusterController(Protocol):
    """The controller, as far as it is needed here."""

    async def update_features(
        self, updates: Sequence[FeatureUpdate], *, validate_only: bool = ..., timeout_ms: int = ...
    ) -> FeaturesOutcome: ...

    async def unregister_broker(self, broker_id: int) -> UnregisterOutcome: ...


class FeaturesService:
    def __init__(self, controller: ClusterController) -> None:
        self._controller = controller

    async def update(
        self, updates: Sequence[FeatureUpdate], *, validate_only: bool, timeout_ms: int
    ) -> FeaturesOutcome:
        """One outcome for all of them: they change together or not at all."""
        if len({update.name for update in updates}) != len(updates):
            return FeaturesOutcome(ErrorCode.INVALID_REQUEST, "a feature is in the request more than once")
        try:
            return await self._controller.update_features(
                updates, validate_only=validate_only, timeout_ms=timeout_ms
            )
        except ControllerError as error:
            return FeaturesOutcome(error.error, str(error))

    async def unregister_broker(self, broker_id: int) -> UnregisterOutcome:
        try:
            return await self._controller.unregister_broker(broker_id)
        except ControllerError as error:
            return UnregisterOutcome(error.error, str(error))
