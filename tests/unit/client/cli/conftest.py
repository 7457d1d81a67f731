"""A node of one's own beside the test, and the command as a function."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from odradek.node.broker import Broker
from odradek.node.cli import main
from odradek.node.config import load_config


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str


Command = Callable[..., Outcome]


@contextmanager
def running_node(data: Path, *settings: str) -> Iterator[str]:
    """host:port of the gRPC door of a node, which runs in a thread: the command has an event loop of its own."""
    ready = threading.Event()
    found: list[str] = []
    ends: list[Callable[[], object]] = []

    async def live() -> None:
        assignments = ["odradek.grpc.listener=127.0.0.1:0", *settings]
        broker = Broker(load_config(data=str(data), listen="127.0.0.1:0", assignments=assignments).config)
        await broker.start()
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        ends.append(lambda: loop.call_soon_threadsafe(stop.set))
        assert broker.grpc_address is not None
        found.append(broker.grpc_address)
        ready.set()
        await stop.wait()
        await broker.stop()

    thread = threading.Thread(target=lambda: asyncio.run(live()), name="node")
    thread.start()
    assert ready.wait(60), "the node did not start"
    try:
        yield found[0]
    finally:
        ends[0]()
        thread.join(60)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One node for all tests."""
    settings = ("group.initial.rebalance.delay.ms=0", "num.partitions=2")
    with running_node(tmp_path_factory.mktemp("node"), *settings) as address:
        yield address


@pytest.fixture(autouse=True)
def _own_profiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ODRADEK_CONFIG", str(tmp_path / "profiles.toml"))
    monkeypatch.delenv("ODRADEK_SERVER", raising=False)


@pytest.fixture
def alone(capsys: pytest.CaptureFixture[str]) -> Command:
    """The command without a node."""

    def run(*arguments: str) -> Outcome:
        try:
            code = main(list(arguments))
        except SystemExit as stopped:
            code = int(stopped.code or 0)
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return run


@pytest.fixture
def odradek(server: str, alone: Command, monkeypatch: pytest.MonkeyPatch) -> Command:
    """The command, told of the node."""
    monkeypatch.setenv("ODRADEK_SERVER", server)
    return alone
