"""Plots as SVG that lies within the page and takes its colours from the page's style sheet.

Decides: how series and recovery times are drawn. Does not decide: what is drawn (`series`), nor the colours of light
and dark (the page): matplotlib draws in marker colours, each of which is then replaced by a CSS variable.

Every plot comes in two shapes, for wide and for narrow screens; the page shows one of them. Text stays text. matplotlib
is imported when the first plot is drawn: who asks for no report does not wait for it.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from odradek.jepsen.checkers.verdict import of_recoveries
from odradek.jepsen.report.series import Series

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Inches at 72 dots: 960 and 360 CSS pixels.
WIDE, NARROW = 960 / 72, 360 / 72

INK, MUTED, LINE = "#010101", "#010102", "#010103"
GOOD, BAD, MEDIAN, HIGH = "#010104", "#010105", "#010106", "#010107"
_VARIABLES = {
    INK: "--ink",
    MUTED: "--muted",
    LINE: "--line",
    GOOD: "--good",
    BAD: "--bad",
    MEDIAN: "--median",
    HIGH: "--high",
}
FAULT_COLOURS = [f"#0102{number:02x}" for number in range(10)]
_VARIABLES |= {colour: f"--fault-{number}" for number, colour in enumerate(FAULT_COLOURS)}

_STYLE = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 11.5,
    "text.color": INK,
    "axes.edgecolor": LINE,
    "axes.labelcolor": MUTED,
    "axes.titlecolor": INK,
    "axes.titlesize": 12.0,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "xtick.color": LINE,
    "xtick.labelcolor": MUTED,
    "ytick.color": LINE,
    "ytick.labelcolor": MUTED,
    "ytick.major.size": 0,
    "ytick.minor.size": 0,
    "legend.frameon": False,
    "legend.fontsize": 11.0,
    "lines.linewidth": 1.2,
}
_ROW = 0.28

_FAMILIES = (
    ("kill",),
    ("pause",),
    ("partition",),
    ("link", "request", "connection"),
    ("power",),
    ("fsync", "disk", "bit", "truncate", "lost"),
    ("clock",),
    ("cpu",),
    ("membership", "reassign", "leader"),
    ("client", "zombie"),
)


def family_of(name: str) -> int:
    """A number from 0 to 9 for each family of faults, by the first word of a fault's name."""
    word = name.partition("-")[0]
    return next((number for number, words in enumerate(_FAMILIES) if word in words), 7)


def _colour(name: str) -> str:
    return FAULT_COLOURS[family_of(name)]


def timeline_plot(series: Series, width: float) -> str:
    """Faults, one row for each name, over throughput and latency, with a shade below each fault."""
    names = sorted({fault.name for fault in series.faults}, key=lambda name: (family_of(name), name))
    rows = max(1, len(names))
    narrow = width < WIDE
    row = 0.42 if narrow else _ROW
    heights = [rows * row + 0.1, 1.9, 1.9]
    above = [0.30, 0.62 if narrow else 0.40, 0.66 if narrow else 0.44]
    with _figure(width, above, heights, 0.52, left=0.56 if narrow else 2.2) as (figure, axes):
        faults, throughput, latency = axes
        _draw_faults(faults, series, names, narrow)
        starts = series.starts
        throughput.fill_between(starts, series.acknowledged, step="post", color=GOOD, alpha=0.25, linewidth=0)
        throughput.step(starts, series.acknowledged, where="post", color=GOOD, label="acknowledged records")
        throughput.step(
            starts, series.unacknowledged, where="post", color=BAD, label="failed or unknown", linewidth=0.9
        )
        throughput.set_ylim(bottom=0)
        throughput.set_title("Throughput (per second)")
        _draw_latency(latency, series)
        for panel in (throughput, latency):
            for fault in series.faults:
                panel.axvspan(fault.start, fault.end, color=MUTED, alpha=0.13, linewidth=0)
            for second, _ in series.phases:
                panel.axvline(second, color=MUTED, linewidth=0.8, linestyle=(0, (2, 2)))
            _legend(panel, narrow)
        throughput.tick_params(axis="x", length=0, labelbottom=False)
        latency.set_xlabel("seconds since the start")
        for panel in axes:
            panel.set_xlim(0, max(series.span.seconds, series.span.step))
            panel.margins(x=0)
        return _svg(figure, f"timeline-{width:.0f}")


def recovery_plot(recoveries: Mapping[str, Sequence[float]], width: float) -> str:
    """One dot for each fault, one row for each name; a tick at the median."""
    names = [name for name in sorted(recoveries) if recoveries[name]]
    narrow = width < WIDE
    row = 0.46 if narrow else 0.32
    height = row * max(1, len(names)) + 0.1
    with _figure(width, [0.1], [height], 0.52, left=0.2 if narrow else 2.2) as (figure, axes):
        panel = axes[0]
        for number, name in enumerate(names):
            times = sorted(recoveries[name])
            at = [number + 0.18 if narrow else number] * len(times)
            panel.plot([times[0], times[-1]], at[:1] * 2, color=_colour(name), linewidth=1.0, alpha=0.5)
            panel.plot(times, at, "o", color=_colour(name), markersize=7, alpha=0.75, markeredgewidth=0)
            if len(times) > 2:
                median = of_recoveries(times).p50
                panel.plot([median, median], [at[0] - 0.3, at[0] + 0.3], color=INK, linewidth=1.5)
        _rows(panel, names, narrow)
        panel.set_xlim(left=0)
        panel.grid(True, axis="x")
        panel.grid(False, axis="y")
        panel.set_xlabel("seconds until every partition took records again")
        return _svg(figure, f"recovery-{width:.0f}")


def unseen_plot(series: Series, width: float) -> str:
    """Acknowledged records that nobody has read yet; at the end there should be none."""
    with _figure(width, [0.1], [1.7], 0.52, left=0.56 if width < WIDE else 0.7) as (figure, axes):
        panel = axes[0]
        for counts in series.unseen.values():
            panel.step(series.starts, counts, where="post", color=MUTED, linewidth=0.6, alpha=0.7)
        panel.step(series.starts, series.unseen_total, where="post", color=HIGH, label="all keys")
        for key, counts in list(series.unseen.items())[:4]:
            if counts[-1]:
                panel.annotate(
                    key, (series.starts[-1], counts[-1]), ha="right", va="bottom", color=BAD, fontsize=10
                )
        panel.set_xlim(0, max(series.span.seconds, series.span.step))
        panel.set_ylim(bottom=0)
        panel.set_xlabel("seconds since the start")
        return _svg(figure, f"unseen-{width:.0f}")


def _draw_faults(panel: Axes, series: Series, names: Sequence[str], narrow: bool) -> None:
    least = series.span.seconds / 300
    for fault in series.faults:
        length = max(fault.end - fault.start, least)
        number = names.index(fault.name)
        bar = (number, 0.42) if narrow else (number - 0.38, 0.76)
        panel.broken_barh([(fault.start, length)], bar, color=_colour(fault.name), linewidth=0, alpha=0.9)
        label = ",".join(map(str, fault.nodes))
        if label and length > series.span.seconds * (0.012 if not narrow else 0.03) * len(label):
            panel.text(
                fault.start + length / 2,
                bar[0] + bar[1] / 2,
                label,
                ha="center",
                va="center_baseline",
                color="#ffffff",
                fontsize=9.5,
            )
    panel.set_title("Faults (and the nodes they hit)")
    times = {name: sum(1 for fault in series.faults if fault.name == name) for name in names}
    _rows(panel, [f"{name} × {times[name]}" for name in names], narrow)
    panel.tick_params(axis="x", length=0, labelbottom=False)
    panel.grid(False, axis="y")


def _draw_latency(panel: Axes, series: Series) -> None:
    gap = float("nan")
    p50 = [gap if value is None else value * 1e3 for value in series.p50]
    p99 = [gap if value is None else value * 1e3 for value in series.p99]
    panel.plot(series.starts, p99, color=HIGH, label="p99", linewidth=1.0)
    panel.plot(series.starts, p50, color=MEDIAN, label="p50")
    panel.set_title("Latency of acknowledged sends (ms)")
    if any(value is not None for value in series.p50):
        panel.set_yscale("log")
        panel.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        panel.yaxis.set_minor_formatter(lambda value, _: "")


def _rows(panel: Axes, names: Sequence[str], narrow: bool) -> None:
    """One row for each name, the first on top; on a narrow screen the name stands above its row's bar."""
    panel.set_ylim(max(1, len(names)) - 0.5, -0.5)
    if narrow:
        panel.set_yticks([])
        for number, name in enumerate(names):
            panel.text(
                0.004, number - 0.06, name, transform=panel.get_yaxis_transform(), va="bottom", fontsize=10.5
            )
    else:
        panel.set_yticks(range(len(names)), names)
        panel.tick_params(axis="y", labelcolor=INK, labelsize=11)


def _legend(panel: Axes, narrow: bool) -> None:
    """Above the panel: beside the title, or between title and panel."""
    panel.set_title(panel.get_title(loc="left"), pad=21 if narrow else 6)
    panel.legend(
        loc="lower left" if narrow else "lower right",
        bbox_to_anchor=(0.0, 0.98) if narrow else (1.0, 0.97),
        ncols=2,
        borderpad=0.1,
        handlelength=1.2,
        columnspacing=1.2,
    )


@contextmanager
def _figure(
    width: float, above: Sequence[float], heights: Sequence[float], below: float, left: float
) -> Iterator[tuple[Figure, Sequence[Axes]]]:
    """Panels below each other; all measures in inches, so that text and rows keep their size whatever is drawn."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_STYLE):  # type: ignore[arg-type]
        height = sum(above) + sum(heights) + below
        figure = Figure(figsize=(width, height))
        figure.patch.set_alpha(0)
        axes, top = [], height
        for gap, panel_height in zip(above, heights):
            top -= gap + panel_height
            right = 0.1
            panel = figure.add_axes(
                (left / width, top / height, (width - left - right) / width, panel_height / height)
            )
            panel.patch.set_alpha(0)
            axes.append(panel)
        yield figure, axes


def _svg(figure: Figure, name: str) -> str:
    """The <svg> element; its ids begin with `name`, so that several fit into one page."""
    import matplotlib

    target = io.StringIO()
    nothing: dict[str, Any] = {"Date": None, "Creator": None, "Format": None, "Type": None}
    with matplotlib.rc_context({"svg.hashsalt": name}):
        figure.savefig(target, format="svg", metadata=nothing)
    return _for_page(target.getvalue(), name)


def _for_page(text: str, name: str) -> str:
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'<style type="text/css">.*?</style>', "", text, flags=re.DOTALL)
    text = re.sub(r'\bid="([^"]*)"', rf'id="{name}-\1"', text)
    text = re.sub(r'href="#([^"]*)"', rf'href="#{name}-\1"', text)
    text = re.sub(r"url\(#([^)]*)\)", rf"url(#{name}-\1)", text)
    text = re.sub(r'<svg\b[^>]*viewBox="([^"]*)"[^>]*>', r'<svg viewBox="\1" role="img">', text, count=1)
    text = re.sub(r"font: ([^;\"]*?)'[^;\"]*\"", r'font: \1inherit"', text)
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, f"var({variable})")
    return text
