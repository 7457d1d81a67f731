"""Services: what runs until it is stopped. All of them have the same three methods.

    async with running(queue, subscriber):
        ...             # both are ready; an error of one of them cancels this block and is raised
    ...                 # both have finished what they had begun

A service that is a whole program needs none of this: `await queue.run()`, and `stop` as its signal handler.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol


class Service(Protocol):
    async def run(self) -> None:
        """Until `stop` is called and what had begun is finished. Cancelling it gives up what had begun."""

    async def ready(self) -> None:
        """Returns when it reads (what is written from now on will be seen), or is stopped before."""

    def stop(self) -> None:
        """Begin nothing new. Also before `run`."""


@asynccontextmanager
async def running(*services: Service) -> AsyncIterator[None]:
    """Run services beside a block, and stop them at its end."""
    try:
        async with asyncio.TaskGroup() as group:
            for service in services:
                group.create_task(service.run())
            try:
                for service in services:
                    await service.ready()
                yield
            finally:
                for service in services:
                    service.stop()
    except BaseExceptionGroup as failed:
        raise first_of(failed) from None


def first_of(failed: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first error in a group of errors."""
    error: BaseException = failed
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
