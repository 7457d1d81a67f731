"""Behaviours travel as JSON, and are laid over each other."""

from __future__ import annotations

import json

import pytest

from odradek.jepsen.proxy.behaviour import Behaviour, Hold, Pace, Replay, from_json, same, to_json


def test_it_comes_back_as_it_was_sent() -> None:
    behaviour = Behaviour(
        up=Pace(delay_ms=5.0, loss=0.1),
        down=Pace(swallow=True),
        holds=(Hold(0, requests=2), Hold(26, cut_client=True)),
        drop_every=3,
        replay=Replay(0.5),
        seed=9,
    )
    assert from_json(json.loads(json.dumps(to_json(behaviour)))) == behaviour
    assert from_json(json.loads(json.dumps(to_json(Behaviour())))) == Behaviour()


def test_a_field_that_there_is_not_is_refused() -> None:
    with pytest.raises(TypeError):
        from_json({"upp": {}})


def test_losing_every_answer_is_refused() -> None:
    with pytest.raises(AssertionError, match="no producer"):
        Behaviour(drop_every=1)


@pytest.mark.parametrize(
    ("behaviour", "framed"),
    [
        (same(Pace(delay_ms=1.0, loss=0.5, reset=0.1)), False),
        (Behaviour(holds=(Hold(0),)), True),
        (Behaviour(drop_every=2), True),
        (Behaviour(replay=Replay()), True),
        (Behaviour(frames=True), True),
    ],
)
def test_frames_are_cut_only_where_something_reads_them(behaviour: Behaviour, framed: bool) -> None:
    assert behaviour.framed is framed


def test_what_lies_above_wins_where_it_does_something() -> None:
    below = Behaviour(up=Pace(delay_ms=1.0), drop_every=5, replay=Replay(), seed=1)
    above = Behaviour(down=Pace(loss=0.1), drop_every=7, seed=2)
    assert above.over(below) == Behaviour(
        up=Pace(delay_ms=1.0), down=Pace(loss=0.1), drop_every=7, replay=Replay(), seed=2
    )
    assert same(Pace(delay_ms=3.0)).over(below).framed
