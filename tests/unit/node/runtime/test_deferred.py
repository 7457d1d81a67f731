import asyncio

import pytest

from odradek.node.runtime.deferred import Deferred


def test_a_callback_gets_the_value_whether_it_comes_before_or_after() -> None:
    seen: list[int] = []
    before: Deferred[int] = Deferred()
    before.then(seen.append)
    before.resolve(1)
    Deferred.resolved(2).then(seen.append)
    assert seen == [1, 2]


def test_map_chains_and_abandoning_reaches_the_source() -> None:
    gone: list[bool] = []
    source: Deferred[int] = Deferred(on_abandon=lambda: gone.append(True))
    mapped = source.map(lambda value: value + 1).map(str)
    mapped.abandon()
    assert gone == [True]
    source.resolve(1)
    assert gone == [True]


def test_map_of_a_resolved_value_is_resolved() -> None:
    assert Deferred.resolved(1).map(lambda value: value + 1).value == 2


def test_resolving_twice_is_a_bug() -> None:
    deferred: Deferred[int] = Deferred()
    deferred.resolve(1)
    with pytest.raises(AssertionError, match="resolved twice"):
        deferred.resolve(2)


async def test_wait_bridges_to_coroutines() -> None:
    deferred: Deferred[int] = Deferred()
    asyncio.get_running_loop().call_soon(deferred.resolve, 7)
    assert await deferred.wait() == 7
    assert await deferred.wait() == 7
