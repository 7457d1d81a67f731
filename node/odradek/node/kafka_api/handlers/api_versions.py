"""ApiVersions.

Keys: 18. Versions: 0-4 (a newer version is answered with error 35 in the layout of version 0, by the session).
Behaviour: works as any request of a connection, first or not; lists exactly what is served.
Version notes: 3 carries the client's software name and version, which must look like one (KIP-511), and answers the
features that are known and those in force; a client of 3 takes no range that begins at 0 (KAFKA-17011), so those are
told from 4 on. Not implemented: nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from odradek.node.app.context import RequestContext
from odradek.node.app.features import DescribedFeatures, FeaturesService
from odradek.node.kafka_api.registry import Route
from odradek.proto.kafka.api import ApiKey
from odradek.proto.kafka.errors import ErrorCode
from odradek.proto.kafka.messages.api_versions import ApiVersionsRequest, ApiVersionsResponse

_FIRST_WITH_FEATURES = 3
_FIRST_WITH_ZERO = 4
_SOFTWARE = re.compile(r"[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?")


class ApiVersionsHandlers:
    """`advertised` yields `(key, min, max)`; the registry knows it once all routes are in."""

    def __init__(
        self,
        advertised: Callable[[], list[tuple[int, int, int]]],
        features: FeaturesService | None = None,
    ) -> None:
        self._advertised = advertised
        self._features = features

    def routes(self) -> list[Route]:
        return [Route(ApiKey.API_VERSIONS, 0, 4, self.api_versions)]

    def api_versions(
        self, context: RequestContext, request: ApiVersionsRequest, version: int
    ) -> ApiVersionsResponse:
        if version >= 3 and not (
            _SOFTWARE.fullmatch(request.client_software_name)
            and _SOFTWARE.fullmatch(request.client_software_version)
        ):
            return ApiVersionsResponse(error_code=ErrorCode.INVALID_REQUEST)
        response = ApiVersionsResponse(
            api_keys=[
                ApiVersionsResponse.ApiVersion(api_key=key, min_version=low, max_version=high)
                for key, low, high in self._advertised()
            ]
        )
        if self._features is not None and version >= _FIRST_WITH_FEATURES:
            _add_features(response, self._features.describe(), version)
        return response


def _add_features(response: ApiVersionsResponse, features: DescribedFeatures, version: int) -> None:
    known, finalized = ApiVersionsResponse.SupportedFeatureKey, ApiVersionsResponse.FinalizedFeatureKey
    response.supported_features = [
        known(name=name, min_version=levels.lowest, max_version=levels.highest)
        for name, levels in sorted(features.supported.items())
        if levels.lowest > 0 or version >= _FIRST_WITH_ZERO
    ]
    response.finalized_features = [
        finalized(name=name, min_version_level=level, max_version_level=level)
        for name, level in sorted(features.finalized.items())
    ]
    response.finalized_features_epoch = features.epoch
