from __future__ import annotations

from collections.abc import Sequence

from odradek.node.app.features import FeaturesService, FeatureUpdate
from odradek.node.controller.brokers import UnregisterOutcome
from odradek.node.controller.controller import ControllerError
from odradek.node.controller.features import SUPPORTED, FeaturesOutcome, UpgradeType
from odradek.node.controller.image import MetadataImage
from odradek.proto.kafka.errors import ErrorCode

UPDATE = FeatureUpdate("group.version", 1, UpgradeType.UPGRADE)


class Controller:
    def __init__(self, failure: ControllerError | None = None) -> None:
        self.failure = failure
        self.asked: list[object] = []

    async def update_features(
        self, updates: Sequence[FeatureUpdate], *, validate_only: bool = False, timeout_ms: int = 0
    ) -> FeaturesOutcome:
        self.asked.append((updates, validate_only, timeout_ms))
        if self.failure is not None:
            raise self.failure
        return FeaturesOutcome()

    async def unregister_broker(self, broker_id: int) -> UnregisterOutcome:
        self.asked.append(broker_id)
        if self.failure is not None:
            raise self.failure
        return UnregisterOutcome()


def service(controller: Controller) -> FeaturesService:
    return FeaturesService(controller, MetadataImage)


def test_what_is_known_and_what_is_in_force() -> None:
    image = MetadataImage(applied_index=7, features={"metadata.version": 30, "off.version": 0})
    described = FeaturesService(Controller(), lambda: image).describe()
    assert described == (SUPPORTED, {"metadata.version": 30}, 7)


async def test_features_change_together() -> None:
    controller = Controller()
    outcome = await service(controller).update([UPDATE], validate_only=True, timeout_ms=7)
    assert (outcome, controller.asked) == (FeaturesOutcome(), [([UPDATE], True, 7)])


async def test_a_feature_twice_is_refused() -> None:
    controller = Controller()
    outcome = await service(controller).update([UPDATE, UPDATE], validate_only=True, timeout_ms=7)
    assert (outcome.error, controller.asked) == (ErrorCode.INVALID_REQUEST, [])


async def test_a_broker_is_taken_out() -> None:
    controller = Controller()
    assert await service(controller).unregister_broker(9) == UnregisterOutcome()
    assert controller.asked == [9]


async def test_without_a_controller() -> None:
    alone = service(Controller(ControllerError(ErrorCode.NOT_CONTROLLER, "not here")))
    outcome = await alone.update([UPDATE], validate_only=False, timeout_ms=7)
    assert outcome == FeaturesOutcome(ErrorCode.NOT_CONTROLLER, "not here")
    assert await alone.unregister_broker(2) == UnregisterOutcome(ErrorCode.NOT_CONTROLLER, "not here")
