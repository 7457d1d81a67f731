"""What a CI server reads: numbers that add up, failures with their evidence, and XML that parses whatever was found."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from odradek.jepsen.checkers.anomaly import Anomaly
from odradek.jepsen.checkers.verdict import GAVE_UP, Asked, Capability, Policy, RunFacts, judge
from odradek.jepsen.history import Event
from odradek.jepsen.report.junit import MOST_ANOMALIES, junit

FACTS = RunFacts(
    seed=7,
    command="python -m odradek.jepsen run --seed 7",
    started_at="2026-11-29T05:00:00Z",
    duration_s=90.5,
    acknowledged=10,
    asked=Asked(acknowledged=20),
    capabilities=[Capability("netem", False, "not in this kernel"), Capability("nft", True)],
)
EVENT = Event(5, "kafka-1", 3, "ok", "send", [["send", "q0/0", [4, 9]]])
RESULTS = {
    "queue": [
        Anomaly("lost-write", f"value {n} & <more>\x00\x1b[0m", [EVENT]) for n in range(MOST_ANOMALIES + 1)
    ],
    "order": [Anomaly("int-send-skip", "allowed")],
    "linearizability": [Anomaly(GAVE_UP, "too many states")],
}


def _suite() -> ET.Element:
    root = ET.fromstring(junit(judge(RESULTS, Policy(), FACTS)))
    assert root.tag == "testsuites"
    suite = root.find("testsuite")
    assert suite is not None
    return suite


def _cases(suite: ET.Element) -> dict[str, ET.Element]:
    return {case.attrib["name"]: case for case in suite.iter("testcase")}


def test_the_numbers_add_up() -> None:
    suite = _suite()
    numbers = {name: int(suite.attrib[name]) for name in ("tests", "failures", "errors", "skipped")}
    assert numbers == {"tests": len(_cases(suite)), "failures": 1, "errors": 2, "skipped": 1}
    assert (suite.attrib["time"], suite.attrib["timestamp"]) == ("90.500", "2026-11-29T05:00:00Z")
    assert all(set(case.attrib) == {"classname", "name", "time"} for case in suite.iter("testcase"))


def test_a_failure_carries_its_anomalies_and_their_events() -> None:
    failure = _cases(_suite())["queue"].find("failure")
    assert failure is not None and failure.text is not None
    assert failure.attrib == {"type": "lost-write", "message": f"{MOST_ANOMALIES + 1} anomalies: lost-write"}
    assert failure.text.count("lost-write: value") == MOST_ANOMALIES
    assert "value 0 & <more>\ufffd\ufffd[0m" in failure.text
    assert '"value":[["send","q0/0",[4,9]]]' in failure.text


def test_what_is_unknown_is_an_error_and_what_is_allowed_is_not() -> None:
    cases = _cases(_suite())
    assert cases["linearizability"].find("error") is not None
    assert cases["acknowledged records"].find("error") is not None
    assert len(cases["order"]) == 0


def test_what_the_machine_cannot_do_is_skipped() -> None:
    cases = _cases(_suite())
    skipped = cases["netem"].find("skipped")
    assert skipped is not None and skipped.attrib["message"] == "not in this kernel"
    assert len(cases["nft"]) == 0


def test_the_run_can_be_repeated_from_its_properties() -> None:
    properties = {p.attrib["name"]: p.attrib["value"] for p in _suite().iter("property")}
    assert (properties["seed"], properties["command"]) == ("7", FACTS.command)


def test_a_clean_run_has_no_failure() -> None:
    root = ET.fromstring(junit(judge({"queue": []}, Policy(), RunFacts(seed=1, command="x", acknowledged=1))))
    assert (root.attrib["failures"], root.attrib["errors"], root.attrib["skipped"]) == ("0", "0", "0")
