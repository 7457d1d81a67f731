from __future__ import annotations

from collections.abc import Sequence

import pytest
from tests.unit.node.controller.metadata_node import CONTEXT, over_the_wire

from odradek.node.app.features import FeaturesService, FeatureUpdate
from odradek.node.controller.brokers import UnregisterOutcome
from odradek.node.controller.features import FeaturesOutcome
from odradek.node.kafka_api.handlers.features import FeaturesHandlers
from odradek.proto.kafka.codec import decode_exactly, encode_to_bytes
from odradek.proto.kafka.errors import ErrorCode
from odradek.proto.kafka.messages.cluster import (
    UnregisterBrokerRequest,
    UnregisterBrokerResponse,
    UpdateFeaturesRequest,
    UpdateFeaturesResponse,
)

Update = UpdateFeaturesRequest.FeatureUpdateKey


class Service(FeaturesService):
    def __init__(self, error: ErrorCode = ErrorCode.NONE, message: str | None = None) -> None:
        self.error, self.message = error, message
        self.asked: list[object] = []

    async def update(
        self, updates: Sequence[FeatureUpdate], *, validate_only: bool, timeout_ms: int
    ) -> FeaturesOutcome:
        self.asked.append((updates, validate_only, timeout_ms))
        return FeaturesOutcome(self.error, self.message)

    async def unregister_broker(self, broker_id: int) -> UnregisterOutcome:
        self.asked.append(broker_id)
        return UnregisterOutcome(self.error, self.message)


async def update(service: Service, version: int, request: UpdateFeaturesRequest) -> UpdateFeaturesResponse:
    request = decode_exactly(UpdateFeaturesRequest, version, encode_to_bytes(request, version))
    response = await FeaturesHandlers(service).update_features(CONTEXT, request, version)
    return over_the_wire(response, version)


@pytest.mark.parametrize("version", [1, 2])
async def test_updates_say_which_way(version: int) -> None:
    service = Service()
    request = UpdateFeaturesRequest(
        timeout_ms=7,
        validate_only=True,
        feature_updates=[
            Update(feature="a", max_version_level=2),
            Update(feature="b", max_version_level=0, upgrade_type=3),
        ],
    )
    response = await update(service, version, request)
    assert service.asked == [([FeatureUpdate("a", 2, 1), FeatureUpdate("b", 0, 3)], True, 7)]
    assert (response.error_code, response.error_message) == (0, None)
    assert [(one.feature, one.error_code) for one in response.results] == (
        [("a", 0), ("b", 0)] if version == 1 else []
    )


async def test_version_0_says_whether_a_downgrade_is_allowed() -> None:
    service = Service()
    request = UpdateFeaturesRequest(
        feature_updates=[
            Update(feature="a", max_version_level=2),
            Update(feature="b", max_version_level=0, allow_downgrade=True),
        ]
    )
    response = await update(service, 0, request)
    assert service.asked == [([FeatureUpdate("a", 2, 1), FeatureUpdate("b", 0, 2)], False, 60_000)]
    assert [(one.feature, one.error_code) for one in response.results] == [("a", 0), ("b", 0)]


@pytest.mark.parametrize("version", range(3))
async def test_one_bad_update_fails_all(version: int) -> None:
    service = Service(ErrorCode.INVALID_UPDATE_VERSION, "too new")
    request = UpdateFeaturesRequest(feature_updates=[Update(feature="a", max_version_level=9)])
    response = await update(service, version, request)
    assert (response.error_code, response.error_message, response.results) == (95, "too new", [])


@pytest.mark.parametrize(
    ("error", "message"), [(ErrorCode.NONE, None), (ErrorCode.BROKER_ID_NOT_REGISTERED, "no broker 9")]
)
async def test_taking_a_broker_out(error: ErrorCode, message: str | None) -> None:
    service = Service(error, message)
    request = decode_exactly(
        UnregisterBrokerRequest, 0, encode_to_bytes(UnregisterBrokerRequest(broker_id=9), 0)
    )
    response: UnregisterBrokerResponse = over_the_wire(
        await FeaturesHandlers(service).unregister_broker(CONTEXT, request, 0), 0
    )
    assert service.asked == [9]
    assert (response.error_code, response.error_message) == (error, message)
