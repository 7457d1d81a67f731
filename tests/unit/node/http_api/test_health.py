"""What keeps a node from being ready."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from odradek.node.http_api.health import NodeHealth


@dataclass
class Life:
    is_serving: bool


@dataclass
class FakeLease:
    held: bool

    def is_held(self) -> bool:
        return self.held


def health(
    *,
    failure: BaseException | None = None,
    joined: bool = True,
    serving: bool | None = True,
    held: bool = True,
) -> NodeHealth:
    life = None if serving is None else Life(serving)
    return NodeHealth(lambda: failure, lambda: joined, lambda: life, FakeLease(held))


def test_a_node_that_serves_is_well() -> None:
    assert (health().live(), health().ready()) == ([], [])


def test_a_node_alone_has_no_lifecycle() -> None:
    assert health(serving=None).ready() == []


@pytest.mark.parametrize(
    ("state", "word"),
    [
        (health(joined=False, serving=None), "joined"),
        (health(joined=False, serving=False), "fenced"),
        (health(serving=False), "fenced"),
        (health(joined=False), "leaving"),
        (health(held=False), "heartbeat"),
    ],
)
def test_one_reason_is_told_and_it_is_not_a_reason_to_start_again(state: NodeHealth, word: str) -> None:
    (reason,) = state.ready()
    assert word in reason
    assert state.live() == []


def test_a_node_that_cannot_go_on_is_neither_alive_nor_ready() -> None:
    broken = health(failure=OSError("the disk is gone"))
    assert broken.live() == broken.ready() == ["the node cannot go on: OSError('the disk is gone')"]
