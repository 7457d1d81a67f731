"""A target for the tests of the proxy: it hears, and answers each frame with its correlation id."""

from __future__ import annotations

import asyncio

from tests.unit.jepsen.proxy.requests_made import answer


class Target:
    """`heard` gets every frame, `ends` an item for each connection that the other side ended."""

    def __init__(self) -> None:
        self.heard: asyncio.Queue[bytes] = asyncio.Queue()
        self.ends: asyncio.Queue[None] = asyncio.Queue()
        self.connections = 0
        #: Without it frames are heard and not answered.
        self.answers = asyncio.Event()
        self.answers.set()
        self._server: asyncio.Server | None = None
        self._open: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def __aenter__(self) -> Target:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._open.values():
            writer.close()
        await asyncio.gather(*self._open)

    @property
    def address(self) -> tuple[str, int]:
        assert self._server is not None
        host, port = self._server.sockets[0].getsockname()
        return host, port

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._open[task] = writer
        try:
            while True:
                size = await reader.readexactly(4)
                frame = size + await reader.readexactly(int.from_bytes(size))
                self.heard.put_nowait(frame)
                await self.answers.wait()
                writer.write(answer(int.from_bytes(frame[8:12])))
        except (asyncio.IncompleteReadError, ConnectionError):
            self.ends.put_nowait(None)
        finally:
            writer.close()
            del self._open[task]
