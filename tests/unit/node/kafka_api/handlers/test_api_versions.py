import pytest
from tests.unit.node.kafka_api.handlers.wire_call import call

from odradek.node.app.features import DescribedFeatures, FeaturesService
from odradek.node.controller.features import FeatureRange
from odradek.node.kafka_api.handlers.api_versions import ApiVersionsHandlers
from odradek.proto.kafka.errors import ErrorCode
from odradek.proto.kafka.messages.api_versions import ApiVersionsRequest, ApiVersionsResponse

HANDLERS = ApiVersionsHandlers(lambda: [(0, 0, 13), (18, 0, 4)])


@pytest.mark.parametrize("version", range(5))
def test_every_version_lists_what_is_served(version: int) -> None:
    request = ApiVersionsRequest(client_software_name="librdkafka", client_software_version="2.16.1")
    response = call(HANDLERS.api_versions, request, version, ApiVersionsResponse)
    assert response.error_code == 0
    assert [(k.api_key, k.min_version, k.max_version) for k in response.api_keys] == [(0, 0, 13), (18, 0, 4)]


class Features(FeaturesService):
    def __init__(self) -> None:
        """Nothing is asked of a controller."""

    def describe(self) -> DescribedFeatures:
        known = {"a.version": FeatureRange(0, 1), "metadata.version": FeatureRange(7, 30)}
        return DescribedFeatures(known, {"metadata.version": 29}, 77)


@pytest.mark.parametrize("version", range(5))
def test_features_that_are_known_and_in_force(version: int) -> None:
    handlers = ApiVersionsHandlers(list, Features())
    request = ApiVersionsRequest(client_software_name="librdkafka", client_software_version="2.16.1")
    response = call(handlers.api_versions, request, version, ApiVersionsResponse)
    known = [(one.name, one.min_version, one.max_version) for one in response.supported_features]
    in_force = [
        (one.name, one.min_version_level, one.max_version_level) for one in response.finalized_features
    ]
    from_zero = [("a.version", 0, 1)] if version >= 4 else []
    assert known == ([*from_zero, ("metadata.version", 7, 30)] if version >= 3 else [])
    assert in_force == ([("metadata.version", 29, 29)] if version >= 3 else [])
    assert response.finalized_features_epoch == (77 if version >= 3 else -1)


@pytest.mark.parametrize(("name", "version"), [("", "1"), ("x", ""), ("-x", "1"), ("a b", "1"), ("x", "1-")])
def test_a_software_name_that_is_none_is_refused(name: str, version: str) -> None:
    request = ApiVersionsRequest(client_software_name=name, client_software_version=version)
    assert (
        call(HANDLERS.api_versions, request, 3, ApiVersionsResponse).error_code == ErrorCode.INVALID_REQUEST
    )
    assert call(HANDLERS.api_versions, request, 2, ApiVersionsResponse).error_code == ErrorCode.NONE
