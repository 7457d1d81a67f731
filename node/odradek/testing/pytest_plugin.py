"""Fixtures for pytest: a broker for each test, or one for all, in a thread of its own.

Decides: what the fixtures are made of (marker and ini options). Invariant: loading this module imports nothing but
pytest, so that projects which do not use it start as fast as ever; a broker is imported when a test asks for one.

The fixtures do not await, so that they serve tests with and without `async`, whatever plugin runs those.

* `odradek_broker`: a `BrokerThread` of the test's own. `@pytest.mark.odradek(settings={...}, grpc=True)` says more.
* `odradek_session_broker`: one for the whole run; after each test its faults are cleared.
* `odradek_topic`: the name of a new topic on the test's own broker if it has one, else on that of the session;
  `@pytest.mark.odradek(partitions=3, configs={...})` says more.

ini options: `odradek_settings` (lines of name=value, for every broker) and `odradek_grpc` (true: with gRPC).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from odradek.testing.broker_thread import BrokerThread

_BROKER_ARGUMENTS = frozenset({"settings", "grpc", "data"})
_TOPIC_ARGUMENTS = frozenset({"partitions", "configs"})
_session_broker = pytest.StashKey["BrokerThread"]()
_topic_numbers = itertools.count(1)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini(
        "odradek_settings", "settings of every broker that the fixtures start: name=value", type="linelist"
    )
    parser.addini("odradek_grpc", "whether brokers of the fixtures speak gRPC", type="bool", default=False)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "odradek(settings={}, grpc=False, data=None, partitions=1, configs={}): what the broker of odradek_broker"
        " and the topic of odradek_topic are like",
    )


@pytest.fixture
def odradek_broker(request: pytest.FixtureRequest) -> Iterator[BrokerThread]:
    """A broker of the test's own, in memory: `odradek_broker.bootstrap_servers` is where clients of Kafka connect."""
    from odradek.testing.broker_thread import BrokerThread

    given = _marked(request)
    settings = _ini_settings(request.config) | dict(given.get("settings") or {})
    grpc = bool(given.get("grpc", request.config.getini("odradek_grpc")))
    with BrokerThread(settings=settings, grpc=grpc, data=given.get("data")) as broker:
        yield broker


@pytest.fixture(scope="session")
def odradek_session_broker(request: pytest.FixtureRequest) -> Iterator[BrokerThread]:
    """One broker for all tests that ask for it; see `odradek_topic` for topics that do not meet."""
    from odradek.testing.broker_thread import BrokerThread

    grpc = bool(request.config.getini("odradek_grpc"))
    with BrokerThread(settings=_ini_settings(request.config), grpc=grpc) as broker:
        request.config.stash[_session_broker] = broker
        yield broker
        del request.config.stash[_session_broker]


@pytest.fixture
def odradek_topic(request: pytest.FixtureRequest) -> str:
    """The name of a new topic: on `odradek_broker` where the test has one, else on `odradek_session_broker`."""
    given = _marked(request)
    own = "odradek_broker" in request.fixturenames
    broker: BrokerThread = request.getfixturevalue("odradek_broker" if own else "odradek_session_broker")
    name = f"{_plain(request.node.name)}-{next(_topic_numbers)}"
    return broker.create_topic(name, given.get("partitions", 1), given.get("configs") or {})


def pytest_runtest_teardown(item: pytest.Item) -> None:
    """What one test breaks is whole for the next."""
    broker = item.config.stash.get(_session_broker, None)
    if broker is not None:
        broker.faults.clear()


def _marked(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The arguments of the markers of a test, those nearest to it first. Raises UsageError for one there is not."""
    given: dict[str, Any] = {}
    for mark in reversed(list(request.node.iter_markers("odradek"))):
        unknown = set(mark.kwargs) - _BROKER_ARGUMENTS - _TOPIC_ARGUMENTS
        if unknown or mark.args:
            wrong = ", ".join(sorted(unknown)) or "an argument without a name"
            known = ", ".join(sorted(_BROKER_ARGUMENTS | _TOPIC_ARGUMENTS))
            raise pytest.UsageError(f"@pytest.mark.odradek: {wrong}; it takes {known}")
        given |= mark.kwargs
    return given


def _ini_settings(config: pytest.Config) -> dict[str, Any]:
    settings = {}
    for line in config.getini("odradek_settings"):
        name, separator, value = line.partition("=")
        if not separator or not name.strip():
            raise pytest.UsageError(f"odradek_settings: {line}: expected name=value")
        settings[name.strip()] = value.strip()
    return settings


def _plain(name: str) -> str:
    """A part of a topic's name, which may not have every character that a test's may."""
    return "".join(one if one.isascii() and (one.isalnum() or one in "._-") else "-" for one in name)[:200]
