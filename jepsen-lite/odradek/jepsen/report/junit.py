"""A verdict as a JUnit file, for continuous integration.

Decides: which part of a verdict is which element. Does not decide: anything of the verdict.

One test suite. One test case for each checker (failed with its anomalies; an error if it gave up), one for each
promise (an error if it was not kept: the run proves nothing), one for each capability of the machine (skipped if it is
missing).
"""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

from odradek.jepsen.checkers.verdict import GAVE_UP, Finding, Verdict, first_of_each_kind
from odradek.jepsen.history import encode

MOST_ANOMALIES = 10
MOST_EVENTS = 10

#: What XML 1.0 cannot hold, even escaped.
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(verdict: Verdict) -> str:
    """The file's text, with its XML declaration."""
    facts = verdict.facts
    suite = ET.Element(
        "testsuite", name="odradek.jepsen", timestamp=facts.started_at, time=f"{facts.duration_s:.3f}"
    )
    properties = ET.SubElement(suite, "properties")
    told: list[tuple[str, object]] = [
        ("valid", verdict.word),
        ("seed", facts.seed),
        ("commit", facts.commit),
        ("command", facts.command),
        ("acknowledged", facts.acknowledged),
        ("faults", sum(facts.faults.values())),
        ("power_cuts", facts.power_cuts),
        *facts.more.items(),
    ]
    for name, value in told:
        ET.SubElement(properties, "property", name=_clean(str(name)), value=_clean(str(value)))
    for checker in verdict.checkers:
        _checker_case(suite, verdict, checker)
    for promise in verdict.promises:
        case = _case(suite, "promises", promise.name)
        if not promise.kept:
            ET.SubElement(case, "error", type="promise", message=_clean(promise.detail))
    for capability in facts.capabilities:
        case = _case(suite, "capabilities", capability.name)
        if not capability.present:
            ET.SubElement(
                case, "skipped", message=_clean(capability.detail or "not possible on this machine")
            )
    ET.SubElement(suite, "system-out").text = _clean("\n".join(verdict.lines()))
    cases = suite.findall("testcase")
    counts = {
        "tests": str(len(cases)),
        "failures": str(sum(case.find("failure") is not None for case in cases)),
        "errors": str(sum(case.find("error") is not None for case in cases)),
        "skipped": str(sum(case.find("skipped") is not None for case in cases)),
    }
    suite.attrib.update(counts)
    root = ET.Element("testsuites", counts, name="odradek.jepsen", time=suite.attrib["time"])
    root.append(suite)
    ET.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def _case(suite: ET.Element, group: str, name: str) -> ET.Element:
    return ET.SubElement(
        suite, "testcase", classname=f"odradek.jepsen.{group}", name=_clean(name), time="0.000"
    )


def _checker_case(suite: ET.Element, verdict: Verdict, checker: str) -> None:
    case = _case(suite, "checkers", checker)
    found = [finding for finding in verdict.findings if finding.checker == checker]
    fatal = [finding for finding in found if finding.fatal]
    if fatal:
        kinds = list(dict.fromkeys(finding.anomaly.kind for finding in fatal))
        failure = ET.SubElement(
            case,
            "failure",
            type=_clean(kinds[0]),
            message=_clean(f"{len(fatal)} anomalies: {', '.join(kinds)}"),
        )
        failure.text = _clean("\n\n".join(map(_told, first_of_each_kind(fatal, MOST_ANOMALIES))))
    elif gave_up := [finding.anomaly for finding in found if finding.anomaly.kind == GAVE_UP]:
        ET.SubElement(case, "error", type=GAVE_UP, message=_clean(gave_up[0].detail))


def _told(finding: Finding) -> str:
    anomaly = finding.anomaly
    return "\n".join(
        [
            f"{anomaly.kind}: {anomaly.detail}",
            *(f"    {encode(event).rstrip()}" for event in anomaly.evidence[:MOST_EVENTS]),
        ]
    )


def _clean(text: str) -> str:
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)
