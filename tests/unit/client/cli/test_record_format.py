from __future__ import annotations

import json

import pytest

from odradek.client.cli.record_format import as_json_line, compile_format, pretty, unescape
from odradek.client.records import ConsumerRecord

RECORD = ConsumerRecord("orders", 3, 42, 1_700_000_000_123, b"k1", b"caf\xc3\xa9", (("a", b"1"), ("b", None)))
TOMBSTONE = ConsumerRecord("orders", 3, 43, -1, None, None)


@pytest.mark.parametrize(
    ("template", "printed"),
    [
        ("%s\\n", b"caf\xc3\xa9\n"),
        ("%t/%p@%o %T", b"orders/3@42 1700000000123"),
        ("%k:%K %S", b"k1:2 5"),
        ("%h", b"a=1,b=NULL"),
        ("%R%s", b"\x00\x00\x00\x05caf\xc3\xa9"),
        ("100%% \\t\\\\ \\x41\\xff\\0", b"100% \t\\ A\xff\x00"),
        ("Größe %S", "Größe 5".encode()),
        ("%%s", b"%s"),
        ("", b""),
    ],
)
def test_letters(template: str, printed: bytes) -> None:
    assert compile_format(template)(RECORD) == printed


def test_what_is_absent_prints_nothing_and_has_length_minus_one() -> None:
    assert compile_format("[%k][%s]%K %S %T %R")(TOMBSTONE) == b"[][]-1 -1 -1 \xff\xff\xff\xff"


@pytest.mark.parametrize("template", ["%x", "%", "50% off", "\\q", "\\x4", "\\"])
def test_what_is_not_known_is_named(template: str) -> None:
    with pytest.raises(ValueError, match="allowed are"):
        compile_format(template)


def test_escapes_are_bytes() -> None:
    assert unescape("\\xc3\\xa9é") == b"\xc3\xa9\xc3\xa9"


def test_json_lines() -> None:
    line = as_json_line(RECORD)
    assert line.endswith(b"\n") and line.count(b"\n") == 1
    assert json.loads(line)["value"] == "café"
    assert json.loads(line)["headers"] == [{"name": "a", "value": "1"}, {"name": "b", "value": None}]
    binary = json.loads(as_json_line(RECORD._replace(value=b"\xff")))
    assert binary["value_base64"] == "/w==" and "value" not in binary
    assert json.loads(as_json_line(TOMBSTONE))["value"] is None


def test_for_eyes() -> None:
    text = pretty(RECORD._replace(value=b'{"a": [1]}'))
    assert text.splitlines()[0] == "orders/3 @42  2023-11-14T22:13:20.123Z"
    assert '  {\n    "a": [\n' in text
    assert "(tombstone)" in pretty(TOMBSTONE) and "no time" in pretty(TOMBSTONE)
    assert "0xff" in pretty(RECORD._replace(value=b"\xff"))
    assert "{broken" in pretty(RECORD._replace(value=b"{broken"))
