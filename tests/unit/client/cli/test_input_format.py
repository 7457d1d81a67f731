from __future__ import annotations

import io

import pytest

from odradek.client.cli.input_format import InputFormat, InputRecord, Read, lines_with_keys, parse_header
from odradek.client.cli.record_format import compile_format
from odradek.client.records import ConsumerRecord


def _trickle(data: bytes, count: int) -> Read:
    """An input that gives few bytes at a time."""
    source = io.BytesIO(data)
    return lambda _: source.read(count)


@pytest.mark.parametrize("count", [1, 2, 3, 1000])
def test_lines(count: int) -> None:
    read = _trickle(b"one\n\ntwo\nlast", count)
    assert list(lines_with_keys(read, None)) == [InputRecord(v) for v in (b"one", b"", b"two", b"last")]


@pytest.mark.parametrize("count", [1, 2, 3, 1000])
def test_lines_with_keys(count: int) -> None:
    read = _trickle(b"k::v::w\nnokey\n::x\n", count)
    assert list(lines_with_keys(read, b"::")) == [
        InputRecord(b"v::w", b"k"), InputRecord(b"nokey"), InputRecord(b"x", b""),
    ]  # fmt: skip


@pytest.mark.parametrize("count", [1, 2, 5, 1000])
def test_a_template(count: int) -> None:
    read = _trickle(b"orders|3|17|a=1,b|k\tv\norders|4|18||\t", count)
    records = list(InputFormat("%t|%p|%T|%h|%k\\t%s\\n").records(read))
    assert records == [
        InputRecord(b"v", b"k", "orders", 3, 17, (("a", b"1"), ("b", None))),
        InputRecord(b"", b"", "orders", 4, 18),
    ]


@pytest.mark.parametrize("count", [1, 2, 7, 1000])
@pytest.mark.parametrize("template", ["%K,%k%S,%s;", "%R%s", "%R%s\\n", "%S\\n%s%o"])
def test_lengths_take_any_bytes(template: str, count: int) -> None:
    printed = [ConsumerRecord("t", 0, 7, 0, b"a\n,", b"b;\x00\n"), ConsumerRecord("t", 0, 7, 0, b"", None)]
    if "%o" in template:
        with pytest.raises(ValueError, match="allowed are"):
            InputFormat(template)
        return
    data = b"".join(map(compile_format(template), printed))
    read = list(InputFormat(template).records(_trickle(data, count)))
    assert [record.value for record in read] == [b"b;\x00\n", None]
    if "%k" in template:
        assert [record.key for record in read] == [b"a\n,", b""]


@pytest.mark.parametrize("template", ["%s", "%k%s\\n", "abc", "%S%s"])
def test_templates_that_cannot_be_cut(template: str) -> None:
    with pytest.raises(ValueError, match=r"reads up to|at least one letter"):
        InputFormat(template)


@pytest.mark.parametrize(
    ("template", "data", "said"),
    [
        ("%p %s\\n", b"1 a\nx b\n", "record 2 of the input: %p has to be a whole number"),
        ("%S,%s", b"10,abc", "it ends where 10 bytes should be"),
        ("%S,%s;", b"3,abc.", "should be where"),
        ("<%s>", b"<a>(b>", "record 2 .* should be where"),
    ],
)
def test_inputs_that_are_not_so(template: str, data: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        list(InputFormat(template).records(_trickle(data, 1000)))


def test_headers() -> None:
    assert parse_header("a=1=2") == ("a", b"1=2")
    assert parse_header("a=") == ("a", b"")
    assert parse_header("a") == ("a", None)
    with pytest.raises(ValueError, match="name=value"):
        parse_header("=1")
