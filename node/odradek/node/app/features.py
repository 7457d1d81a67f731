"""Features: what the cluster has agreed to do and could do; and brokers that no longer belong to it.

Decides: that a feature is named once, and what a request gets when the controller cannot answer. Which levels there
are, and who may be taken out, is the controller's.
Source: KIP-584, KIP-1022; Kafka 4.3 FeatureControlManager, compared.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from odradek.node.controller.brokers import UnregisterOutcome
from odradek.node.controller.controller import ControllerError
from odradek.node.controller.features import SUPPORTED, FeatureRange, FeaturesOutcome
from odradek.node.controller.image import MetadataImage
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


class DescribedFeatures(NamedTuple):
    """What this release knows, the levels in force (without those switched off), and as of which change."""

    supported: Mapping[str, FeatureRange]
    finalized: Mapping[str, int]
    epoch: int


class FeaturesService:
    def __init__(self, controller: ClusterController, image: Callable[[], MetadataImage]) -> None:
        self._controller = controller
        self._image = image

    def describe(self) -> DescribedFeatures:
        image = self._image()
        finalized = {name: level for name, level in image.features.items() if level > 0}
        return DescribedFeatures(SUPPORTED, finalized, image.applied_index)

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
