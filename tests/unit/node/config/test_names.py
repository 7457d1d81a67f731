"""What the operator is told about names."""

from __future__ import annotations

from pathlib import Path

import pytest

from odradek.node.config.names import notes_on_names
from odradek.node.config.properties import parse_properties


def test_the_quickstart_gives_no_warning() -> None:
    settings = parse_properties((Path(__file__).parent / "quickstart.properties").read_text())
    notes = notes_on_names(settings)
    assert [note for note in notes if note.is_warning] == []
    assert len(notes) == 1
    assert "offsets.topic.replication.factor" in notes[0].text


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "num.partition",
            "num.partition is not a known setting and is ignored; did you mean num.partitions?",
        ),
        ("qqq", "qqq is not a known setting and is ignored"),
        (
            "retention.ms",
            "retention.ms is a topic's setting and is ignored here; the broker's is log.retention.ms",
        ),
    ],
)
def test_an_unknown_name_is_one_warning(name: str, text: str) -> None:
    (note,) = notes_on_names({name: "1"})
    assert note.is_warning
    assert note.text == text


def test_known_names_without_effect_are_one_line_together() -> None:
    notes = notes_on_names(
        {"ssl.client.auth": "required", "authorizer.class.name": "A", "num.io.threads": "3"}
    )
    assert [note.is_warning for note in notes] == [True, False]
    assert notes[0].text == "known, but without effect yet: authorizer.class.name, ssl.client.auth"
    assert notes[1].text.endswith("does not have: num.io.threads")


def test_a_default_is_not_worth_a_line() -> None:
    assert notes_on_names({"ssl.client.auth": "none", "num.io.threads": "8", "node.id": "1"}) == ()


def test_plugins_are_left_alone_but_listener_settings_are_named() -> None:
    assert notes_on_names({"log4j.rootLogger": "INFO", "rlmm.config.x": "1"}) == ()
    (note,) = notes_on_names({"listener.name.a.ssl.keystore.location": "f"})
    assert "listener.name.a.ssl.keystore.location" in note.text
