"""Our rows are what prometheus-client would have written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    UnknownMetricFamily,
)
from tests.unit.node.http_api.fakes import parsed, series

from odradek.node.http_api.text import Rows, Writer, label

TEXT = ""
OPENMETRICS = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
FAMILIES = (GaugeMetricFamily, CounterMetricFamily, UnknownMetricFamily)


def written(writer: Writer) -> str:
    return b"".join(writer.end()).decode()


@pytest.mark.parametrize("accept", [TEXT, OPENMETRICS])
@pytest.mark.parametrize("family", FAMILIES)
@given(values=st.lists(st.text(max_size=5), max_size=4, unique=True))
def test_rows_are_what_the_library_writes(
    family: type[GaugeMetricFamily], accept: str, values: list[str]
) -> None:
    theirs = family("a_family", 'what \\ it is\n"quoted"', labels=("name", "other"))
    rows = Rows(family("a_family", 'what \\ it is\n"quoted"'))
    for number, text in enumerate(values):
        theirs.add_metric((text, "x"), number)
        rows.add(f"{label('name', text)},{label('other', 'x')}", number)
    expected, found = Writer(accept), Writer(accept)
    expected.write(theirs)
    found.write_rows(rows)
    assert numbers(written(found)) == numbers(written(expected))


@pytest.mark.parametrize("accept", [TEXT, OPENMETRICS])
def test_histograms_are_what_the_library_writes(accept: str) -> None:
    buckets = [("0.5", 1), ("+Inf", 3)]
    theirs = HistogramMetricFamily("a_family", "help", labels=("name",))
    theirs.add_metric(("x",), buckets, 1.25)
    rows = Rows(HistogramMetricFamily("a_family", "help"))
    rows.add_histogram(label("name", "x"), buckets, 1.25)
    expected, found = Writer(accept), Writer(accept)
    expected.write(theirs)
    found.write_rows(rows)
    assert series(written(found), openmetrics=bool(accept)) == series(
        written(expected), openmetrics=bool(accept)
    )


def numbers(text: str) -> str:
    """The library writes whole numbers as floats."""
    return text.replace(".0\n", "\n")


def test_many_rows_come_in_chunks_and_in_order() -> None:
    rows = Rows(GaugeMetricFamily("many", "rows"))
    for number in range(2000):
        rows.add(label("number", str(number)), number)
    writer = Writer(TEXT)
    writer.write_rows(rows)
    assert len(writer.chunks) == 1 + 4
    samples = [sample.value for family in parsed(written(writer)) for sample in family.samples]
    assert samples == list(range(2000))


def test_a_row_without_labels_has_no_braces() -> None:
    rows = Rows(CounterMetricFamily("bytes", "in all"))
    rows.add("", 7)
    rows.add(label("topic", "t"), 3)
    writer = Writer(TEXT)
    writer.write_rows(rows)
    assert written(writer).splitlines()[2:] == ["bytes_total 7", 'bytes_total{topic="t"} 3']


@pytest.mark.parametrize("accept", [TEXT, OPENMETRICS])
def test_families_without_samples_are_left_out_and_the_end_is_marked_once(accept: str) -> None:
    writer = Writer(accept)
    writer.write(GaugeMetricFamily("empty", "nothing", labels=("x",)))
    writer.write_rows(Rows(GaugeMetricFamily("also_empty", "nothing")))
    writer.write(GaugeMetricFamily("one", "first", value=1))
    writer.write(GaugeMetricFamily("two", "second", value=2))
    text = written(writer)
    assert "empty" not in text
    assert text.count("# EOF") == (1 if accept else 0)
    assert len(series(text, openmetrics=bool(accept))) == 2


def test_the_format_is_the_one_that_was_asked_for() -> None:
    assert Writer(TEXT).content_type.startswith("text/plain; version=0.0.4")
    assert Writer(OPENMETRICS).content_type.startswith("application/openmetrics-text; version=1.0.0")
    assert Writer("text/html").content_type.startswith("text/plain")
