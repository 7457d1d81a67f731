"""Where a request to the controller goes."""

import pytest

from odradek.node.interbroker.controller_channel import ControllerChannel
from odradek.node.net.peer import PeerUnavailableError
from odradek.proto.kafka.messages.controller import BrokerHeartbeatRequest, BrokerHeartbeatResponse
from odradek.proto.kafka.schema import Message


class Cluster:
    """Location, dispatch and peers in one; answers carry who answered as error code."""

    is_active = False
    active_controller_id: int | None = None

    async def dispatch(self, request: Message, version: int) -> Message:
        return BrokerHeartbeatResponse(error_code=1)

    async def request(self, node_id: int, message: Message, version: int, timeout_ms: int) -> Message:
        return BrokerHeartbeatResponse(error_code=node_id)


async def ask(cluster: Cluster) -> int:
    channel = ControllerChannel(1, cluster, cluster.dispatch, cluster)
    return (await channel.request(BrokerHeartbeatRequest(), 1, BrokerHeartbeatResponse, 100)).error_code


async def test_to_this_process_or_to_the_node_that_leads() -> None:
    cluster = Cluster()
    cluster.active_controller_id = 3
    assert await ask(cluster) == 3
    cluster.is_active = True
    assert await ask(cluster) == 1


@pytest.mark.parametrize("known", [None, 1])
async def test_nowhere_while_nobody_else_is_known_to_lead(known: int | None) -> None:
    cluster = Cluster()
    cluster.active_controller_id = known
    with pytest.raises(PeerUnavailableError):
        await ask(cluster)
