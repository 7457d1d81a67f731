from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.unit.client.cli.conftest import Command

from odradek.client.cli import exits
from odradek.client.cli.consume import printer_of


@pytest.fixture
def ten(odradek: Command, tmp_path: Path) -> Command:
    """A topic with the values 0 to 9: even ones in partition 0, odd ones in partition 1."""
    if odradek("topic", "create", "c-ten", "-p", "2").code == exits.OK:
        (tmp_path / "ten").write_text(
            "".join(f"{number % 2} {1000 + number} {number}\n" for number in range(10))
        )
        assert odradek("produce", "c-ten", "-f", "%p %T %s\\n", str(tmp_path / "ten")).code == exits.OK
    return odradek


def _values(text: str) -> list[int]:
    return sorted(int(line) for line in text.split())


@pytest.mark.parametrize(
    ("arguments", "values"),
    [
        (["-e"], list(range(10))),
        (["-o", "start", "-e", "-p", "1"], [1, 3, 5, 7, 9]),
        (["-o", "-2", "-e"], [6, 7, 8, 9]),
        (["-o", "+4", "-e"], [8, 9]),
        (["-o", "3", "-e"], [6, 7, 8, 9]),
        (["-o", "99", "-e"], []),
        (["-o", "@1007000", "-e"], []),
        (["-o", "@1970-01-01T00:00:01.005Z", "-e"], [5, 6, 7, 8, 9]),
        (["-o", "end", "-e"], []),
        (["-r", "-e"], list(range(10))),
        (["-p", "0", "-n", "2"], [0, 2]),
        (["-g", "c-all", "-e"], list(range(10))),
        (["-g", "c-late", "-o", "end", "-e"], []),
    ],
)
def test_where_it_begins_and_ends(ten: Command, arguments: list[str], values: list[int]) -> None:
    outcome = ten("consume", "c-ten", *arguments)
    assert (outcome.code, outcome.err) == (exits.OK, "")
    assert _values(outcome.out) == values


def test_a_group_goes_on_where_it_was(ten: Command) -> None:
    first = _values(ten("consume", "c-ten", "-g", "c-group", "-n", "4").out)
    peeked = _values(ten("consume", "c-ten", "-g", "c-group", "-e", "--no-commit").out)
    rest = _values(ten("consume", "c-ten", "-g", "c-group", "-e").out)
    assert len(first) == 4 and peeked == rest and sorted(first + rest) == list(range(10))
    assert json.loads(ten("group", "describe", "c-group", "-o", "json").out)[0]["lag"] == 0


def test_how_it_is_printed(ten: Command) -> None:
    one = ("consume", "c-ten", "-p", "1", "-o", "2", "-n", "1")
    assert ten(*one, "-f", "%t/%p@%o %T %s\\n").out == "c-ten/1@2 1005 5\n"
    assert json.loads(ten(*one, "-f", "json").out)["value"] == "5"
    assert ten(*one, "--pretty").out == "c-ten/1 @2  1970-01-01T00:00:01.005Z\n  5\n"
    with pytest.raises(ValueError, match="allowed"):
        printer_of("%q")


def test_what_is_not_there(ten: Command) -> None:
    assert ten("consume", "c-ghost", "-e").code == exits.NOT_FOUND
    assert ten("consume", "c-gh.*", "-r", "-e").code == exits.NOT_FOUND
    assert ten("consume", "c-ten", "-p", "7").code == exits.NOT_FOUND
    assert ten("consume", "c-ten", "-g", "g", "-p", "0").code == exits.USAGE
    assert ten("consume", "c-ten", "-n", "0").code == exits.USAGE
    beyond = ten("consume", "c-ten", "-p", "0", "-o", "99", "-n", "1")
    assert beyond.code == exits.FAILED and "OFFSET_OUT_OF_RANGE" in beyond.err
