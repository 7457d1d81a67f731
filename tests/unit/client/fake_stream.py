"""The node's end of a reader's stream, led by a test step by step."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import grpc.aio
from tests.unit.client.fake_node import FakeNode, refuse

from odradek.v1 import record_service_pb2 as pb


class NodeEnd:
    """One stream: `heard` reads, `say` writes, `end` ends it. Reading past a half-close gives None."""

    def __init__(self, context: Any) -> None:
        self._context = context
        self.over: asyncio.Future[tuple[grpc.StatusCode, str] | None] = (
            asyncio.get_running_loop().create_future()
        )

    async def heard(self) -> pb.ConsumeRequest | None:
        request = await self._context.read()
        return request if isinstance(request, pb.ConsumeRequest) else None

    async def hears(self, kind: str) -> pb.ConsumeRequest:
        """The next request of this kind; others before it are read and forgotten."""
        while True:
            request = await self.heard()
            assert request is not None, f"the stream was half-closed before any {kind}"
            if request.WhichOneof("action") == kind:
                return request

    async def say(self, *responses: pb.ConsumeResponse) -> None:
        for response in responses:
            await self._context.write(response)

    def end(self, status: grpc.StatusCode = grpc.StatusCode.OK, reason: str = "") -> None:
        self.over.set_result(None if status is grpc.StatusCode.OK else (status, reason))


class Streams:
    """Streams that readers open at a node, one after another."""

    def __init__(self, node: FakeNode) -> None:
        self._opened: asyncio.Queue[NodeEnd] = asyncio.Queue()
        node.stream = self._serve

    async def _serve(self, context: Any) -> None:
        end = NodeEnd(context)
        self._opened.put_nowait(end)
        outcome = await end.over
        if outcome is not None:
            await refuse(context, outcome[0], outcome[1])

    async def opened(self) -> NodeEnd:
        return await self._opened.get()
