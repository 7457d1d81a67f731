"""UpdateFeatures, UnregisterBroker.

Keys: 57, 64. Versions: 0-2, 0. Behaviour: features change together or not at all; a broker that is not registered
cannot be taken out. Version notes: UpdateFeatures 0 says that a downgrade is allowed, from 1 on which kind; 1 can be
tried out; 2 answers for the whole request alone. Not implemented: nothing.
"""

from __future__ import annotations

from odradek.node.app.context import RequestContext
from odradek.node.app.features import FeaturesService, FeatureUpdate
from odradek.node.controller.features import UpgradeType
from odradek.node.kafka_api.registry import Route
from odradek.proto.kafka.api import ApiKey
from odradek.proto.kafka.errors import ErrorCode
from odradek.proto.kafka.messages.cluster import (
    UnregisterBrokerRequest,
    UnregisterBrokerResponse,
    UpdateFeaturesRequest,
    UpdateFeaturesResponse,
)


class FeaturesHandlers:
    def __init__(self, service: FeaturesService) -> None:
        self._service = service

    def routes(self) -> list[Route]:
        return [
            Route(ApiKey.UPDATE_FEATURES, 0, 2, self.update_features, to_controller=True),
            Route(ApiKey.UNREGISTER_BROKER, 0, 0, self.unregister_broker, to_controller=True),
        ]

    async def update_features(
        self, context: RequestContext, request: UpdateFeaturesRequest, version: int
    ) -> UpdateFeaturesResponse:
        outcome = await self._service.update(
            [
                FeatureUpdate(one.feature, one.max_version_level, _upgrade_type(one, version))
                for one in request.feature_updates
            ],
            validate_only=request.validate_only,
            timeout_ms=request.timeout_ms,
        )
        response = UpdateFeaturesResponse(error_code=outcome.error, error_message=outcome.message)
        if outcome.error is ErrorCode.NONE and version < 2:
            response.results = [
                UpdateFeaturesResponse.UpdatableFeatureResult(feature=one.feature, error_message=None)
                for one in request.feature_updates
            ]
        return response

    async def unregister_broker(
        self, context: RequestContext, request: UnregisterBrokerRequest, version: int
    ) -> UnregisterBrokerResponse:
        outcome = await self._service.unregister_broker(request.broker_id)
        return UnregisterBrokerResponse(error_code=outcome.error, error_message=outcome.message)


def _upgrade_type(update: UpdateFeaturesRequest.FeatureUpdateKey, version: int) -> int:
    if version >= 1:
        return update.upgrade_type
    return UpgradeType.SAFE_DOWNGRADE if update.allow_downgrade else UpgradeType.UPGRADE
