from __future__ import annotations

import pytest
from tests.scripts.group.node import CONTEXT, Node

from odradek.node.kafka_api.handlers.coordinator import CoordinatorHandlers
from odradek.proto.kafka.codec import decode, encode_to_bytes
from odradek.proto.kafka.messages.coordinator import FindCoordinatorRequest, FindCoordinatorResponse


async def find(request: FindCoordinatorRequest, version: int) -> FindCoordinatorResponse:
    response = CoordinatorHandlers(Node().groups).find_coordinator(CONTEXT, request, version)
    return decode(FindCoordinatorResponse, version, encode_to_bytes(response, version))


@pytest.mark.parametrize("version", range(4))
async def test_one_key(version: int) -> None:
    found = await find(FindCoordinatorRequest(key="g"), version)
    assert (found.error_code, found.node_id, found.host, found.port) == (0, 1, "dialled", 9092)


@pytest.mark.parametrize("version", range(4, 7))
async def test_several_keys(version: int) -> None:
    found = await find(FindCoordinatorRequest(coordinator_keys=["g", "h"]), version)
    assert [(c.key, c.error_code, c.node_id, c.host, c.port) for c in found.coordinators] == [
        ("g", 0, 1, "dialled", 9092),
        ("h", 0, 1, "dialled", 9092),
    ]


@pytest.mark.parametrize("version", [1, 3, 4, 6])
async def test_transactions_are_not_served_yet(version: int) -> None:
    found = await find(FindCoordinatorRequest(key="tx", key_type=1, coordinator_keys=["tx"]), version)
    answer = found.coordinators[0] if version >= 4 else found
    assert answer.error_code == 42 and "transactions" in (answer.error_message or "")
