"""ApiVersions.

Keys: 18. Versions: 0-4 (a newer version is answered with error 35 in the layout of version 0, by the session).
Behaviour: works as any request of a connection, first or not; lists exactly what is served.
Version notes: 3 carries the client's software name and version, which must look like one (KIP-511).
Not implemented: features (none is finalized: no transactions, no KIP-848 groups yet).
"""

from __future__ import annotations

import re
from collections.abc import Callable

from odradek.node.app.context import RequestContext
from odradek.node.kafka_api.registry import Route
from odradek.proto.kafka.api import ApiKey
from odradek.proto.kafka.errors import ErrorCode
from odradek.proto.kafka.messages.api_versions import ApiVersionsRequest, ApiVersionsResponse

_SOFTWARE = re.compile(r"[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?")


class ApiVersionsHandlers:
    """`advertised` yields `(key, min, max)`; the registry knows it once all routes are in."""

    def __init__(self, advertised: Callable[[], list[tuple[int, int, int]]]) -> None:
        self._advertised = advertised

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
        return ApiVersionsResponse(
            api_keys=[
                ApiVersionsResponse.ApiVersion(api_key=key, min_version=low, max_version=high)
                for key, low, high in self._advertised()
            ]
        )
