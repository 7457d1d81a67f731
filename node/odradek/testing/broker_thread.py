"""A broker on an event loop and in a thread of its own: for tests and notebooks that do not await.

Decides: which thread does what. Everything that is awaited of a `Broker` is called here and waited for; its faults can
be used from any thread as they are.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine, Mapping
from types import TracebackType
from typing import Any, Final, TypeVar

from odradek.client.records import ConsumerRecord
from odradek.testing.broker import _NO_SETTINGS, Broker, Setting, Settings
from odradek.testing.faults import Faults

T = TypeVar("T")


class BrokerThread:
    """A broker for tests that block: a context manager.

        with BrokerThread() as broker:
            broker.create_topic("orders")
            producer = confluent_kafka.Producer({"bootstrap.servers": broker.bootstrap_servers})

    Arguments as of `Broker`, except that gRPC is spoken only with `grpc=True`. `run` carries out a coroutine on the
    broker's event loop: clients of `odradek.client` are best used there (`broker.run(test(broker.broker))`).
    """

    def __init__(
        self,
        *,
        settings: Settings = _NO_SETTINGS,
        data: str | os.PathLike[str] | None = None,
        grpc: bool = False,
        port: int = 0,
        grpc_port: int = 0,
    ) -> None:
        self.broker: Final = Broker(settings=settings, data=data, grpc=grpc, port=port, grpc_port=grpc_port)
        """The broker itself: to be used on its event loop only."""
        self.faults: Final[Faults] = self.broker.faults
        """Errors, delays and broken connections to order."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    # -- life

    def __enter__(self) -> BrokerThread:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Return when clients can be served. Raises ValueError where the ports or the data are in use."""
        if self._thread is not None:
            raise RuntimeError("the broker runs already")
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=_run, args=(loop,), name="odradek broker", daemon=True)
        thread.start()
        self._loop, self._thread = loop, thread
        try:
            self.run(self.broker.start())
        except BaseException:
            self._end_thread()
            raise

    def stop(self) -> None:
        """End in good order, and the thread with it."""
        if self._thread is not None:
            try:
                self.run(self.broker.stop())
            finally:
                self._end_thread()

    def restart(self) -> None:
        """Stop and start, with the same data, ports and faults. Clients lose their connections."""
        self.run(self.broker.restart())

    # -- what it does

    @property
    def bootstrap_servers(self) -> str:
        """host:port for clients of Kafka. Stays the same over a restart."""
        return self.broker.bootstrap_servers

    @property
    def grpc_servers(self) -> str:
        """host:port for `odradek.client`. Raises RuntimeError without `grpc=True`."""
        return self.broker.grpc_servers

    def create_topic(
        self, name: str, partitions: int = 1, configs: Mapping[str, Setting] = _NO_SETTINGS
    ) -> str:
        """See `Broker.create_topic`."""
        return self.run(self.broker.create_topic(name, partitions, configs))

    def records(self, topic: str) -> list[ConsumerRecord]:
        """See `Broker.records`."""
        return self.run(self.broker.records(topic))

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """What a coroutine returns, carried out on the broker's event loop. Not to be called there."""
        loop, thread = self._loop, self._thread
        if loop is None or thread is None:
            coroutine.close()
            raise RuntimeError("the broker does not run: use it as `with BrokerThread() as broker`")
        if thread is threading.current_thread():
            coroutine.close()
            raise RuntimeError("this is the broker's own thread, which would wait for itself: await instead")
        future = asyncio.run_coroutine_threadsafe(coroutine, loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()  # whoever waits here was interrupted
            raise

    # -- inside

    def _end_thread(self) -> None:
        loop, thread = self._loop, self._thread
        assert loop is not None and thread is not None
        self._loop = self._thread = None
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


def _run(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        asyncio.set_event_loop(None)
        loop.close()
