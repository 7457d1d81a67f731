from __future__ import annotations

from pathlib import Path

from tests.unit.client.cli.conftest import Command

from odradek.client.cli import exits
from odradek.client.patterns.dead_letters import TOPIC


def test_dead_letters_are_sent_back(odradek: Command, tmp_path: Path) -> None:
    assert odradek("topic", "create", "mails.dlq", "mails", "-p", "1").code == exits.OK
    letters = tmp_path / "letters"
    letters.write_text("first\nsecond\n")
    assert odradek("produce", "mails.dlq", "-H", f"{TOPIC}=mails", str(letters)).code == exits.OK
    assert odradek("topic", "redrive", "mails.dlq", "--limit", "1").out == "mails.dlq: 1 sent back\n"
    assert odradek("topic", "redrive", "mails.dlq").out == "mails.dlq: 1 sent back\n"
    assert odradek("topic", "redrive", "mails.dlq").out == "mails.dlq: 0 sent back\n"
    assert odradek("topic", "consume", "mails", "-e").out == "first\nsecond\n"


def test_a_letter_without_an_origin_needs_an_address(odradek: Command, tmp_path: Path) -> None:
    odradek("topic", "create", "strays", "elsewhere")
    (tmp_path / "letter").write_text("lost\n")
    odradek("produce", "strays", str(tmp_path / "letter"))
    refused = odradek("topic", "redrive", "strays")
    assert (refused.code, "does not say where it came from" in refused.err) == (exits.FAILED, True)
    assert odradek("topic", "redrive", "strays", "--to", "elsewhere").out == "strays: 1 sent back\n"
    assert odradek("topic", "redrive", "strays", "--limit", "-1").code == exits.USAGE
    assert odradek("topic", "redrive", "ghosts").code == exits.NOT_FOUND
