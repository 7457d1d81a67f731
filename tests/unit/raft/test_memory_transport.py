"""The network in one process: order, cuts, and nothing delivered from inside `send`."""

import asyncio
from collections.abc import Sequence

from odradek.raft.core.messages import HeartbeatResponse, Message
from odradek.raft.memory_transport import MemoryNetwork


class Mailbox:
    def __init__(self, node_id: int) -> None:
        self.node_id = node_id
        self.terms: list[int] = []

    def receive(self, batch: Sequence[tuple[int, Message]]) -> None:
        self.terms += [message.term for _, message in batch]


async def test_messages_arrive_in_order_unless_cut() -> None:
    network, one, two = MemoryNetwork(), Mailbox(1), Mailbox(2)
    network.connect(one)
    network.connect(two)
    network.send(2, [(0, HeartbeatResponse(1, 2, 10))])
    network.send(2, [(0, HeartbeatResponse(1, 2, 11))])
    assert two.terms == []
    await asyncio.sleep(0.01)
    network.cut({1}, {2, 3})
    network.send(2, [(0, HeartbeatResponse(1, 2, 12))])
    network.send(1, [(0, HeartbeatResponse(2, 1, 13))])
    await asyncio.sleep(0.01)
    network.mend()
    network.send(2, [(0, HeartbeatResponse(1, 2, 14))])
    await asyncio.sleep(0.01)
    network.disconnect(2)
    network.send(2, [(0, HeartbeatResponse(1, 2, 15))])
    network.send(9, [(0, HeartbeatResponse(1, 9, 16))])
    await asyncio.sleep(0.01)
    assert (one.terms, two.terms) == ([], [10, 11, 14])
