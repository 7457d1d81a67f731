"""Plots are fragments of a page: their colours are the page's, their ids their own, and they ask for nothing."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pytest

from odradek.jepsen.report import plots
from odradek.jepsen.report.series import Fault, Series, Span

SERIES = Series(
    span=Span(0, 3 * 10**9, 1.0),
    faults=[Fault(0, "kill", 0.5, 2.5, (1,), {}), Fault(1, "power-all", 1.0, 1.01, (1, 2, 3), {})],
    acknowledged=[10.0, 0.0, 5.0, 6.0],
    unacknowledged=[0.0, 3.0, 0.0, 0.0],
    p50=[0.01, None, 0.02, 0.01],
    p99=[0.02, None, 2.0, 0.02],
    phases=[(0.0, "load"), (2.0, "healing")],
    unseen={"q/0": [1, 2, 1, 1], "<q>/1": [0, 1, 0, 0]},
    unseen_total=[1, 3, 1, 1],
)
EMPTY = Series(Span(0, 0, 0.1), [], [0.0], [0.0], [None], [None], (), {}, [0])
RECOVERIES = {"kill": [0.5, 1.0, 4.0], "power-all": [2.0], "pause": []}


def _all(width: float) -> dict[str, str]:
    return {
        "timeline": plots.timeline_plot(SERIES, width),
        "recovery": plots.recovery_plot(RECOVERIES, width),
        "unseen": plots.unseen_plot(SERIES, width),
    }


@pytest.fixture(scope="module", params=[plots.WIDE, plots.NARROW], ids=["wide", "narrow"])
def drawn(request: pytest.FixtureRequest) -> dict[str, str]:
    return _all(request.param)


def test_a_plot_is_one_svg_element_that_scales(drawn: dict[str, str]) -> None:
    for text in drawn.values():
        tag = text[: text.index(">")]
        assert tag.startswith("<svg viewBox=") and "width=" not in tag
        ET.fromstring(text.replace("<svg ", '<svg xmlns:xlink="http://www.w3.org/1999/xlink" ', 1))


def test_colours_are_left_to_the_page(drawn: dict[str, str]) -> None:
    colours = {colour for text in drawn.values() for colour in re.findall(r"#[0-9a-f]{6}\b", text)}
    assert colours <= {"#ffffff", "#000000"}
    assert "var(--fault-0)" in drawn["timeline"] and "var(--fault-4)" in drawn["timeline"]


def test_a_plot_asks_for_nothing_and_styles_nothing_else(drawn: dict[str, str]) -> None:
    for text in drawn.values():
        assert "http" not in text and "<style" not in text and "<metadata" not in text


def test_ids_differ_between_plots_and_every_reference_is_met() -> None:
    texts = [*_all(plots.WIDE).values(), *_all(plots.NARROW).values()]
    ids = [name for text in texts for name in re.findall(r'\bid="([^"]+)"', text)]
    assert len(ids) == len(set(ids))
    for text in texts:
        own = set(re.findall(r'\bid="([^"]+)"', text))
        assert set(re.findall(r'(?:href="|url\()#([^")]+)', text)) <= own


def test_text_stays_text(drawn: dict[str, str]) -> None:
    assert "kill × 1" in drawn["timeline"]
    assert "p99" in drawn["timeline"]


def test_a_run_in_which_nothing_happened_can_be_drawn() -> None:
    assert plots.timeline_plot(EMPTY, plots.WIDE).startswith("<svg")
    assert plots.unseen_plot(EMPTY, plots.WIDE).startswith("<svg")


@pytest.mark.parametrize(("name", "family"), [("partition-one-way", 2), ("power-all", 4), ("unheard-of", 7)])
def test_faults_of_a_family_share_a_colour(name: str, family: int) -> None:
    assert plots.family_of(name) == family
