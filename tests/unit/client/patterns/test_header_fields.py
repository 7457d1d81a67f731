from __future__ import annotations

from odradek.client.patterns.header_fields import field, number_of, text_of, without
from odradek.client.records import Header

HEADERS: list[Header] = [("a", b"1"), ("b", None), ("a", b"2"), ("c", b"\xff")]


def test_the_last_header_of_a_name_counts() -> None:
    assert text_of(HEADERS, "a") == "2"
    assert number_of(HEADERS, "a") == 2


def test_what_is_missing_or_no_number_is_none() -> None:
    assert text_of(HEADERS, "b") is None
    assert text_of(HEADERS, "none") is None
    assert number_of(HEADERS, "c") is None
    assert text_of(HEADERS, "c") == "�"


def test_fields_are_written_as_text() -> None:
    assert field("n", 12) == ("n", b"12")
    assert field("t", "ü") == ("t", "ü".encode())


def test_headers_can_be_taken_out_by_name() -> None:
    assert without(HEADERS, ["a", "c"]) == (("b", None),)
