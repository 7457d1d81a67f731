"""The page: the verdict first, then the proof; nothing comes from elsewhere, and nothing from a record is markup."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from odradek.jepsen.checkers.anomaly import Anomaly
from odradek.jepsen.checkers.verdict import GAVE_UP, Capability, Policy, RunFacts, Verdict, judge
from odradek.jepsen.history import NEMESIS, NEVER, Event, pair
from odradek.jepsen.report.html import MOST_ANOMALIES, MOST_EVENTS, kinds_of, render
from odradek.jepsen.report.series import series_of

SECOND = 10**9
EVIL = "<script>alert('&')</script>"
HISTORY = [
    Event(0, "kafka-1", 0, "invoke", "send", [["send", "q0/0", 1]]),
    Event(SECOND // 2, "kafka-1", 0, "ok", "send", [["send", "q0/0", [0, 1]]]),
    Event(
        SECOND,
        NEMESIS,
        0,
        "info",
        "fault",
        {"fault": 0, "name": "kill", "phase": "start", "nodes": [2], "why": EVIL},
    ),
    Event(2 * SECOND, "kafka-1", 1, "invoke", "send", [["send", "q0/0", 2]]),
    Event(
        3 * SECOND, NEMESIS, 1, "info", "fault", {"fault": 0, "name": "kill", "phase": "stop", "nodes": [2]}
    ),
    Event(4 * SECOND, "kafka-1", 1, "info", "send", [["send", "q0/0", [None, 2]]], "TIMED_OUT"),
]
FACTS = RunFacts(
    seed=4711,
    command="python -m odradek.jepsen run --seed 4711",
    commit="abc1234",
    acknowledged=1,
    faults={"kill": 1},
    operations={"send": {"ok": 1, "info": 1}},
    recoveries={"kill": [1.25]},
    availability=0.5,
    capabilities=[Capability("netem", False, f"not here {EVIL}"), Capability("nft", True)],
    more={"kernel": EVIL},
)


class _Page(HTMLParser):
    """Tags with their attributes, and the text outside of style."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "link", "path", "use"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("meta", "link", "path", "use"):
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] != "style":
            self.text += data


def _verdict(*anomalies: Anomaly, facts: RunFacts = FACTS) -> Verdict:
    return judge({"queue": anomalies, EVIL: []}, Policy(), facts)


@pytest.fixture(scope="module")
def bad() -> _Page:
    evidence = [*HISTORY[:2], HISTORY[-1]._replace(time=NEVER), HISTORY[3]]
    return _Page(render(_verdict(Anomaly("lost-write", f"value 1 {EVIL}", evidence, {"key": EVIL})), HISTORY))


def test_the_verdict_comes_first_then_how_to_repeat_it(bad: _Page) -> None:
    places = [
        bad.text.index(text)
        for text in ("INVALID", "Run it again", FACTS.command, "netem", "Anomalies", "Timeline")
    ]
    assert places == sorted(places)
    assert "4711" in bad.text and "abc1234" in bad.text


def test_every_tag_is_closed_and_nothing_can_be_injected(bad: _Page) -> None:
    assert bad.open == []
    assert all(tag != "script" for tag, _ in bad.tags)
    assert all(not name.startswith("on") for _, attributes in bad.tags for name in attributes)
    assert bad.text.count(EVIL) >= 6


def test_nothing_is_fetched(bad: _Page) -> None:
    for tag, attributes in bad.tags:
        assert tag not in ("img", "iframe", "object", "embed"), tag
        for name, value in attributes.items():
            if name in ("src", "href", "xlink:href"):
                assert value is not None and value.startswith(("#", "data:,"))
    page = render(_verdict(), HISTORY)
    assert "http" not in page and "@import" not in page
    assert set(re.findall(r"url\((.)", page)) <= {"#"}


def test_an_anomaly_is_shown_with_its_events_and_the_faults_of_their_time(bad: _Page) -> None:
    assert '[["send", "q0/0", [0, 1]]]' in bad.text
    assert "0.500" in bad.text and "never" in bad.text
    assert "kill 2" in bad.text  # at the second send
    assert "TIMED_OUT" in bad.text


def test_only_some_anomalies_and_events_are_shown_and_the_rest_is_counted() -> None:
    many = [
        Anomaly("unseen", f"number {n}", HISTORY[:1] * (MOST_EVENTS + 3)) for n in range(MOST_ANOMALIES + 40)
    ]
    verdict = _verdict(Anomaly("G0", "fine"), *many)
    unseen, allowed = kinds_of(verdict, series_of(HISTORY, pair(HISTORY)))
    assert (unseen.kind, unseen.fatal, allowed.kind, allowed.fatal) == ("unseen", True, "G0", False)
    assert (len(unseen.anomalies), unseen.left_out) == (MOST_ANOMALIES, 40)
    assert len(unseen.unfolded) + len(unseen.folded) == MOST_ANOMALIES
    assert (len(unseen.anomalies[0].events), unseen.anomalies[0].left_out) == (MOST_EVENTS, 3)
    assert allowed.unfolded == ()


def test_a_long_value_is_cut_and_says_so() -> None:
    long = HISTORY[0]._replace(value=[["poll", {"q0/0": [[n, n] for n in range(5_000)]}]])
    page = render(_verdict(Anomaly("unseen", "", [long])), HISTORY)
    assert "characters more" in page
    assert len(page) < 400_000


@pytest.mark.parametrize(
    ("facts", "anomaly", "word"),
    [
        (FACTS, Anomaly("G0", ""), "VALID"),
        (FACTS, Anomaly(GAVE_UP, ""), "UNKNOWN"),
        (replace(FACTS, acknowledged=0), Anomaly("G0", ""), "UNKNOWN"),
        (FACTS, Anomaly("duplicate", ""), "INVALID"),
    ],
)
def test_the_title_is_the_verdict(facts: RunFacts, anomaly: Anomaly, word: str) -> None:
    assert f"<title>{word} · jepsen-lite · seed 4711</title>" in render(
        _verdict(anomaly, facts=facts), HISTORY
    )


def test_a_run_in_which_nothing_happened_has_a_page_too() -> None:
    page = _Page(render(judge({}, Policy(), RunFacts(seed=1, command="x")), []))
    assert "UNKNOWN" in page.text and page.open == []
