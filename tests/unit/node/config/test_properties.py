"""The properties format: cases from its definition, and a round trip over any text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odradek.node.config.properties import format_properties, parse_properties
from odradek.storage.config_types import ConfigError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("# comment\n  ! another\n\n\t\n", {}),
        ("a=b", {"a": "b"}),
        ("a = b ", {"a": "b "}),
        ("a:b", {"a": "b"}),
        ("a b", {"a": "b"}),
        ("a \t= \f b", {"a": "b"}),
        ("a", {"a": ""}),
        ("a=", {"a": ""}),
        ("=b", {"": "b"}),
        ("a==b", {"a": "=b"}),
        ("a= #b", {"a": "#b"}),
        (
            "listeners=PLAINTEXT://:9092,CONTROLLER://:9093",
            {"listeners": "PLAINTEXT://:9092,CONTROLLER://:9093"},
        ),
        ("a=1\na=2", {"a": "2"}),
        ("a=1\r\nb=2\rc=3", {"a": "1", "b": "2", "c": "3"}),
        ("fruits = apple, \\\n   pear, \\\n\tplum", {"fruits": "apple, pear, plum"}),
        ("a=b\\\n# not a comment", {"a": "b# not a comment"}),
        ("a=b\\\n\nc=d", {"a": "b", "c": "d"}),
        ("a=b\\\\\nc=d", {"a": "b\\", "c": "d"}),
        ("a=b\\", {"a": "b"}),
        ("a\\=b\\ c\\:d=e", {"a=b c:d": "e"}),
        ("path=C:\\\\x\\ty", {"path": "C:\\x\ty"}),
        ("a=\\n\\r\\f\\q", {"a": "\n\r\fq"}),
        ("a=\\u00e9\\u4E2D", {"a": "é中"}),
        ("a=\\uD83D\\uDE00", {"a": "😀"}),
        ("name=été", {"name": "été"}),
    ],
)
def test_reading(text: str, expected: dict[str, str]) -> None:
    assert parse_properties(text) == expected


@pytest.mark.parametrize("text", ["a=\\u12", "a=\\u12g4", "\\u=b"])
def test_a_malformed_escape_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="hexadecimal"):
        parse_properties(text)


def test_writing_is_plain_ascii_on_one_line_each() -> None:
    text = format_properties({"a b": " x y", "é": "1\n2", "#c": "=d"})
    assert text == "a\\ b=\\ x y\n\\u00e9=1\\n2\n\\#c==d\n"


@given(st.dictionaries(st.text(), st.text()))
def test_what_is_written_is_read_back(properties: dict[str, str]) -> None:
    assert parse_properties(format_properties(properties)) == properties


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        properties = parse_properties(text)
    except ConfigError:
        return
    assert parse_properties(format_properties(properties)) == properties
