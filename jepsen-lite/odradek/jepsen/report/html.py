"""The report of a run: one HTML page that needs nothing else, neither network nor script.

Decides: what stands on the page, and in which order: the verdict, how to repeat it, what the machine could not do, then
the evidence. Does not decide: the verdict (`checkers.verdict`), nor how plots are drawn (`plots`).

All text comes to the template as text and is escaped there; only the plots are markup.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any, NamedTuple

from odradek.jepsen.checkers.anomaly import Anomaly
from odradek.jepsen.checkers.verdict import Verdict, first_of_each_kind, totals
from odradek.jepsen.history import NEVER, Event, Operation, pair
from odradek.jepsen.report import plots
from odradek.jepsen.report.meanings import meaning_of
from odradek.jepsen.report.series import Fault, Series, series_of

#: So much evidence is on the page; the rest is in verdict.json and in the histories.
MOST_ANOMALIES = 10
MOST_UNFOLDED = 3
MOST_EVENTS = 24
MOST_CHARACTERS = 400

TYPES = ("ok", "fail", "info")


class Picture(NamedTuple):
    """The same plot for a wide and for a narrow screen, as SVG."""

    wide: str
    narrow: str
    says: str


class EventRow(NamedTuple):
    """One event of an anomaly's evidence, as it is shown."""

    time: str
    process: str
    op: int
    type: str
    f: str
    value: str
    error: str
    faults: str


@dataclass(frozen=True)
class AnomalyBlock:
    """One anomaly: the sentence and its proof."""

    detail: str
    checker: str
    events: Sequence[EventRow]
    left_out: int
    data: str

    @property
    def has_errors(self) -> bool:
        return any(event.error for event in self.events)

    @property
    def has_faults(self) -> bool:
        return any(event.faults for event in self.events)


@dataclass(frozen=True)
class KindBlock:
    """All anomalies of a kind, of which the first are shown."""

    kind: str
    count: int
    fatal: bool
    meaning: str
    anomalies: Sequence[AnomalyBlock]

    @property
    def unfolded(self) -> Sequence[AnomalyBlock]:
        return self.anomalies[:MOST_UNFOLDED] if self.fatal else ()

    @property
    def folded(self) -> Sequence[AnomalyBlock]:
        return self.anomalies[len(self.unfolded) :]

    @property
    def left_out(self) -> int:
        return self.count - len(self.anomalies)


class FaultRow(NamedTuple):
    """One fault, as it is listed."""

    number: int
    name: str
    family: int
    start: str
    seconds: str
    nodes: str
    more: str
    failed: bool


def render(verdict: Verdict, history: Sequence[Event], operations: Sequence[Operation] | None = None) -> str:
    """The page. `operations` are those of the history, if the caller has paired them already."""
    from jinja2 import Environment, StrictUndefined

    series = series_of(history, pair(history) if operations is None else operations)
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string(_template())
    kinds = kinds_of(verdict, series)
    return template.render(
        verdict=verdict,
        facts=verdict.facts,
        tiles=list(_tiles(verdict)),
        fatal=[block for block in kinds if block.fatal],
        others=[block for block in kinds if not block.fatal],
        missing=[capability for capability in verdict.facts.capabilities if not capability.present],
        present=[capability for capability in verdict.facts.capabilities if capability.present],
        timeline=_timeline(series) if history else None,
        recovery=_recovery(verdict),
        unseen=_unseen(series),
        phases=", ".join(f"{name} from {second:.0f} s" for second, name in series.phases),
        faults=[_fault_row(fault) for fault in series.faults],
        types=TYPES,
    )


def kinds_of(verdict: Verdict, series: Series) -> list[KindBlock]:
    """Anomalies by kind, the fatal ones first, then the more frequent ones."""
    counts = {
        (fatal, kind): count
        for fatal in (True, False)
        for kind, count in totals(f for f in verdict.findings if f.fatal is fatal).items()
    }
    shown = first_of_each_kind(verdict.findings, MOST_ANOMALIES)
    return [
        KindBlock(
            kind,
            count,
            fatal,
            meaning_of(kind),
            [
                _anomaly(finding.anomaly, finding.checker, series)
                for finding in shown
                if (finding.fatal, finding.anomaly.kind) == (fatal, kind)
            ],
        )
        for (fatal, kind), count in sorted(
            counts.items(), key=lambda item: (not item[0][0], -item[1], item[0][1])
        )
    ]


def _template() -> str:
    return resources.files(__package__).joinpath("page.html.jinja").read_text(encoding="utf-8")


def _tiles(verdict: Verdict) -> Iterator[tuple[str, str]]:
    """Name and value of the figures below the verdict."""
    facts = verdict.facts
    yield "acknowledged records", f"{facts.acknowledged:,}"
    yield "faults", f"{sum(facts.faults.values()):,}"
    yield "power cuts", f"{facts.power_cuts}"
    yield "power cuts on all", f"{facts.power_cuts_of_all}"
    yield "operations", f"{sum(sum(types.values()) for types in facts.operations.values()):,}"
    if facts.availability is not None:
        yield "availability", f"{facts.availability:.2%}"
    times = sorted(second for times in facts.recoveries.values() for second in times)
    if times:
        yield "slowest recovery", f"{times[-1]:.1f} s"
    yield "duration", _duration(facts.duration_s)


def _timeline(series: Series) -> Picture:
    says = f"{len(series.faults)} faults over throughput and latency during {series.span.seconds:.0f} seconds"
    return Picture(plots.timeline_plot(series, plots.WIDE), plots.timeline_plot(series, plots.NARROW), says)


def _recovery(verdict: Verdict) -> Picture | None:
    times = {name: series for name, series in verdict.facts.recoveries.items() if series}
    if not times:
        return None
    return Picture(
        plots.recovery_plot(times, plots.WIDE), plots.recovery_plot(times, plots.NARROW), "recovery times"
    )


def _unseen(series: Series) -> Picture | None:
    if not series.unseen:
        return None
    says = f"records not yet read: at most {max(series.unseen_total)}, at the end {series.unseen_total[-1]}"
    return Picture(plots.unseen_plot(series, plots.WIDE), plots.unseen_plot(series, plots.NARROW), says)


def _anomaly(anomaly: Anomaly, checker: str, series: Series) -> AnomalyBlock:
    shown = anomaly.evidence[:MOST_EVENTS]
    return AnomalyBlock(
        anomaly.detail,
        checker,
        [_event_row(event, series) for event in shown],
        len(anomaly.evidence) - len(shown),
        "" if anomaly.data is None else _data(anomaly.data),
    )


def _event_row(event: Event, series: Series) -> EventRow:
    if event.time >= NEVER:
        time, faults = "never", ""
    else:
        second = series.span.second(event.time)
        time = f"{second:.3f}"
        faults = ", ".join(_short(fault) for fault in series.faults if fault.covers(second))
    return EventRow(
        time,
        event.process,
        event.op,
        event.type,
        event.f,
        _cut(_json(event.value)),
        event.error or "",
        faults,
    )


def _fault_row(fault: Fault) -> FaultRow:
    return FaultRow(
        fault.number,
        fault.name,
        plots.family_of(fault.name),
        f"{fault.start:.1f}",
        f"{fault.end - fault.start:.1f}",
        ", ".join(map(str, fault.nodes)),
        ", ".join(
            f"{name}: {value if isinstance(value, str) else _json(value)}"
            for name, value in fault.more.items()
        ),
        fault.failed,
    )


def _short(fault: Fault) -> str:
    return f"{fault.name} {','.join(map(str, fault.nodes))}".rstrip()


def _json(value: Any) -> str:
    return json.dumps(value, separators=(", ", ": "), default=str, ensure_ascii=False)


def _data(value: Any) -> str:
    """A log as it was; everything else as JSON, one name on a line."""
    if isinstance(value, Mapping):
        return "\n".join(
            f"{name}: {v if isinstance(v, str) else _cut(_json(v))}" for name, v in value.items()
        )
    return _cut(_json(value))


def _cut(text: str) -> str:
    if len(text) <= MOST_CHARACTERS:
        return text
    return f"{text[:MOST_CHARACTERS]} … {len(text) - MOST_CHARACTERS:,} characters more"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"
