from __future__ import annotations

import asyncio

import pytest

from odradek.client.patterns.service import first_of, running


class Bell:
    """A service that writes down what happens to it."""

    def __init__(self, error: Exception | None = None) -> None:
        self.story: list[str] = []
        self._error = error
        self._ready = asyncio.Event()
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        self.story.append("run")
        if self._error is not None:
            raise self._error
        self._ready.set()
        await self._stopping.wait()
        self.story.append("ended")

    async def ready(self) -> None:
        await self._ready.wait()

    def stop(self) -> None:
        self.story.append("stop")
        self._stopping.set()


async def test_the_block_runs_between_ready_and_stop() -> None:
    bell = Bell()
    async with running(bell):
        bell.story.append("block")
    assert bell.story == ["run", "block", "stop", "ended"]


async def test_an_error_of_a_service_ends_the_block() -> None:
    good, bad = Bell(), Bell(ValueError("broken"))
    with pytest.raises(ValueError, match="broken"):
        async with running(good, bad):
            raise AssertionError("the block must not be entered")


async def test_an_error_of_the_block_is_raised_as_it_is() -> None:
    bell = Bell()
    with pytest.raises(KeyError):
        async with running(bell):
            raise KeyError("x")
    assert "stop" in bell.story


def test_the_first_of_errors_in_groups() -> None:
    error = ValueError("x")
    assert first_of(ExceptionGroup("a", [ExceptionGroup("b", [error])])) is error
